//! A second reader of DICOM segmentations, from PS3.3 and PS3.5 as they are written here:
//! explicit VR little endian, sequences with lengths, pixels that are not packed.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Reason, unreadable};

/// A segmentation as the second reader sees it.
pub(crate) struct Segmented {
    /// Columns and rows.
    pub(crate) size: [usize; 2],
    /// Number and name of each segment.
    pub(crate) segments: Vec<(u16, String)>,
    pub(crate) frames: Vec<SegmentedFrame>,
    /// Study, frame of reference, and the patient's name and id.
    pub(crate) identity: [Vec<u8>; 4],
    pixels: Pixels,
}

/// A frame, placed in the patient (RAS millimeters).
pub(crate) struct SegmentedFrame {
    /// Center of the first pixel.
    pub(crate) origin: [f64; 3],
    /// To the next column, and to the next row.
    pub(crate) steps: [[f64; 3]; 2],
    /// The segment, where the frame is of one.
    pub(crate) segment: Option<u16>,
    /// The instance that it was drawn on, and which frame of it.
    pub(crate) source: (String, Option<u32>),
}

enum Pixels {
    Bits(Vec<u8>),
    Bytes(Vec<u8>),
    Words(Vec<u8>),
}

impl Segmented {
    /// Calls `take` with column, row and segment number of each pixel of a frame that is in one.
    pub(crate) fn inside(
        &self,
        frame: usize,
        mut take: impl FnMut(usize, usize, u16) -> Result<(), Reason>,
    ) -> Result<(), Reason> {
        let [columns, rows] = self.size;
        let start = frame * columns * rows;
        for row in 0..rows {
            for column in 0..columns {
                let at = start + row * columns + column;
                let number = match &self.pixels {
                    Pixels::Bits(bits) => match bits[at / 8] & (1 << (at % 8)) {
                        0 => 0,
                        _ => self.frames[frame].segment.unwrap_or(0),
                    },
                    Pixels::Bytes(bytes) => bytes[at].into(),
                    Pixels::Words(bytes) => {
                        u16::from(bytes[2 * at]) | u16::from(bytes[2 * at + 1]) << 8
                    }
                };
                if number != 0 {
                    take(column, row, number)?;
                }
            }
        }
        Ok(())
    }
}

/// Opens a segmentation that was just written.
pub(crate) fn open(path: &Path) -> Result<Segmented, Reason> {
    let bytes = std::fs::read(path).map_err(unreadable)?;
    let body = bytes.get(132..).filter(|_| &bytes[128..132] == b"DICM");
    let all = Item::of(body.ok_or("no DICOM file")?, 0)?;
    let syntax = all.word(0x0002, 0x0010)?;
    if syntax != "1.2.840.10008.1.2.1" {
        return Err(format!("another transfer syntax ({syntax})"));
    }
    if all.word(0x0002, 0x0003)? != all.word(0x0008, 0x0018)? {
        return Err("two names for one instance".to_owned());
    }
    let size = [all.short(0x0028, 0x0011)?, all.short(0x0028, 0x0010)?].map(usize::from);
    if size.contains(&0) {
        return Err("frames without pixels".to_owned());
    }
    let kind = all.word(0x0062, 0x0001)?;
    let bits = all.short(0x0028, 0x0100)?;
    let shared = all.one(0x5200, 0x9229)?;
    let frames: Vec<SegmentedFrame> = all
        .items(0x5200, 0x9230)?
        .iter()
        .map(|own| frame(own, shared, kind == "BINARY"))
        .collect::<Result<_, _>>()?;
    let declared: usize = all.word(0x0028, 0x0008)?.parse().unwrap_or(0);
    if declared != frames.len() {
        return Err(format!("{declared} frames and places for {}", frames.len()));
    }
    let stored = all.raw(0x7fe0, 0x0010)?.to_vec();
    let count = size[0] * size[1] * frames.len();
    let (needed, pixels) = match (kind.as_str(), bits) {
        ("BINARY", 1) => (count.div_ceil(8), Pixels::Bits(stored)),
        ("LABELMAP", 8) => (count, Pixels::Bytes(stored)),
        ("LABELMAP", 16) => (2 * count, Pixels::Words(stored)),
        _ => return Err(format!("{kind} in {bits} bits")),
    };
    let (Pixels::Bits(stored) | Pixels::Bytes(stored) | Pixels::Words(stored)) = &pixels;
    if stored.len() != needed.next_multiple_of(2) {
        return Err(format!("{} bytes of pixels in place of {needed}", stored.len()));
    }
    let segments = all
        .items(0x0062, 0x0002)?
        .iter()
        .map(|item| Ok((item.short(0x0062, 0x0004)?, item.word(0x0062, 0x0005)?)))
        .collect::<Result<_, Reason>>()?;
    let identity = [
        all.raw(0x0020, 0x000d)?,
        all.raw(0x0020, 0x0052)?,
        all.raw(0x0010, 0x0010)?,
        all.raw(0x0010, 0x0020)?,
    ]
    .map(<[u8]>::to_vec);
    Ok(Segmented { size, segments, frames, identity, pixels })
}

fn frame(own: &Item, shared: &Item, binary: bool) -> Result<SegmentedFrame, Reason> {
    let group = |element| own.one(0x0020, element).or_else(|_| shared.one(0x0020, element));
    let position = own.one(0x0020, 0x9113)?.numbers(0x0020, 0x0032)?;
    let directions = group(0x9116)?.numbers(0x0020, 0x0037)?;
    let spacing = shared.one(0x0028, 0x9110)?.numbers(0x0028, 0x0030)?;
    let (&[x, y, z], &[a, b, c, d, e, f], &[between_rows, between_columns]) =
        (&position[..], &directions[..], &spacing[..])
    else {
        return Err("a frame without its place".to_owned());
    };
    // From LPS: x and y change their signs.
    let ras = |[x, y, z]: [f64; 3], mm: f64| [-x * mm, -y * mm, z * mm];
    let derivation = own.one(0x0008, 0x9124)?.one(0x0008, 0x2112)?;
    let number = derivation.word(0x0008, 0x1160).ok().and_then(|text| text.parse().ok());
    Ok(SegmentedFrame {
        origin: ras([x, y, z], 1.0),
        steps: [ras([a, b, c], between_columns), ras([d, e, f], between_rows)],
        segment: if binary { Some(own.one(0x0062, 0x000a)?.short(0x0062, 0x000b)?) } else { None },
        source: (derivation.word(0x0008, 0x1155)?, number),
    })
}

/// Elements by group and number.
struct Item<'a> {
    elements: BTreeMap<(u16, u16), Element<'a>>,
}

enum Element<'a> {
    Value(&'a [u8]),
    Items(Vec<Item<'a>>),
}

/// Deeper than anything that is written.
const DEEPEST: usize = 8;

impl<'a> Item<'a> {
    fn of(mut bytes: &'a [u8], depth: usize) -> Result<Self, Reason> {
        let mut elements = BTreeMap::new();
        let mut before = None;
        while !bytes.is_empty() {
            let head = take(&mut bytes, 8)?;
            let tag = (pair(&head[0..2]), pair(&head[2..4]));
            if before.is_some_and(|before| before >= tag) {
                return Err("elements that are not in order".to_owned());
            }
            before = Some(tag);
            let vr = &head[4..6];
            let length = match vr {
                b"OB" | b"OW" | b"SQ" => {
                    let long = take(&mut bytes, 4)?;
                    usize::from(pair(&long[0..2])) | usize::from(pair(&long[2..4])) << 16
                }
                _ => usize::from(pair(&head[6..8])),
            };
            let value = take(&mut bytes, length)?;
            let element = if vr == b"SQ" {
                Element::Items(items(value, depth)?)
            } else {
                Element::Value(value)
            };
            elements.insert(tag, element);
        }
        Ok(Self { elements })
    }

    fn raw(&self, group: u16, element: u16) -> Result<&'a [u8], Reason> {
        match self.elements.get(&(group, element)) {
            Some(Element::Value(value)) => Ok(value),
            _ => Err(format!("no element ({group:04x},{element:04x})")),
        }
    }

    fn word(&self, group: u16, element: u16) -> Result<String, Reason> {
        let bytes = self.raw(group, element)?;
        Ok(String::from_utf8_lossy(bytes).trim_end_matches([' ', '\0']).to_owned())
    }

    fn short(&self, group: u16, element: u16) -> Result<u16, Reason> {
        match self.raw(group, element)? {
            value @ [_, _] => Ok(pair(value)),
            _ => Err(format!("no number in ({group:04x},{element:04x})")),
        }
    }

    fn numbers(&self, group: u16, element: u16) -> Result<Vec<f64>, Reason> {
        let text = self.word(group, element)?;
        let number = |word: &str| word.trim().parse().map_err(|_| format!("{word:?} for a number"));
        text.split('\\').map(number).collect()
    }

    fn items(&self, group: u16, element: u16) -> Result<&[Item<'a>], Reason> {
        match self.elements.get(&(group, element)) {
            Some(Element::Items(items)) => Ok(items),
            _ => Err(format!("no sequence ({group:04x},{element:04x})")),
        }
    }

    fn one(&self, group: u16, element: u16) -> Result<&Item<'a>, Reason> {
        match self.items(group, element)? {
            [item] => Ok(item),
            items => Err(format!("{} items in ({group:04x},{element:04x})", items.len())),
        }
    }
}

fn items(mut bytes: &[u8], depth: usize) -> Result<Vec<Item<'_>>, Reason> {
    if depth == DEEPEST {
        return Err("sequences in sequences without end".to_owned());
    }
    let mut items = Vec::new();
    while !bytes.is_empty() {
        let head = take(&mut bytes, 8)?;
        if head[..4] != [0xfe, 0xff, 0x00, 0xe0] {
            return Err("something other than items in a sequence".to_owned());
        }
        let length = usize::from(pair(&head[4..6])) | usize::from(pair(&head[6..8])) << 16;
        items.push(Item::of(take(&mut bytes, length)?, depth + 1)?);
    }
    Ok(items)
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Result<&'a [u8], Reason> {
    let (taken, rest) = bytes.split_at_checked(count).ok_or("a data set that is cut off")?;
    *bytes = rest;
    Ok(taken)
}

fn pair(bytes: &[u8]) -> u16 {
    u16::from(bytes[0]) | u16::from(bytes[1]) << 8
}
