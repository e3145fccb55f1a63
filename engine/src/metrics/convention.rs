//! By whose rules numbers are made: ours, or those of a library whose numbers are to be repeated.
//!
//! What each says of a class that is not on both sides. `–` is no number, left out of means; `∞`
//! makes a mean infinite (ours leaves it out of the mean, and in the median).
//!
//! | | `lamina` | `monai` | `nnunet` | `reloaded` | `deepmind` |
//! |---|---|---|---|---|---|
//! | Dice, both empty | – | – | – | 1 | – |
//! | Dice, only the prediction has it | 0 | – | 0 | 0 | 0 |
//! | Dice, only the reference has it | 0 | 0 | 0 | 0 | 0 |
//! | IoU, both empty | – | – | – | – | |
//! | IoU, only the prediction has it | 0 | – | 0 | 0 | |
//! | HD95, both empty | – | – | | 0 | ∞ |
//! | HD95, one empty | ∞ | – | | – | ∞ |
//! | HD, ASSD (`deepmind`: HD), both empty | – | – | | 0 | ∞ |
//! | HD, ASSD (`deepmind`: HD), one empty | ∞ | ∞ | | – | ∞ |
//! | surface Dice, both / one empty | – / 0 | – / 0 | | – / – | – / 0 |
//! | Boundary IoU, both / one empty | – / 0 | | | – / 0 | |
//! | volume difference, both empty / false | – / – | | | 0 / 100 % | |
//! | surface | eroded mask | eroded mask | | eroded mask | pieces with an area |
//! | percentile | linear | linear | | linear | a piece's own |
//! | mean over classes | of the classes' means | of the cases' means | of the classes' means, none where one has none | | |
//!
//! `monai` are the defaults of MONAI 1.6: `DiceMetric`, `MeanIoU`, `HausdorffDistanceMetric` (with
//! and without `percentile=95`), `SurfaceDistanceMetric(symmetric=True)`, `SurfaceDiceMetric`, all
//! without background. `nnunet` is `compute_metrics_on_folder` of nnU-Net 2. `reloaded` is
//! `BinaryPairwiseMeasures` of MetricsReloaded; where it divides by nothing there is no number.
//! `deepmind` is surface-distance 0.1. None of them knows a case without a prediction: it is
//! counted and in no mean of theirs.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::measures::Metric;
use super::overlap::{ClassOverlap, Status};

/// By whose rules numbers are made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Convention {
    /// Ours: nothing that went wrong drops out of a number without being counted.
    #[default]
    Lamina,
    /// MONAI's.
    Monai,
    /// nnU-Net's, version 2.
    Nnunet,
    /// MetricsReloaded's.
    Reloaded,
    /// DeepMind's surface-distance.
    Deepmind,
}

impl Convention {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Lamina, Self::Monai, Self::Nnunet, Self::Reloaded, Self::Deepmind];

    /// The word for it in files and options.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lamina => "lamina",
            Self::Monai => "monai",
            Self::Nnunet => "nnunet",
            Self::Reloaded => "reloaded",
            Self::Deepmind => "deepmind",
        }
    }

    /// Whether the library has this metric at all.
    pub fn has(self, metric: Metric) -> bool {
        use Metric::{Assd, BoundaryIou, Dice, Hd, Hd95, Iou, Masd, Nsd, Pixels, Rvd, Volume};
        match self {
            Self::Lamina => true,
            Self::Monai => matches!(metric, Dice | Iou | Volume | Hd | Hd95 | Assd | Nsd),
            Self::Nnunet => matches!(metric, Dice | Iou | Volume),
            Self::Reloaded => metric != Pixels,
            Self::Deepmind => !matches!(metric, Iou | Rvd | BoundaryIou | Masd | Pixels),
        }
    }

    /// Dice by this convention.
    pub(super) fn dice(self, overlap: ClassOverlap) -> Option<f64> {
        match (self, overlap.status()) {
            (Self::Monai, Status::False) => None,
            (Self::Reloaded, Status::BothEmpty) => Some(1.0),
            _ => overlap.dice(),
        }
    }

    /// IoU by this convention.
    pub(super) fn iou(self, overlap: ClassOverlap) -> Option<f64> {
        match (self, overlap.status()) {
            (Self::Monai, Status::False) | (Self::Deepmind, _) => None,
            _ => overlap.iou(),
        }
    }

    /// What a number is where its class is not on both sides.
    pub(super) fn unscored(self, key: &str, status: Status) -> Unscored {
        use Status::{BothEmpty, Failed, False, Missed, Scored};
        use Unscored::{Infinite, Undefined, Value};
        if status == Scored || status == Failed && self != Self::Lamina {
            return Undefined;
        }
        match (self, Kind::of(key), status) {
            (Self::Reloaded, Kind::Distance | Kind::Difference, BothEmpty) => Value(0.0),
            (Self::Reloaded, Kind::Difference, False) => Value(100.0),
            (Self::Reloaded, Kind::Share, Missed | False) if key.starts_with("surface") => {
                Undefined
            }
            (_, Kind::Difference, Missed) => Value(-100.0),
            (Self::Deepmind, Kind::Distance, BothEmpty) if key.starts_with("hd") => Infinite,
            (_, Kind::Difference, _) | (_, _, BothEmpty) | (Self::Reloaded, Kind::Distance, _) => {
                Undefined
            }
            (_, Kind::Share, _) => Value(0.0),
            (Self::Monai, Kind::Distance, _) if key.starts_with("hd95") => Undefined,
            (Self::Deepmind, Kind::Distance, Missed) if key.starts_with("asd_prediction") => {
                Undefined
            }
            (Self::Deepmind, Kind::Distance, False) if key.starts_with("asd_reference") => {
                Undefined
            }
            (_, Kind::Distance, _) => Infinite,
        }
    }
}

/// A number of a class that is not on both sides.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Unscored {
    /// It has this value.
    Value(f64),
    /// It is larger than any.
    Infinite,
    /// There is none.
    Undefined,
}

/// What a number is, by its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// In millimeters or pixels, better when smaller.
    Distance,
    /// From 0 to 1, better when larger.
    Share,
    /// In percent, best at 0.
    Difference,
}

impl Kind {
    pub(super) fn of(key: &str) -> Self {
        if key.ends_with("_percent") {
            Self::Difference
        } else if key.starts_with("surface_dice") || key == "boundary_iou" {
            Self::Share
        } else {
            Self::Distance
        }
    }
}

impl fmt::Display for Convention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Convention {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|convention| convention.as_str() == text);
        found.ok_or_else(|| {
            let known = Self::ALL.map(Self::as_str).join(", ");
            format!("expected one of {known}, found {text:?}")
        })
    }
}
