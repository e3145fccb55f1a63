//! How fast the real window is: until a file is seen, from frame to frame, under a brush, until a
//! model answers. Run by `scripts/measure`; prints and ends.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use eframe::egui;
use lamina_edit::{Brush, BrushShape, Session};
use lamina_io::{
    Affine, Geometry, LabelVolume, ReadOptions, Rescale, Volume, VolumeError, Voxels, read_volume,
    write_volume,
};
use ndarray::Array3;

use super::command::{Action, Command};
use super::desktop::Desktop;
use super::labels::{LabelLayer, edit_axis};
use super::plane::Plane;

/// Frames that are timed.
const FRAMES: usize = 150;

/// Radius of the brush in voxels, where they are 1 mm large.
const RADIUS: f64 = 30.0;

/// Writes a volume of 512 x 512 x 300 voxels as scanners make them: a body in air, with noise.
///
/// # Errors
/// When the file cannot be written.
pub fn write_phantom(path: &Path) -> Result<(), VolumeError> {
    let shape = [300, 512, 512];
    let mut state = 1_u32;
    let stored = Array3::from_shape_fn(shape, |(k, j, i)| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        let noise = [0, 8, 16, 24].map(|shift| (state >> shift) as u8).map(i16::from);
        let noise = (noise.iter().sum::<i16>() - 510) / 12;
        let [x, y, z] = [(i, 256.0, 200.0), (j, 256.0, 160.0), (k, 150.0, 200.0)]
            .map(|(at, middle, reach)| (at as f64 - middle) / reach);
        let tissue = 40.0 + 30.0 * (x * 10.0).sin() * (y * 6.4).cos();
        if x * x + y * y + z * z < 1.0 { tissue as i16 + noise } else { noise - 1000 }
    });
    let affine = Affine::from_spacing_origin([0.7, 0.7, 1.0], [0.0; 3]);
    let geometry = Geometry::new(shape, affine).expect("an even grid");
    let volume = Volume::new(Voxels::I16(stored), Rescale::IDENTITY, geometry);
    write_volume(path, &volume.expect("of its own shape"))
}

/// What is measured, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// From the start of the program to the picture.
    Opening,
    /// All planes go through their slices.
    Slices,
    /// The same under labels, filled and outlined.
    Labels,
    /// A stroke goes on with every frame.
    Stroke,
    /// The model is asked for the slice in view.
    Model,
    /// Nothing more.
    Over,
}

/// What was on the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Seen {
    Nothing,
    Part,
    Whole,
}

/// A window that is measured.
pub struct Measure {
    desktop: Desktop,
    path: PathBuf,
    /// How long the program ran before `began`.
    before: Duration,
    began: Instant,
    phase: Phase,
    /// What the last frame showed, and the most that any showed.
    drawn: Seen,
    seen: Seen,
    last: Option<Instant>,
    times: Vec<Duration>,
    cpu_before: Duration,
    asked: Option<Instant>,
    finished: bool,
}

impl Measure {
    /// Measures `desktop`, which was just told to open `path`.
    pub fn new(desktop: Desktop, path: PathBuf) -> Self {
        Self {
            desktop,
            path,
            before: age().unwrap_or_default(),
            began: Instant::now(),
            phase: Phase::Opening,
            drawn: Seen::Nothing,
            seen: Seen::Nothing,
            last: None,
            times: Vec::new(),
            cpu_before: Duration::ZERO,
            asked: None,
            finished: false,
        }
    }

    fn next(&mut self, phase: Phase) {
        self.phase = phase;
        self.last = None;
        self.times.clear();
        self.cpu_before = cpu_time();
    }

    fn opening(&mut self) {
        if self.drawn > self.seen {
            self.seen = self.drawn;
            let what = if self.drawn == Seen::Part { "first slices" } else { "whole picture" };
            let passed = self.before + self.began.elapsed();
            say(format!("{what}: {} after the start, cpu {}", ms(passed), ms(cpu_time())));
        }
        if self.seen == Seen::Whole && !self.desktop.busy() {
            if let Some(image) = &self.desktop.state.image {
                let stored = image.volume.voxels.stored_type().bytes()
                    * image.volume.shape().iter().product::<usize>();
                let share = |bytes: Option<u64>| bytes.unwrap_or(0) as f64 / stored as f64;
                say(format!(
                    "memory: {:.2} times the {} MB of voxels, at most {:.2}",
                    share(memory("VmRSS:")),
                    stored / 1_000_000,
                    share(memory("VmHWM:")),
                ));
            }
            self.next(Phase::Slices);
        } else if self.desktop.state.notices.iter().any(|notice| notice.is_problem) {
            for notice in &self.desktop.state.notices {
                say(&notice.text);
            }
            self.phase = Phase::Over;
        }
    }

    /// Notes the time since the last frame; answers whether there are enough.
    fn tick(&mut self) -> bool {
        let now = Instant::now();
        if let Some(last) = self.last.replace(now) {
            self.times.push(now - last);
        }
        self.times.len() >= FRAMES
    }

    fn report(&mut self, what: &str) {
        let cpu = cpu_time().saturating_sub(self.cpu_before);
        self.times.sort();
        let at = |share: f64| self.times[((self.times.len() - 1) as f64 * share).round() as usize];
        say(format!(
            "{what}: {} frames, median {}, 95th percentile {}, cpu {} per frame",
            self.times.len(),
            ms(at(0.5)),
            ms(at(0.95)),
            ms(cpu / self.times.len() as u32)
        ));
    }

    /// Other slices in all planes.
    fn turn_pages(&mut self) {
        let Some(image) = &self.desktop.state.image else { return };
        let number = self.times.len();
        let next: Vec<Command> = image
            .views
            .iter()
            .map(|view| Command::Slice(view.plane, (7 * number + 1) % view.slice.len))
            .collect();
        for command in next {
            self.desktop.run(command);
        }
    }

    /// Three labels, one around the other.
    fn add_labels(&mut self) {
        let Some(image) = &self.desktop.state.image else { return };
        let geometry = image.volume.geometry.clone();
        let shape = geometry.shape();
        let middle = shape.map(|n| n as f64 / 2.0);
        let labels = Array3::from_shape_fn(shape, |(k, j, i)| {
            let square = |at: usize, middle: f64| ((at as f64 - middle) / middle).powi(2);
            let far = square(k, middle[0]) + square(j, middle[1]) + square(i, middle[2]);
            let wave = 0.05 * ((i as f64 / 9.0).sin() + (j as f64 / 7.0).cos());
            3 - ((far + wave).max(0.0) * 4.0).min(3.0) as u8
        });
        let Ok(labels) = LabelVolume::new(labels, geometry) else { return };
        let mut layer = LabelLayer::new(labels, &[], "measure".to_owned());
        layer.lie_over(&image.volume);
        self.desktop.state.labels = Some(layer);
    }

    /// Goes on with a stroke in the axial slice, and lets go of it in the end.
    fn stroke(&mut self) {
        let Some(image) = &self.desktop.state.image else { return };
        let number = self.times.len();
        let Some(view) = image.view(Plane::Axial).or(image.views.first()) else { return };
        let [depth, height, width] = image.volume.shape();
        let limits = [width, height, depth].map(|n| n as f64);
        let mut at = limits.map(|n| n / 2.0);
        let angle = number as f64 * 0.2;
        at[view.right.axis] += angle.cos() * limits[view.right.axis] * 0.2;
        at[view.down.axis] += angle.sin() * limits[view.down.axis] * 0.2;
        let place = [at[2], at[1], at[0]];
        let radius_mm = RADIUS * view.right.step;
        let brush = Brush::new(BrushShape::Disc(edit_axis(view.slice.axis)), radius_mm, 4);
        let Some(layer) = &mut self.desktop.state.labels else { return };
        let moved = layer.edit(|session: &mut Session| {
            if session.in_stroke() {
                session.move_stroke(place)
            } else {
                session.begin_stroke(brush, place)
            }
        });
        if let Err(error) = moved {
            say(error);
        }
    }

    fn model(&mut self) {
        let Some(asked) = self.asked else {
            self.asked = Some(Instant::now());
            self.cpu_before = cpu_time();
            self.desktop.run(Command::Do(Action::Segment));
            return;
        };
        let looked_at =
            self.desktop.state.doubt.as_ref().is_some_and(|d| d.risks.iter().any(Option::is_some));
        if self.drawn == Seen::Whole && self.times.is_empty() && looked_at {
            self.times.push(asked.elapsed()); // it is drawn next
        } else if !self.times.is_empty() {
            let cpu = cpu_time().saturating_sub(self.cpu_before);
            say(format!("first mask: {}, cpu {}", ms(asked.elapsed()), ms(cpu)));
            self.desktop.run(Command::Do(Action::Cancel));
            self.phase = Phase::Over;
        } else if !self.desktop.busy() {
            say("no mask");
            self.phase = Phase::Over;
        }
    }

    /// Reads the file again and nothing else, to compare with.
    fn finish(&self, ctx: &egui::Context) {
        for _ in 0..2 {
            let (began, cpu) = (Instant::now(), cpu_time());
            match read_volume(&self.path, &ReadOptions::default()) {
                Ok(_) => {
                    let cpu = cpu_time().saturating_sub(cpu);
                    say(format!("reading alone: {}, cpu {}", ms(began.elapsed()), ms(cpu)));
                }
                Err(error) => say(error),
            }
        }
        ctx.send_viewport_cmd(egui::ViewportCommand::Close);
    }
}

impl eframe::App for Measure {
    fn logic(&mut self, ctx: &egui::Context, _frame: &mut eframe::Frame) {
        self.desktop.logic(ctx);
        match self.phase {
            Phase::Opening => self.opening(),
            Phase::Slices | Phase::Labels => {
                if self.tick() {
                    let labels = self.phase == Phase::Labels;
                    self.report(if labels { "three planes, labels" } else { "three planes" });
                    if labels {
                        self.next(Phase::Stroke);
                    } else {
                        self.add_labels();
                        self.next(Phase::Labels);
                    }
                }
                self.turn_pages();
            }
            Phase::Stroke => {
                if self.tick() {
                    self.report("brush of 30 voxels");
                    self.desktop.state.labels = None;
                    self.next(Phase::Model);
                } else {
                    self.stroke();
                }
            }
            Phase::Model => self.model(),
            Phase::Over => {
                if !self.finished {
                    self.finish(ctx);
                    self.finished = true;
                }
                return;
            }
        }
        // While a file is read the window draws when there is news, as always.
        if !matches!(self.phase, Phase::Opening | Phase::Model) || self.drawn == Seen::Whole {
            ctx.request_repaint();
        }
    }

    fn ui(&mut self, ui: &mut egui::Ui, _frame: &mut eframe::Frame) {
        self.desktop.ui(ui);
        let state = &self.desktop.state;
        self.drawn = match (&state.image, &state.incoming.arriving) {
            (Some(_), _) => Seen::Whole,
            (None, Some(_)) => Seen::Part,
            (None, None) => Seen::Nothing,
        };
        if self.drawn > self.seen {
            ui.ctx().request_repaint(); // to look at the clock when it is on the screen
        }
    }

    fn clear_color(&self, visuals: &egui::Visuals) -> [f32; 4] {
        eframe::App::clear_color(&self.desktop, visuals)
    }
}

#[expect(clippy::print_stderr, reason = "what it is for")]
fn say(text: impl Display) {
    eprintln!("{text}");
}

fn ms(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

/// Ticks of a second in `/proc`, on every Linux that there is.
const TICKS: f64 = 100.0;

/// A field of `/proc/self/stat` by its number in proc(5), where there is one.
fn stat(number: usize) -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name, in parentheses, may hold anything.
    let rest = stat.rsplit_once(')')?.1;
    rest.split_whitespace().nth(number - 3)?.parse().ok()
}

/// How long the program has been running.
fn age() -> Option<Duration> {
    let uptime = std::fs::read_to_string("/proc/uptime").ok()?;
    let uptime: f64 = uptime.split_whitespace().next()?.parse().ok()?;
    Duration::try_from_secs_f64(uptime - stat(22)? / TICKS).ok()
}

/// What all threads have computed so far.
fn cpu_time() -> Duration {
    let ticks = stat(14).unwrap_or(0.0) + stat(15).unwrap_or(0.0);
    Duration::from_secs_f64(ticks / TICKS)
}

/// Bytes that a line of `/proc/self/status` says.
fn memory(name: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kilobytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes * 1024)
}
