//! How long edits take on 512 x 512 x 300 voxels: the median and the slowest of some repetitions.
//!
//! `cargo run --release -p lamina-edit --example speed`

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "an example that prints")]

use std::sync::Arc;
use std::time::Instant;

use lamina_edit::{
    Axis, Boolean, Brush, BrushShape, Combine, Fill, Grow, GrowRange, Holes, ImageId, Interpolate,
    IslandAction, Islands, Journal, Kernel, LabelSet, Margin, Neighbors, Operand, Operation, Over,
    Polygon, Reach, Recovery, Rules, Session, Smooth, Threshold, ValueRange, Winding,
};
use lamina_io::{Affine, Geometry, LabelVolume, Rescale, Volume, Voxels};
use ndarray::{Array3, s};

const SHAPE: [usize; 3] = [300, 512, 512];

/// An ellipsoid about as large as a liver: 115 x 250 x 280 voxels of 0.7 x 0.7 x 1.5 mm, 4.3 million
/// voxels in all.
fn organ() -> LabelVolume {
    let transform = Affine::from_spacing_origin([0.7, 0.7, 1.5], [0.0; 3]);
    let geometry = Geometry::new(SHAPE, transform).unwrap();
    let labels = Array3::from_shape_fn(SHAPE, |(k, j, i)| {
        let off = [(k, 150.0, 58.0), (j, 250.0, 125.0), (i, 200.0, 140.0)]
            .map(|(at, center, radius)| (at as f64 - center) / radius);
        u8::from(off.iter().map(|v| v * v).sum::<f64>() < 1.0)
    });
    LabelVolume::new(labels, geometry).unwrap()
}

fn image(labels: &LabelVolume) -> Volume {
    let values = Array3::from_shape_fn(SHAPE, |(k, j, i)| {
        let noise = (k * 7 + j * 13 + i * 29) % 37;
        100 * i16::from(labels.labels[[k, j, i]]) + noise as i16
    });
    Volume::new(Voxels::I16(values), Rescale::IDENTITY, labels.geometry.clone()).unwrap()
}

fn report(name: &str, mut times: Vec<f64>) {
    times.sort_by(f64::total_cmp);
    let (median, slowest) = (times[times.len() / 2], times[times.len() - 1]);
    println!("{name:45} {median:9.3} ms   {slowest:9.3} ms   of {}", times.len());
}

fn ms(run: impl FnOnce()) -> f64 {
    let began = Instant::now();
    run();
    began.elapsed().as_secs_f64() * 1e3
}

fn strokes(session: &mut Session, name: &str, brush: Brush) {
    let (mut moves, mut ends, mut undos, mut redos) = (vec![], vec![], vec![], vec![]);
    for round in 0..8 {
        let at =
            |n: usize| [150.0 + f64::from(round), 100.0 + n as f64 * 4.0, 120.0 + n as f64 * 3.0];
        session.begin_stroke(brush, at(0)).unwrap();
        for n in 1..60 {
            moves.push(ms(|| drop(session.move_stroke(at(n)).unwrap())));
        }
        ends.push(ms(|| assert!(session.end_stroke().unwrap().is_some())));
        undos.push(ms(|| drop(session.undo().unwrap())));
        redos.push(ms(|| drop(session.redo().unwrap())));
        undos.push(ms(|| drop(session.undo().unwrap())));
    }
    let mut dabs = Vec::new();
    let mut dab_undos = Vec::new();
    for n in 0..60 {
        let at = [150.0, 100.0 + f64::from(n), 120.0];
        dabs.push(ms(|| drop(session.begin_stroke(brush, at).unwrap())));
        session.end_stroke().unwrap();
        dab_undos.push(ms(|| drop(session.undo().unwrap())));
    }
    report(&format!("{name}: first dab"), dabs);
    report(&format!("{name}: undo of a dab"), dab_undos);
    report(&format!("{name}: move"), moves);
    report(&format!("{name}: end of 60 moves"), ends);
    report(&format!("{name}: undo of 60 moves"), undos);
    report(&format!("{name}: redo of 60 moves"), redos);
}

fn operation(session: &mut Session, name: &str, operation: &Operation) {
    let mut times = Vec::new();
    let mut voxels = 0;
    for _ in 0..5 {
        times.push(ms(|| voxels = session.apply(operation).unwrap().voxels));
        session.undo().unwrap();
    }
    report(&format!("{name} ({voxels} voxels)"), times);
}

fn main() {
    let labels = organ();
    let image = Arc::new(image(&labels));
    println!("{:45} {:>9}      {:>9}", "", "median", "slowest");
    report("hash of the image", vec![ms(|| assert!(!ImageId::of(&image).short().is_empty()))]);
    let mut session = Session::new(labels.clone());
    report("beginning a session", vec![ms(|| session = Session::new(labels.clone()))]);
    session.set_image(Some(Arc::clone(&image))).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut journal = None;
    let time =
        ms(|| journal = Some(Journal::create(folder.path(), session.scene(), None).unwrap()));
    report("beginning a journal", vec![time]);
    session.write_journal(journal.unwrap()).unwrap();

    // Radius of 30 pixels.
    for (name, shape) in [
        ("axial disc", BrushShape::Disc(Axis::Depth)),
        ("sagittal disc", BrushShape::Disc(Axis::Width)),
        ("sphere", BrushShape::Sphere),
    ] {
        strokes(&mut session, name, Brush::new(shape, 21.0, 2));
    }
    let range = ValueRange::between(50.0, 130.0);
    session.set_rules(Rules { within_values: Some(range), ..Rules::default() });
    strokes(&mut session, "sphere by value", Brush::new(BrushShape::Sphere, 21.0, 2));
    session.set_rules(Rules::default());

    let (reach, over, label) = (Reach::Volume, Over::Background, 1);
    for margin_mm in [5.0, -5.0] {
        let margin = Margin { label, margin_mm, reach, over };
        operation(&mut session, &format!("margin {margin_mm} mm"), &Operation::Margin(margin));
    }
    for (name, kernel) in [
        ("smooth, Gaussian 1.5 mm", Kernel::Gaussian { sigma_mm: 1.5 }),
        ("smooth, median 3 mm", Kernel::Median { radius_mm: 3.0 }),
    ] {
        let smooth = Smooth { label: Some(label), kernel, reach, over };
        operation(&mut session, name, &Operation::Smooth(smooth));
    }
    let neighbors = Neighbors::Faces;
    let islands = Islands { label, action: IslandAction::KeepLargest, neighbors, reach };
    operation(&mut session, "islands", &Operation::Islands(islands));
    let holes = Holes { label, neighbors, reach, over, max_voxels: None };
    operation(&mut session, "holes", &Operation::Holes(holes));
    let threshold = Threshold { values: range, reach, over: Over::Any, label: 3 };
    operation(&mut session, "threshold, whole volume", &Operation::Threshold(threshold));
    let fill = Fill { seed: [150, 250, 200], slice: None, neighbors, label: 3 };
    operation(&mut session, "fill of the organ", &Operation::Fill(fill));
    let fill = Fill { seed: [0, 0, 0], slice: None, neighbors, label: 3 };
    operation(&mut session, "fill of the background", &Operation::Fill(fill));
    let grow = Grow {
        seed: [150, 250, 200],
        range: GrowRange::AroundSeed(60.0),
        radius_mm: None,
        slice: None,
        neighbors,
        max_voxels: 100_000_000,
        label: 3,
    };
    operation(&mut session, "grow, the organ", &Operation::Grow(grow));
    let corners = (0..2000)
        .map(|n| {
            let (sin, cos) = (f64::from(n) * std::f64::consts::TAU / 2000.0).sin_cos();
            [250.0 + 100.0 * sin, 250.0 + 120.0 * cos]
        })
        .collect();
    let (axis, slice, winding) = (Axis::Depth, 10, Winding::NonZero);
    let polygon = Polygon { axis, slice, corners, winding, label: 3 };
    operation(&mut session, "polygon of 2000 corners", &Operation::Polygon(polygon));
    let with = Operand::Labels(LabelSet::from([2]));
    let boolean = Boolean { combine: Combine::Intersect, label, with, over };
    operation(&mut session, "boolean, whole volume", &Operation::Boolean(boolean));

    // Every tenth slice is drawn.
    let mut sparse = labels.clone();
    for k in (0..SHAPE[0]).filter(|k| k % 10 != 0) {
        sparse.labels.slice_mut(s![k, .., ..]).fill(0);
    }
    let mut drawn = Session::new(sparse);
    let between = Interpolate { axis: Axis::Depth, label: Some(label), over };
    operation(&mut drawn, "interpolate, 11 gaps of 9", &Operation::Interpolate(between));
    drop(drawn);

    session.sync_journal().unwrap();
    let path = session.journal_path().unwrap();
    let (steps, done) = session.steps();
    println!(
        "{} steps, {done} stand, {} kB of memory",
        steps.count(),
        session.history_bytes() / 1024
    );
    println!("journal of {} kB", std::fs::metadata(&path).unwrap().len() / 1024);
    drop(session);
    report("reading the journal", vec![ms(|| drop(Recovery::open(&path).unwrap()))]);
}
