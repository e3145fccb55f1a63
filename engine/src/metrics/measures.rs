//! What is measured of a class, and under which names.
//!
//! Numbers have the unit in their name: `_mm` where the spacing is known, `_px` for pictures, whose
//! outlines are measured slice by slice in pixels; `_percent`; none for shares from 0 to 1.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use lamina_io::Geometry;
use serde::{Deserialize, Serialize};

use super::bits::Bits;
use super::boundary::{BoundaryWidth, boundary_iou};
use super::convention::Convention;
use super::overlap::ClassOverlap;
use super::surface::{FarthestPoint, SURFACE_KEYS, SurfaceDistances, SurfacePair};
use super::surfels::SurfelPair;

/// Something that can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// Dice coefficient.
    Dice,
    /// Intersection over union.
    Iou,
    /// Volumes of both sides, in milliliters.
    Volume,
    /// Relative volume difference, in percent of the reference, with sign and without.
    Rvd,
    /// Hausdorff distance.
    Hd,
    /// Its 95th percentile.
    Hd95,
    /// Mean distance of both surfaces together.
    Assd,
    /// Mean of both surfaces' mean distances.
    Masd,
    /// Surface Dice at tolerances.
    Nsd,
    /// Boundary IoU.
    BoundaryIou,
    /// The confusion matrix, pixel accuracy and frequency-weighted IoU.
    Pixels,
}

impl Metric {
    /// All of them, in the order of tables.
    pub const ALL: [Self; 11] = [
        Self::Dice,
        Self::Iou,
        Self::Volume,
        Self::Rvd,
        Self::Hd,
        Self::Hd95,
        Self::Assd,
        Self::Masd,
        Self::Nsd,
        Self::BoundaryIou,
        Self::Pixels,
    ];

    /// The word for it in options.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dice => "dice",
            Self::Iou => "iou",
            Self::Volume => "volume",
            Self::Rvd => "rvd",
            Self::Hd => "hd",
            Self::Hd95 => "hd95",
            Self::Assd => "assd",
            Self::Masd => "masd",
            Self::Nsd => "nsd",
            Self::BoundaryIou => "boundary-iou",
            Self::Pixels => "pixels",
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Metric {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|metric| metric.as_str() == text).ok_or_else(|| {
            let known = Self::ALL.map(Self::as_str).join(", ");
            format!("expected one of {known}, found {text:?}")
        })
    }
}

/// What to measure, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measures {
    /// What.
    pub metrics: BTreeSet<Metric>,
    /// How far apart surfaces may lie and still count as equal, in millimeters (pixels for
    /// pictures); the first is that of `surface_dice`.
    pub tolerances: Vec<f64>,
    /// How wide the band of Boundary IoU is.
    pub boundary_width: BoundaryWidth,
    /// By whose rules.
    #[serde(default)]
    pub convention: Convention,
    /// Labels of the reference that stand for no class: what lies there is not measured.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub ignored: BTreeSet<u8>,
}

impl Default for Measures {
    /// Dice, IoU and volumes, by our rules.
    fn default() -> Self {
        Self {
            metrics: BTreeSet::from([Metric::Dice, Metric::Iou, Metric::Volume]),
            tolerances: vec![1.0],
            boundary_width: BoundaryWidth::default(),
            convention: Convention::default(),
            ignored: BTreeSet::new(),
        }
    }
}

impl Measures {
    /// Those and HD95, ASSD and surface Dice at one tolerance.
    pub fn with_surfaces(tolerance_mm: f64) -> Self {
        let mut measures = Self { tolerances: vec![tolerance_mm], ..Self::default() };
        measures.metrics.extend([Metric::Hd95, Metric::Assd, Metric::Nsd]);
        measures
    }

    /// Whether this is asked for.
    pub fn has(&self, metric: Metric) -> bool {
        self.metrics.contains(&metric)
    }

    /// The metrics that are asked for and that the convention does not have.
    pub fn foreign(&self) -> Vec<Metric> {
        self.metrics.iter().copied().filter(|&metric| !self.convention.has(metric)).collect()
    }

    fn has_distances(&self) -> bool {
        [Metric::Hd, Metric::Hd95, Metric::Assd, Metric::Masd, Metric::Nsd]
            .into_iter()
            .any(|metric| self.has(metric))
    }

    /// Whether any voxel is looked at beyond being counted.
    pub(super) fn look_at_shapes(&self) -> bool {
        self.has_distances() || self.has(Metric::BoundaryIou)
    }

    /// The names of the numbers that every class has beside Dice, IoU and volumes.
    pub(super) fn keys(&self, unit: &str) -> Vec<String> {
        let deepmind = self.convention == Convention::Deepmind;
        let mut keys = Vec::new();
        for metric in &self.metrics {
            match metric {
                Metric::Rvd => {
                    keys.extend(["rvd_percent", "rvd_absolute_percent"].map(String::from));
                }
                Metric::Hd => keys.push(format!("hd_{unit}")),
                Metric::Hd95 => keys.push(format!("hd95_{unit}")),
                Metric::Assd if deepmind => keys.extend(
                    ["prediction_to_reference", "reference_to_prediction"]
                        .map(|way| format!("asd_{way}_{unit}")),
                ),
                Metric::Assd => keys.push(format!("assd_{unit}")),
                Metric::Masd => keys.push(format!("masd_{unit}")),
                Metric::Nsd => {
                    keys.push("surface_dice".to_owned());
                    if self.tolerances.len() > 1 {
                        keys.extend(self.tolerances.iter().map(|at| surface_dice_at(*at, unit)));
                    }
                }
                Metric::BoundaryIou => keys.push("boundary_iou".to_owned()),
                Metric::Dice | Metric::Iou | Metric::Volume | Metric::Pixels => {}
            }
        }
        // The three of every report with surfaces come together.
        if self.gives_surface(unit) {
            for key in SURFACE_KEYS.map(String::from) {
                if !keys.contains(&key) {
                    keys.push(key);
                }
            }
        }
        keys
    }

    fn gives_surface(&self, unit: &str) -> bool {
        self.has_distances() && unit == "mm" && self.convention != Convention::Deepmind
    }

    fn first_tolerance(&self) -> f64 {
        self.tolerances.first().copied().unwrap_or(1.0)
    }
}

/// `surface_dice_at_2mm`.
fn surface_dice_at(tolerance: f64, unit: &str) -> String {
    format!("surface_dice_at_{tolerance}{unit}")
}

/// The grid that masks are measured on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    /// Depth, height, width; of the whole volume.
    pub(super) shape: [usize; 3],
    /// Of the array axes, where it is known.
    spacing_mm: Option<[f64; 3]>,
}

impl Frame {
    pub(super) fn of(geometry: &Geometry) -> Self {
        let spacing_mm = geometry.spacing_mm().map(|[x, y, z]| [z, y, x]);
        Self { shape: geometry.shape(), spacing_mm }
    }

    pub(super) fn unit(&self) -> &'static str {
        if self.spacing_mm.is_some() { "mm" } else { "px" }
    }
}

/// What was measured of a class that both sides have.
#[derive(Debug, Clone, Default)]
pub(super) struct Measured {
    /// The three of every report with surfaces.
    pub(super) surface: Option<SurfaceDistances>,
    /// All others by name.
    pub(super) numbers: BTreeMap<String, f64>,
    /// In the box that the masks were cut to.
    pub(super) farthest: Option<FarthestPoint>,
}

impl Measures {
    /// Measures two masks, cut to a box around both.
    pub(super) fn measure(&self, prediction: &Bits, reference: &Bits, frame: &Frame) -> Measured {
        let mut measured = Measured::default();
        if self.has(Metric::BoundaryIou) {
            let iou = if self.convention == Convention::Reloaded {
                outline_iou(prediction, reference, frame.spacing_mm.is_none())
            } else {
                let [_, height, width] = frame.shape;
                let band = self.boundary_width;
                boundary_iou(prediction, reference, band, [height, width], frame.spacing_mm)
            };
            measured.numbers.extend(iou.map(|iou| ("boundary_iou".to_owned(), iou)));
        }
        if self.has_distances() {
            let flat = frame.spacing_mm.is_none();
            let spacing = frame.spacing_mm.unwrap_or([1.0; 3]);
            if self.convention == Convention::Deepmind {
                if let Some(pair) = SurfelPair::of(prediction, reference, spacing, flat) {
                    self.take_surfels(&mut measured, &pair, frame.unit());
                }
            } else if let Some(pair) = SurfacePair::of(prediction, reference, spacing, flat) {
                self.take_surfaces(&mut measured, &pair, frame.unit());
            }
        }
        measured
    }

    fn take_surfaces(&self, measured: &mut Measured, pair: &SurfacePair, unit: &str) {
        measured.farthest = Some(pair.farthest);
        if self.gives_surface(unit) {
            measured.surface = Some(pair.distances(self.first_tolerance() * self.slack()));
        }
        for key in self.keys(unit) {
            if measured.surface.is_some() && SURFACE_KEYS.contains(&key.as_str()) {
                continue;
            }
            let number = match key.split('_').next().unwrap_or_default() {
                "hd" => pair.farthest.distance_mm,
                "hd95" => pair.percentile(0.95),
                "assd" => pair.mean(),
                "masd" => pair.mean_of_means(),
                "surface" => pair.within(self.tolerance_of(&key, unit) * self.slack()),
                _ => continue,
            };
            measured.numbers.insert(key, number);
        }
    }

    /// Files keep a spacing of 0.6 mm in single precision, and then it is a little more: what is as
    /// far as the tolerance but for that is within it. MONAI computes in single precision.
    fn slack(&self) -> f64 {
        match self.convention {
            Convention::Lamina | Convention::Monai => 1.0 + 1e-6,
            _ => 1.0,
        }
    }

    fn take_surfels(&self, measured: &mut Measured, pair: &SurfelPair, unit: &str) {
        let [from_prediction, from_reference] = pair.means();
        for key in self.keys(unit) {
            let number = match key.split('_').next().unwrap_or_default() {
                "hd" => pair.percentile(1.0),
                "hd95" => pair.percentile(0.95),
                "asd" if key.starts_with("asd_prediction") => from_prediction,
                "asd" => from_reference,
                "surface" => pair.within(self.tolerance_of(&key, unit)),
                _ => continue,
            };
            measured.numbers.insert(key, number);
        }
    }

    fn tolerance_of(&self, key: &str, unit: &str) -> f64 {
        let named = self.tolerances.iter().find(|at| surface_dice_at(**at, unit) == key);
        named.copied().unwrap_or(self.first_tolerance())
    }
}

/// Relative volume difference in percent of the reference; eq. of Heimann et al. 2009 without
/// taking the absolute value.
pub(super) fn volume_difference(overlap: ClassOverlap) -> Option<f64> {
    let ClassOverlap { prediction, reference, .. } = overlap;
    (reference > 0).then(|| 100.0 * (prediction as f64 / reference as f64 - 1.0))
}

/// The overlap of the outermost voxels: MetricsReloaded's Boundary IoU with its default distance.
fn outline_iou(prediction: &Bits, reference: &Bits, flat: bool) -> Option<f64> {
    let (prediction, reference) = (prediction.surface(flat), reference.surface(flat));
    let both = prediction.and(&reference).count();
    let either = prediction.count() + reference.count() - both;
    (either > 0).then(|| both as f64 / either as f64)
}
