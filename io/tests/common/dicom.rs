//! DICOM files made by hand from PS3.5 and PS3.10, and not from what the crate knows of them.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::collections::BTreeMap;

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
