//! `lamina predict`.

use std::fs;

use lamina_io::{ReadOptions, read_labels, read_volume};

use crate::support::{Sandbox, ellipsoid, write_tiny_model};

/// A folder `scans` of two ellipsoids, their references, and a model for them.
fn prepared() -> Sandbox {
    let sandbox = Sandbox::new();
    write_tiny_model(&sandbox);
    for (name, center) in [("a", [8.0, 11.0, 2.5]), ("b", [11.0, 13.0, 2.5])] {
        let (volume, labels) = ellipsoid(center);
        sandbox.image(&format!("scans/{name}.nii.gz"), &volume);
        sandbox.labels(&format!("references/{name}.nii.gz"), &labels);
    }
    sandbox
}

#[test]
fn a_folder_becomes_masks_records_and_pictures() {
    let sandbox = prepared();
    let run = sandbox
        .lamina("predict scans --out masks --reference references --montage --device cpu --json")
        .exits(0);
    let answer = run.json();
    assert_eq!(
        sandbox.list("masks"),
        ["a.json", "a.nii.gz", "a.png", "b.json", "b.nii.gz", "b.png"]
    );
    for (index, name) in ["a", "b"].into_iter().enumerate() {
        let case = &answer["cases"][index];
        assert_eq!((&case["case"], &case["status"]), (&name.into(), &"done".into()));
        assert!(case["classes"][0]["dice"].as_f64().unwrap() > 0.8, "{case}");
        let options = ReadOptions::default();
        let mask = read_labels(&sandbox.path(&format!("masks/{name}.nii.gz")), &options).unwrap();
        let scan = read_volume(&sandbox.path(&format!("scans/{name}.nii.gz")), &options).unwrap();
        scan.geometry.same_grid_within(&mask.geometry, 1e-3).unwrap();
        let record = fs::read(sandbox.path(&format!("masks/{name}.json"))).unwrap();
        let record: serde_json::Value = serde_json::from_slice(&record).unwrap();
        let (risk, worst) = (&record["doubt"]["risk"], &record["doubt"]["worst_slice_risk"]);
        assert!((0.0..=1.0).contains(&risk.as_f64().unwrap()), "{record}");
        assert!((0.0..=1.0).contains(&worst.as_f64().unwrap()), "{record}");
        assert_eq!(record["doubt"]["slices"], scan.shape()[0]);
        let voxels = mask.counts()[&1];
        assert_eq!(case["classes"][0]["voxels"], voxels);
        let picture = fs::read(sandbox.path(&format!("masks/{name}.png"))).unwrap();
        assert!(picture.starts_with(b"\x89PNG"));
    }
    assert!(answer["summary"]["foreground"]["dice"].as_f64().unwrap() > 0.8, "{run}");
}

#[test]
fn what_happens_to_lie_in_the_current_folder_is_not_the_bundled_model() {
    let sandbox = prepared();
    // As a user runs it, with no variable that names the folder.
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_lamina"));
    let command = command.args(["predict", "scans/a.nii.gz", "--out", "masks", "--json"]);
    let command = command.current_dir(sandbox.path(".")).env_remove("LAMINA_MODELS");
    let output = command.output().unwrap();
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["model"]["name"], "hippocampus-unet");
    let run = sandbox.lamina("predict scans/a.nii.gz --out others --json").exits(0);
    assert_eq!(run.json()["model"]["name"], "tiny-unet");
}

#[test]
fn a_case_unlike_those_of_training_is_told_apart_and_recorded() {
    let sandbox = prepared();
    let (volume, _) = lamina_io::synthetic::ellipsoid(
        [6, 24, 20],
        [1.0, 1.2, 9.0],
        [9.0, 12.0, 2.5],
        [5.0, 6.0, 15.0],
    )
    .unwrap();
    sandbox.image("scans/thick.nii.gz", &volume);
    let predict = "predict scans --out masks --device cpu";
    let run = sandbox.lamina(&format!("{predict} --json")).exits(0);
    let cases = &run.json()["cases"];
    for usual in [&cases[0], &cases[1]] {
        assert_eq!(usual["unlike_training"], serde_json::Value::Null, "{usual}");
    }
    let doubt = &cases[2]["unlike_training"][0];
    assert_eq!(doubt["about"], "spacing", "{run}");
    assert_eq!(doubt["sentence"], "The slices are 9.0 mm apart; the model saw 3.0 mm.");
    let record: serde_json::Value =
        serde_json::from_slice(&fs::read(sandbox.path("masks/thick.json")).unwrap()).unwrap();
    assert_eq!(record["unlike_training"][0], *doubt);
    // It is a warning, said again of a case that is done already.
    let again = sandbox.lamina(predict).exits(0);
    let heading = "1 of 3 cases unlike the training cases of the model:\n  thick: The slices are";
    assert!(again.stdout.contains(heading), "{again}");
}

#[test]
fn a_report_tells_what_the_record_and_the_scores_say() {
    let sandbox = prepared();
    let predict = "predict scans/a.nii.gz --out masks --device cpu";
    sandbox.lamina(predict).exits(0);
    // The second run makes no mask, and has the first one's record.
    let run = sandbox.lamina(&format!("{predict} --reference references --report --json")).exits(0);
    assert_eq!(sandbox.list("masks"), ["a.html", "a.json", "a.nii.gz"]);
    let case = &run.json()["cases"][0];
    assert_eq!((&case["report"], &case["status"]), (&"masks/a.html".into(), &"skipped".into()));
    let page = fs::read_to_string(sandbox.path("masks/a.html")).unwrap();
    let record = fs::read(sandbox.path("masks/a.json")).unwrap();
    let record: serde_json::Value = serde_json::from_slice(&record).unwrap();
    let doubt = &record["doubt"];
    for words in [
        format!(">{}</td>", record["classes"][0]["voxels"]),
        format!("unsure of {} of {} slices", doubt["doubtful_slices"], doubt["slices"]),
        format!(">{:.3}</td>", case["classes"][0]["dice"].as_f64().unwrap()),
        record["recipe"]["weights_sha256"].as_str().unwrap().to_owned(),
        "Research use only, not for clinical decisions".to_owned(),
        "data:image/png;base64,".to_owned(),
    ] {
        assert!(page.contains(&words), "{words}: {page}");
    }
    assert!(!page.contains("HD95"), "surfaces were not measured");
}

#[test]
fn masks_have_the_format_of_their_scan_or_the_one_that_is_asked_for() {
    let sandbox = prepared();
    let (volume, _) = ellipsoid([8.0, 11.0, 2.5]);
    sandbox.image("others/c.mhd", &volume);
    sandbox.image("others/d.nrrd", &volume);
    let run = "predict others scans/a.nii.gz --device cpu --quiet --out";
    sandbox.lamina(&format!("{run} masks")).exits(0);
    assert_eq!(
        sandbox.list("masks"),
        ["a.json", "a.nii.gz", "c.json", "c.mhd", "c.zraw", "d.json", "d.nrrd"]
    );
    sandbox.lamina(&format!("{run} pairs --format nhdr")).exits(0);
    assert_eq!(
        sandbox.list("pairs"),
        [
            "a.json", "a.nhdr", "a.raw.gz", "c.json", "c.nhdr", "c.raw.gz", "d.json", "d.nhdr",
            "d.raw.gz"
        ]
    );
    // Whatever the format, the same scores, and no work done twice.
    for masks in ["masks", "pairs"] {
        let report = sandbox
            .lamina(&format!("evaluate --prediction {masks} --reference references --json"))
            .exits(1) // there is a reference for a alone, and b is missing
            .json();
        assert!(report["cases"][0]["classes"][0]["dice"].as_f64().unwrap() > 0.8);
    }
    let again = sandbox.lamina(&format!("{run} pairs --format nhdr --json")).exits(0).json();
    for case in again["cases"].as_array().unwrap() {
        assert_eq!(case["status"], "skipped");
    }
    // Another mask in the place of one half of a pair is no mask of this run.
    sandbox.write("pairs/a.raw.gz", "other");
    sandbox.lamina(&format!("{run} pairs --format nhdr")).exits(1);
}

#[test]
fn the_voxels_beside_a_header_are_not_overwritten() {
    let sandbox = prepared();
    let (volume, _) = ellipsoid([8.0, 11.0, 2.5]);
    sandbox.image("scans/c.mhd", &volume);
    let before = fs::read(sandbox.path("scans/c.raw")).unwrap();
    // `c.raw` is where an `.nhdr` might have its voxels.
    let run = sandbox.lamina("predict scans/c.mhd --out scans --format nhdr --device cpu").exits(2);
    assert!(run.stderr.contains("would overwrite a file that is read"), "{run}");
    assert_eq!(fs::read(sandbox.path("scans/c.raw")).unwrap(), before);
}

#[test]
fn the_table_names_classes_volumes_and_stages() {
    let sandbox = prepared();
    let run = sandbox.lamina("predict scans --out masks --device cpu");
    insta::with_settings!({filters => [
        (r"\d+\.\d+ s\b", "[time]"),
        (r"(?m)^([ab]) +[\d. ]+$", "$1 [numbers]"),
    ]}, {
        insta::assert_snapshot!(run.to_string(), @r#"
        $ lamina predict scans --out masks --device cpu
        exit code 0
        --- stdout
        case  ellipsoid ml  read s  prepare s  infer s  restore s  write s
        ──────────────────────────────────────────────────────────────────
        a [numbers]
        b [numbers]

        mask     masks/a.nii.gz
        mask     masks/b.nii.gz
        --- stderr
        bundled model tiny-unet on cpu, 2 cases: models/tiny
        [1/2] a: [time]
        [2/2] b: [time]
        "#);
    });
}

#[test]
fn a_second_run_takes_over_what_is_done() {
    let sandbox = prepared();
    sandbox.lamina("predict scans/a.nii.gz --out masks --device cpu").exits(0);
    let before = fs::metadata(sandbox.path("masks/a.nii.gz")).unwrap().modified().unwrap();
    let answer =
        sandbox.lamina("predict scans --out masks --device cpu --batch 3 --json").exits(0).json();
    assert_eq!(answer["cases"][0]["status"], "skipped");
    assert_eq!(answer["cases"][1]["status"], "done");
    assert_eq!(fs::metadata(sandbox.path("masks/a.nii.gz")).unwrap().modified().unwrap(), before);

    let answer =
        sandbox.lamina("predict scans --out masks --device cpu --overwrite --json").exits(0).json();
    assert_eq!(answer["cases"][0]["status"], "done");
}

#[test]
fn a_mask_that_something_else_made_is_not_replaced() {
    let sandbox = prepared();
    sandbox.write("masks/a.nii.gz", "precious");
    let run = sandbox.lamina("predict scans --out masks --device cpu").exits(1);
    assert!(run.stderr.contains("--overwrite replaces it: masks/a.nii.gz"), "{run}");
    assert_eq!(fs::read(sandbox.path("masks/a.nii.gz")).unwrap(), b"precious");
    assert!(sandbox.path("masks/b.nii.gz").exists());
}

#[test]
fn a_damaged_mask_is_not_taken_for_done() {
    let sandbox = prepared();
    sandbox.lamina("predict scans --out masks --device cpu").exits(0);
    let path = sandbox.path("masks/a.nii.gz");
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let answer = sandbox.lamina("predict scans --out masks --device cpu --json").exits(1).json();
    assert_eq!(answer["cases"][0]["status"], "failed");
    assert_eq!(answer["cases"][1]["status"], "skipped");
}

#[test]
fn one_bad_case_does_not_end_the_run() {
    let sandbox = prepared();
    let whole = fs::read(sandbox.path("scans/a.nii.gz")).unwrap();
    sandbox.write("scans/a_cut.nii.gz", &whole[..whole.len() / 2]);
    sandbox.write("scans/a_text.nii", "this is no scan");
    let run =
        sandbox.lamina("predict scans scans/absent.nii --out masks --device cpu --json").exits(1);
    let answer = run.json();
    let status: Vec<&str> = answer["cases"]
        .as_array()
        .unwrap()
        .iter()
        .map(|case| case["status"].as_str().unwrap())
        .collect();
    assert_eq!(status, ["done", "failed", "failed", "done", "failed"]);
    for (index, name) in
        [(1, "scans/a_cut.nii.gz"), (2, "scans/a_text.nii"), (4, "scans/absent.nii")]
    {
        assert!(answer["cases"][index]["error"].as_str().unwrap().contains(name), "{run}");
    }
    assert_eq!(sandbox.list("masks"), ["a.json", "a.nii.gz", "b.json", "b.nii.gz"]);
}

#[test]
fn a_record_holds_no_path() {
    let sandbox = prepared();
    sandbox.lamina("predict scans --out masks --device cpu").exits(0);
    let record = fs::read_to_string(sandbox.path("masks/a.json")).unwrap();
    assert!(!record.contains("scans") && !record.contains('/'), "{record}");
    let record: serde_json::Value = serde_json::from_str(&record).unwrap();
    assert_eq!(record["recipe"]["model"], "tiny-unet");
    assert_eq!(record["device"], "cpu");
    assert_eq!(record["verified"]["voxels"], 6 * 24 * 20);
}

#[test]
fn the_bundled_model_is_found_and_named() {
    let sandbox = prepared();
    let run = sandbox.lamina("predict scans/a.nii.gz --out masks --device cpu").exits(0);
    assert!(
        run.stderr.starts_with("bundled model tiny-unet on cpu, 1 case: models/tiny\n"),
        "{run}"
    );
}

#[test]
fn a_stop_leaves_whole_cases_and_the_same_command_goes_on() {
    let sandbox = prepared();
    let (volume, _) = ellipsoid([9.0, 12.0, 2.5]);
    for case in 0..40 {
        sandbox.image(&format!("many/{case:02}.nii.gz"), &volume);
    }
    let child = sandbox.start("predict many --out masks --device cpu --batch 1");
    while !sandbox.path("masks/01.json").exists() {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    let stopped =
        std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(stopped.unwrap().success());
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    // A machine that is done before the signal arrives has nothing to stop.
    if output.status.code() == Some(130) {
        assert!(stderr.ends_with("stopped; the same command goes on from here\n"), "{stderr}");
    } else {
        assert_eq!(output.status.code(), Some(0), "{stderr}");
    }
    let names = sandbox.list("masks");
    let temporary: Vec<&String> = names.iter().filter(|name| name.starts_with('.')).collect();
    assert!(temporary.is_empty(), "{temporary:?}");
    let answer =
        sandbox.lamina("predict many --out masks --device cpu --batch 1 --json").exits(0).json();
    assert_eq!(answer["cases"][0]["status"], "skipped");
    assert_eq!(answer["cases"][39]["mask"], "masks/39.nii.gz");
}

#[test]
fn a_pair_whose_voxels_changed_is_segmented_anew() {
    let sandbox = prepared();
    let (volume, _) = ellipsoid([8.0, 11.0, 2.5]);
    sandbox.image("pairs/c.hdr", &volume);
    sandbox.lamina("predict pairs --out masks --device cpu -q").exits(0);
    let (moved, _) = ellipsoid([11.0, 13.0, 2.5]);
    sandbox.image("pairs/c.hdr", &moved);
    let run = sandbox.lamina("predict pairs --out masks --device cpu --json").exits(1);
    assert_eq!(run.json()["cases"][0]["status"], "failed", "{run}");
    let run = sandbox.lamina("predict pairs --out masks --device cpu --json --overwrite").exits(0);
    assert_eq!(run.json()["cases"][0]["status"], "done");
}

#[cfg(unix)]
#[test]
fn a_name_that_is_no_utf8_does_not_cost_the_answer() {
    use std::os::unix::ffi::OsStrExt;

    let sandbox = prepared();
    let name = std::ffi::OsStr::from_bytes(b"scans/c\xff.nii.gz");
    fs::copy(sandbox.path("scans/a.nii.gz"), sandbox.path("").join(name)).unwrap();
    let run = sandbox.lamina("predict scans --out masks --device cpu --json").exits(0);
    assert_eq!(run.json()["cases"].as_array().unwrap().len(), 3, "{run}");
}

#[test]
fn a_volume_of_several_is_taken_when_asked() {
    let sandbox = prepared();
    let three = fs::read(sandbox.path("scans/a.nii.gz")).unwrap();
    sandbox.write("four/three_d.nii.gz", three);
    let run = sandbox.lamina("predict four --out masks --device cpu --volume 3").exits(1);
    assert!(run.to_string().contains("volume"), "{run}");
    sandbox.lamina("predict four --out masks --device cpu --volume 0").exits(0);
}

#[test]
fn pictures_become_indexed_pictures_in_the_colors_of_the_classes() {
    let sandbox = prepared();
    let (volume, _) = ellipsoid([8.0, 11.0, 2.5]);
    let slice = volume.slice_f32(3).mapv(|value| value as u8);
    let slice = slice.insert_axis(ndarray::Axis(0));
    let flat = lamina_io::Volume::new(
        lamina_io::Voxels::U8(slice),
        lamina_io::Rescale::IDENTITY,
        lamina_io::Geometry::pixels([1, 24, 20]),
    );
    sandbox.image("pictures/c.png", &flat.unwrap());
    let run = sandbox.lamina("predict pictures --out masks --device cpu --montage --json").exits(0);
    let case = &run.json()["cases"][0];
    assert_eq!(case["mask"], "masks/c.png");
    assert_eq!(case["montage"], "masks/c_montage.png");
    assert_eq!(case["classes"][0]["volume_ml"], serde_json::Value::Null);
    let labels =
        lamina_io::read_labels(&sandbox.path("masks/c.png"), &lamina_io::ReadOptions::default());
    assert!(labels.unwrap().counts().contains_key(&1));
}

#[test]
fn volumes_of_all_cases_stand_in_a_table_failed_ones_too() {
    let sandbox = prepared();
    sandbox.write("scans/c.nii.gz", "no image");
    let run = "predict scans --out masks --device cpu --quiet --volumes";
    sandbox.lamina(&format!("{run} volumes.txt")).exits(2);
    sandbox.lamina(&format!("{run} masks/a.json")).exits(2);
    let answer = sandbox.lamina(&format!("{run} volumes.csv --json")).exits(1).json();
    let table = fs::read_to_string(sandbox.path("volumes.csv")).unwrap();
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(rows[0].join(","), "case,status,label,class,voxels,volume_ml,error");
    assert_eq!(rows.len(), 4);
    for (row, case) in rows[1..3].iter().zip(answer["cases"].as_array().unwrap()) {
        let class = &case["classes"][0];
        assert_eq!(row[..4], [case["case"].as_str().unwrap(), "done", "1", "ellipsoid"]);
        assert_eq!(row[4], class["voxels"].to_string());
        // A voxel has 1 mm by 1.2 mm by 3 mm.
        let ml: f64 = row[5].parse().unwrap();
        assert!((ml - 0.0036 * class["voxels"].as_f64().unwrap()).abs() < 1e-6, "{table}");
    }
    assert_eq!(rows[3][..6], ["c", "failed", "1", "ellipsoid", "", ""]);
    assert!(table.contains(",\"expected 348 bytes of header, found 8\"\n"), "{table}");
    // A run that goes on from there has the same table, as JSON if asked.
    sandbox.lamina(&format!("{run} again.csv")).exits(1);
    assert_eq!(fs::read_to_string(sandbox.path("again.csv")).unwrap(), table);
    sandbox.lamina(&format!("{run} volumes.json")).exits(1);
    let json = fs::read_to_string(sandbox.path("volumes.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json[1]["volume_ml"].to_string(), rows[2][5]);
    assert_eq!(json[2]["voxels"], serde_json::Value::Null);
}

#[test]
fn masks_may_have_the_values_of_the_data_set() {
    let sandbox = prepared();
    let manifest = sandbox.path("models/tiny/model.toml");
    let text = fs::read_to_string(&manifest).unwrap();
    let named = "name = \"ellipsoid\"";
    assert!(text.contains(named), "{text}");
    fs::write(&manifest, text.replacen(named, "name = \"ellipsoid\"\nvalue = 24", 1)).unwrap();
    let run = "predict scans/a.nii.gz --device cpu --quiet --json --out";
    let plain = sandbox.lamina(&format!("{run} plain")).exits(0).json();
    let values = sandbox.lamina(&format!("{run} values --values")).exits(0).json();
    assert_eq!(plain["cases"][0]["classes"], values["cases"][0]["classes"]);
    let read =
        |name: &str| read_labels(&sandbox.path(name), &ReadOptions::default()).unwrap().labels;
    assert_eq!(read("plain/a.nii.gz").mapv(|label| 24 * label), read("values/a.nii.gz"));
    // Going on from there, the mask is known for what it is, and not for the other one.
    let again = sandbox.lamina(&format!("{run} values --values")).exits(0).json();
    assert_eq!(again["cases"][0]["status"], "skipped");
    assert_eq!(again["cases"][0]["classes"], values["cases"][0]["classes"]);
    sandbox.lamina(&format!("{run} values")).exits(1);
}
