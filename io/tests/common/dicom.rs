//! DICOM files made by hand from PS3.5 and PS3.10, and not from what the crate knows of them.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::collections::BTreeMap;
use std::path::Path;

/// What marks a patient: nothing that is said or written may hold it.
pub const PATIENT: &str = "MARKER^PATIENT";

/// A data set in the making; an item of a sequence is one too.
#[derive(Clone, Default)]
pub struct Dicom {
    elements: BTreeMap<u32, (String, Vec<u8>)>,
}

impl Dicom {
    pub fn new() -> Self {
        Self::default()
    }

    /// The bytes of an element as they are.
    pub fn raw(mut self, tag: u32, vr: &str, mut bytes: Vec<u8>) -> Self {
        if bytes.len() % 2 == 1 {
            bytes.push(if matches!(vr, "UI" | "OB") { 0 } else { b' ' });
        }
        self.elements.insert(tag, (vr.to_owned(), bytes));
        self
    }

    pub fn text(self, tag: u32, vr: &str, text: &str) -> Self {
        self.raw(tag, vr, text.as_bytes().to_vec())
    }

    pub fn decimals(self, tag: u32, numbers: &[f64]) -> Self {
        let text: Vec<String> = numbers.iter().map(ToString::to_string).collect();
        self.text(tag, "DS", &text.join("\\"))
    }

    pub fn shorts(self, tag: u32, numbers: &[u16]) -> Self {
        self.raw(tag, "US", numbers.iter().flat_map(|n| n.to_le_bytes()).collect())
    }

    /// A sequence; of defined length where `tag` is even, else with delimiters.
    pub fn items(self, tag: u32, items: &[Dicom]) -> Self {
        let mut bytes = Vec::new();
        for item in items {
            let inner = item.encoded();
            bytes.extend([0xfe, 0xff, 0x00, 0xe0]);
            bytes.extend((inner.len() as u32).to_le_bytes());
            bytes.extend(inner);
        }
        self.raw(tag, "SQ", bytes)
    }

    pub fn without(mut self, tag: u32) -> Self {
        self.elements.remove(&tag);
        self
    }

    pub fn encoded(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (&tag, (vr, value)) in &self.elements {
            bytes.extend(((tag >> 16) as u16).to_le_bytes());
            bytes.extend((tag as u16).to_le_bytes());
            bytes.extend(vr.as_bytes());
            if matches!(vr.as_str(), "OB" | "OW" | "OF" | "OD" | "SQ" | "UN" | "UT") {
                bytes.extend([0, 0]);
                // Fragments have no length of their own.
                let packed = tag == 0x7fe0_0010 && value.starts_with(&[0xfe, 0xff, 0x00, 0xe0]);
                let length = if packed { u32::MAX } else { value.len() as u32 };
                bytes.extend(length.to_le_bytes());
            } else {
                bytes.extend((value.len() as u16).to_le_bytes());
            }
            bytes.extend(value);
        }
        bytes
    }

    /// The file, in explicit little endian or as `syntax` says.
    pub fn file(&self, syntax: &str) -> Vec<u8> {
        let meta = Dicom::new().text(0x0002_0010, "UI", syntax).encoded();
        let mut bytes = vec![0; 128];
        bytes.extend(b"DICM");
        bytes.extend(
            Dicom::new().raw(0x0002_0000, "UL", (meta.len() as u32).to_le_bytes().into()).encoded(),
        );
        bytes.extend(meta);
        bytes.extend(self.encoded());
        bytes
    }

    pub fn plain(&self) -> Vec<u8> {
        self.file("1.2.840.10008.1.2.1")
    }
}

/// What frames of RLE, JPEG and the like stand in: an empty offset table and one fragment each.
pub fn fragments(frames: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = vec![0xfe, 0xff, 0x00, 0xe0, 0, 0, 0, 0];
    for frame in frames {
        let mut frame = frame.clone();
        if frame.len() % 2 == 1 {
            frame.push(0);
        }
        bytes.extend([0xfe, 0xff, 0x00, 0xe0]);
        bytes.extend((frame.len() as u32).to_le_bytes());
        bytes.extend(frame);
    }
    bytes.extend([0xfe, 0xff, 0xdd, 0xe0, 0, 0, 0, 0]);
    bytes
}

/// One CT slice of `rows` x `columns` signed 16-bit pixels of 0.5 x 0.75 mm (rows, columns).
pub fn slice(
    position: [f64; 3],
    orientation: [f64; 6],
    [rows, columns]: [u16; 2],
    pixels: &[i16],
) -> Dicom {
    Dicom::new()
        .text(0x0008_0008, "CS", "ORIGINAL\\PRIMARY\\AXIAL")
        .text(0x0008_0016, "UI", "1.2.840.10008.5.1.4.1.1.2")
        .text(0x0008_0020, "DA", "19991231")
        .text(0x0008_0060, "CS", "CT")
        .text(0x0010_0010, "PN", PATIENT)
        .text(0x0010_0020, "LO", PATIENT)
        .decimals(0x0018_0050, &[9.0])
        .text(0x0020_000e, "UI", "1.2.3.4")
        .text(0x0020_0011, "IS", "7")
        .decimals(0x0020_0032, &position)
        .decimals(0x0020_0037, &orientation)
        .shorts(0x0028_0002, &[1])
        .text(0x0028_0004, "CS", "MONOCHROME2")
        .shorts(0x0028_0010, &[rows])
        .shorts(0x0028_0011, &[columns])
        .decimals(0x0028_0030, &[0.5, 0.75])
        .shorts(0x0028_0100, &[16])
        .shorts(0x0028_0101, &[16])
        .shorts(0x0028_0102, &[15])
        .shorts(0x0028_0103, &[1])
        .raw(0x7fe0_0010, "OW", pixels.iter().flat_map(|n| n.to_le_bytes()).collect())
}

pub const AXIAL: [f64; 6] = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0];

/// An axial slice of 3 rows and 4 columns at height `z`, whose values start at `first`.
pub fn axial(z: f64, first: i16) -> Dicom {
    let pixels: Vec<i16> = (0..12).map(|n| first + n).collect();
    slice([-10.0, -20.0, z], AXIAL, [3, 4], &pixels)
}

/// Three frames of 3 x 4 at 4, 0 and 2 mm, each with its own intercept.
pub fn multi_frame() -> Dicom {
    let frame = |z: f64, intercept: f64| {
        let place = Dicom::new().decimals(0x0020_0032, &[-10.0, -20.0, z]);
        let values = Dicom::new().decimals(0x0028_1052, &[intercept]).decimals(0x0028_1053, &[1.0]);
        Dicom::new().items(0x0020_9113, &[place]).items(0x0028_9145, &[values])
    };
    let shared = Dicom::new()
        .items(0x0020_9116, &[Dicom::new().decimals(0x0020_0037, &AXIAL)])
        .items(0x0028_9110, &[Dicom::new().decimals(0x0028_0030, &[0.5, 0.75])]);
    axial(0.0, 0)
        .without(0x0020_0032)
        .without(0x0020_0037)
        .without(0x0028_0030)
        .text(0x0028_0008, "IS", "3")
        .items(0x5200_9229, &[shared])
        .items(0x5200_9230, &[frame(4.0, 1000.0), frame(0.0, 2000.0), frame(2.0, 3000.0)])
        .raw(0x7fe0_0010, "OW", (0..36_i16).flat_map(i16::to_le_bytes).collect())
}

/// A segmentation of frames at `z` with the segment of each and 3 x 4 pixels.
pub fn segmentation(kind: &str, frames: &[(f64, u16, [u8; 12])]) -> Dicom {
    let shared =
        Dicom::new().items(0x0020_9116, &[Dicom::new().decimals(0x0020_0037, &AXIAL)]).items(
            0x0028_9110,
            &[Dicom::new().decimals(0x0028_0030, &[0.5, 0.75]).decimals(0x0018_0088, &[2.0])],
        );
    let each: Vec<Dicom> = frames
        .iter()
        .map(|(z, segment, _)| {
            let place = Dicom::new().decimals(0x0020_0032, &[-10.0, -20.0, *z]);
            let segment = Dicom::new().shorts(0x0062_000b, &[*segment]);
            let item = Dicom::new().items(0x0020_9113, &[place]);
            if kind == "LABELMAP" { item } else { item.items(0x0062_000a, &[segment]) }
        })
        .collect();
    let values: Vec<u8> = frames.iter().flat_map(|(.., pixels)| *pixels).collect();
    let bits = if kind == "BINARY" { 1 } else { 8 };
    let pixels = if kind == "BINARY" {
        values.chunks(8).map(|bits| (0..).zip(bits).map(|(n, bit)| bit << n).sum()).collect()
    } else {
        values
    };
    let segment = |number: u16| Dicom::new().shorts(0x0062_0004, &[number]);
    axial(0.0, 0)
        .without(0x0020_0032)
        .without(0x0020_0037)
        .without(0x0028_0030)
        .text(0x0008_0016, "UI", "1.2.840.10008.5.1.4.1.1.66.4")
        .text(0x0008_0060, "CS", "SEG")
        .text(0x0020_000e, "UI", "1.2.3.9")
        .text(0x0028_0008, "IS", &frames.len().to_string())
        .shorts(0x0028_0100, &[bits])
        .shorts(0x0028_0101, &[bits])
        .shorts(0x0028_0102, &[bits - 1])
        .shorts(0x0028_0103, &[0])
        .text(0x0062_0001, "CS", kind)
        .items(0x0062_0002, &[segment(1), segment(2)])
        .shorts(0x0062_000e, &[200])
        .items(0x5200_9229, &[shared])
        .items(0x5200_9230, &each)
        .raw(0x7fe0_0010, "OB", pixels)
}

/// RLE of pixels whose two bytes are written as literals.
pub fn rle(pixels: &[i16]) -> Vec<u8> {
    let mut header = vec![0_u8; 64];
    let length = pixels.len() as u32 + 1;
    header[0] = 2;
    header[4..8].copy_from_slice(&64_u32.to_le_bytes());
    header[8..12].copy_from_slice(&(64 + length).to_le_bytes());
    for byte in [1, 0] {
        header.push(pixels.len() as u8 - 1);
        header.extend(pixels.iter().map(|n| n.to_le_bytes()[byte]));
    }
    header
}

pub fn packed() -> Vec<u8> {
    let frames = [rle(&[-5; 12]), rle(&[300; 12]), rle(&[7; 12])];
    multi_frame().raw(0x7fe0_0010, "OB", fragments(&frames)).file("1.2.840.10008.1.2.5")
}

/// The frames of `tests/golden/dicom/`, each in a file of its syntax.
pub fn golden(name: &str, syntax: &str, bits: u16, stored: u16) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/dicom").join(name);
    slice([0.0; 3], AXIAL, [12, 10], &[])
        .shorts(0x0028_0100, &[bits])
        .shorts(0x0028_0101, &[stored])
        .shorts(0x0028_0102, &[stored - 1])
        .shorts(0x0028_0103, &[0])
        .raw(0x7fe0_0010, "OB", fragments(&[std::fs::read(path).unwrap()]))
        .file(&format!("1.2.840.10008.1.2.4.{syntax}"))
}

pub const GOLDEN: [(&str, &str, u16, u16); 12] = [
    ("lossless.jpg", "70", 16, 16),
    ("lossless.j2k", "90", 16, 16),
    ("lossless.jph", "201", 16, 16),
    ("lossless.jxl", "110", 16, 16),
    ("twelve.jxl", "110", 16, 12),
    ("lossless8.jxl", "110", 8, 8),
    ("baseline.jpg", "50", 8, 8),
    ("extended.jpg", "51", 16, 12),
    ("lossless16.jls", "80", 16, 16),
    ("lossless12.jls", "80", 16, 12),
    ("lossless8.jls", "80", 8, 8),
    ("near12.jls", "81", 16, 12),
];
