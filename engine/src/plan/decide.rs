//! The rules.

use super::{DataFacts, Planned, memory};
use crate::augment::AugmentConfig;
use crate::error::EngineError;
use crate::experiment::Experiment;
use crate::inference::{InferenceConfig, MirrorAxis};
use crate::losses::cross_entropy::CrossEntropyConfig;
use crate::losses::dice::DiceConfig;
use crate::losses::{LossConfig, WeightedLoss};
use crate::networks::NetworkConfig;
use crate::networks::nnunet::NnunetConfig;
use crate::networks::unet::UnetConfig;
use crate::preprocess::{Crop, Input, Normalization, Plane, PreprocessConfig};
use crate::training::{BundleConfig, Schedule, TrainingConfig};

/// What is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Wish {
    /// Name of the data set.
    pub dataset: String,
    /// The network. Of U-Net and nnU-Net the number of levels is decided here.
    pub network: NetworkConfig,
    /// Memory that a training step may take, in bytes.
    pub memory_bytes: u64,
    /// Folds.
    pub folds: usize,
    /// Everything random is drawn from this.
    pub seed: u64,
}

/// Why a key is as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// The key, as in `training.patch`; or a table.
    pub key: &'static str,
    /// The reason, in a sentence.
    pub because: String,
}

/// Pixels a side of a patch at most.
const LARGEST_PATCH: usize = 1024;

/// Slices of a batch at most.
const LARGEST_BATCH: usize = 24;

/// Share of all pixels of the data set that a batch has at most, so that batches differ: nnU-Net's.
const LARGEST_SHARE: f64 = 0.05;

/// Neighboring slices this many times as far apart as pixels have little to say of each other.
const FAR_SLICES: f64 = 6.0;

/// Optimizer steps of a run: at least, and at most where epochs are many.
const STEPS: [usize; 2] = [5_000, 50_000];

/// An experiment for data like these.
///
/// # Errors
/// [`EngineError::Input`] where not even two slices of the smallest patch fit into memory.
pub fn plan(facts: &DataFacts, wish: &Wish) -> Result<Planned, EngineError> {
    let mut reasons = Reasons(Vec::new());
    let (plane, axes) = plane(facts, &mut reasons);
    let (spacing_mm, slice) = spacing(facts, axes, &mut reasons);
    let preprocessing = PreprocessConfig {
        input: if facts.modality == "rgb" { Input::Rgb } else { Input::Gray },
        plane,
        crop: Crop::default(),
        spacing_mm,
        normalization: normalization(facts, &mut reasons),
        neighbors: neighbors(facts, axes, &mut reasons),
    };
    let sized = Sized { facts, wish, channels: preprocessing.channels(), slice, axes };
    let (network, patch, batch_size) = sized.fit(&mut reasons)?;
    let training = training(&sized, patch, batch_size, &mut reasons);
    let (augmentation, mirror_axes) = augmentation(facts, plane, &mut reasons);
    let experiment = Experiment {
        dataset: wish.dataset.clone(),
        fold: 0,
        folds: wish.folds.into(),
        seed: wish.seed,
        network,
        preprocessing,
        augmentation,
        training,
        inference: InferenceConfig { mirror_axes, ..InferenceConfig::default() },
        bundle: BundleConfig::default(),
    };
    experiment.validate()?;
    Ok(Planned { experiment, reasons: reasons.0 })
}

struct Reasons(Vec<Reason>);

impl Reasons {
    fn because(&mut self, key: &'static str, because: impl Into<String>) {
        self.0.push(Reason { key, because: because.into() });
    }
}

/// The plane of the slices, and which axes of the facts run along x, y and across.
fn plane(facts: &DataFacts, reasons: &mut Reasons) -> (Plane, [usize; 3]) {
    let key = "preprocessing.plane";
    let Some(spacing) = facts.spacing_mm else {
        reasons.because(key, "the images have no place in a patient: as they are stored");
        return (Plane::Stored, [0, 1, 2]);
    };
    let planes =
        [(Plane::Sagittal, [1, 2, 0]), (Plane::Coronal, [0, 2, 1]), (Plane::Axial, [0, 1, 2])];
    let smallest = spacing.iter().copied().fold(f64::INFINITY, f64::min);
    let shown = millimeters(spacing);
    // Slices lie across the axis of the coarsest spacing; axial ones where no axis stands out.
    let across = |axes: [usize; 3]| spacing[axes[2]];
    let coarsest = planes.into_iter().fold(planes[2], |best, plane| {
        if across(plane.1) > 1.2 * across(best.1) { plane } else { best }
    });
    if across(coarsest.1) > 1.2 * smallest {
        let named = match coarsest.0 {
            Plane::Sagittal => "right to left",
            Plane::Coronal => "front to back",
            _ => "head to feet",
        };
        let because = format!("voxels are {shown}, right, front and head: coarsest from {named}");
        reasons.because(key, because);
    } else {
        let because = format!("voxels are {shown}: no axis is coarser, so slices are axial");
        reasons.because(key, because);
    }
    coarsest
}

fn millimeters(spacing: [f64; 3]) -> String {
    let [x, y, z] = spacing.map(|mm| format!("{}", (mm * 1000.0).round() / 1000.0));
    format!("{x} x {y} x {z} mm")
}

/// The in-plane spacing that slices are resampled to, where it is needed, and the size of the
/// middle slice then: (x, y).
fn spacing(
    facts: &DataFacts,
    [x, y, _]: [usize; 3],
    reasons: &mut Reasons,
) -> (Option<[f64; 2]>, [usize; 2]) {
    let size = [facts.size[x], facts.size[y]];
    let Some(spacing) = facts.spacing_mm else { return (None, size) };
    let spread = facts.spacing_spread[x].max(facts.spacing_spread[y]);
    let uneven = (spacing[x] / spacing[y]).max(spacing[y] / spacing[x]);
    if spread <= 1.02 && uneven <= 1.02 {
        let because = format!(
            "no spacing_mm: all slices have pixels of {:.3} mm within 2 %, so nothing is resampled",
            spacing[x]
        );
        reasons.because("preprocessing", because);
        return (None, size);
    }
    // Four digits are enough, and legible.
    let target = [spacing[x], spacing[y]].map(|mm| (mm * 1e4).round() / 1e4);
    let because = format!(
        "the middle one of all cases; theirs differ by a factor of up to {spread:.2}, and a network \
         knows no millimeters"
    );
    reasons.because("preprocessing.spacing_mm", because);
    (Some(target), size)
}

fn normalization(facts: &DataFacts, reasons: &mut Reasons) -> Normalization {
    let key = "preprocessing.normalization";
    match (facts.modality.as_str(), facts.foreground) {
        ("ct", Some([low, high])) if high > low => {
            let because = format!(
                "CT has units: the window holds percentiles 0.5 to 99.5 of the foreground, {low:.0} \
                 to {high:.0} HU"
            );
            reasons.because(key, because);
            let level_hu = f64::midpoint(low, high).round();
            Normalization::Window { level_hu, width_hu: (high - low).round().max(1.0) }
        }
        ("rgb", _) => {
            reasons.because(key, "colors less the mean of usual photographs, by their spread");
            Normalization::Imagenet
        }
        (modality, _) => {
            let named = if modality.is_empty() { "an unnamed modality" } else { modality };
            let because = format!("the scale of {named} means nothing, each case is its own");
            reasons.because(key, because);
            Normalization::ZScore
        }
    }
}

fn neighbors(facts: &DataFacts, [x, y, z]: [usize; 3], reasons: &mut Reasons) -> usize {
    let key = "preprocessing.neighbors";
    if facts.size[z] == 1 {
        reasons.because(key, "a picture has no neighbors");
        return 0;
    }
    let spacing = facts.spacing_mm.unwrap_or([1.0; 3]);
    let far = spacing[z] / spacing[x].min(spacing[y]);
    if far > FAR_SLICES {
        let because = format!(
            "slices lie {far:.1} times as far apart as pixels: neighbors say little of each other"
        );
        reasons.because(key, because);
        return 0;
    }
    let because = format!(
        "slices lie {far:.1} times as far apart as pixels: the one below and the one above help \
         (2.5D)"
    );
    reasons.because(key, because);
    1
}

/// What decides about sizes.
struct Sized<'a> {
    facts: &'a DataFacts,
    wish: &'a Wish,
    channels: usize,
    /// The middle slice after resampling: (x, y).
    slice: [usize; 2],
    axes: [usize; 3],
}

impl Sized<'_> {
    /// The network, its patch and how many fit into memory.
    fn fit(
        &self,
        reasons: &mut Reasons,
    ) -> Result<(NetworkConfig, [usize; 2], usize), EngineError> {
        // The largest slice, as far as its pixels are those of the middle one.
        let largest = [0, 1].map(|side| self.facts.largest[self.axes[side]]);
        let grown = [0, 1].map(|side| {
            let size = self.facts.size[self.axes[side]].max(1);
            (self.slice[side] * largest[side]).div_ceil(size).min(2 * self.slice[side])
        });
        let mut whole = [grown[1], grown[0]]; // height, width
        loop {
            let network = self.network(whole);
            let patch = whole.map(|size| patch_side(&network, size));
            let classes = self.facts.classes.len();
            let [per_slice, weights] =
                memory::training_bytes(&network, self.channels, classes, patch)?;
            let left = self.wish.memory_bytes.saturating_sub(weights);
            let in_memory = usize::try_from(left / per_slice.max(1)).unwrap_or(usize::MAX);
            let least = network.settings().smallest_batch(patch).max(2);
            if in_memory >= least {
                let batch = self.batch(patch, in_memory, least);
                self.explain(whole, [grown[1], grown[0]], per_slice, reasons);
                return Ok((network, patch, batch));
            }
            let longer = usize::from(whole[1] >= whole[0]);
            if whole[longer] <= 2 * network.smallest_size().max(16) {
                let message = format!(
                    "expected memory for {least} slices of {} x {} pixels, some {} MiB each, found \
                     {} MiB in all",
                    patch[1],
                    patch[0],
                    per_slice >> 20,
                    self.wish.memory_bytes >> 20
                );
                return Err(EngineError::Input { message });
            }
            whole[longer] = whole[longer].div_ceil(2);
        }
    }

    /// The network with as many levels as a patch of this size bears.
    fn network(&self, [height, width]: [usize; 2]) -> NetworkConfig {
        // Down to some four pixels, as nnU-Net has it.
        let halvings = (height.min(width).max(8) as f64 / 4.0).log2().floor() as usize;
        match &self.wish.network {
            NetworkConfig::Unet(unet) => {
                let depth = (halvings + 1).clamp(2, unet.depth.max(4));
                NetworkConfig::Unet(UnetConfig { depth, ..unet.clone() })
            }
            NetworkConfig::Nnunet(nnunet) => {
                let stages = (halvings + 1).clamp(3, 8);
                NetworkConfig::Nnunet(NnunetConfig { stages, ..nnunet.clone() })
            }
            other => other.clone(),
        }
    }

    fn batch(&self, [height, width]: [usize; 2], in_memory: usize, least: usize) -> usize {
        let pixels = self.slice.iter().product::<usize>() * self.slices();
        let share = LARGEST_SHARE * pixels as f64 / (height * width) as f64;
        in_memory.min(share as usize).clamp(least, LARGEST_BATCH)
    }

    /// Slices of all cases together, about.
    fn slices(&self) -> usize {
        self.facts.size[self.axes[2]] * self.facts.cases
    }

    fn explain(
        &self,
        whole: [usize; 2],
        wanted: [usize; 2],
        per_slice: u64,
        reasons: &mut Reasons,
    ) {
        let [width, height] = self.slice;
        let because = if whole == wanted && whole.iter().all(|side| *side <= LARGEST_PATCH) {
            format!(
                "whole slices: the middle one has {width} x {height} pixels, the largest {} x {}, \
                 filled up to what the network divides",
                wanted[1], wanted[0]
            )
        } else {
            format!(
                "a part of the slice, whose middle is {width} x {height}: two whole ones do not fit \
                 into {} MiB, or they are larger than {LARGEST_PATCH}",
                self.wish.memory_bytes >> 20
            )
        };
        reasons.because("training.patch", because);
        let because = format!(
            "each slice takes some {} MiB in training, of {} MiB; at most {LARGEST_BATCH}, and 5 % \
             of the data set's pixels",
            (per_slice >> 20).max(1),
            self.wish.memory_bytes >> 20
        );
        reasons.because("training.batch_size", because);
    }
}

/// The least size that the network takes and that holds `size`, where that is not too large.
fn patch_side(network: &NetworkConfig, size: usize) -> usize {
    let multiple = network.size_multiple();
    let size = size.clamp(network.smallest_size(), LARGEST_PATCH);
    size.next_multiple_of(multiple)
}

fn training(
    sized: &Sized<'_>,
    patch: [usize; 2],
    batch_size: usize,
    reasons: &mut Reasons,
) -> TrainingConfig {
    let per_epoch = (sized.slices() / batch_size).max(1);
    let [least, most] = STEPS;
    let epochs = 100.clamp(least.div_ceil(per_epoch), most.div_ceil(per_epoch).max(1));
    let because = format!(
        "{per_epoch} steps make an epoch of all {} slices: {} steps, between {least} and {most}",
        sized.slices(),
        epochs * per_epoch
    );
    reasons.because("training.epochs", because);
    let loss = loss(sized.facts, reasons);
    let smaller = patch[0] < sized.slice[1] || patch[1] < sized.slice[0];
    let foreground = 1.0 - sized.facts.classes.first().map_or(0.0, |class| class.share);
    let because = if smaller {
        format!(
            "a third of the patches is put on a foreground pixel, as in nnU-Net: {:.2} % of all \
             voxels are",
            100.0 * foreground
        )
    } else {
        "counts for nothing: patches hold whole slices".to_owned()
    };
    reasons.because("training.foreground_share", because);
    TrainingConfig {
        epochs,
        batch_size,
        patch,
        learning_rate: 0.01,
        schedule: Schedule::Poly { power: 0.9 },
        loss,
        foreground_share: 0.33,
        validate_every: (epochs / 25).max(1),
        ..TrainingConfig::default()
    }
}

/// Classes this many times as rare as the most common foreground class get a weight.
const RARE: f64 = 50.0;

fn loss(facts: &DataFacts, reasons: &mut Reasons) -> LossConfig {
    let key = "training.loss";
    let foreground = facts.classes.iter().skip(1).filter(|class| class.share > 0.0);
    let shares = || foreground.clone().map(|class| class.share);
    let (rarest, commonest) =
        (shares().fold(f64::INFINITY, f64::min), shares().fold(0.0, f64::max));
    if commonest <= RARE * rarest {
        let because = "cross-entropy for every pixel, Dice for every class whatever its size: no \
                       class is so rare that it needs a weight";
        reasons.because(key, because);
        return LossConfig::DiceCrossEntropy;
    }
    // Inverse square roots of the shares, so that the mean over pixels stays one.
    let raw: Vec<f64> = facts
        .classes
        .iter()
        .map(|class| if class.share > 0.0 { class.share.powf(-0.5) } else { 0.0 })
        .collect();
    let mean: f64 =
        raw.iter().zip(&facts.classes).map(|(weight, class)| weight * class.share).sum();
    let rounded = |weight: &f64| (weight / mean * 100.0).round() / 100.0;
    let class_weights = raw.iter().map(rounded).collect();
    let because = format!(
        "one class has {:.0} times the voxels of another: cross-entropy weighs each by the inverse \
         square root of its share",
        commonest / rarest
    );
    reasons.because(key, because);
    let cross_entropy = CrossEntropyConfig { class_weights, ..CrossEntropyConfig::default() };
    let weighted = |loss| WeightedLoss { weight: 1.0, loss };
    LossConfig::Sum(vec![
        weighted(LossConfig::CrossEntropy(cross_entropy)),
        weighted(LossConfig::Dice(DiceConfig::default())),
    ])
}

fn augmentation(
    facts: &DataFacts,
    plane: Plane,
    reasons: &mut Reasons,
) -> (AugmentConfig, Vec<MirrorAxis>) {
    let sided = facts.classes.iter().find(|class| {
        let name = class.name.to_lowercase();
        name.split(|c: char| !c.is_alphanumeric()).any(|word| ["left", "right"].contains(&word))
    });
    let across_body = matches!(plane, Plane::Axial | Plane::Coronal | Plane::Stored);
    let flip_x = match sided {
        Some(class) if across_body => {
            let because = format!("no mirrors: class {:?} has a side", class.name);
            reasons.because("augmentation.flip_x", because);
            0.0
        }
        _ if across_body => {
            reasons.because("augmentation.flip_x", "no class has a side by its name");
            0.5
        }
        _ => {
            reasons.because("augmentation.flip_x", "no mirrors: front and back differ");
            0.0
        }
    };
    let mirror_axes = if flip_x > 0.0 {
        let because = "what was learned mirrored is asked mirrored, too: twice the time";
        reasons.because("inference.mirror_axes", because);
        vec![MirrorAxis::X]
    } else {
        Vec::new()
    };
    let augmentation = AugmentConfig {
        flip_x,
        rotation_degrees: 15.0,
        scale: 0.25,
        contrast: 0.25,
        brightness: 0.2,
        gamma: 0.3,
        noise: 0.1,
        ..AugmentConfig::default()
    };
    (augmentation, mirror_axes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{ClassFacts, Planned};

    fn classes(shares: &[(&str, f64)]) -> Vec<ClassFacts> {
        let class =
            |&(name, share): &(&str, f64)| ClassFacts { name: name.into(), share, cases: 9 };
        shares.iter().map(class).collect()
    }

    /// Small volumes of one spacing, as those of the hippocampus are.
    fn small() -> DataFacts {
        DataFacts {
            modality: "mr".into(),
            cases: 128,
            spacing_mm: Some([1.0; 3]),
            spacing_spread: [1.0; 3],
            size: [35, 50, 36],
            largest: [43, 59, 47],
            foreground: Some([10.0, 300.0]),
            classes: classes(&[("background", 0.95), ("front", 0.03), ("back", 0.02)]),
        }
    }

    fn wish() -> Wish {
        let unet = UnetConfig { base_channels: 32, ..UnetConfig::default() };
        Wish {
            dataset: "some".into(),
            network: NetworkConfig::Unet(unet),
            memory_bytes: 8 << 30,
            folds: 5,
            seed: 3,
        }
    }

    fn because<'a>(planned: &'a Planned, key: &str) -> &'a str {
        &planned.reasons.iter().find(|reason| reason.key == key).unwrap().because
    }

    #[test]
    fn small_volumes_of_one_spacing_are_learned_whole_and_not_resampled() {
        let planned = plan(&small(), &wish()).unwrap();
        let Experiment { network, preprocessing, training, inference, .. } = &planned.experiment;
        assert_eq!((preprocessing.plane, preprocessing.neighbors), (Plane::Axial, 1));
        assert_eq!(preprocessing.spacing_mm, None);
        assert_eq!(preprocessing.normalization, Normalization::ZScore);
        let NetworkConfig::Unet(unet) = network else { panic!("{network:?}") };
        assert_eq!((unet.depth, training.patch), (4, [64, 48]), "59 x 43 in multiples of 8");
        assert_eq!((training.batch_size, &training.loss), (24, &LossConfig::DiceCrossEntropy));
        assert_eq!(inference.mirror_axes, [MirrorAxis::X]);
        assert!(because(&planned, "training.patch").starts_with("whole slices: "));
    }

    #[test]
    fn slices_lie_across_the_coarsest_axis_and_get_one_spacing() {
        let facts = DataFacts {
            modality: "ct".into(),
            spacing_mm: Some([0.7, 5.0, 0.7]),
            spacing_spread: [1.3, 1.0, 1.3],
            size: [300, 20, 400],
            largest: [512, 40, 512],
            foreground: Some([-100.0, 300.0]),
            classes: classes(&[("background", 0.9), ("left kidney", 0.05), ("liver", 0.05)]),
            ..small()
        };
        let planned = plan(&facts, &wish()).unwrap();
        let Experiment { preprocessing, training, augmentation, inference, .. } =
            &planned.experiment;
        assert_eq!(preprocessing.plane, Plane::Coronal);
        assert_eq!(preprocessing.spacing_mm, Some([0.7, 0.7]));
        assert_eq!(preprocessing.neighbors, 0, "slices are 7 times as far apart as pixels");
        let window = Normalization::Window { level_hu: 100.0, width_hu: 400.0 };
        assert_eq!(preprocessing.normalization, window);
        assert_eq!((augmentation.flip_x, inference.mirror_axes.len()), (0.0, 0));
        assert_eq!(
            because(&planned, "augmentation.flip_x"),
            "no mirrors: class \"left kidney\" has a side"
        );
        // Width by height, (x, y), becomes height by width.
        let [height, width] = training.patch;
        assert!(height >= 400 && width >= 300, "{:?}", training.patch);
    }

    #[test]
    fn what_does_not_fit_into_memory_is_learned_in_parts() {
        let facts = DataFacts { size: [600, 500, 9], largest: [600, 500, 9], ..small() };
        let tight = Wish { memory_bytes: 300 << 20, ..wish() };
        let planned = plan(&facts, &tight).unwrap();
        let [height, width] = planned.experiment.training.patch;
        assert!(height < 500 && width < 600, "{height} x {width}");
        let [per_slice, weights] = memory::training_bytes(
            &planned.experiment.network,
            3,
            3,
            planned.experiment.training.patch,
        )
        .unwrap();
        let batch = planned.experiment.training.batch_size as u64;
        assert!(batch >= 2 && weights + batch * per_slice <= 300 << 20);
        assert!(because(&planned, "training.patch").starts_with("a part of the slice"));

        let none = Wish { memory_bytes: 1 << 20, ..wish() };
        let message = plan(&facts, &none).unwrap_err().to_string();
        assert!(message.starts_with("expected memory for 2 slices of "), "{message}");
    }

    #[test]
    fn a_rare_class_gets_a_weight_and_the_mean_weight_of_a_pixel_is_one() {
        let shares = [("background", 0.9), ("common", 0.0999), ("rare", 0.0001)];
        let facts = DataFacts { classes: classes(&shares), ..small() };
        let planned = plan(&facts, &wish()).unwrap();
        let LossConfig::Sum(losses) = &planned.experiment.training.loss else { panic!() };
        let LossConfig::CrossEntropy(config) = &losses[0].loss else { panic!() };
        let mean: f64 = config
            .class_weights
            .iter()
            .zip(shares)
            .map(|(weight, (_, share))| weight * share)
            .sum();
        assert!((mean - 1.0).abs() < 0.01, "{:?}", config.class_weights);
        assert!(config.class_weights[2] > 30.0 * config.class_weights[1]);
    }

    #[test]
    fn pictures_in_color_are_stored_slices_without_neighbors() {
        let facts = DataFacts {
            modality: "rgb".into(),
            spacing_mm: None,
            size: [480, 360, 1],
            largest: [480, 360, 1],
            foreground: None,
            ..small()
        };
        let planned = plan(&facts, &wish()).unwrap();
        let PreprocessConfig { input, plane, neighbors, normalization, .. } =
            planned.experiment.preprocessing;
        assert_eq!((input, plane, neighbors), (Input::Rgb, Plane::Stored, 0));
        assert_eq!(normalization, Normalization::Imagenet);
    }

    #[test]
    fn the_file_is_the_experiment_and_says_why() {
        let planned = plan(&small(), &wish()).unwrap();
        let text = planned.to_toml();
        let read: Experiment = toml::from_str(&text).unwrap();
        assert_eq!(read, planned.experiment);
        for reason in &planned.reasons {
            let words = reason.because.split(' ').take(3).collect::<Vec<_>>().join(" ");
            assert!(text.contains(&format!("# {words}")), "{}: {words}", reason.key);
        }
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    }
}
