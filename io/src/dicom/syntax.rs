//! Transfer syntaxes: how a data set is written and its pixels packed. PS3.5, annex A.

use crate::image::Fault;

/// A transfer syntax.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Syntax {
    pub(super) packing: Packing,
    pub(super) big_endian: bool,
    pub(super) deflated: bool,
    uid: String,
}

/// How pixels are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    None,
    Rle,
    Jpeg,
    JpegLs,
    Jpeg2000,
    JpegXl,
    /// In a way that is not unpacked here.
    Foreign,
}

impl Packing {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::None => "plain",
            Self::Rle => "RLE",
            Self::Jpeg => "JPEG",
            Self::JpegLs => "JPEG-LS",
            Self::Jpeg2000 => "JPEG 2000",
            Self::JpegXl => "JPEG XL",
            Self::Foreign => "unknown",
        }
    }
}

const PREFIX: &str = "1.2.840.10008.1.2";

impl Syntax {
    /// The one of this UID; what has none is taken for plain.
    pub(super) fn of(uid: Option<&str>) -> Self {
        let kind = uid.map_or(Some(""), |uid| uid.strip_prefix(PREFIX));
        let packing = match kind {
            Some("" | ".1" | ".1.98" | ".1.99" | ".2") => Packing::None,
            Some(".5") => Packing::Rle,
            Some(".4.50" | ".4.51" | ".4.57" | ".4.70") => Packing::Jpeg,
            Some(".4.80" | ".4.81") => Packing::JpegLs,
            Some(".4.90" | ".4.91" | ".4.201" | ".4.202" | ".4.203") => Packing::Jpeg2000,
            Some(".4.110" | ".4.111" | ".4.112") => Packing::JpegXl,
            // GE's, big-endian pixels only.
            _ => Packing::Foreign,
        };
        Self {
            packing,
            big_endian: kind == Some(".2") && uid.is_some(),
            deflated: kind == Some(".1.99"),
            uid: uid.unwrap_or_default().to_owned(),
        }
    }

    /// Says which it is, where its pixels cannot be unpacked.
    pub(super) fn refuse_foreign(&self) -> Result<(), Fault> {
        if self.packing != Packing::Foreign {
            return Ok(());
        }
        let name = match self.uid.strip_prefix(PREFIX) {
            Some(".4.92" | ".4.93") => "JPEG 2000 Multi-component",
            Some(uid) if uid.starts_with(".4.10") => "MPEG video",
            _ => "one that is not known",
        };
        let digits: String = self.uid.chars().filter(|c| c.is_ascii_digit() || *c == '.').collect();
        Err(Fault::new(
            "the transfer syntax",
            "plain, deflated, RLE, JPEG, JPEG-LS, JPEG 2000 or JPEG XL",
            format!("{name} ({digits})"),
        ))
    }
}
