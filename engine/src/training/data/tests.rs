//! The cache: what comes out of it is what went in, whatever happens to its files.

use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use lamina_io::dataset::Case;
use lamina_io::{LabelVolume, Volume, synthetic, write_labels, write_volume};
use ndarray::Array3;
use tempfile::TempDir;

use super::file::Facts;
use super::*;
use crate::augment::AugmentConfig;
use crate::preprocess::{Input, Normalization, PreprocessConfig};
use crate::training::{Batches, CaseReader, HeldOut, TrainingConfig};

const MOST: u64 = 1 << 30;

/// Three scans and their labels in a folder.
fn scans(folder: &Path) -> Vec<Case> {
    let scan = |number: usize| {
        let center = [4.0 + number as f64, 5.0, 2.0];
        let (volume, labels): (Volume, LabelVolume) =
            synthetic::ellipsoid([5, 11, 12], [1.0, 1.5, 3.0], center, [3.0, 4.0, 6.0]).unwrap();
        let [image, label] =
            ["image", "labels"].map(|kind| folder.join(format!("smith_{number}_{kind}.nii")));
        write_volume(&image, &volume).unwrap();
        write_labels(&label, &labels).unwrap();
        Case { id: format!("smith_{number}"), image, labels: label, ..Case::default() }
    };
    (0..3).map(scan).collect()
}

/// A photograph and its labels.
fn photo(folder: &Path) -> Case {
    let picture = image::RgbImage::from_fn(9, 7, |x, y| image::Rgb([x as u8 * 20, y as u8, 99]));
    let labels = Array3::from_shape_fn([1, 7, 9], |(_, y, x)| u8::from(x > y));
    let [image, label] = ["photo.png", "labels.png"].map(|name| folder.join(name));
    picture.save(&image).unwrap();
    let labels = LabelVolume::new(labels, lamina_io::Geometry::pixels([1, 7, 9])).unwrap();
    write_labels(&label, &labels).unwrap();
    Case { id: "photo".to_owned(), image, labels: label, ..Case::default() }
}

fn gray() -> CaseReader {
    CaseReader::new(&PreprocessConfig::default(), 2)
}

fn rgb() -> CaseReader {
    let normalization = Normalization::Imagenet;
    let config = PreprocessConfig { input: Input::Rgb, normalization, ..Default::default() };
    CaseReader::new(&config, 2)
}

fn cache(folder: &TempDir) -> Cache {
    Cache::open(&folder.path().join("cache"), MOST).unwrap()
}

/// The files of prepared cases, sorted.
fn files(cache: &Cache) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(cache.folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "case"))
        .collect();
    files.sort();
    files
}

type Damage = fn(&mut Vec<u8>);

/// Every slice with a neighbor on either side.
fn slices(set: &TrainingSet) -> Vec<LoadedSlice> {
    (0..set.len())
        .flat_map(|case| (0..set.shape(case)[0]).map(move |slice| (case, slice)))
        .map(|(case, slice)| set.slice(case, slice, 1).unwrap())
        .collect()
}

#[test]
fn the_cache_gives_what_memory_holds() {
    let folder = tempfile::tempdir().unwrap();
    for (cases, reader) in [(scans(folder.path()), gray()), (vec![photo(folder.path())], rgb())] {
        let in_memory = TrainingSet::read(&cases, &reader, None).unwrap();
        for held_bytes in [0, MOST] {
            // Built, and then found.
            for _ in 0..2 {
                let cache = cache(&folder);
                let set =
                    TrainingSet::read_within(&cases, &reader, Some(&cache), held_bytes).unwrap();
                assert_eq!(slices(&set), slices(&in_memory));
                assert_eq!(set.traits(), in_memory.traits());
                assert_eq!(set.color_scale(0), in_memory.color_scale(0));
                assert_eq!(set.counts(0, 0), in_memory.counts(0, 0));
            }
        }
    }
    assert_eq!(files(&cache(&folder)).len(), 4);
}

#[test]
fn batches_are_the_same_from_the_cache_on_any_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    let (cases, reader) = (scans(folder.path()), gray());
    let augmentation: AugmentConfig = toml::from_str(
        "flip_x = 0.5\nrotation_degrees = 20.0\nscale_range = [0.5, 2.0]\nnoise = 0.1\n\
         elastic = { magnitude_pixels = 1.0, grid_pixels = 6.0 }\n\
         gaussian_blur = { probability = 0.5, range = [0.5, 1.0] }\n\
         gamma_exponent = { range = [0.7, 1.5] }",
    )
    .unwrap();
    let sampling = toml::from_str("balance = { share = 0.5 }\nbatches_per_epoch = 6").unwrap();
    let training =
        TrainingConfig { batch_size: 4, patch: [8, 8], sampling, ..TrainingConfig::default() };
    let in_memory = TrainingSet::read(&cases, &reader, None).unwrap();
    let cached = TrainingSet::read_within(&cases, &reader, Some(&cache(&folder)), 0).unwrap();
    let of = |set: &TrainingSet, threads: usize| {
        let batches = Batches::new(set, &augmentation, &training, 1, 9);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let order = batches.order(2);
        pool.install(|| {
            (0..6).map(|step| batches.batch(2, &order, step).unwrap()).collect::<Vec<_>>()
        })
    };
    let expected = of(&in_memory, 1);
    assert_eq!(of(&in_memory, 3), expected);
    assert_eq!(of(&cached, 1), expected);
    assert_eq!(of(&cached, 4), expected);
    assert_ne!(expected[0], expected[1]);
}

#[test]
fn damaged_cut_and_foreign_files_are_built_anew() {
    let folder = tempfile::tempdir().unwrap();
    let (cases, reader) = (scans(folder.path()), gray());
    let expected = slices(&TrainingSet::read(&cases, &reader, None).unwrap());
    let cache = cache(&folder);
    let read = || TrainingSet::read_within(&cases, &reader, Some(&cache), 0).unwrap();
    read();
    let sound: Vec<Vec<u8>> = files(&cache).iter().map(|path| fs::read(path).unwrap()).collect();
    let damages: [(&str, Damage); 6] = [
        ("a sample", |bytes| {
            let last = bytes.len() - 200;
            bytes[last] ^= 1;
        }),
        ("the header", |bytes| bytes[60] ^= 1),
        ("its length", |bytes| bytes[22] = 255),
        ("cut off", |bytes| bytes.truncate(bytes.len() / 2)),
        ("empty", Vec::clear),
        ("foreign", |bytes| *bytes = b"something else".to_vec()),
    ];
    for (what, damage) in damages {
        for before in [true, false] {
            // Found damaged at the start of a run, or in the middle of one.
            let set = read();
            for (path, sound) in files(&cache).iter().zip(&sound) {
                let mut bytes = sound.clone();
                damage(&mut bytes);
                fs::write(path, bytes).unwrap();
            }
            let set = if before { read() } else { set };
            assert_eq!(slices(&set), expected, "{what}, {before}");
            // A header that was read before it was damaged still says where slices are.
            let mended: Vec<Vec<u8>> =
                files(&cache).iter().map(|path| fs::read(path).unwrap()).collect();
            let read_before = !before && ["the header", "its length"].contains(&what);
            assert!(mended == sound || read_before, "{what}, {before}");
        }
    }
    // Files that were taken away during a run come back too; one of another case is none of this.
    let set = read();
    for path in files(&cache) {
        fs::remove_file(path).unwrap();
    }
    assert_eq!(slices(&set), expected);
    let paths = files(&cache);
    fs::copy(&paths[0], &paths[1]).unwrap();
    assert_eq!(slices(&read()), expected);
}

#[test]
fn a_case_is_known_by_its_content_and_how_it_is_prepared() {
    let folder = tempfile::tempdir().unwrap();
    let cases = scans(folder.path());
    let key = |case: &Case, reader: &CaseReader| Cache::key(case, reader).unwrap();
    let first = key(&cases[0], &gray());
    assert_ne!(first, key(&cases[1], &gray()));
    let moved = Case { id: "other".to_owned(), ..cases[0].clone() };
    assert_eq!(first, key(&moved, &gray()), "whoever it is");
    let other = PreprocessConfig { neighbors: 1, ..PreprocessConfig::default() };
    assert_ne!(first, key(&cases[0], &CaseReader::new(&other, 2)));
    assert_ne!(first, key(&cases[0], &CaseReader::new(&PreprocessConfig::default(), 3)));
    let mut bytes = fs::read(&cases[0].labels).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&cases[0].labels, bytes).unwrap();
    assert_ne!(first, key(&cases[0], &gray()));
}

#[test]
fn nobody_is_named_in_the_cache() {
    let folder = tempfile::tempdir().unwrap();
    let cache = cache(&folder);
    TrainingSet::read(&scans(folder.path()), &gray(), Some(&cache)).unwrap();
    for path in files(&cache) {
        assert!(!path.file_name().unwrap().to_string_lossy().contains("smith"));
        let bytes = fs::read(&path).unwrap();
        assert!(!bytes.windows(5).any(|piece| piece == b"smith"));
        let stem = path.file_stem().unwrap().to_str().unwrap();
        assert!(stem.len() == 64 && stem.bytes().all(|byte| byte.is_ascii_hexdigit()));
    }
}

#[test]
fn what_was_not_used_for_longest_goes_first_and_what_is_needed_stays() {
    let folder = tempfile::tempdir().unwrap();
    let (cases, reader) = (scans(folder.path()), gray());
    TrainingSet::read(&cases, &reader, Some(&cache(&folder))).unwrap();
    let key = |case: usize| Cache::key(&cases[case], &reader).unwrap();
    let path = |case: usize| cache(&folder).folder().join(format!("{}.case", key(case)));
    for (case, hours) in [(0, 3), (1, 9), (2, 6)] {
        let file = fs::OpenOptions::new().append(true).open(path(case)).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_hours(hours)).unwrap();
    }
    let left = || [0, 1, 2].map(|case| path(case).exists());
    let size = fs::metadata(path(0)).unwrap().len();
    let most = |bytes| Cache::open(cache(&folder).folder(), bytes).unwrap();
    most(3 * size + 99).trim(&[]);
    assert_eq!(left(), [true; 3]);
    most(2 * size + 99).trim(&[key(1)]);
    assert_eq!(left(), [true, true, false]);
    most(0).trim(&[key(1)]);
    assert_eq!(left(), [false, true, false]);
    // A run that uses a case makes it young again.
    TrainingSet::read(&cases[1..2], &reader, Some(&cache(&folder))).unwrap();
    let age = fs::metadata(path(1)).unwrap().modified().unwrap().elapsed().unwrap();
    assert!(age < Duration::from_hours(1));
}

#[test]
fn who_comes_second_waits_and_builds_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (cases, reader) = (scans(folder.path()), gray());
    let cache = cache(&folder);
    let built = AtomicUsize::new(0);
    let key = Cache::key(&cases[0], &reader).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                cache
                    .get(&key, || {
                        built.fetch_add(1, Ordering::SeqCst);
                        std::thread::sleep(Duration::from_millis(100));
                        let (case, traits) = reader.training(&cases[0])?;
                        let facts = Facts::of(&case, traits);
                        Ok((case, facts))
                    })
                    .unwrap()
            });
        }
    });
    assert_eq!(built.into_inner(), 1);
}

#[test]
fn a_case_that_cannot_be_read_is_named_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let cases = scans(folder.path());
    fs::write(&cases[1].image, b"no image").unwrap();
    let cache = cache(&folder);
    let error = TrainingSet::read(&cases, &gray(), Some(&cache)).unwrap_err().to_string();
    assert!(error.contains("smith_1_image.nii"), "{error}");
    assert_eq!(files(&cache).len(), 2);
    let nowhere = Cache::open(&cases[1].image.join("cache"), MOST).unwrap_err().to_string();
    assert!(nowhere.contains("smith_1_image.nii"), "{nowhere}");
}

#[test]
fn held_out_cases_that_do_not_fit_are_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let cases = scans(folder.path());
    let held = |bytes| HeldOut::read_all(&cases, &gray(), bytes).unwrap();
    let (all, none) = (held(MOST), held(0));
    for (one, again) in all.iter().zip(&none) {
        assert_eq!(one.case, again.case);
        let (one, again) = (one.seen().unwrap(), again.seen().unwrap());
        assert!(matches!((&one, &again), (Cow::Borrowed(_), Cow::Owned(_))));
        assert_eq!(one.prepared.slices, again.prepared.slices);
        assert_eq!(one.reference, again.reference);
    }
    fs::remove_file(&cases[0].image).unwrap();
    assert!(all[0].seen().is_ok() && none[0].seen().is_err());
}
