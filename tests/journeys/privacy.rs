//! A marked patient goes through every command, and all that was written or said is searched for
//! the name, the numbers and the days.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::dicom::slice;
use crate::support::{Run, Sandbox, ellipsoid, write_tiny_model};

/// What a data set says about a patient; each is in the files of the scan.
const MARKS: [(u32, &str, &str); 12] = [
    (0x0008_0020, "DA", "19991231"),
    (0x0008_0021, "DA", "19991230"),
    (0x0008_0050, "SH", "ACC7734"),
    (0x0008_0080, "LO", "Hospital Quux"),
    (0x0008_0090, "PN", "Referrer^Zeta"),
    (0x0008_103e, "LO", "Series of Marker"),
    (0x0010_0010, "PN", "Marker^Patricia"),
    (0x0010_0020, "LO", "ID-48151"),
    (0x0010_0030, "DA", "19580317"),
    (0x0010_1040, "LO", "Elm Street 9"),
    (0x0010_4000, "LT", "comment on Marker"),
    (0x0020_4000, "LT", "image of Marker"),
];

/// What must be found nowhere.
const SECRETS: [&str; 9] = [
    "marker",
    "patricia",
    "48151",
    "19991231",
    "19991230",
    "19580317",
    "acc7734",
    "quux",
    "elm street",
];

/// The bright ellipsoid as slices of the marked patient, without those of `leave_out`.
pub fn write_scan(sandbox: &Sandbox, folder: &str, leave_out: &[usize]) {
    let (volume, _) = ellipsoid([9.0, 12.0, 2.5]);
    for k in (0..6).filter(|k| !leave_out.contains(k)) {
        let pixels: Vec<i16> = volume.slice_f32(k).iter().map(|&value| value as i16).collect();
        let orientation = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0];
        let series = format!("1.2.{}", folder.len());
        let mut dicom = slice([-5.0, 7.0, 3.0 * k as f64], orientation, [24, 20], &pixels)
            .text(0x0008_0018, "UI", &format!("{series}.{k}"))
            .text(0x0008_0060, "CS", "MR")
            .text(0x0020_000d, "UI", "1.2.3")
            .text(0x0020_000e, "UI", &series)
            .text(0x0020_0052, "UI", "1.2.4");
        for (tag, vr, value) in MARKS {
            dicom = dicom.text(tag, vr, value);
        }
        sandbox.write(&format!("{folder}/Marker_{k}_19991231.dcm"), dicom.plain());
    }
}

/// Everything below a folder, with its path.
pub fn files_below(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files_below(&path, files) } else { files.push(path) }
    }
}

pub fn unpacked(path: &Path) -> Vec<u8> {
    let bytes = fs::read(path).unwrap();
    let mut plain = Vec::new();
    match flate2::read::MultiGzDecoder::new(bytes.as_slice()).read_to_end(&mut plain) {
        Ok(_) => [bytes, plain].concat(),
        Err(_) => bytes,
    }
}

/// The secrets in `text`, whatever their case.
pub fn secrets_in(text: &[u8]) -> Vec<&'static str> {
    let text = text.to_ascii_lowercase();
    // Two bytes per letter, as some formats have it.
    let narrow: Vec<u8> = text.iter().copied().filter(|&byte| byte != 0).collect();
    let found = |secret: &&str| {
        let secret = secret.as_bytes();
        narrow.windows(secret.len()).any(|window| window == secret)
    };
    SECRETS.into_iter().filter(found).collect()
}

#[test]
fn nothing_that_is_written_or_said_tells_who_the_patient_is() {
    let sandbox = Sandbox::new();
    write_tiny_model(&sandbox);
    // As a picture archive exports it: folders and files called after patient and day.
    let scan = "in/Marker_Patricia_19580317";
    write_scan(&sandbox, scan, &[]);
    let gap = "in/ID-48151_gap";
    write_scan(&sandbox, gap, &[3]);
    let broken = "in/MARKER-broken.dcm";
    let mut bytes = fs::read(sandbox.path(&format!("{scan}/Marker_0_19991231.dcm"))).unwrap();
    bytes.truncate(bytes.len() - 700);
    sandbox.write(broken, bytes);
    let given = [scan, gap, broken];
    fs::create_dir_all(sandbox.path("out")).unwrap();

    let mut said: Vec<Run> = Vec::new();
    let mut run = |arguments: &str, code: i32| {
        said.push(sandbox.lamina(arguments).exits(code));
    };
    run(&format!("info {scan} {gap} {broken}"), 1);
    run(&format!("info {scan} {gap} {broken} --json -vv"), 1);
    for name in ["image.nii.gz", "image.mha", "image.nrrd", "image.tif"] {
        run(&format!("convert {scan} out/{name} -vv"), 0);
    }
    run(&format!("convert {gap} out/gap.nii.gz"), 1);
    run(&format!("convert {gap} out/gap.nii.gz --accept-flaws -vv"), 0);
    run(&format!("convert {broken} out/broken.nii.gz -vv"), 1);
    for format in ["nii.gz", "mhd", "nrrd", "tif"] {
        let out = format!("out/masks-{}", format.replace('.', "-"));
        run(
            &format!(
                "predict {scan} {gap} {broken} --out {out} --format {format} --device cpu --montage --report -vv"
            ),
            1,
        );
    }
    let segmented = "predict in/Marker_Patricia_19580317 --format dicom-seg --device cpu -vv";
    run(&format!("{segmented} --out out/seg --volumes out/volumes.csv"), 0);
    run(&format!("predict {scan} --out out/masks-nii-gz --device cpu --json"), 0);
    let masks = sandbox.list("out/masks-nii-gz");
    let mask = masks.iter().find(|name| name.ends_with(".nii.gz")).unwrap();
    assert!(mask.starts_with("mr-"), "{masks:?}");
    let mask = format!("out/masks-nii-gz/{mask}");
    run(
        &format!("evaluate --prediction {mask} --reference {mask} --surface --csv out/scores.csv"),
        0,
    );
    // A study whose patient's name was removed keeps the name of its folder.
    write_scan(&sandbox, "open/Marker", &[]);
    for name in sandbox.list("open/Marker") {
        let path = sandbox.path(&format!("open/Marker/{name}"));
        let removed = crate::dicom::Dicom::new().text(0x0012_0062, "CS", "YES").encoded();
        let bytes = fs::read(&path).unwrap();
        let at = bytes.windows(4).position(|tag| tag == [0x18, 0, 0x50, 0]).unwrap();
        fs::write(&path, [&bytes[..at], &removed, &bytes[at..]].concat()).unwrap();
    }
    sandbox.lamina("predict open/Marker --out open/masks --device cpu").exits(0);
    assert!(sandbox.list("open/masks").contains(&"Marker.nii.gz".to_owned()));

    for run in &said {
        // A path may be named as the user gave it.
        let mut text = run.to_string();
        for path in given {
            text = text.replace(path, "GIVEN");
        }
        assert_eq!(secrets_in(text.as_bytes()), [""; 0], "{run}");
    }
    let mut written = Vec::new();
    files_below(&sandbox.path("out"), &mut written);
    assert!(written.len() > 20, "{written:?}");
    let (segmentations, written): (Vec<_>, Vec<_>) =
        written.into_iter().partition(|path| path.extension().is_some_and(|end| end == "dcm"));
    // A segmentation belongs to the patient's study, and so is in it; its name does not tell.
    let [segmentation] = segmentations.as_slice() else { panic!("{segmentations:?}") };
    assert!(secrets_in(&unpacked(segmentation)).contains(&"patricia"));
    assert!(segmentation.file_name().unwrap().to_string_lossy().starts_with("mr-"));
    for path in written {
        assert_eq!(secrets_in(path.file_name().unwrap().as_encoded_bytes()), [""; 0], "{path:?}");
        assert_eq!(secrets_in(&unpacked(&path)), [""; 0], "{path:?}");
    }
}

#[test]
fn the_search_finds_what_is_there() {
    assert_eq!(secrets_in(b"a MARKER^P"), ["marker"]);
    assert_eq!(secrets_in(b"m\0a\0r\0k\0e\0r\0"), ["marker"]);
    let sandbox = Sandbox::new();
    write_scan(&sandbox, "in", &[]);
    let scan = fs::read(sandbox.path("in/Marker_0_19991231.dcm")).unwrap();
    assert_eq!(secrets_in(&scan), SECRETS);
}
