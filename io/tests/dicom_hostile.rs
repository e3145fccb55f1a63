//! DICOM that is cut off, damaged or lies: an error or a picture, no panic, and no more memory than
//! what the files can hold, or a small multiple of it, takes.

#![allow(clippy::unwrap_used, missing_docs, reason = "tests may panic and are not documentation")]

#[path = "common/dicom.rs"]
mod made;

use std::path::{Path, PathBuf};

use lamina_io::{FileInfo, Limits, VolumeError, read_info};
use made::{AXIAL, Dicom, GOLDEN, axial, fragments, golden, multi_frame, packed, segmentation};
use tempfile::TempDir;

/// One file that is written again and again.
struct File {
    _folder: TempDir,
    path: PathBuf,
}

impl File {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.dcm");
        Self { _folder: folder, path }
    }

    /// What is read of these bytes.
    fn read(&self, bytes: &[u8]) -> Result<FileInfo, VolumeError> {
        let _ = std::fs::remove_file(&self.path);
        std::fs::write(&self.path, bytes).unwrap();
        let limits = Limits { max_bytes: 1 << 26, gzip_free_bytes: 1 << 26, ..Limits::default() };
        let result = read_info(&self.path, &limits);
        if let Err(error) = &result {
            let message = error.to_string();
            assert!(!message.contains("MARKER"), "{message}");
            assert!(message.ends_with(&self.path.display().to_string()), "{message}");
        }
        result
    }

    /// Why these bytes are refused, with the cause where there is one.
    fn refusal(&self, bytes: &[u8]) -> String {
        let error = self.read(bytes).unwrap_err();
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        format!("{error} {}", cause.unwrap_or_default())
    }
}

/// Fails where this process has ever had more than this many megabytes in memory (on Linux, where
/// the system says so). All tests of this file are one process.
fn at_most_megabytes(most: u64) {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return };
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches("kB").trim().parse().unwrap();
    assert!(peak / 1024 <= most, "{} MB were taken", peak / 1024);
}

const MOST_MEGABYTES: u64 = 600;

/// Numbers that look random, from the same seed each time.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        // Knuth's MMIX generator; its upper bits are the good ones.
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }
}

/// Files of every packing, sound.
fn sound() -> Vec<(String, Vec<u8>)> {
    let mut pixels = [0; 12];
    pixels[5] = 1;
    let frames = [(4.0, 2, pixels), (0.0, 1, pixels)];
    let mut files = vec![
        ("plain".to_owned(), axial(0.0, 0).plain()),
        ("frames".to_owned(), multi_frame().plain()),
        ("rle".to_owned(), packed()),
        ("binary".to_owned(), segmentation("BINARY", &frames).plain()),
        ("fractional".to_owned(), segmentation("FRACTIONAL", &frames).plain()),
    ];
    files.extend(
        GOLDEN.map(|(name, syntax, bits, stored)| {
            (name.to_owned(), golden(name, syntax, bits, stored))
        }),
    );
    files
}

#[test]
fn files_cut_off_anywhere_are_refused_or_lack_nothing() {
    let file = File::new();
    for (name, whole) in sound() {
        let sound = file.read(&whole).unwrap();
        for end in (0..whole.len()).step_by(7).chain([whole.len() - 1]) {
            if let Ok(cut) = file.read(&whole[..end]) {
                // What ends after the last pixel lacks no more than its padding; decoders of
                // pictures with losses may stop a few bits before that.
                assert_eq!(cut.shape, sound.shape, "{name} cut off at byte {end}");
                let lossless = !["baseline.jpg", "extended.jpg"].contains(&name.as_str());
                if lossless && end + 16 < whole.len() {
                    assert_eq!(cut.mean, sound.mean, "{name} cut off at byte {end}");
                }
            }
        }
    }
    at_most_megabytes(MOST_MEGABYTES);
}

#[test]
fn flipped_bits_anywhere_are_survived() {
    let file = File::new();
    let mut random = Random(12);
    for (_, whole) in sound() {
        for _ in 0..300 {
            let mut bytes = whole.clone();
            for _ in 0..=random.below(4) {
                let at = 128 + random.below(bytes.len() - 128);
                bytes[at] ^= 1 << random.below(8);
            }
            let _ = file.read(&bytes);
        }
        // And whole stretches of nothing, or of ones.
        for fill in [0, 0xff] {
            for _ in 0..40 {
                let mut bytes = whole.clone();
                let at = 128 + random.below(bytes.len() - 128);
                let end = bytes.len().min(at + 1 + random.below(64));
                bytes[at..end].fill(fill);
                let _ = file.read(&bytes);
            }
        }
    }
    at_most_megabytes(MOST_MEGABYTES);
}

/// A file of `dicom` with `count` more bytes of nothing behind it.
fn followed(dicom: &Dicom, count: usize) -> Vec<u8> {
    let mut bytes = dicom.plain();
    bytes.resize(bytes.len() + count, 0);
    bytes
}

#[test]
fn sizes_that_the_file_cannot_hold_are_refused() {
    let file = File::new();
    let huge = |dicom: Dicom| dicom.shorts(0x0028_0010, &[65535]).shorts(0x0028_0011, &[65535]);
    for (bytes, reason) in [
        (axial(0.0, 0).text(0x0028_0008, "IS", "2000000000").plain(), "found 2000000000"),
        (axial(0.0, 0).text(0x0028_0008, "IS", "-1").plain(), "found -1"),
        (axial(0.0, 0).text(0x0028_0008, "IS", "0").plain(), "found 0"),
        (axial(0.0, 0).text(0x0028_0008, "IS", "1e9").plain(), "found no number"),
        (axial(0.0, 0).text(0x0028_0008, "IS", "130000").plain(), "at most 1, for which"),
        (huge(axial(0.0, 0)).plain(), "expected 8589672450 bytes of pixels, found 24"),
        (axial(0.0, 0).shorts(0x0028_0100, &[0]).plain(), "the bits allocated"),
        (axial(0.0, 0).shorts(0x0028_0100, &[12]).plain(), "the bits allocated"),
        (axial(0.0, 0).shorts(0x0028_0100, &[64]).plain(), "the bits allocated"),
        (axial(0.0, 0).shorts(0x0028_0101, &[17]).plain(), "the bits stored"),
        (axial(0.0, 0).shorts(0x0028_0102, &[40]).plain(), "the bits stored"),
        (axial(0.0, 0).shorts(0x0028_0002, &[0]).plain(), "0 samples"),
        (axial(0.0, 0).decimals(0x0028_1053, &[0.0]).plain(), "the rescale slope"),
        (axial(0.0, 0).text(0x0028_1053, "DS", "NaN").plain(), "the rescale slope"),
        (axial(0.0, 0).text(0x0028_1052, "DS", "inf").plain(), "the rescale slope"),
        (axial(0.0, 0).text(0x0028_0030, "DS", "0\\1").plain(), "the pixel spacing"),
        (axial(0.0, 0).text(0x0020_0032, "DS", "0\\NaN\\1").plain(), "position and orientation"),
    ] {
        let message = file.refusal(&bytes);
        assert!(message.contains(reason), "{message} does not say {reason}");
    }
    // The same of packed pixels: what a small file unpacks to is limited.
    for (name, syntax, bits, stored) in GOLDEN {
        let mut bytes = golden(name, syntax, bits, stored);
        for tag in [0x10, 0x11] {
            let at = [0x28, 0, tag, 0, b'U', b'S', 2, 0];
            let at = bytes.windows(8).position(|window| window == at).unwrap();
            bytes[at + 8..at + 10].fill(0xff);
        }
        let message = file.refusal(&bytes);
        assert!(message.contains("the limit for packed pixels"), "{name}: {message}");
    }
    let table = Dicom::new().shorts(0x0028_3002, &[0, 0, 16]).shorts(0x0028_3006, &[1, 2]);
    let message = file.refusal(&axial(0.0, 0).items(0x0028_3000, &[table]).plain());
    assert!(message.contains("65536 entries"), "{message}");
    at_most_megabytes(MOST_MEGABYTES);
}

#[test]
fn more_of_anything_than_there_can_be_is_refused() {
    let file = File::new();
    // Sequences in sequences.
    let mut bytes = axial(0.0, 0).without(0x7fe0_0010).plain();
    for _ in 0..100_000 {
        bytes.extend([0x40, 0x00, 0x75, 0x02, b'S', b'Q', 0, 0, 0xff, 0xff, 0xff, 0xff]);
        bytes.extend([0xfe, 0xff, 0x00, 0xe0, 0xff, 0xff, 0xff, 0xff]);
    }
    assert!(file.refusal(&bytes).contains("sequences in sequences"));

    // Elements, in order and backwards.
    let mut elements = axial(0.0, 0).without(0x7fe0_0010).plain();
    let mut backwards = elements.clone();
    for number in 0..60_000_u16 {
        for (bytes, number) in [(&mut elements, number), (&mut backwards, 60_000 - number)] {
            bytes.extend([0x29, 0x00]);
            bytes.extend(number.to_le_bytes());
            bytes.extend(*b"US\x02\x00\x00\x00");
        }
    }
    for bytes in [elements, backwards] {
        let message = file.refusal(&bytes);
        assert!(message.contains("more elements than a data set has"), "{message}");
    }

    // Items for frames that there are none of, and fragments of none.
    let items = vec![Dicom::new(); 300_000];
    let message = file.refusal(&axial(0.0, 0).items(0x5200_9230, &items).plain());
    assert!(message.contains("the per-frame functional groups to be 1"), "{message}");
    let none = vec![Vec::new(); 1_100_000];
    let bytes = axial(0.0, 0).text(0x0028_0008, "IS", "2").raw(0x7fe0_0010, "OB", fragments(&none));
    let message = file.refusal(&bytes.file("1.2.840.10008.1.2.5"));
    assert!(message.contains("fragments without end"), "{message}");

    // A text without end.
    let long = "1\\".repeat(4 << 20);
    assert!(file.read(&axial(0.0, 0).raw(0x3004_000c, "UT", long.into_bytes()).plain()).is_ok());

    // Lengths beyond the end.
    let mut bytes = axial(0.0, 0).without(0x7fe0_0010).plain();
    bytes.extend([0x29, 0, 0x10, 0, b'U', b'N', 0, 0, 0xfe, 0xff, 0xff, 0xff]);
    assert!(file.refusal(&bytes).contains("bytes of header"));

    // Nothing but zeros.
    let zeros = followed(&axial(0.0, 0).without(0x7fe0_0010), 8 << 20);
    assert!(file.read(&zeros).is_err());
    at_most_megabytes(MOST_MEGABYTES);
}

/// Slices so far apart that what lies between would fill any memory.
#[test]
fn gaps_without_end_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut z = 0.0;
    for k in 0..400 {
        // Each gap is a whole number of times the usual one.
        z += if k % 3 > 0 { 1.0 } else { 700.0 };
        let path = folder.path().join(format!("{k}.dcm"));
        std::fs::write(path, made::slice([0.0, 0.0, z], AXIAL, [3, 4], &[0; 12]).plain()).unwrap();
    }
    let options = lamina_io::ReadOptions { accept_flaws: true, ..Default::default() };
    let error = lamina_io::read_volume(folder.path(), &options).unwrap_err();
    assert!(matches!(error, VolumeError::FlawedSeries { .. }), "{error}");
    at_most_megabytes(MOST_MEGABYTES);
}

#[test]
fn a_damaged_code_of_many_tiles_or_colors_is_refused() {
    let file = File::new();
    let whole = golden("lossless.j2k", "90", 16, 16);
    let size = whole.windows(4).position(|b| b == [0xff, 0x4f, 0xff, 0x51]).unwrap();
    let mut tiles = whole.clone();
    tiles[size + 24..size + 32].copy_from_slice(&[0, 0, 0, 1, 0, 0, 0, 1]);
    assert!(file.refusal(&tiles).contains("120 tiles"), "{}", file.refusal(&tiles));
    let mut colors = whole;
    colors[size + 40..size + 42].copy_from_slice(&[0x40, 0]);
    assert!(file.refusal(&colors).contains("several components"));
}

/// Real files, damaged.
#[test]
fn real_files_are_survived_in_pieces() {
    let Some(data) = std::env::var_os("LAMINA_DATA") else {
        assert!(std::env::var_os("CI").is_none(), "LAMINA_DATA is not set");
        return;
    };
    let file = File::new();
    let mut random = Random(7);
    let mut files = 0;
    for folder in ["pydicom", "highdicom", "dcmqi_segmentations"] {
        let folder = Path::new(&data).join("formats/dicom").join(folder);
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let dicom = path.extension().is_some_and(|ending| ending == "dcm");
            let whole = if dicom { std::fs::read(&path).unwrap() } else { continue };
            if whole.len() < 200 {
                continue;
            }
            files += 1;
            // All of the header that is short, some of the rest.
            let step = 97 * (whole.len() / 97 / 24).max(1);
            for end in (0..whole.len()).step_by(step) {
                let _ = file.read(&whole[..end]);
            }
            for _ in 0..12 {
                let mut bytes = whole.clone();
                let at = 128 + random.below(bytes.len() - 128);
                bytes[at] ^= 1 << random.below(8);
                let start = 128 + random.below(bytes.len().min(2000) - 128);
                bytes[start] ^= 0xff;
                let _ = file.read(&bytes);
            }
        }
    }
    assert!(files > 80, "only {files} files were damaged");
    at_most_megabytes(MOST_MEGABYTES);
}
