//! `lamina check-data`.

use std::fs;
use std::path::Path;

use lamina_io::dataset::DatasetConfig;
use lamina_io::{Affine, Geometry, LabelVolume};
use serde_json::json;

use crate::support::{Sandbox, ellipsoid, larger_data, write_tiny_experiment};
use crate::transcript;

const TINY: &str = "check-data configs/datasets/tiny.toml --data data";

#[test]
fn a_sound_data_set_is_summed_up() {
    let sandbox = Sandbox::new();
    write_tiny_experiment(&sandbox);
    transcript!(sandbox.lamina(TINY), @r#"
    $ lamina check-data configs/datasets/tiny.toml --data data
    exit code 0
    --- stdout
    no problems

    data set     tiny
    cases        6 of 6 patients
    stored as    float32
    orientation  RAS

                     min  median  max
    ─────────────────────────────────
    voxels x          20      20   20
    voxels y          24      24   24
    voxels z           6       6    6
    spacing x in mm    1       1    1
    spacing y in mm  1.2     1.2  1.2
    spacing z in mm    3       3    3
    smallest value   100     100  100
    largest value    347     353  362

    label  class       voxels    share  cases
    ─────────────────────────────────────────
        0  background   16296  94.31 %      6
        1  ellipsoid      984   5.69 %      6
    --- stderr
    reading 6 cases: data/tiny
    "#);
    let answer = sandbox.lamina(&format!("{TINY} --json")).exits(0).json();
    assert_eq!(answer["cases"], 6);
    assert_eq!(answer["problems"], json!([]));
    assert_eq!(answer["classes"][1]["name"], "ellipsoid");
    // The folder alone, whose classes nobody knows.
    let answer = sandbox.lamina("check-data data/tiny --json").exits(0).json();
    assert_eq!(answer["classes"][1]["label"], 1);
}

#[test]
fn each_kind_of_problem_is_named_with_its_file_and_place() {
    let sandbox = Sandbox::new();
    write_tiny_experiment(&sandbox);
    let file = |name: &str| sandbox.path("data/tiny").join(name);
    let (volume, labels) = ellipsoid([8.0, 10.0, 2.5]);
    // A label without a class, one on another grid, a scan twice, a lonely one, a damaged one.
    let mut wrong = labels.clone();
    wrong.labels[[2, 3, 4]] = 7;
    sandbox.labels("data/tiny/labels/case_0.nii.gz", &wrong);
    let moved = Affine::from_spacing_origin([1.0, 1.2, 3.0], [5.0, 0.0, 0.0]);
    let moved = LabelVolume::new(labels.labels, Geometry::new([6, 24, 20], moved).unwrap());
    sandbox.labels("data/tiny/labels/case_1.nii.gz", &moved.unwrap());
    sandbox.image("data/tiny/images/case_2.nii.gz", &volume);
    fs::remove_file(file("labels/case_3.nii.gz")).unwrap();
    let whole = fs::read(file("images/case_4.nii.gz")).unwrap();
    fs::write(file("images/case_4.nii.gz"), &whole[..whole.len() / 2]).unwrap();
    transcript!(sandbox.lamina(TINY), @r#"
    $ lamina check-data configs/datasets/tiny.toml --data data
    exit code 1
    --- stdout
    5 problems:
      case_3: image without labels of the same name in labels/: data/tiny/images/case_3.nii.gz
      case_0: expected labels 0 to 1, found 7 in 1 voxel, the first at [4, 3, 2] (x, y, z): data/tiny/labels/case_0.nii.gz
      case_1: labels lie on another grid than their image: grids are up to 5.0000 mm apart, 0.2000 mm are allowed: expected the corner at [-0.5, -0.6000000238418579, -1.5] (RAS), found [4.5, -0.6000000238418579, -1.5]: data/tiny/labels/case_1.nii.gz
      case_4: expected whole gzip data, found it damaged or cut off: incomplete deflate stream: data/tiny/images/case_4.nii.gz
      case_2: the same image as case_0, which is said to be of another patient: data/tiny/images/case_2.nii.gz

    data set     tiny
    cases        5 of 5 patients
    stored as    float32
    orientation  RAS

                     min  median  max
    ─────────────────────────────────
    voxels x          20      20   20
    voxels y          24      24   24
    voxels z           6       6    6
    spacing x in mm    1       1    1
    spacing y in mm  1.2     1.2  1.2
    spacing z in mm    3       3    3
    smallest value   100     100  100
    largest value    347     347  362

    label  class       voxels    share  cases
    ─────────────────────────────────────────
        0  background   13579  94.30 %      5
        1  ellipsoid      820   5.69 %      5
        7                   1   0.01 %      1
    --- stderr
    reading 5 cases: data/tiny
    "#);
}

#[test]
fn what_is_no_data_set_cannot_start() {
    let sandbox = Sandbox::new();
    write_tiny_experiment(&sandbox);
    transcript!(sandbox.lamina("check-data absent"), @r#"
    $ lamina check-data absent
    exit code 2
    --- stderr
    error: expected a description or a folder: absent
      caused by: No such file or directory (os error 2)
    "#);
    transcript!(sandbox.lamina("check-data configs"), @r#"
    $ lamina check-data configs
    exit code 2
    --- stderr
    error: expected dataset.json, or the folders images and labels, or imagesTr and labelsTr, found none; a description can name others: configs
    "#);
    let twice =
        include_str!("../support/tiny_dataset.toml").replace("\"background\"", "\"ellipsoid\"");
    sandbox.write("twice.toml", twice);
    transcript!(sandbox.lamina("check-data twice.toml --data data"), @r#"
    $ lamina check-data twice.toml --data data
    exit code 2
    --- stderr
    error: expected a name for each class, found "ellipsoid" twice: twice.toml
    "#);
}

#[test]
fn a_fold_file_with_a_case_twice_is_a_problem() {
    let sandbox = Sandbox::new();
    write_tiny_experiment(&sandbox);
    let config = include_str!("../support/tiny_dataset.toml");
    sandbox.write(
        "tiny.toml",
        config.replace("labels = \"labels\"", "labels = \"labels\"\nfolds = \"folds.csv\""),
    );
    let lines: Vec<String> = (0..6).map(|case| format!("case_{case},{}", case % 2)).collect();
    let folds = format!("subject,fold\n{}\n", lines.join("\n"));
    sandbox.write("data/tiny/folds.csv", &folds);
    sandbox.lamina("check-data tiny.toml --data data").exits(0);
    sandbox.write("data/tiny/folds.csv", format!("{folds}case_0,1\n"));
    let run = sandbox.lamina("check-data tiny.toml --data data").exits(1);
    assert!(
        run.stdout.contains("expected one line per case, found case_0 again in line 8"),
        "{run}"
    );
}

#[test]
fn the_layouts_of_common_data_sets_are_understood() {
    let sandbox = Sandbox::new();
    let (volume, labels) = ellipsoid([8.0, 10.0, 2.5]);
    let config = |name: &str, layout: &str| {
        let text = include_str!("../support/tiny_dataset.toml")
            .replace("folder = \"tiny\"", "folder = \".\"")
            .replace("images = \"images\"\nlabels = \"labels\"", layout);
        sandbox.write(name, text);
        sandbox.lamina(&format!("check-data {name} --data data --json"))
    };
    // PROMISE12: both in one folder, labels by a suffix.
    sandbox.image("data/p/Case00.mhd", &volume);
    sandbox.labels("data/p/Case00_segmentation.mhd", &labels);
    let layout = "images = \"p\"\nlabels = \"p\"\nlabel_suffix = \"_segmentation\"";
    assert_eq!(config("p.toml", layout).exits(0).json()["cases"], 1);
    // nnU-Net: a suffix for the channel.
    sandbox.image("data/n/imagesTr/a_0000.nii.gz", &volume);
    sandbox.labels("data/n/labelsTr/a.nii.gz", &labels);
    let layout = "images = \"n/imagesTr\"\nlabels = \"n/labelsTr\"\nimage_suffix = \"_0000\"";
    assert_eq!(config("n.toml", layout).exits(0).json()["cases"], 1);
    sandbox.lamina("check-data data/n").exits(0);
    // Cityscapes: a tree of folders on either side.
    sandbox.image("data/c/left/val/x/x_1_left.nii", &volume);
    sandbox.labels("data/c/gt/val/x/x_1_gt.nii", &labels);
    let layout = "images = \"c/left\"\nlabels = \"c/gt\"\nimage_suffix = \"_left\"\nlabel_suffix = \"_gt\"\nrecursive = true";
    assert_eq!(config("c.toml", layout).exits(0).json()["cases"], 1);
    // A list with the paths of its maker, and a line that leads nowhere.
    sandbox.write(
        "data/train.txt",
        "/home/them/c/left/val/x/x_1_left.nii /home/them/c/gt/val/x/x_1_gt.nii\n",
    );
    assert_eq!(config("l.toml", "lists = [\"train.txt\"]").exits(0).json()["cases"], 1);
    sandbox.write("data/train.txt", "left/y.nii\tgt/y.nii\n");
    let run = config("l.toml", "lists = [\"train.txt\"]").exits(1);
    let message = &run.json()["problems"][0]["message"];
    assert_eq!(message, "line 1 names a file that is not there, left/y.nii");
}

#[test]
fn values_of_label_files_are_turned_into_classes() {
    let sandbox = Sandbox::new();
    let (volume, mut labels) = ellipsoid([8.0, 10.0, 2.5]);
    labels.labels.mapv_inplace(|label| if label == 1 { 7 } else { 4 });
    sandbox.image("data/tiny/images/a.nii", &volume);
    sandbox.labels("data/tiny/labels/a.nii", &labels);
    let config = include_str!("../support/tiny_dataset.toml")
        .replace("{ name = \"background\",", "{ name = \"background\", value = 4,");
    let with = |value: u8| {
        let ellipsoid = format!("{{ name = \"ellipsoid\", value = {value},");
        sandbox.write("tiny.toml", config.replace("{ name = \"ellipsoid\",", &ellipsoid));
        sandbox.lamina("check-data tiny.toml --data data --json")
    };
    let answer = with(7).exits(0).json();
    assert_eq!(answer["classes"][1]["voxels"], labels.counts()[&7]);
    let answer = with(6).exits(1).json();
    let message = answer["problems"][0]["message"].as_str().unwrap();
    assert!(message.starts_with("expected values of classes, found 7 in "), "{message}");
}

#[test]
fn label_maps_of_matlab_are_taken_as_their_authors_laid_them_out() {
    let sandbox = Sandbox::new();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/matlab");
    let config = |name: &str| {
        let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/datasets");
        sandbox.write("c.toml", fs::read(configs.join(format!("{name}.toml"))).unwrap());
        sandbox.lamina("check-data c.toml --data . --json")
    };
    let case = |image: &str, labels: &str, from: &str| {
        let seed = image.len() as u32 + u32::from(*image.as_bytes().iter().rev().nth(4).unwrap());
        let color = |x: u32, y: u32| [x * 9 + seed, y * 7 * seed, x * y + 31 * seed];
        let picture = image::RgbImage::from_fn(24, 20, |x, y| {
            image::Rgb(color(x, y).map(|v| (v % 251) as u8))
        });
        sandbox.write(image, "");
        picture.save(sandbox.path(image)).unwrap();
        sandbox.write(labels, fs::read(golden.join(from)).unwrap());
    };
    // COCO-Stuff 10K: every official id but those that do not occur.
    for (id, list, from) in
        [("077", "train", "coco_stuff.mat"), ("349", "test", "coco_stuff_plain.mat")]
    {
        let name = format!("COCO_train2014_000000000{id}");
        let folder = "coco_stuff10k";
        case(
            &format!("{folder}/images/{name}.jpg"),
            &format!("{folder}/annotations/{name}.mat"),
            from,
        );
        sandbox.write(&format!("{folder}/imageLists/{list}.txt"), format!("{name}\n"));
    }
    let answer = config("coco_stuff_10k_182").exits(0).json();
    assert_eq!((&answer["cases"], &answer["problems"]), (&json!(2), &json!([])));
    let classes = answer["classes"].as_array().unwrap();
    let voxels = |name: &str| {
        classes.iter().find(|class| class["name"] == name).map(|class| class["voxels"].clone())
    };
    // 480 pixels: twice all 172 values, and the first 136 of them again.
    assert_eq!(voxels("person"), Some(json!(6)));
    assert_eq!(voxels("wood"), Some(json!(4)));
    assert_eq!(classes.iter().filter(|class| class["voxels"] != 0).count(), 172);

    // Pascal Context: 459 values, of which the data set itself has the names.
    let folder = "VOCdevkit/VOC2010";
    for (name, list) in [("2008_000002", "train"), ("2008_000003", "val")] {
        case(
            &format!("{folder}/JPEGImages/{name}.jpg"),
            &format!("{folder}/trainval/{name}.mat"),
            "pascal_context.mat",
        );
        sandbox.write(&format!("{folder}/ImageSets/Main/{list}.txt"), format!("{name}\n"));
    }
    let run = config("pascal_context_60_mat").exits(2);
    assert!(run.stderr.contains("labels.txt"), "{}", run.stderr);
    let config_60 = DatasetConfig::read(&sandbox.path("c.toml")).unwrap();
    let name = |value: usize| {
        let class = config_60.classes.get(value);
        class.map_or_else(|| format!("other {value}"), |class| class.name.clone())
    };
    let lines: Vec<String> = (1..=459).map(|value| format!("{value}: {}\n", name(value))).collect();
    let names = lines.concat();
    let labels = format!("{folder}/labels.txt");
    sandbox.write(&labels, &names);
    let answer = config("pascal_context_60_mat").exits(0).json();
    // The first 21 of 459 values stand twice in 480 pixels.
    assert_eq!(answer["classes"][0]["voxels"], 2 * 400);
    assert_eq!(answer["classes"][1]["voxels"], 4);
    assert_eq!(answer["classes"][22]["voxels"], 2);
    let answer = config("pascal_context_59_mat").exits(0).json();
    assert_eq!(answer["classes"][0]["voxels"], 4);
    sandbox.write(&labels, names.replace("wood", "timber"));
    let run = config("pascal_context_59_mat").exits(2);
    assert!(run.stderr.contains("expected the value of \"wood\", found no such name"));
}

#[test]
fn data_sets_of_nnunet_describe_themselves_and_folds_are_written() {
    let sandbox = Sandbox::new();
    for (case, x) in [("p_0", 8.0), ("p_1", 9.0), ("q_0", 10.0), ("r_0", 11.0)] {
        let (volume, labels) = ellipsoid([x, 10.0, 2.5]);
        sandbox.image(&format!("n/imagesTr/{case}_0000.nii.gz"), &volume);
        sandbox.labels(&format!("n/labelsTr/{case}.nii.gz"), &labels);
    }
    let json = json!({"channel_names": {"0": "T2"}, "labels": {"background": 0, "gland": 1},
        "numTraining": 4, "file_ending": ".nii.gz"});
    sandbox.write("n/dataset.json", json.to_string());
    let answer = sandbox.lamina("check-data n --json").exits(0).json();
    assert_eq!((&answer["layout"], &answer["cases"]), (&json!("nnunet"), &json!(4)));
    assert_eq!(answer["classes"][1]["name"], "gland");
    // A description need not repeat what dataset.json says.
    let facts = include_str!("../support/tiny_dataset.toml").lines();
    let facts: Vec<&str> = facts
        .take_while(|line| !line.starts_with("classes"))
        .filter(|line| !line.starts_with("images") && !line.starts_with("labels"))
        .collect();
    let config = facts.join("\n").replace("folder = \"tiny\"", "folder = \"n\"")
        + "\npatient_separator = \"_\"\n";
    sandbox.write("n.toml", &config);
    sandbox
        .lamina("check-data n.toml --data . --write-splits n/splits_final.json --folds 3")
        .exits(0);
    let splits = fs::read_to_string(sandbox.path("n/splits_final.json")).unwrap();
    let splits: serde_json::Value = serde_json::from_str(&splits).unwrap();
    let held_out: usize =
        splits.as_array().unwrap().iter().map(|fold| fold["val"].as_array().unwrap().len()).sum();
    assert_eq!(held_out, 4);
    let answer = sandbox.lamina("check-data n --json").exits(0).json();
    assert_eq!(answer["parts"].as_array().unwrap().len(), 3);
    // A patient on both sides.
    sandbox.write("n/splits_final.json", r#"[{"train": ["p_0", "q_0"], "val": ["p_1"]}]"#);
    sandbox.write("n.toml", format!("{config}folds = \"splits_final.json\"\n"));
    let run = sandbox.lamina("check-data n.toml --data .").exits(1);
    let leak = "fold 0 learns from p_0 and holds out p_1, both of patient p: ./n/splits_final.json";
    assert!(run.stdout.contains(leak), "{run}");
}

#[cfg(unix)]
#[test]
fn real_data_sets_are_what_they_are_said_to_be() {
    let Some(data) = larger_data("checking real data sets") else { return };
    let sandbox = Sandbox::new();
    let configs = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/datasets");
    for (name, place, cases, patients) in REAL {
        let config = configs.join(format!("{name}.toml"));
        // Under the folder that the description names.
        let text = fs::read_to_string(&config).unwrap();
        let folder = text.lines().find_map(|line| line.strip_prefix("folder = ")).unwrap();
        fs::create_dir_all(sandbox.path("data")).unwrap();
        let link = sandbox.path("data").join(folder.trim_matches('"'));
        std::os::unix::fs::symlink(data.join(place), link).unwrap();
        let command = format!("check-data {} --data data --json", config.display());
        let answer = sandbox.lamina(&command).exits(0).json();
        assert_eq!(
            (&answer["cases"], &answer["patients"]),
            (&json!(cases), &json!(patients)),
            "{name}"
        );
    }
    let broken = data.join("hippocampus/broken_pairs");
    let answer = sandbox.lamina(&format!("check-data {} --json", broken.display())).exits(1).json();
    assert_eq!(answer["problems"].as_array().unwrap().len(), 2);
}

/// Data sets of the larger test data, with how many cases and patients they have.
const REAL: [(&str, &str, usize, usize); 4] = [
    ("hippocampus", "hippocampus", 160, 160),
    ("camvid", "camvid_small", 701, 4),
    ("promise12", "prostate_t2/promise12_layout", 1, 1),
    ("cityscapes", "doubtful_licence/cityscapes/mmseg_resized", 1, 1),
];
