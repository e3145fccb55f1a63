//! Exporting: every format with its badge, tables, pictures, the report, sessions, and what is
//! remembered.

use std::path::{Path, PathBuf};

use eframe::egui::{self, Key, Modifiers};
use egui_kittest::kittest::Queryable;
use lamina::gui::command::{Action, Command};
use lamina::gui::desktop::Desktop;
use lamina::gui::export::{ExportCommand, LabelFormat, TableFormat, What};
use lamina::gui::models;
use lamina::gui::settings::SettingsFile;
use lamina::gui::state::{Drawn, Layout};
use lamina::gui::worklist::ListCommand;
use lamina_edit::{Brush, BrushShape};
use lamina_io::{DicomScan, LabelVolume, ReadOptions, read_labels, read_segmentation};

use super::{Window, click, notices, sample, settle, show, window};
use crate::journeys::privacy::{files_below, secrets_in, unpacked, write_scan};
use crate::support::Sandbox;

fn ask(window: &mut Window, command: ExportCommand) {
    window.state_mut().run(Command::Export(command));
    window.run_steps(2);
}

/// Goes on until the file is written or refused; answers what the dialog says.
fn write(window: &mut Window) -> (bool, String) {
    click(window, "Write file");
    settle(window);
    let form = window.state().state.exporting.form.as_ref().unwrap();
    let said = form.said.clone().expect("the dialog says what came of it");
    window.get_by_label(&said.text);
    (said.done, said.text)
}

fn export(window: &mut Window, what: What, target: &Path) -> (bool, String) {
    ask(window, ExportCommand::Open(what));
    ask(window, ExportCommand::Path(target.to_string_lossy().into_owned()));
    write(window)
}

fn stored() -> LabelVolume {
    read_labels(&sample("labels"), &ReadOptions::default()).unwrap()
}

#[test]
fn every_format_of_labels_is_verified_and_says_so() {
    let sandbox = Sandbox::new();
    let mut window = window(&[sample("images"), sample("labels")]);
    window.key_press_modifiers(Modifiers::COMMAND, Key::E);
    window.run_steps(3);
    window.get_by_label("Write file");
    for format in LabelFormat::ALL {
        let (state, target) = (&window.state().state, format!("labels{}", format.ending()));
        if format.refusal(state).is_some() {
            assert!(format.is_dicom() || format.ending() == ".png", "{format:?}");
            continue;
        }
        let target = sandbox.path(&target);
        ask(&mut window, ExportCommand::Format(format));
        ask(&mut window, ExportCommand::Path(target.to_string_lossy().into_owned()));
        ask(&mut window, ExportCommand::Replace(true));
        let (done, text) = write(&mut window);
        assert!(done, "{format:?}: {text}");
        // In the dialog, and beside the labels.
        assert_eq!(window.query_all_by_label("Verified").count(), 2, "{format:?}");
        if !format.is_colored() {
            let found = read_labels(&target, &ReadOptions::default()).unwrap();
            assert_eq!(found.labels, stored().labels, "{format:?}");
            if format.ending() != ".tif" {
                found.geometry.same_grid(&stored().geometry).unwrap();
                assert!(text.contains("voxels compared in patient space"), "{text}");
            }
        }
    }
}

#[test]
fn the_badge_is_gone_when_the_labels_change_and_not_when_they_look_different() {
    let sandbox = Sandbox::new();
    let mut window = window(&[sample("images"), sample("labels")]);
    assert!(export(&mut window, What::Labels, &sandbox.path("a.nii.gz")).0);
    click(&mut window, "Close");
    window.get_by_label("Verified");
    window.state_mut().run(Command::ColorLabel(1, [1, 2, 3]));
    window.run_steps(3);
    window.get_by_label("Verified");
    assert!(!window.state().state.has_unsaved_labels());

    paint(&mut window);
    assert!(window.query_by_label("Verified").is_none());
    assert!(window.state().state.has_unsaved_labels());
}

/// A stroke of the brush in the middle of the volume.
fn paint(window: &mut Window) {
    let layer = window.state_mut().state.labels.as_mut().unwrap();
    let [depth, height, width] = layer.labels().dim().into();
    let middle = [depth, height, width].map(|n: usize| n as f64 / 2.0);
    layer.edit(|session| {
        let brush = Brush::new(BrushShape::Disc(lamina_edit::Axis::Depth), 3.0, 2);
        session.begin_stroke(brush, middle).unwrap();
        session.end_stroke().unwrap();
    });
    window.run_steps(3);
}

#[test]
fn labels_that_are_left_out_become_background_and_the_badge_says_it() {
    let sandbox = Sandbox::new();
    let mut window = window(&[sample("images"), sample("labels")]);
    ask(&mut window, ExportCommand::Open(What::Labels));
    click(&mut window, "Export label 1");
    let target = sandbox.path("two.nii.gz");
    ask(&mut window, ExportCommand::Path(target.to_string_lossy().into_owned()));
    assert!(write(&mut window).0);
    assert_eq!(window.query_all_by_label("Verified, some labels only").count(), 2);
    let found = read_labels(&target, &ReadOptions::default()).unwrap();
    assert_eq!(found.labels, stored().labels.mapv(|label| if label == 1 { 0 } else { label }));
}

#[test]
fn nothing_is_written_over_the_image_and_nothing_else_unasked() {
    let sandbox = Sandbox::new();
    let image = sandbox.path("case.nii.gz");
    std::fs::copy(sample("images"), &image).unwrap();
    let before = std::fs::read(&image).unwrap();
    let mut window = window(&[image.clone(), sample("labels")]);
    ask(&mut window, ExportCommand::Open(What::Labels));
    ask(&mut window, ExportCommand::Path(image.to_string_lossy().into_owned()));
    click(&mut window, "Replace it if it exists");
    let (done, text) = write(&mut window);
    assert!(!done && text.starts_with("This is the image itself"), "{text}");
    assert_eq!(std::fs::read(&image).unwrap(), before);
    assert_eq!(window.query_all_by_label("Not written").count(), 2);

    sandbox.write("there.nii.gz", "mine");
    let there = sandbox.path("there.nii.gz");
    ask(&mut window, ExportCommand::Path(there.to_string_lossy().into_owned()));
    let (done, text) = write(&mut window);
    assert!(!done && text.contains("tick “Replace it”"), "{text}");
    assert_eq!(std::fs::read(&there).unwrap(), b"mine");
    click(&mut window, "Replace it if it exists");
    assert!(write(&mut window).0);

    let nowhere = sandbox.path("absent/folder/a.nii.gz");
    let (done, text) = export(&mut window, What::Labels, &nowhere);
    assert!(!done && text.contains("no such folder"), "{text}");
}

#[test]
fn tables_of_volumes_and_of_edits_hold_what_there_is() {
    let sandbox = Sandbox::new();
    let mut window = window(&[sample("images"), sample("labels")]);
    let (done, text) = export(&mut window, What::Volumes, &sandbox.path("v.csv"));
    assert!(done, "{text}");
    let csv = std::fs::read_to_string(sandbox.path("v.csv")).unwrap();
    let voxels = stored().counts()[&2];
    let ml = stored().volumes_ml().unwrap()[&2];
    assert!(csv.contains(&format!("case,done,2,Label 2,{voxels},{ml},")), "{csv}");

    ask(&mut window, ExportCommand::Table(TableFormat::Json));
    assert!(write(&mut window).0);
    let json = std::fs::read(sandbox.path("v.json")).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(json[1]["voxels"], voxels);

    paint(&mut window);
    assert!(export(&mut window, What::Audit, &sandbox.path("edits.csv")).0);
    let csv = std::fs::read_to_string(sandbox.path("edits.csv")).unwrap();
    let rows: Vec<&str> = csv.lines().collect();
    assert!(rows[0].starts_with("time,action,step,tool"), "{csv}");
    assert!(rows[1].contains(",change,1,brush,2,"), "{csv}");
    assert_eq!(rows.len(), 2);
}

#[test]
fn pictures_have_the_labels_and_the_notice() {
    let sandbox = Sandbox::new();
    let mut window = window(&[sample("images"), sample("labels")]);
    let colors: Vec<[u8; 3]> =
        window.state().state.labels.as_ref().unwrap().classes.iter().map(|c| c.color).collect();
    for (what, name) in [(What::Plane, "plane.png"), (What::Montage, "montage.png")] {
        let (done, text) = export(&mut window, what, &sandbox.path(name));
        assert!(done, "{text}");
        let picture = image::open(sandbox.path(name)).unwrap().to_rgb8();
        let has = |color: &[u8; 3]| picture.pixels().any(|pixel| pixel.0 == *color);
        assert!(colors.iter().any(has), "{name}: outlines");
        // The line of words at the bottom.
        let (width, height) = picture.dimensions();
        let band = (height - 30..height).flat_map(|y| (0..width / 2).map(move |x| (x, y)));
        let ink = band.filter(|(x, y)| picture.get_pixel(*x, *y).0.iter().all(|v| *v > 90)).count();
        assert!(ink > 200, "{name}: {ink}");
    }
}

#[test]
fn a_picture_of_the_window_is_taken_without_names() {
    let sandbox = Sandbox::new();
    let mut window = window(&[sample("images"), sample("labels")]);
    window.state_mut().run(Command::Open(vec![sandbox.path("no-such-secret.nii")]));
    settle(&mut window);
    window.get_by_label("hippocampus_124");
    window.state_mut().run(Command::Do(Action::Screenshot));
    window.run_steps(2);
    let target = sandbox.path("window.png");
    ask(&mut window, ExportCommand::Path(target.to_string_lossy().into_owned()));
    window.get_by_label("Write file").click();
    let mut taken = None;
    for _ in 0..6 {
        window.step();
        let output = window.output().viewport_output.values();
        taken =
            output.flat_map(|viewport| viewport.commands.clone()).find_map(
                |command| match command {
                    egui::ViewportCommand::Screenshot(callback) => Some(callback),
                    _ => None,
                },
            );
        if taken.is_some() {
            break;
        }
    }
    // As it is drawn now: no file is named, and the dialog is out of the way.
    assert!(window.query_by_label_contains("hippocampus_124").is_none());
    assert!(window.query_by_label_contains("no-such-secret").is_none());
    assert!(window.query_by_label("Write file").is_none());
    let pixels = egui::ColorImage::filled([300, 40], egui::Color32::from_rgb(9, 8, 7));
    taken.expect("it is asked for").complete(std::sync::Arc::new(pixels));
    settle(&mut window);
    let picture = image::open(&target).unwrap().to_rgb8();
    assert_eq!(picture.dimensions(), (300, 70));
    assert_eq!(picture.get_pixel(299, 39).0, [9, 8, 7]);
    window.get_by_label("hippocampus_124");
    window.get_by_label("Write file");
}

#[test]
fn a_segmentation_of_a_series_has_the_names_and_codes_of_the_dialog() {
    let sandbox = Sandbox::new();
    write_scan(&sandbox, "in/scan", &[]);
    let mut window = window(&[sandbox.path("in/scan")]);
    let image = window.state().state.image.clone().unwrap();
    let mut labels = ndarray::Array3::zeros(image.volume.shape());
    labels[[2, 5, 7]] = 1;
    labels[[3, 6, 8]] = 4;
    let labels = LabelVolume::new(labels, image.volume.geometry.clone()).unwrap();
    sandbox.labels("labels.nii.gz", &labels);
    window.state_mut().run(Command::OpenLabels(sandbox.path("labels.nii.gz")));
    settle(&mut window);
    for (format, name) in
        [(LabelFormat::DicomSeg, "seg.dcm"), (LabelFormat::DicomLabelmap, "map.dcm")]
    {
        let target = sandbox.path(name);
        let try_code = |window: &mut Window, code: &str| {
            ask(window, ExportCommand::Open(What::Labels));
            ask(window, ExportCommand::Format(format));
            ask(window, ExportCommand::Path(target.to_string_lossy().into_owned()));
            window.get_by_label("Code of label 4").focus();
            window.run_steps(2);
            window.get_by_label("Code of label 4").type_text(code);
            window.run_steps(2);
            write(window)
        };
        let (done, text) = try_code(&mut window, "SCT 41216001");
        assert!(!done && text.contains("Expected a code such as"), "{text}");
        let (done, text) = try_code(&mut window, "SCT 41216001 Prostate");
        assert!(done, "{text}");
        window.query_all_by_label("Verified").next().expect("a badge");
        let scan = DicomScan::open(&sandbox.path("in/scan"), &ReadOptions::default()).unwrap();
        let found = read_segmentation(&target, &scan).unwrap();
        let segment = |label: u8| match (format, label) {
            (LabelFormat::DicomSeg, 4) => 2, // segments are counted from 1
            (_, label) => label,
        };
        assert_eq!(found.labels, labels.labels.mapv(segment), "{format:?}");
        let bytes = std::fs::read(&target).unwrap();
        let tells = |word: &str| bytes.windows(word.len()).any(|part| part == word.as_bytes());
        assert!(tells("41216001") && tells("Prostate") && tells("Label 4"), "{format:?}");
    }
}

#[test]
fn a_report_shows_labels_doubt_edits_and_the_model() {
    let sandbox = Sandbox::new();
    let mut window = window(&[sample("images")]);
    window.key_press(Key::R);
    settle(&mut window);
    paint(&mut window);
    let (done, text) = export(&mut window, What::Report, &sandbox.path("report.html"));
    assert!(done, "{text}");
    let page = std::fs::read_to_string(sandbox.path("report.html")).unwrap();
    let state = &window.state().state;
    let layer = state.labels.as_ref().unwrap();
    for class in &layer.classes {
        assert!(page.contains(&format!("</span>{}</td>", class.name)), "{}", class.name);
        let ml = layer.volume_ml(class.value).unwrap();
        assert!(page.contains(&format!("{ml:.3}")), "{ml}");
        assert!(page.contains(&format!(">{}</td>", layer.count(class.value))));
    }
    let manifest = &state.models[state.model].manifest;
    let quoted = |text: &str| text.replace('\'', "&#39;").replace('&', "&amp;");
    for words in [
        "data:image/png;base64,",
        &manifest.weights.sha256,
        &quoted(&manifest.license),
        "Changes by hand",
        "<td>brush</td>",
        "1 change stands, 0 undone",
        "hippocampus-unet, changed by hand",
        "Slices that the model doubted",
        "Research use only, not for clinical decisions",
    ] {
        assert!(page.contains(words), "{words}");
    }
    assert!(!page.contains("hippocampus_124"), "no file is named unless it is typed");
    for outside in ["http://", "https://", "<script", "<link", "@import"] {
        assert!(!page.contains(outside), "{outside}");
    }
}

#[test]
fn no_file_tells_who_the_patient_is() {
    let sandbox = Sandbox::new();
    let scan = "in/Marker_Patricia_19580317";
    write_scan(&sandbox, scan, &[]);
    let settings = sandbox.path("out/config/settings.json");
    std::fs::create_dir_all(sandbox.path("out")).unwrap();
    let mut window = window_with(&[sandbox.path(scan)], &settings);
    let image = window.state().state.image.clone().unwrap();
    assert!(secrets_in(image.name.as_bytes()).contains(&"marker"), "the name is a secret");
    let mut labels = ndarray::Array3::zeros(image.volume.shape());
    labels[[2, 5, 7]] = 1;
    let labels = LabelVolume::new(labels, image.volume.geometry.clone()).unwrap();
    sandbox.labels("in/Marker.nii.gz", &labels);
    window.state_mut().run(Command::OpenLabels(sandbox.path("in/Marker.nii.gz")));
    settle(&mut window);
    window.state_mut().run(Command::Opacity(0.7));
    window.state_mut().run(Command::ColorLabel(1, [1, 2, 3]));
    paint(&mut window);
    let out = |name: &str| sandbox.path(&format!("out/{name}"));
    for (what, name) in [
        (What::Volumes, "v.csv"),
        (What::Audit, "edits.csv"),
        (What::Plane, "plane.png"),
        (What::Montage, "montage.png"),
        (What::Report, "report.html"),
        (What::Labels, "labels.nii.gz"),
    ] {
        ask(&mut window, ExportCommand::Open(what));
        if what == What::Labels {
            ask(&mut window, ExportCommand::Format(LabelFormat::NiftiGzip));
        }
        let proposed = window.state().state.exporting.form.as_ref().unwrap().path.clone();
        let proposed = PathBuf::from(proposed).file_name().unwrap().to_owned();
        assert_eq!(secrets_in(proposed.as_encoded_bytes()), Vec::<&str>::new());
        ask(&mut window, ExportCommand::Path(out(name).to_string_lossy().into_owned()));
        let (done, text) = write(&mut window);
        assert!(done, "{what:?}: {text}");
    }
    window.state_mut().run(Command::Do(Action::Quit));
    window.run_steps(3);
    assert!(settings.exists());
    let mut files = Vec::new();
    files_below(&sandbox.path("out"), &mut files);
    assert_eq!(files.len(), 7);
    for file in files {
        assert_eq!(secrets_in(&unpacked(&file)), Vec::<&str>::new(), "{}", file.display());
    }
}

/// A window with settings of its own.
fn window_with(paths: &[PathBuf], settings: &Path) -> Window {
    let file = SettingsFile::at(settings.to_owned());
    let desktop = Desktop::new(models(), paths.to_vec()).with_settings(file);
    show(desktop)
}

fn quit(mut window: Window) {
    window.state_mut().run(Command::Do(Action::Quit));
    window.run_steps(3);
}

#[test]
fn the_next_window_looks_at_the_modality_as_the_last_one_did() {
    let sandbox = Sandbox::new();
    let settings = sandbox.path("config/settings.json");
    let files = [sample("images"), sample("labels")];
    let mut window = window_with(&files, &settings);
    window.state_mut().run(Command::Do(Action::OnePane));
    window.state_mut().run(Command::Do(Action::ToggleFill));
    window.state_mut().run(Command::Opacity(0.75));
    let all = window.state().state.image.as_ref().unwrap().presets.clone();
    let all = all.iter().position(|preset| preset.name == "All values").unwrap();
    window.state_mut().run(Command::Preset(all));
    window.state_mut().run(Command::ColorLabel(2, [9, 8, 7]));
    window.state_mut().run(Command::Do(Action::LargerBrush));
    window.run_steps(2);
    let radius_mm = window.state().state.tools.radius_mm;
    quit(window);
    let text = std::fs::read_to_string(&settings).unwrap();
    assert!(!text.contains("hippocampus"), "{text}");

    let window = window_with(&files, &settings);
    let state = &window.state().state;
    assert_eq!(state.layout, Layout::One);
    assert_eq!(state.overlay.drawn, Drawn::Fill);
    assert_eq!(state.overlay.opacity, 0.75);
    assert_eq!(state.tools.radius_mm, radius_mm);
    assert_ne!(radius_mm, lamina::gui::tools::Tools::default().radius_mm);
    let image = state.image.as_ref().unwrap();
    assert_eq!(state.window, image.presets[all].window);
    // Label 2 of a file may be anything: only what a model's labels are called and look like stays.
    assert_ne!(state.labels.as_ref().unwrap().class(2).unwrap().color, [9, 8, 7]);
    assert_eq!(notices(&window), Vec::<String>::new());
    quit(window);

    // Another modality begins as at first.
    write_scan(&sandbox, "in/other", &[]);
    let window = window_with(&[sandbox.path("in/other")], &settings);
    assert_eq!(window.state().state.layout, Layout::Four);
}

#[test]
fn keys_outlive_the_window_and_a_damaged_file_is_told() {
    let sandbox = Sandbox::new();
    let settings = sandbox.path("settings.json");
    let mut window = window_with(&[], &settings);
    window.key_press(Key::F1);
    window.run_steps(3);
    click(&mut window, "Change keys");
    click(&mut window, "Key of Invert");
    window.key_press(Key::F9);
    window.run_steps(3);
    quit(window);
    let window = window_with(&[], &settings);
    assert!(window.state().state.tooltip(Action::Invert).ends_with("(F9)"));
    quit(window);

    let text = std::fs::read_to_string(&settings).unwrap();
    std::fs::write(&settings, &text[..text.len() - 3]).unwrap();
    let window = window_with(&[], &settings);
    let said = notices(&window);
    assert!(said[0].contains("The settings were damaged"), "{said:?}");
    assert!(said[0].ends_with("settings.json.damaged"), "{said:?}");
    assert!(window.state().state.tooltip(Action::Invert).ends_with("(I)"));
}

#[test]
fn a_session_brings_back_what_was_open_and_how() {
    let sandbox = Sandbox::new();
    for (kind, name) in [("images", "image.nii.gz"), ("labels", "labels.nii.gz")] {
        std::fs::create_dir_all(sandbox.path("case")).unwrap();
        std::fs::copy(sample(kind), sandbox.path(&format!("case/{name}"))).unwrap();
    }
    let files = ["case/image.nii.gz", "case/labels.nii.gz"].map(|name| sandbox.path(name));
    let mut first = window(&files);
    first.state_mut().run(Command::Do(Action::ThreePanes));
    first.state_mut().run(Command::Do(Action::FirstSlice));
    first.state_mut().run(Command::Opacity(0.9));
    first.state_mut().run(Command::ShowLabel(2, false));
    let target = sandbox.path("one.lamina-session");
    let (done, text) = export(&mut first, What::Session, &target);
    assert!(done, "{text}");
    let text = std::fs::read_to_string(&target).unwrap();
    assert!(text.contains("\"case/image.nii.gz\""), "{text}");
    let folder = sandbox.path("one").parent().unwrap().to_string_lossy().into_owned();
    assert!(!text.contains(&folder), "{text}");

    let second = window(std::slice::from_ref(&target));
    assert_eq!(notices(&second), Vec::<String>::new());
    let (before, after) = (&first.state().state, &second.state().state);
    assert_eq!(after.crosshair_mm, before.crosshair_mm);
    assert_eq!(after.layout, Layout::Three);
    assert_eq!(after.overlay, before.overlay);
    assert_eq!(after.window, before.window);
    let [before, after] = [before, after].map(|state| state.labels.as_ref().unwrap());
    assert_eq!(after.classes, before.classes);
    assert_eq!(after.labels(), before.labels());

    // A file that changed, or is gone, is not opened as if it were the same.
    std::fs::copy(sample("images"), sandbox.path("case/labels.nii.gz")).unwrap();
    let third = window(std::slice::from_ref(&target));
    assert!(notices(&third)[0].contains("label file is another one"), "{:?}", notices(&third));
    assert!(third.state().state.image.is_none());
    std::fs::remove_file(sandbox.path("case/image.nii.gz")).unwrap();
    let fourth = window(&[target]);
    assert!(notices(&fourth)[0].contains("image of this session is missing"));
}

#[test]
fn a_report_has_the_numbers_against_the_reference_that_is_open() {
    let sandbox = Sandbox::new();
    let mut window = window(&[sample("images")]);
    window.key_press(Key::R);
    settle(&mut window);
    window.state_mut().open_reference(sample("labels"));
    settle(&mut window);
    let (done, text) = export(&mut window, What::Report, &sandbox.path("report.html"));
    assert!(done, "{text}");
    let page = std::fs::read_to_string(sandbox.path("report.html")).unwrap();
    let measured = window.state().state.compare.measured.clone().unwrap();
    assert_eq!(measured.classes.len(), 2);
    for class in &measured.classes {
        let (dice, surface) = (class.dice.unwrap(), class.surface.unwrap());
        assert!(page.contains(&format!(">{dice:.3}</td>")), "{dice}");
        assert!(page.contains(&format!(">{:.2}</td>", surface.hd95_mm)), "{surface:?}");
    }
    assert!(page.contains("Against the reference"));
    assert!(!page.contains("hippocampus_124"));
}

#[test]
fn a_session_brings_back_the_reference_and_the_place_in_the_worklist() {
    let sandbox = Sandbox::new();
    for name in ["hippocampus_124", "hippocampus_251"] {
        for (folder, to) in [("images", "images"), ("labels", "results"), ("labels", "references")]
        {
            let from = super::root().join(format!("samples/hippocampus/{folder}/{name}.nii.gz"));
            std::fs::create_dir_all(sandbox.path(to)).unwrap();
            std::fs::copy(from, sandbox.path(&format!("{to}/{name}.nii.gz"))).unwrap();
        }
    }
    let mut first = window(&[]);
    first.state_mut().run(Command::List(ListCommand::Open(sandbox.path("results"))));
    settle(&mut first);
    first.state_mut().run(Command::List(ListCommand::Go(1)));
    settle(&mut first);
    let state = &first.state().state;
    assert!(state.compare.reference.is_some() && state.labels.is_some());
    let case = state.worklist.as_ref().unwrap().open_case().unwrap().name.clone();
    let target = sandbox.path("list.lamina-session");
    let (done, text) = export(&mut first, What::Session, &target);
    assert!(done, "{text}");

    let second = window(std::slice::from_ref(&target));
    let state = &second.state().state;
    assert_eq!(notices(&second), Vec::<String>::new());
    assert_eq!(state.worklist.as_ref().unwrap().open_case().unwrap().name, case);
    assert!(state.image.as_ref().unwrap().path.to_string_lossy().contains(&case));
    assert!(state.compare.reference.is_some() && state.labels.is_some());
}
