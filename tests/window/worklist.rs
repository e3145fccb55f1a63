//! Many cases: their table, going from one to the next, what was decided.

use std::time::Duration;

use eframe::egui::{Key, Modifiers};
use egui_kittest::kittest::Queryable;
use lamina::gui::command::Command;
use lamina::gui::worklist::decisions::FILE_NAME;
use lamina::gui::worklist::{Decision, ListCommand, Score, Sources, Worklist};
use lamina_io::{ReadOptions, read_labels};

use super::{Window, click, notices, root, settle, window};
use crate::support::Sandbox;

/// The samples as `lamina predict` leaves them, beside their images and references.
fn predicted() -> Sandbox {
    let sandbox = Sandbox::new();
    for folder in ["images", "labels"] {
        std::fs::create_dir_all(sandbox.path(folder)).unwrap();
        for case in ["hippocampus_124", "hippocampus_251"] {
            let name = format!("{folder}/{case}.nii.gz");
            let sample = root().join("samples/hippocampus").join(&name);
            std::fs::copy(sample, sandbox.path(&name)).unwrap();
        }
    }
    let model = root().join("models/hippocampus-unet");
    sandbox
        .lamina(&format!("predict images --out masks --device cpu --model {}", model.display()))
        .exits(0);
    sandbox
}

fn listed(sandbox: &Sandbox) -> Window {
    let mut window = window(&[]);
    let list = ListCommand::Open(sandbox.path("masks"));
    window.state_mut().run(Command::List(list));
    settle(&mut window);
    window
}

fn list(window: &Window) -> &Worklist {
    window.state().state.worklist.as_ref().unwrap()
}

fn names(window: &Window) -> Vec<String> {
    let list = list(window);
    list.order.iter().map(|&place| list.cases[place].name.clone()).collect()
}

#[test]
fn a_folder_of_results_becomes_a_table_that_sorts() {
    let sandbox = predicted();
    let mut window = listed(&sandbox);
    assert_eq!(notices(&window), Vec::<String>::new());
    let report = sandbox.lamina("evaluate --prediction masks --reference labels --json");
    let report = report.exits(0).json();
    let mut risks = Vec::new();
    for (place, case) in report["cases"].as_array().unwrap().iter().enumerate() {
        let name = case["case"].as_str().unwrap();
        let classes = case["classes"].as_array().unwrap();
        let dice = classes.iter().map(|class| class["dice"].as_f64().unwrap());
        let dice = dice.sum::<f64>() / classes.len() as f64;
        let record = std::fs::read(sandbox.path(&format!("masks/{name}.json"))).unwrap();
        let record: serde_json::Value = serde_json::from_slice(&record).unwrap();
        let risk = record["doubt"]["risk"].as_f64().unwrap();
        assert_eq!(list(&window).cases[place].risk, Some(risk));
        let Score::Dice(Some(found)) = list(&window).cases[place].score else { panic!("{name}") };
        assert!((found - dice).abs() < 1e-12);
        window.get_by_label(&format!("Case {name}, to do, risk {risk:.3}, Dice {dice:.3}"));
        risks.push(risk);
    }
    let riskiest = usize::from(risks[1] > risks[0]);
    let cases = ["hippocampus_124", "hippocampus_251"];
    assert_eq!(names(&window), [cases[riskiest], cases[1 - riskiest]]);
    click(&mut window, "Sort by case");
    assert_eq!(names(&window), cases);
    click(&mut window, "Sort by case");
    assert_eq!(names(&window), [cases[1], cases[0]]);
    click(&mut window, "Sort by risk");
    assert_eq!(names(&window), [cases[riskiest], cases[1 - riskiest]]);
    assert_eq!(list(&window).classes.len(), 2);
}

#[test]
fn the_risk_of_a_case_is_the_one_that_the_window_shows() {
    let sandbox = predicted();
    let mut window = listed(&sandbox);
    let place = list(&window).order[0];
    let risk = list(&window).cases[place].risk.unwrap();
    window.key_press_modifiers(Modifiers::SHIFT, Key::N);
    settle(&mut window);
    assert!(window.state().state.doubt.is_none());
    window.key_press(Key::R);
    settle(&mut window);
    let case = window.state().state.doubt.as_ref().unwrap().case();
    assert!((case.risk - risk).abs() < 1e-9, "{case:?} for {risk}");
    let (doubtful, slices) = list(&window).cases[place].doubtful.unwrap();
    assert_eq!((case.doubtful_slices, case.slices), (doubtful, slices));
    window.get_by_label(&format!("Risk of the case {risk:.3}"));
}

#[test]
fn cases_are_gone_through_by_keys_and_decisions_outlive_the_session() {
    let sandbox = predicted();
    let mut window = listed(&sandbox);
    let order = names(&window);
    window.key_press_modifiers(Modifiers::SHIFT, Key::N);
    settle(&mut window);
    let state = &window.state().state;
    assert_eq!(state.image.as_ref().unwrap().name, order[0]);
    let mask = sandbox.path(&format!("masks/{}.nii.gz", order[0]));
    let mask = read_labels(&mask, &ReadOptions::default()).unwrap();
    assert_eq!(state.labels.as_ref().unwrap().labels(), &mask.labels);
    assert!(state.compare.measured.is_some(), "its reference is there and measured");
    assert_eq!(state.labels.as_ref().unwrap().class(1).unwrap().name, "anterior");
    window.key_press_modifiers(Modifiers::SHIFT, Key::A);
    settle(&mut window);
    window.get_by_label("1 to do, 1 accepted, 0 flagged");
    window.key_press_modifiers(Modifiers::SHIFT, Key::N);
    settle(&mut window);
    assert_eq!(window.state().state.image.as_ref().unwrap().name, order[1]);
    click(&mut window, "Flag");
    settle(&mut window);
    window.key_press_modifiers(Modifiers::SHIFT, Key::N);
    settle(&mut window);
    assert_eq!(notices(&window), ["This is the last case of the list."]);
    window.key_press_modifiers(Modifiers::SHIFT, Key::P);
    settle(&mut window);
    assert_eq!(window.state().state.image.as_ref().unwrap().name, order[0]);

    let stored = std::fs::read_to_string(sandbox.path(&format!("masks/{FILE_NAME}"))).unwrap();
    assert!(!stored.contains(sandbox.path("masks").to_str().unwrap()));
    drop(window);
    let window = listed(&sandbox);
    let decision = |name: &String| {
        list(&window).cases.iter().find(|case| case.name == *name).unwrap().decision
    };
    assert_eq!(decision(&order[0]), Decision::Accepted);
    assert_eq!(decision(&order[1]), Decision::Flagged);
}

#[test]
fn labels_that_were_corrected_are_asked_about_and_kept_beside_the_others() {
    let sandbox = predicted();
    let mut window = listed(&sandbox);
    let order = names(&window);
    window.key_press_modifiers(Modifiers::SHIFT, Key::N);
    settle(&mut window);
    let mask = sandbox.path(&format!("masks/{}.nii.gz", order[0]));
    let before = std::fs::read(&mask).unwrap();
    window.key_press_modifiers(Modifiers::SHIFT, Key::A);
    settle(&mut window);
    window.get_by_label("1 to do, 1 accepted, 0 flagged");
    let erase = lamina_edit::Paste {
        start: [0; 3],
        labels: std::sync::Arc::new(ndarray::Array3::zeros([20, 20, 20])),
        by: "test".to_owned(),
    };
    let layer = window.state_mut().state.labels.as_mut().unwrap();
    layer.edit(|session| session.apply(&lamina_edit::Operation::Paste(erase))).unwrap();
    let corrected = layer.labels().clone();
    settle(&mut window);
    // What was accepted are no longer these labels.
    window.get_by_label("2 to do, 0 accepted, 0 flagged");
    window.key_press_modifiers(Modifiers::SHIFT, Key::N);
    window.run_steps(3);
    assert_eq!(window.state().state.image.as_ref().unwrap().name, order[0]);
    click(&mut window, "Save and go on");
    settle(&mut window);
    assert_eq!(window.state().state.image.as_ref().unwrap().name, order[1]);
    assert_eq!(std::fs::read(&mask).unwrap(), before);
    let saved = sandbox.path(&format!("masks/corrected/{}.nii.gz", order[0]));
    let saved = read_labels(&saved, &ReadOptions::default()).unwrap();
    assert_eq!(saved.labels, corrected);
    // Back again, the corrected ones are shown.
    window.key_press_modifiers(Modifiers::SHIFT, Key::P);
    settle(&mut window);
    assert_eq!(window.state().state.labels.as_ref().unwrap().labels(), &corrected);
}

#[test]
fn opening_a_folder_with_records_lists_its_cases() {
    let sandbox = predicted();
    let window = window(&[sandbox.path("masks")]);
    assert_eq!(list(&window).cases.len(), 2);
    window.get_by_label("2 to do, 0 accepted, 0 flagged");
}

#[test]
fn an_image_that_is_not_there_or_another_one_is_said() {
    let sandbox = predicted();
    std::fs::remove_file(sandbox.path("images/hippocampus_251.nii.gz")).unwrap();
    // The other case gets a wrong image under its name.
    let wrong = root().join("samples/hippocampus/images/hippocampus_251.nii.gz");
    std::fs::copy(wrong, sandbox.path("images/hippocampus_124.nii.gz")).unwrap();
    let mut window = listed(&sandbox);
    assert!(notices(&window)[0].starts_with("1 of 2 cases have no image"));
    let place = list(&window).cases.iter().position(|case| case.image.is_none()).unwrap();
    window.state_mut().run(Command::List(ListCommand::Go(place)));
    settle(&mut window);
    assert!(notices(&window).pop().unwrap().starts_with("There is no image for this case"));
    window.state_mut().run(Command::List(ListCommand::Go(1 - place)));
    settle(&mut window);
    let said = notices(&window);
    assert!(said.iter().any(|text| text.contains("made of another image")), "{said:?}");
}

#[test]
fn ten_thousand_cases_are_drawn_by_the_rows_in_view() {
    let sandbox = predicted();
    let mut window = listed(&sandbox);
    let one = list(&window).cases[0].clone();
    let cases = (0..10_000)
        .map(|number| {
            let mut case = one.clone();
            case.name = format!("case{number:05}");
            case.risk = Some(f64::from(number) / 10_000.0);
            case
        })
        .collect();
    window.state_mut().state.worklist = Some(Worklist::new(Sources::default(), cases));
    window.run_steps(3);
    let rows = window.query_all_by_label_contains("Case case0").count();
    assert!((10..100).contains(&rows), "{rows}");
    let mut times: Vec<Duration> = (0..20)
        .map(|_| {
            let began = std::time::Instant::now();
            window.step();
            began.elapsed()
        })
        .collect();
    times.sort();
    // A guard against drawing all of them, not a measure of speed.
    assert!(times[10] < Duration::from_millis(200), "{:?}", times[10]);
    // Going to a case far below brings its row into view.
    let last = *list(&window).order.last().unwrap();
    window.state_mut().run(Command::List(ListCommand::Go(last)));
    settle(&mut window);
    window.get_by_label_contains("Case case00000,");
}
