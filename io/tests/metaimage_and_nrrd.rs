//! MetaImage and NRRD as others write them: small files, made here by hand.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail like tests")]

use std::fs;
use std::io::Write;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use lamina_io::{
    Limits, ReadOptions, Spacing, Volume, VolumeError, files_of, read_info, read_labels,
    read_volume,
};
use tempfile::TempDir;

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    /// A file of a header and voxels behind it.
    fn image(&self, name: &str, header: &str, voxels: &[u8]) -> PathBuf {
        self.file(name, &[header.as_bytes(), voxels].concat())
    }
}

fn read(path: &Path) -> Result<Volume, VolumeError> {
    read_volume(path, &ReadOptions::default())
}

fn values(volume: &Volume) -> Vec<f32> {
    volume.to_f32().into_iter().collect()
}

/// The message, which must end with the file as it was given.
fn message(path: &Path, result: Result<Volume, VolumeError>) -> String {
    let message = result.unwrap_err().to_string();
    let start = message.strip_suffix(&path.display().to_string());
    start.unwrap_or_else(|| panic!("the path is not last in: {message}")).to_owned()
}

/// 4 x 3 x 2 voxels: 0 to 23, x fastest.
fn numbers() -> Vec<i16> {
    (0..24).collect()
}

fn little() -> Vec<u8> {
    numbers().iter().flat_map(|v| v.to_le_bytes()).collect()
}

fn big() -> Vec<u8> {
    numbers().iter().flat_map(|v| v.to_be_bytes()).collect()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn text() -> Vec<u8> {
    numbers().iter().flat_map(|v| format!("{v}\n").into_bytes()).collect()
}

const MHA: &str = "ObjectType = Image\nNDims = 3\nDimSize = 4 3 2\nElementSpacing = 2 3 5\n\
                   Offset = 10 20 30\nElementType = MET_SHORT\n";

const NRRD: &str = "NRRD0004\n# made by hand\ntype: short\ndimension: 3\nsizes: 4 3 2\n\
                    space: left-posterior-superior\nspace directions: (2,0,0) (0,3,0) (0,0,5)\n\
                    space origin: (10,20,30)\nkinds: domain domain domain\nendian: little\n";

fn assert_standard(path: &Path) {
    let volume = read(path).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(volume.shape(), [2, 3, 4]);
    assert_eq!(values(&volume), numbers().iter().map(|&v| f32::from(v)).collect::<Vec<_>>());
    assert_eq!(volume.geometry.ras_from_index().apply([1.0, 1.0, 1.0]), [-12.0, -23.0, 35.0]);
    assert_eq!(volume.geometry.orientation(), "LPS");
}

#[test]
fn metaimage_voxels_may_stand_anywhere() {
    let folder = Folder::new();
    let bytes = little();
    for (number, (header, voxels)) in [
        ("ElementDataFile = LOCAL\n", bytes.clone()),
        ("ElementDataFile = Local\r\n", bytes.clone()),
        ("BinaryDataByteOrderMSB = True\nElementDataFile = LOCAL\n", big()),
        ("ElementByteOrderMSB = true\nElementDataFile = LOCAL\n", big()),
        ("CompressedData = True\nElementDataFile = LOCAL\n", zlib(&bytes)),
        ("CompressedData = True\nElementDataFile = LOCAL\n", gzip(&bytes)),
        ("BinaryData = False\nElementDataFile = LOCAL\n", text()),
        (
            "HeaderSize = -1\nElementDataFile = LOCAL\n",
            [b"something before".to_vec(), bytes.clone()].concat(),
        ),
        ("HeaderSize = 400\nElementDataFile = LOCAL\n", {
            let header = MHA.len() + "HeaderSize = 400\nElementDataFile = LOCAL\n".len();
            [vec![7; 400 - header], bytes.clone()].concat()
        }),
    ]
    .into_iter()
    .enumerate()
    {
        let path = folder.image(&format!("{number}.mha"), &format!("{MHA}{header}"), &voxels);
        assert_standard(&path);
        // By content, whatever the name.
        fs::rename(&path, folder.0.path().join("x.nii.gz")).unwrap();
        assert_standard(&folder.0.path().join("x.nii.gz"));
    }
    let size = format!(
        "CompressedData = True\nCompressedDataSize = {}\nElementDataFile = LOCAL\n",
        zlib(&bytes).len()
    );
    let path =
        folder.image("s.mha", &format!("{MHA}{size}"), &[zlib(&bytes), vec![9; 50]].concat());
    assert_standard(&path);
}

#[test]
fn metaimage_files_beside_the_header_are_found() {
    let folder = Folder::new();
    let bytes = little();
    folder.file("a b.raw", &bytes);
    folder.file("a.zraw", &zlib(&bytes));
    folder.file("behind.raw", &[vec![1; 77], bytes.clone()].concat());
    folder.file("s1.raw", &bytes[..24]);
    folder.file("s2.raw", &bytes[24..]);
    for z in 0..2 {
        for y in 0..3 {
            let at = 8 * (3 * z + y);
            folder.file(&format!("row{}.raw", 10 * (3 * z + y)), &bytes[at..at + 8]);
        }
    }
    fs::create_dir(folder.0.path().join("sub")).unwrap();
    folder.file("sub/c.raw", &bytes);
    let absolute = folder.0.path().join("a b.raw");
    for header in [
        "ElementDataFile = a b.raw\n",
        "ElementDataFile = sub/c.raw",
        "ElementDataFile = sub/../a b.raw",
        &format!("ElementDataFile = {}\n", absolute.display()),
        "CompressedData = True\nElementDataFile = a.zraw\n",
        "HeaderSize = 77\nElementDataFile = behind.raw\n",
        "HeaderSize = -1\nElementDataFile = behind.raw\n",
        "ElementDataFile = LIST\ns1.raw\ns2.raw\n",
        "ElementDataFile = LIST 2\r\ns1.raw  \r\n\r\ns2.raw",
        "ElementDataFile = LIST 1D\nrow0.raw\nrow10.raw\nrow20.raw\nrow30.raw\nrow40.raw\nrow50.raw\n",
        "ElementDataFile = LIST 3\na b.raw\n",
        "ElementDataFile = s%d.raw\n",
        "ElementDataFile = s%d.raw 1 2 1\n",
        "ElementDataFile = s%01d.raw 1 2\n",
    ] {
        let path = folder.image("a.mhd", &format!("{MHA}{header}"), b"");
        assert_standard(&path);
        assert!(files_of(&path).len() > 1, "{header}");
    }
}

#[test]
fn metaimage_lies_are_named() {
    let folder = Folder::new();
    let with = |from: &str, to: &str| format!("{MHA}ElementDataFile = LOCAL\n").replace(from, to);
    let lies = [
        (with("NDims = 3", "NDims = 0"), "NDims to be 1 to 10 axes, found 0"),
        (with("NDims = 3", "NDims = 99999999999"), "NDims to be 1 to 10 axes"),
        (with("4 3 2", "4 3"), "DimSize to be 3 positive numbers of voxels, found 4 3"),
        (with("4 3 2", "4 0 2"), "DimSize to be 3 positive numbers"),
        (with("4 3 2", "4 -3 2"), "DimSize to be 3 positive numbers"),
        (
            with("4 3 2", "4000000000 4000000000 4000000000"),
            "DimSize to be a size that fits into memory",
        ),
        (with("4 3 2", "4 3 3"), "expected 72 bytes of voxels, found 48"),
        (with("DimSize", "Dimsize"), "DimSize to be in the header, found nothing"),
        (
            with("2 3 5", "2 0 5"),
            "ElementSpacing to be distances other than 0, found 0 along axis 1",
        ),
        (
            with("2 3 5", "2 nan 5"),
            "ElementSpacing to be distances other than 0, found NaN along axis 1",
        ),
        (with("2 3 5", "2 x 5"), "ElementSpacing to be 3 numbers"),
        (with("10 20 30", "10 inf 30"), "expected a finite affine transform"),
        (
            with("Offset", "TransformMatrix = 1 0 0 1 0 0 0 0 1\nOffset"),
            "expected an invertible transform",
        ),
        (
            with("Offset", "TransformMatrix = 0 0 0 0 0 0 0 0 0\nOffset"),
            "TransformMatrix to be a direction for each axis",
        ),
        (with("Offset", "Position = 1 2 3\nOffset"), "Position to be what Offset is"),
        (with("MET_SHORT", "MET_SHORT_ARRAY"), "found ElementType MET_SHORT_ARRAY"),
        (with("Offset", "ElementNumberOfChannels = 3\nOffset"), "found 3 channels per voxel"),
        (with("Image", "Tube"), "found a MetaIO file that is no image"),
        (
            with("Offset", "CompressedData = perhaps\nOffset"),
            "CompressedData to be True or False, found perhaps",
        ),
        (with("Offset", "CompressedData = True\nOffset"), "expected whole zlib data"),
        (
            with("Offset", "CompressedData = True\nHeaderSize = -1\nOffset"),
            "HeaderSize to be 0 or more",
        ),
        (
            with("Offset", "HeaderSize = -2\nOffset"),
            "HeaderSize to be a whole number from -1, found -2",
        ),
        (with("Offset", "HeaderSize = 999999\nOffset"), "expected 48 bytes of voxels, found 0"),
        (with("Offset", "BinaryData = False\nOffset"), "expected whole text data"),
        (
            with("ElementDataFile = LOCAL\n", "\n\n"),
            "each line of the header to be a key and a value",
        ),
        (with("LOCAL", "none.raw"), "expected its voxels in \"none.raw\", found no such file"),
        (with("LOCAL", "/none.raw"), "found no such file outside of this folder"),
        (with("LOCAL", "../../none.raw"), "found no such file outside of this folder"),
        (with("LOCAL", "/dev/zero"), "found a device or pipe"),
        (with("LOCAL", "."), "found a folder"),
        (with("LOCAL", "LIST\nnone.raw"), "found no such file"),
        (with("LOCAL", "none%d.raw"), "found no such file"),
        (with("LOCAL", "none%d.raw 1 99999999999 1"), "a pattern for 2 files"),
        (with("LOCAL", "none%s.raw 1"), "a name with one %d in it"),
        (with("LOCAL", "none%d.raw 0 9223372036854775807 1"), "a pattern for 2 files"),
        (with("LOCAL", "LIST 9"), "a list of 2 files, found 1"),
    ];
    let voxels: Vec<u8> = numbers().iter().map(|_| 0xff).chain([0xff; 24]).collect();
    for (header, expected) in lies {
        let path = folder.image("a.mha", &header, &voxels);
        let message = message(&path, read(&path));
        assert!(message.contains(expected), "{message:?} does not say {expected:?}");
    }
}

#[test]
fn a_list_of_too_few_files_is_refused() {
    let folder = Folder::new();
    folder.file("s1.raw", &little()[..24]);
    for (name, header) in [
        ("a.mhd", format!("{MHA}ElementDataFile = LIST\ns1.raw\n")),
        ("a.nhdr", format!("{NRRD}encoding: raw\ndata file: LIST\ns1.raw\n")),
    ] {
        let path = folder.image(name, &header, b"");
        let message = message(&path, read(&path));
        assert!(message.contains("a list of 2 files, found 1"), "{message}");
    }
}

#[test]
fn metaimage_directions_are_rows_and_orientation_letters_place_nothing() {
    let folder = Folder::new();
    let header = format!(
        "{MHA}TransformMatrix = 0 1 0 0 0 -1 1 0 0\nCenterOfRotation = 7 7 7\n\
         AnatomicalOrientation = RPI\nElementDataFile = LOCAL\n"
    );
    let volume = read(&folder.image("a.mha", &header, &little())).unwrap();
    // x runs to the back, y down, z to the left.
    assert_eq!(volume.geometry.orientation(), "PIL");
    assert_eq!(volume.geometry.ras_from_index().apply([1.0, 1.0, 1.0]), [-15.0, -22.0, 27.0]);

    let flipped = header.replace("ElementSpacing = 2", "ElementSpacing = -2");
    let volume = read(&folder.image("a.mha", &flipped, &little())).unwrap();
    assert_eq!(volume.geometry.orientation(), "AIL");
    for other in ["Rotation", "Orientation"] {
        let header = header.replace("TransformMatrix", other).replace("Offset", "Origin");
        let volume = read(&folder.image("a.mha", &header, &little())).unwrap();
        assert_eq!(volume.geometry.orientation(), "PIL");
    }
}

#[test]
fn metaimage_element_size_stands_in_for_a_missing_spacing() {
    let folder = Folder::new();
    let header = format!("{MHA}ElementDataFile = LOCAL\n");
    let size = header.replace("ElementSpacing", "ElementSize");
    assert_standard(&folder.image("a.mha", &size, &little()));
    let both = header.replace("Offset", "ElementSize = 9 9 9\nOffset");
    assert_standard(&folder.image("a.mha", &both, &little()));
    // Nothing about the place at all: not one millimeter, but unknown.
    let neither = header.replace("ElementSpacing = 2 3 5\nOffset = 10 20 30\n", "");
    let volume = read(&folder.image("a.mha", &neither, &little())).unwrap();
    assert_eq!(volume.geometry.spacing(), Spacing::Unknown);
    // A place without a distance is in ITK's one millimeter.
    let origin = header.replace("ElementSpacing = 2 3 5\n", "");
    let volume = read(&folder.image("a.mha", &origin, &little())).unwrap();
    assert_eq!(volume.geometry.spacing_mm(), Some([1.0; 3]));
}

#[test]
fn metaimage_volumes_of_a_series_are_chosen() {
    let folder = Folder::new();
    let header = "NDims = 4\nDimSize = 2 3 2 2\nElementSpacing = 2 3 5 1\nOffset = 1 2 3 4\n\
                  ElementType = MET_SHORT\nElementDataFile = LOCAL\n";
    let path = folder.image("a.mha", header, &little());
    assert!(matches!(read(&path), Err(VolumeError::Dimensions { volumes: 2, .. })));
    let volume = read_volume(&path, &ReadOptions::default().with_volume(1)).unwrap();
    assert_eq!((volume.shape(), volume.value([0, 0, 0])), ([2, 3, 2], 12.0));
    assert!(matches!(
        read_volume(&path, &ReadOptions::default().with_volume(2)),
        Err(VolumeError::VolumeIndex { last: 1, .. })
    ));
    assert_eq!(read_info(&path, &Limits::default()).unwrap().shape, [2, 3, 2, 2]);
}

#[test]
fn nrrd_voxels_may_stand_anywhere() {
    let folder = Folder::new();
    let bytes = little();
    let hex: Vec<u8> = bytes.iter().flat_map(|byte| format!("{byte:02x} ").into_bytes()).collect();
    let at_end = [vec![3; 1000], bytes.clone()].concat();
    for (header, voxels) in [
        ("encoding: raw\n\n", bytes.clone()),
        ("encoding: RAW\r\n\r\n", bytes.clone()),
        ("encoding: gzip\n\n", gzip(&bytes)),
        ("encoding: gz\n\n", gzip(&bytes)),
        ("encoding: bzip2\n\n", bzip2(&bytes)),
        ("encoding: ascii\n\n", text()),
        ("encoding: txt\n\n", text()),
        ("encoding: hex\n\n", hex),
        (
            "encoding: raw\nline skip: 2\nbyte skip: 3\n\n",
            [b"one\ntwo\nabc".to_vec(), bytes.clone()].concat(),
        ),
        ("encoding: gzip\nline skip: 1\n\n", [b"one\n".to_vec(), gzip(&bytes)].concat()),
        ("encoding: gzip\nbyte skip: 3\n\n", gzip(&[b"abc".to_vec(), bytes.clone()].concat())),
        ("encoding: raw\nbyte skip: -1\n\n", at_end.clone()),
        ("encoding: gzip\nbyteskip: -1\n\n", gzip(&at_end)),
        ("encoding: bzip2\nbyte skip: -1\n\n", bzip2(&at_end)),
        (
            "encoding: raw\nold min: 3\nmax: 7\ncontent: head\nkey with: colon:=and value\nkey:=value\n\n",
            bytes.clone(),
        ),
    ] {
        let path = folder.image("a.nrrd", &format!("{NRRD}{header}"), &voxels);
        assert_standard(&path);
    }
    let header = NRRD.replace("endian: little", "endian: big");
    assert_standard(&folder.image("a.nrrd", &format!("{header}encoding: raw\n\n"), &big()));
}

#[test]
fn nrrd_files_beside_the_header_are_found() {
    let folder = Folder::new();
    let bytes = little();
    folder.file("a b.raw", &bytes);
    folder.file("a.raw.gz", &gzip(&bytes));
    folder.file("s01.raw", &bytes[..24]);
    folder.file("s03.raw", &bytes[24..]);
    for (header, files) in [
        ("encoding: raw\ndata file: a b.raw\n", 2),
        ("encoding: raw\ndatafile: ./a b.raw", 2),
        ("encoding: gzip\ndata file: a.raw.gz\n", 2),
        ("encoding: raw\ndata file: LIST\ns01.raw\ns03.raw\n", 3),
        ("encoding: raw\ndata file: LIST 2\ns01.raw\ns03.raw\n", 3),
        ("encoding: raw\ndata file: LIST 3\ns01.raw\ns03.raw\n", 3),
        ("encoding: raw\ndata file: s%02d.raw 1 3 2\n", 3),
        ("encoding: raw\ndata file: s%02d.raw 1 3 2 3\n", 3),
    ] {
        let path = folder.image("a.nhdr", &format!("{NRRD}{header}"), b"");
        assert_standard(&path);
        assert_eq!(files_of(&path).len(), files, "{header}");
    }
}

#[test]
fn nrrd_spaces_are_turned_at_the_door() {
    let folder = Folder::new();
    let corner = |header: &str| {
        let path = folder.image("a.nrrd", &format!("{header}encoding: raw\n\n"), &little());
        read(&path)
            .unwrap_or_else(|error| panic!("{error}"))
            .geometry
            .ras_from_index()
            .apply([1.0; 3])
    };
    let space = |name: &str| NRRD.replace("left-posterior-superior", name);
    assert_eq!(corner(&space("right-anterior-superior")), [12.0, 23.0, 35.0]);
    assert_eq!(corner(&space("RAS")), [12.0, 23.0, 35.0]);
    assert_eq!(corner(&space("left-anterior-superior")), [-12.0, 23.0, 35.0]);
    for lps in ["LPS", "scanner-xyz", "3D-right-handed"] {
        assert_eq!(corner(&space(lps)), [-12.0, -23.0, 35.0], "{lps}");
    }
    let dimension = NRRD.replace("space: left-posterior-superior", "space dimension: 3");
    assert_eq!(corner(&dimension), [-12.0, -23.0, 35.0]);

    let plain = "NRRD0001\ntype: short\ndimension: 3\nsizes: 4 3 2\nendian: little\n";
    assert_eq!(corner(&format!("{plain}spacings: 2 3 5\n")), [-2.0, -3.0, 5.0]);
    let mins = format!("{plain}spacings: 2 3 5\naxis mins: 10 20 30\n");
    assert_eq!(corner(&mins), [-13.0, -24.5, 37.5]); // cells, half a step in
    assert_eq!(corner(&format!("{mins}centers: node node node\n")), [-12.0, -23.0, 35.0]);
    let path = folder.image("a.nrrd", &format!("{plain}encoding: raw\n\n"), &little());
    assert_eq!(read(&path).unwrap().geometry.spacing(), Spacing::Unknown);
}

#[test]
fn nrrd_axes_are_space_or_series_or_refused() {
    let folder = Folder::new();
    let header =
        |axes: &str| format!("NRRD0005\ntype: short\nendian: little\nencoding: raw\n{axes}\n\n");
    let image = |axes: &str| folder.image("a.nrrd", &header(axes), &little());

    let lpst = "dimension: 4\nsizes: 2 3 2 2\nspace: left-posterior-superior-time\n\
                space directions: (2,0,0,0) (0,3,0,0) (0,0,5,0) (0,0,0,1)\nspace origin: (1,2,3,0)";
    let none = "dimension: 4\nsizes: 2 3 2 2\nspace: LPS\nspace directions: (2,0,0) (0,3,0) (0,0,5) none\n\
                space origin: (1,2,3)\nkinds: domain domain domain time";
    let nan = none.replace("none", "(nan,nan,nan)").replace("time", "???");
    for axes in [lpst, none, &nan] {
        let path = image(axes);
        assert!(matches!(read(&path), Err(VolumeError::Dimensions { volumes: 2, .. })), "{axes}");
        let volume = read_volume(&path, &ReadOptions::default().with_volume(1)).unwrap();
        assert_eq!((volume.shape(), volume.value([0, 0, 0])), ([2, 3, 2], 12.0));
        assert_eq!(volume.geometry.ras_from_index().apply([1.0; 3]), [-3.0, -5.0, 8.0]);
    }
    let one = image("dimension: 4\nsizes: 1 4 3 2\nkinds: scalar domain domain domain");
    assert_eq!(read(&one).unwrap().shape(), [2, 3, 4]);
    let flat = image(
        "dimension: 2\nsizes: 6 4\nspace dimension: 2\nspace directions: (0.6,0.8) (-1.6,1.2)",
    );
    let flat = read(&flat).unwrap();
    assert_eq!(flat.shape(), [1, 4, 6]);
    assert_eq!(flat.geometry.orientation(), "PRS");
    let slice = image("dimension: 2\nsizes: 6 4\nspace: RAS\nspace directions: (0,2,0) (0,0,3)");
    assert_eq!(read(&slice).unwrap().geometry.orientation(), "ASR");

    for (axes, expected) in [
        (
            "dimension: 3\nsizes: 2 4 3\nkinds: vector domain domain",
            "found 2 numbers per voxel (vector)",
        ),
        (
            "dimension: 3\nsizes: 4 2 3\nkinds: domain domain RGB-color",
            "found 3 numbers per voxel (rgb-color)",
        ),
        (
            "dimension: 4\nsizes: 2 4 3 1\nkinds: list domain domain domain",
            "found 2 numbers per voxel (list)",
        ),
        (
            "dimension: 4\nsizes: 2 4 3 1\nspace: LPS\nspace directions: none (1,0,0) (0,1,0) (0,0,1)",
            "voxel by voxel",
        ),
        (
            "dimension: 3\nsizes: 4 3 2\nspace: LPS\nspace directions: (1,0,0) (0,1,0)",
            "3 vectors, or none, one per axis",
        ),
        (
            "dimension: 3\nsizes: 4 3 2\nspace: LPS\nspace directions: (1,0,0) (0,1,0) (0,0,0)",
            "vectors other than 0",
        ),
        (
            "dimension: 3\nsizes: 4 3 2\nspace: LPS\nspace directions: (1,0,0) (0,1,0) (1,0,0)",
            "expected an invertible transform",
        ),
        (
            "dimension: 3\nsizes: 4 3 2\nspace: LPS\nspace directions: (1,0,0) (0,1,0) (0,nan,1)",
            "vectors other than 0",
        ),
        (
            "dimension: 3\nsizes: 4 3 2\nspace: LPS\nspace directions: (1,0) (0,1) (1,0)",
            "vectors of 3 numbers",
        ),
        (
            "dimension: 3\nsizes: 4 3 2\nspace: 3D-left-handed",
            "space to be right-anterior-superior",
        ),
        (
            "dimension: 3\nsizes: 4 3 2\nspacings: 1 0 1",
            "spacings to be distances other than 0, found 0 along axis 1",
        ),
        ("dimension: 3\nsizes: 4 3 2\nspacings: 1 nan 1", "found NaN along axis 1"),
        (
            "dimension: 3\nsizes: 4 3 2\nspace: LPS\nspace origin: (0,0)",
            "space origin to be 3 numbers",
        ),
        ("dimension: 3\nsizes: 4 3 2\nkinds: domain", "kinds to be 3 kinds, found 1"),
    ] {
        let path = image(axes);
        let message = message(&path, read(&path));
        assert!(message.contains(expected), "{message:?} does not say {expected:?}");
    }
}

#[test]
fn nrrd_lies_are_named() {
    let folder = Folder::new();
    let all = format!("{NRRD}encoding: raw\n\n");
    let with = |from: &str, to: &str| all.replace(from, to);
    for (header, expected) in [
        (with("NRRD0004", "NRRD0009"), "the first line to be NRRD0001 to NRRD0005"),
        (with("dimension: 3", "dimension: 99"), "dimension to be 1 to 16"),
        (with("4 3 2", "4 3"), "sizes to be 3 positive numbers"),
        (
            with("4 3 2", "4000000000 4000000000 4000000000"),
            "sizes to be a size that fits into memory",
        ),
        (with("4 3 2", "4 3 3"), "expected 72 bytes of voxels, found 48"),
        (with("type: short", "type: block"), "found blocks of bytes"),
        (with("type: short", "type: complex"), "found unknown type complex"),
        (with("type: short\n", ""), "type to be in the header"),
        (with("endian: little\n", ""), "endian to be little or big, found nothing"),
        (
            with("encoding: raw", "encoding: zrl"),
            "encoding to be raw, gzip, bzip2, text or hex, found zrl",
        ),
        (with("encoding: raw", "encoding: gzip"), "expected whole gzip data"),
        (with("encoding: raw", "encoding: bzip2"), "expected whole bzip2 data"),
        (with("encoding: raw", "encoding: text"), "expected whole text data"),
        (with("encoding: raw", "encoding: hex"), "expected at most"),
        (
            with("encoding: raw", "encoding: raw\nbyte skip: -5"),
            "byte skip to be a whole number from -1, found -5",
        ),
        (
            with("encoding: raw", "encoding: raw\nbyte skip: 7"),
            "expected 48 bytes of voxels, found 41",
        ),
        (with("encoding: raw", "encoding: raw\nsizes: 4 3 2"), "sizes to be once in the header"),
        (with("encoding: raw", "encoding: raw\nunheard of: 3"), "line 12 of the header"),
        (
            with("encoding: raw", "encoding: raw\ndata file: none.raw"),
            "expected its voxels in \"none.raw\", found no such file",
        ),
        (with("encoding: raw", "encoding: raw\ndata file: LIST\none.raw"), "found no such file"),
        (with("encoding: raw", "encoding: raw\ndata file: a%d 1 9 1"), "a pattern for 2 files"),
        (with("encoding: raw", "encoding: raw\ndata file: a%d 1 9 0"), "a pattern for 2 files"),
        (with("encoding: raw", "encoding: raw\ndata file: a%d 1 9 1 3"), "found no such file"),
        (with("encoding: raw", "encoding: raw\ndata file: a%d 1 9 1 7"), "1 to 3 axes per file"),
        (
            with("encoding: raw", "encoding: raw\ndata file: a%d 0 -9223372036854775808 -1 3"),
            "data file to be",
        ),
        (
            with("encoding: raw", "encoding: raw\ndata file: a%d 0 9223372036854775807 1 3"),
            "data file to be",
        ),
        (with("encoding: raw", "encoding: raw\ndata file: \u{3000}"), "a file's name"),
        (with("encoding: raw", "encoding: raw\ndata file: LIST 3\n"), "found no such file"),
    ] {
        let path = folder.image("a.nrrd", &header, &[0xff; 48]);
        let message = message(&path, read(&path));
        assert!(message.contains(expected), "{message:?} does not say {expected:?}");
    }
}

#[test]
fn what_is_no_label_is_shown_with_its_place() {
    let folder = Folder::new();
    let mut voxels = vec![0_u8; 48];
    voxels[2 * 17 + 1] = 3; // voxel 17 is x 1, y 1, z 1
    for (name, header) in [
        ("a.mha", format!("{MHA}ElementDataFile = LOCAL\n")),
        ("a.nrrd", format!("{NRRD}encoding: raw\n\n")),
    ] {
        let path = folder.image(name, &header, &voxels);
        let error = read_labels(&path, &ReadOptions::default()).unwrap_err();
        assert!(
            matches!(error, VolumeError::NotALabel { value: 768.0, index: [1, 1, 1], .. }),
            "{error}"
        );
    }
}

#[test]
fn packed_voxels_that_a_file_cannot_hold_are_refused_before_memory_is_taken() {
    let folder = Folder::new();
    let lying = |header: &str| header.replace("4 3 2", "1000 1000 900"); // below the cap, 1.8 GB
    let limits = Limits { gzip_free_bytes: 1 << 20, ..Limits::default() };
    let options = ReadOptions { limits, ..ReadOptions::default() };
    for (name, header, voxels) in [
        (
            "a.mha",
            format!("{}CompressedData = True\nElementDataFile = LOCAL\n", lying(MHA)),
            zlib(&little()),
        ),
        ("b.mha", format!("{}BinaryData = False\nElementDataFile = LOCAL\n", lying(MHA)), text()),
        ("a.nrrd", format!("{}encoding: gzip\n\n", lying(NRRD)), gzip(&little())),
        ("b.nrrd", format!("{}encoding: bzip2\n\n", lying(NRRD)), bzip2(&little())),
        ("c.nrrd", format!("{}encoding: text\n\n", lying(NRRD)), text()),
    ] {
        let path = folder.image(name, &header, &voxels);
        let refused = message(&path, read_volume(&path, &options));
        assert!(refused.contains("packed data of this size"), "{name}: {refused}");
    }
}

#[test]
fn cut_off_packed_voxels_are_noticed_to_the_last_byte() {
    let folder = Folder::new();
    let meta = format!("{MHA}CompressedData = True\nElementDataFile = LOCAL\n");
    for (name, header, voxels) in [
        ("a.mha", meta, zlib(&little())),
        ("a.nrrd", format!("{NRRD}encoding: gzip\n\n"), gzip(&little())),
        ("b.nrrd", format!("{NRRD}encoding: bzip2\n\n"), bzip2(&little())),
    ] {
        for end in 0..voxels.len() {
            let path = folder.image(name, &header, &voxels[..end]);
            assert!(read(&path).is_err(), "{name} cut off at byte {end} of {}", voxels.len());
        }
    }
}

/// A small generator of numbers, the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }
}

#[test]
fn damage_of_any_kind_gives_an_error_or_an_image_and_never_a_panic() {
    let folder = Folder::new();
    folder.file("s1.raw", &little()[..24]);
    folder.file("s2.raw", &little()[24..]);
    let seeds: Vec<Vec<u8>> = [
        (format!("{MHA}ElementDataFile = LOCAL\n"), little()),
        (format!("{MHA}TransformMatrix = 1 0 0 0 1 0 0 0 1\nCompressedData = True\nElementDataFile = LOCAL\n"), zlib(&little())),
        (format!("{MHA}BinaryData = False\nElementDataFile = LOCAL\n"), text()),
        (format!("{MHA}HeaderSize = -1\nElementDataFile = LOCAL\n"), little()),
        (format!("{MHA}ElementDataFile = LIST\ns1.raw\ns2.raw\n"), Vec::new()),
        (format!("{MHA}ElementDataFile = s%d.raw 1 2 1\n"), Vec::new()),
        (format!("{NRRD}encoding: raw\n\n"), little()),
        (format!("{NRRD}encoding: gzip\nbyte skip: -1\n\n"), gzip(&little())),
        (format!("{NRRD}encoding: bzip2\n\n"), bzip2(&little())),
        (format!("{NRRD}encoding: text\n\n"), text()),
        (format!("{NRRD}encoding: hex\nline skip: 1\n\n"), text()),
        (format!("{NRRD}encoding: raw\ndata file: s%d.raw 1 2 1\n"), Vec::new()),
        (format!("{NRRD}axis mins: 1 2 3\nspacings: 1 2 3\nencoding: raw\ndata file: LIST 2\ns1.raw\ns2.raw\n"), Vec::new()),
    ]
    .into_iter()
    .map(|(header, voxels)| [header.into_bytes(), voxels].concat())
    .collect();
    let mut random = Random(4);
    let limits = Limits { max_bytes: 1 << 24, gzip_free_bytes: 1 << 20, ..Limits::default() };
    let options = ReadOptions { limits, ..ReadOptions::default() };
    for seed in &seeds {
        for round in 0..200 {
            let mut bytes = seed.clone();
            match round % 3 {
                0 => bytes.truncate(random.below(bytes.len())),
                1 => {
                    for _ in 0..=random.below(4) {
                        let at = random.below(bytes.len());
                        bytes[at] ^= 1 << random.below(8);
                    }
                }
                _ => {
                    let at = random.below(bytes.len());
                    let digits = b"0123456789-.e%/\n :=(),";
                    bytes[at] = digits[random.below(digits.len())];
                }
            }
            let path = folder.file("damaged.mha", &bytes);
            let outcome = catch_unwind(|| {
                let _ = read_volume(&path, &options);
                let _ = read_labels(&path, &options);
                let _ = read_info(&path, &limits);
                let _ = files_of(&path);
            });
            assert!(outcome.is_ok(), "a panic for {:?}", String::from_utf8_lossy(&bytes));
        }
    }
}
