//! Label maps in MATLAB files, by scipy and by hand: `tests/golden/matlab/make.py`.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail like tests")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::ZlibEncoder;
use lamina_io::dataset::{Dataset, DatasetConfig};
use lamina_io::{
    Limits, ReadOptions, StoredType, VolumeError, images_among, is_output_name, read_info,
    read_labels, read_volume,
};
use ndarray::arr3;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/matlab").join(name)
}

/// The message without the path, which must end it.
fn refusal(path: &Path) -> String {
    let message = read_labels(path, &ReadOptions::default()).unwrap_err().to_string();
    let start = message.strip_suffix(&path.display().to_string());
    start.unwrap_or_else(|| panic!("the path is not last in: {message}")).to_owned()
}

#[test]
fn numbers_of_any_class_are_rows_of_labels() {
    let rows = arr3(&[[[1, 2, 3], [4, 5, 60]]]);
    for name in ["double", "int32"] {
        let labels = read_labels(&golden(&format!("{name}.mat")), &ReadOptions::default()).unwrap();
        assert_eq!(labels.labels, rows, "{name}");
        assert_eq!(labels.geometry.spacing_mm(), None);
    }
    let labels = |name| read_labels(&golden(name), &ReadOptions::default()).unwrap().labels;
    assert_eq!(labels("logical.mat"), arr3(&[[[0, 0, 0], [1, 1, 1]]]));
    assert_eq!(labels("small.mat"), arr3(&[[[7, 8]]]));
}

#[test]
fn both_byte_orders_are_read() {
    for name in ["big_endian.mat", "big_endian_packed.mat"] {
        let info = read_info(&golden(name), &Limits::default()).unwrap();
        assert_eq!((info.format.as_str(), info.dtype), ("matlab", StoredType::U16));
        assert_eq!(info.shape, [3, 2]);
        let counts = [1, 2, 3, 4, 5, 60].map(|value| (value * 1000, 1));
        assert_eq!(info.labels, Some(counts.into_iter().collect()));
        assert!(refusal(&golden(name)).contains("from 0 to 255, found 1000 at voxel [0, 0, 0]"));
    }
}

#[test]
fn the_label_map_is_found_among_other_variables() {
    let packed = read_labels(&golden("coco_stuff.mat"), &ReadOptions::default()).unwrap();
    let plain = read_labels(&golden("coco_stuff_plain.mat"), &ReadOptions::default()).unwrap();
    assert_eq!(packed, plain);
    assert_eq!(packed.shape(), [1, 20, 24]);
    // 12 does not occur.
    assert_eq!(packed.labels[[0, 0, 11]], 11);
    assert_eq!(packed.labels[[0, 0, 12]], 13);
    assert_eq!(packed.labels[[0, 1, 0]], 25);
}

#[test]
fn what_is_no_label_map_is_refused_with_what_is_there() {
    for (name, expected) in [
        (
            "several.mat",
            "the only array of numbers with two dimensions, found a (2x3 int64), b (3x2 int64), c (1x1 struct)",
        ),
        ("both.mat", "found S (2x3 int64), LabelMap (2x3 int64)"),
        ("cell.mat", "found S (1x1 cell), other (2x3 int64)"),
        ("complex.mat", "found S (2x3 double)"),
        ("deep.mat", "found S (2x3x4 uint8)"),
        ("fraction.mat", "whole numbers from 0 to 255, found 0.5 at voxel [0, 0, 0]"),
        ("level4.mat", "found a .mat file that is not of level 5 (MATLAB's -v6 or -v7)"),
    ] {
        let message = refusal(&golden(name));
        assert!(message.contains(expected), "{name}: {message}");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new.mat");
    fs::write(&path, b"MATLAB 7.3 MAT-file, Platform: GLNXA64".repeat(20)).unwrap();
    assert!(refusal(&path).contains("version 7.3 (HDF5), to be saved with -v7 first"));
    let image = read_volume(&golden("int32.mat"), &ReadOptions::default()).unwrap_err();
    assert!(image.to_string().contains("which are labels and no brightness"), "{image}");
    assert!(!is_output_name(Path::new("x.mat")));
}

#[test]
fn a_folder_of_them_is_scanned_where_nothing_else_is_there() {
    let paths = |names: &[&str]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
    assert_eq!(images_among(paths(&["a.mat", ".b.mat", "c.txt"])), paths(&["a.mat"]));
    assert_eq!(images_among(paths(&["a.mat", "a.jpg"])), paths(&["a.jpg"]));
}

/// A file with one variable of these elements.
fn file(elements: &[u8]) -> Vec<u8> {
    let mut bytes = b"MATLAB 5.0 MAT-file".to_vec();
    bytes.resize(124, b' ');
    bytes.extend([0, 1, b'I', b'M']);
    bytes.extend(tag(14, elements.len()));
    bytes.extend(elements);
    bytes
}

fn tag(kind: u32, bytes: usize) -> Vec<u8> {
    [kind.to_le_bytes(), u32::try_from(bytes).unwrap().to_le_bytes()].concat()
}

/// The head of an array `S` of uint16 with these dimensions.
fn head(dims: &[i32]) -> Vec<u8> {
    let mut bytes = [tag(6, 8), vec![11, 0, 0, 0, 0, 0, 0, 0], tag(5, 4 * dims.len())].concat();
    bytes.extend(dims.iter().flat_map(|n| n.to_le_bytes()));
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes.extend([1, 0, 1, 0, b'S', 0, 0, 0]);
    bytes
}

fn packed(elements: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&file(elements)[128..]).unwrap();
    let data = encoder.finish().unwrap();
    [&file(&[])[..128], &tag(15, data.len()), &data].concat()
}

#[test]
fn lies_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.mat");
    let with = |head: Vec<u8>, tag: Vec<u8>, data: &[u8]| [head, tag, data.to_vec()].concat();
    let sound = with(head(&[2, 2]), tag(4, 8), &[1, 0, 2, 0, 3, 0, 4, 0]);
    for bytes in [file(&sound), packed(&sound)] {
        fs::write(&path, bytes).unwrap();
        let labels = read_labels(&path, &ReadOptions::default()).unwrap();
        assert_eq!(labels.labels, arr3(&[[[1, 3], [2, 4]]]));
    }
    let huge = i32::MAX;
    for (elements, expected) in [
        (with(head(&[2, 3]), tag(4, 8), &[0; 8]), "to be 2x3 of uint16, found 8 bytes"),
        (with(head(&[huge, huge]), tag(4, 8), &[0; 8]), "found 8 bytes"),
        (with(head(&[huge, 1]), tag(4, huge as usize * 2), &[0; 8]), "4294967294"),
        (with(head(&[-2, -2]), tag(4, 8), &[0; 8]), "found S (-2x-2 uint16)"),
        (with(head(&[2, 2]), tag(16, 8), &[0; 8]), "found elements of type 16"),
        (with(head(&[2, 2]), vec![4, 0, 200, 0, 0, 0, 0, 0], &[]), "up to 4 bytes, found 200"),
        (with(head(&[2, 2]), tag(4, 8), &[]), "found 0"),
        (head(&[2, 2]), "found 0"),
        (head(&[2; 33]), "dimensions of an array to be at most 128 bytes, found 132"),
        (tag(6, 1 << 30), "flags of an array to be at most 8 bytes, found 1073741824"),
        (with(tag(6, 4), vec![11, 0, 0, 0, 0, 0, 0, 0], &[]), "to be 8 bytes, found 4"),
        (with(tag(5, 8), vec![11, 0, 0, 0, 0, 0, 0, 0], &[]), "found 8 bytes of type 5"),
    ] {
        for bytes in [file(&elements), packed(&elements)] {
            fs::write(&path, bytes).unwrap();
            let message = refusal(&path);
            assert!(message.contains(expected), "{message:?} does not say {expected:?}");
        }
    }
    fs::write(&path, &file(&[])[..128]).unwrap();
    assert!(refusal(&path).contains("found no variable"));
    let many = [&file(&[])[..128], &tag(14, 0).repeat(5000)].concat();
    fs::write(&path, many).unwrap();
    assert!(refusal(&path).contains("at most 4096 variables, found more"));
}

#[test]
fn packed_numbers_are_bounded_by_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.mat");
    // 16 MB of nothing in some kilobytes; and a claim of it in a few bytes.
    let (side, bytes) = (2896, 2 * 2896 * 2896);
    let bomb = [head(&[side, side]), tag(4, bytes), vec![0; bytes]].concat();
    fs::write(&path, packed(&bomb)).unwrap();
    let limits = Limits { gzip_free_bytes: 1 << 20, ..Limits::default() };
    let read = |limits| read_labels(&path, &ReadOptions { limits, ..ReadOptions::default() });
    assert!(matches!(read(limits), Err(VolumeError::TooLarge { .. })));
    assert_eq!(read(Limits::default()).unwrap().shape(), [1, side as usize, side as usize]);
    let small = Limits { max_bytes: 1 << 20, ..Limits::default() };
    assert!(matches!(read(small), Err(VolumeError::TooLarge { .. })));
    let claim = [head(&[30000, 30000]), tag(4, 1_800_000_000)].concat();
    fs::write(&path, packed(&claim)).unwrap();
    assert!(refusal(&path).contains("bytes"));
}

#[test]
fn damage_never_panics() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.mat");
    let read = |bytes: &[u8]| {
        let _ = fs::remove_file(&path);
        fs::write(&path, bytes).unwrap();
        read_labels(&path, &ReadOptions::default())
    };
    for name in ["int32.mat", "double.mat", "big_endian_packed.mat", "small.mat"] {
        let whole = fs::read(golden(name)).unwrap();
        for end in 0..whole.len() {
            // A variable less is no damage that shows.
            if let Ok(labels) = read(&whole[..end]) {
                assert_eq!((name, labels.shape()), ("double.mat", [1, 2, 3]));
            }
        }
        for at in 0..whole.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] = value;
                let _ = read(&bytes);
            }
        }
    }
    // Of a packed variable every byte counts.
    let whole = fs::read(golden("int32.mat")).unwrap();
    for at in 136..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        assert!(read(&bytes).is_err(), "byte {at}");
    }
}

#[test]
fn the_459_labels_of_pascal_context_are_classes_by_their_names() {
    let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/datasets");
    for (classes, other) in [(59, 255), (60, 0)] {
        let config = configs.join(format!("pascal_context_{classes}_mat.toml"));
        let config = DatasetConfig::read(&config).unwrap();
        assert_eq!(config.classes.len(), classes);
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join(&config.folder);
        for (case, list) in [("2008_000002", "train"), ("2008_000003", "val")] {
            let lists = root.join("ImageSets/Main");
            for folder in ["JPEGImages", "trainval"] {
                fs::create_dir_all(root.join(folder)).unwrap();
            }
            fs::create_dir_all(&lists).unwrap();
            fs::write(lists.join(format!("{list}.txt")), format!("{case}\n")).unwrap();
            fs::write(root.join(format!("JPEGImages/{case}.jpg")), "").unwrap();
            let labels = root.join(format!("trainval/{case}.mat"));
            fs::copy(golden("pascal_context.mat"), labels).unwrap();
        }
        let message = Dataset::open(config.clone(), folder.path()).unwrap_err().to_string();
        assert!(message.contains("cannot read") && message.contains("labels.txt"), "{message}");

        // Not the authors' values: the last class first, and others between them.
        let named: Vec<&str> =
            config.classes.iter().rev().map(|class| class.name.as_str()).collect();
        let name = |value: usize| match (value % 7, named.get(value / 7)) {
            (3, Some(&name)) if name != "background" => name.to_owned(),
            _ => format!("other {value}"),
        };
        let names = |values: std::ops::RangeInclusive<usize>| {
            values.map(|value| format!("{value}: {}\n", name(value))).collect::<Vec<_>>().concat()
        };
        fs::write(root.join("labels.txt"), names(1..=459)).unwrap();
        let dataset = Dataset::open(config.clone(), folder.path()).unwrap();
        let labels = dataset.cases[0].read_labels().unwrap().labels;
        for ((_, y, x), &label) in labels.indexed_iter() {
            let value = (24 * y + x) % 459 + 1;
            let class = config.classes.iter().position(|class| class.name == name(value));
            assert_eq!(usize::from(label), class.unwrap_or(other), "{value}");
        }
        // A value that the file does not name, and a class that it does not.
        fs::write(root.join("labels.txt"), names(1..=458)).unwrap();
        let dataset = Dataset::open(config.clone(), folder.path()).unwrap();
        let error = dataset.cases[0].read_labels().unwrap_err().to_string();
        assert!(error.contains("values of classes, found 459 at voxel [2, 19, 0]"), "{error}");
        fs::write(root.join("labels.txt"), names(1..=400)).unwrap();
        let error = Dataset::open(config, folder.path()).unwrap_err().to_string();
        assert!(error.contains("found no such name"), "{error}");
    }
}
