//! Which loss, as a file says it.

use std::fmt;

use burn::tensor::{Tensor, activation};
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeSeed, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::cross_entropy::{CrossEntropyConfig, cross_entropy, validate_weight_count};
use super::detail::{detail_loss, detail_target};
use super::dice::{DiceConfig, GeneralizedDiceConfig, generalized_dice, soft_dice};
use super::lovasz::{LovaszHingeConfig, LovaszSoftmaxConfig, lovasz_hinge, lovasz_softmax};
use super::ohem::{OhemConfig, OhemForm, ohem_cross_entropy};
use super::pyramid::PyramidLoss;
use super::target::{Target, total};
use crate::error::EngineError;
use crate::networks::NetworkOutput;

/// Which loss: a name, or a table of one name and its settings.
///
/// ```toml
/// loss = "dice_cross_entropy"                        # the default
/// loss = { cross_entropy = { label_smoothing = 0.1 } }
/// loss = { ohem = { form = "stdc" } }                # as for STDC
/// ```
///
/// What the papers train with:
///
/// | network | loss |
/// |---|---|
/// | nnU-Net, U-Net | `"dice_cross_entropy"` |
/// | BPNet | `{ sum = [{ loss = "ohem" }, { loss = { dice = { background = true, per_image = true } } }] }` |
/// | BiSeNetV1, BiSeNetV2 | `{ ohem = { form = "bisenet" } }`, on the logits and on each booster alike |
/// | STDC | `{ ohem = { form = "stdc" } }`, on each head alike; that of the detail head is added |
/// | HRNetV2, ESeg | `{ ohem = { form = "hrnet" } }` |
/// | Specialize-and-Fuse | [its own](super::pyramid) for its levels, whatever is said here |
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(remote = "Self", rename_all = "snake_case")]
pub enum LossConfig {
    /// Mean cross-entropy over the pixels that count.
    CrossEntropy(CrossEntropyConfig),
    /// One minus the soft Dice of each foreground class, taken over the whole batch.
    Dice(DiceConfig),
    /// The sum of both, each with weight one and its defaults.
    #[default]
    DiceCrossEntropy,
    /// Cross entropy over the pixels that are predicted worst.
    Ohem(OhemConfig),
    /// Dice whose classes weigh the less the larger they are.
    GeneralizedDice(GeneralizedDiceConfig),
    /// The Lovász extension of the IoU of each class.
    LovaszSoftmax(LovaszSoftmaxConfig),
    /// The Lovász extension of the IoU of the one foreground class; for two classes.
    LovaszHinge(LovaszHingeConfig),
    /// Several, added.
    Sum(Vec<WeightedLoss>),
}

/// A loss among several.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeightedLoss {
    /// What it counts for; 1 where nothing is said.
    #[serde(default = "one")]
    pub weight: f64,
    /// The loss.
    pub loss: LossConfig,
}

fn one() -> f64 {
    1.0
}

/// The losses that can be named alone, with their defaults.
pub(super) fn named() -> [(&'static str, LossConfig); 7] {
    [
        ("cross_entropy", LossConfig::CrossEntropy(CrossEntropyConfig::default())),
        ("dice", LossConfig::Dice(DiceConfig::default())),
        ("dice_cross_entropy", LossConfig::DiceCrossEntropy),
        ("ohem", LossConfig::Ohem(OhemConfig::default())),
        ("generalized_dice", LossConfig::GeneralizedDice(GeneralizedDiceConfig::default())),
        ("lovasz_softmax", LossConfig::LovaszSoftmax(LovaszSoftmaxConfig::default())),
        ("lovasz_hinge", LossConfig::LovaszHinge(LovaszHingeConfig::default())),
    ]
}

impl Serialize for LossConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match named().into_iter().find(|(_, loss)| loss == self) {
            Some((name, _)) => serializer.serialize_str(name),
            None => Self::serialize(self, serializer),
        }
    }
}

impl<'de> Deserialize<'de> for LossConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NameOrTable)
    }
}

struct NameOrTable;

impl<'de> Visitor<'de> for NameOrTable {
    type Value = LossConfig;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the name of a loss, or a table of one name and its settings")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<LossConfig, E> {
        const NAMES: &[&str] = &[
            "cross_entropy",
            "dice",
            "dice_cross_entropy",
            "ohem",
            "generalized_dice",
            "lovasz_softmax",
            "lovasz_hinge",
        ];
        let found = named().into_iter().find(|(known, _)| *known == name);
        found.map(|(_, loss)| loss).ok_or_else(|| E::unknown_variant(name, NAMES))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<LossConfig, A::Error> {
        let loss = LossConfig::deserialize(MapAccessDeserializer::new(Borrowed(&mut map)))?;
        match map.next_key::<String>()? {
            None => Ok(loss),
            Some(second) => Err(de::Error::custom(format!(
                "expected the name of one loss, found `{second}` besides; `sum` adds several"
            ))),
        }
    }
}

/// A table that is looked at again after a part of it was read.
struct Borrowed<'a, A>(&'a mut A);

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Borrowed<'_, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        self.0.next_key_seed(seed)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.0.next_value_seed(seed)
    }
}

impl LossConfig {
    /// Whether these settings can work.
    ///
    /// # Errors
    /// [`EngineError::Config`] names the key, its value and what would be right.
    pub fn validate(&self) -> Result<(), EngineError> {
        self.each("training.loss", &mut |key, loss| match loss {
            Self::CrossEntropy(config) => config.validate(key),
            Self::Ohem(config) => config.validate(key),
            Self::Sum(losses) if losses.is_empty() => {
                Err(EngineError::config(key, "[]", "expected at least one loss"))
            }
            Self::Sum(losses) => {
                let wrong = |weight: f64| !(weight > 0.0 && weight <= 1e6);
                match losses.iter().enumerate().find(|(_, part)| wrong(part.weight)) {
                    Some((index, WeightedLoss { weight, .. })) => {
                        let key = format!("{key}[{index}].weight");
                        Err(EngineError::config(key, weight, "expected above 0, up to 1e6"))
                    }
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        })
    }

    /// Whether these settings fit a data set of so many classes.
    ///
    /// # Errors
    /// [`EngineError::Config`] names the key, its value and what would be right.
    pub fn validate_classes(&self, num_classes: usize) -> Result<(), EngineError> {
        self.each("training.loss", &mut |key, loss| match loss {
            Self::CrossEntropy(CrossEntropyConfig { class_weights, .. })
            | Self::Ohem(OhemConfig { class_weights, .. }) => {
                validate_weight_count(class_weights, key, num_classes)
            }
            Self::LovaszHinge(_) if num_classes != 2 => {
                let expected = format!(
                    "expected a data set of 2 classes, this one has {num_classes}; \
                     lovasz_softmax takes any number"
                );
                let key = key.rsplit_once('.').map_or(key, |(key, _)| key);
                Err(EngineError::config(key, "lovasz_hinge", expected))
            }
            _ => Ok(()),
        })
    }

    /// Calls `check` with this loss and all that it is made of, each with its key.
    fn each(
        &self,
        key: &str,
        check: &mut dyn FnMut(&str, &Self) -> Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        let name = match self {
            Self::CrossEntropy(_) => "cross_entropy",
            Self::Dice(_) => "dice",
            Self::DiceCrossEntropy => "dice_cross_entropy",
            Self::Ohem(_) => "ohem",
            Self::GeneralizedDice(_) => "generalized_dice",
            Self::LovaszSoftmax(_) => "lovasz_softmax",
            Self::LovaszHinge(_) => "lovasz_hinge",
            Self::Sum(_) => "sum",
        };
        let key = format!("{key}.{name}");
        check(&key, self)?;
        if let Self::Sum(losses) = self {
            for (index, WeightedLoss { loss, .. }) in losses.iter().enumerate() {
                loss.each(&format!("{key}[{index}].loss"), check)?;
            }
        }
        Ok(())
    }

    /// The loss of logits `[batch, class, height, width]`: `[1]`.
    pub fn of_logits(&self, logits: Tensor<4>, target: &Target) -> Tensor<1> {
        if target.counted() == 0 {
            return total(logits.mul_scalar(0.0));
        }
        let log_probabilities = activation::log_softmax(logits.clone(), 1);
        self.of(&logits, log_probabilities, target)
    }

    fn of(&self, logits: &Tensor<4>, log_probabilities: Tensor<4>, target: &Target) -> Tensor<1> {
        match self {
            Self::CrossEntropy(config) => cross_entropy(log_probabilities, target, config),
            Self::Dice(config) => soft_dice(log_probabilities, target, config),
            Self::DiceCrossEntropy => {
                let plain = CrossEntropyConfig::default();
                cross_entropy(log_probabilities.clone(), target, &plain)
                    + soft_dice(log_probabilities, target, &DiceConfig::default())
            }
            Self::Ohem(config) => ohem_cross_entropy(log_probabilities, target, config),
            Self::GeneralizedDice(config) => generalized_dice(log_probabilities, target, config),
            Self::LovaszSoftmax(config) => lovasz_softmax(log_probabilities, target, config),
            Self::LovaszHinge(config) => {
                assert_eq!(target.num_classes(), 2, "the hinge is for two classes");
                let margin = logits.clone().narrow(1, 1, 1) - logits.clone().narrow(1, 0, 1);
                lovasz_hinge(margin, target, config)
            }
            Self::Sum(losses) => losses
                .iter()
                .map(|WeightedLoss { weight, loss }| {
                    loss.of(logits, log_probabilities.clone(), target).mul_scalar(*weight)
                })
                .reduce(|sum, part| sum + part)
                .expect("a sum has parts, as `validate` sees to"),
        }
    }

    /// What auxiliary heads have where the logits have this.
    fn auxiliary(&self) -> Self {
        match self {
            Self::Ohem(OhemConfig { form: OhemForm::Hrnet, class_weights, .. }) => {
                let class_weights = class_weights.clone();
                Self::CrossEntropy(CrossEntropyConfig { class_weights, ..Default::default() })
            }
            Self::Sum(losses) => Self::Sum(
                losses
                    .iter()
                    .map(|part| WeightedLoss { loss: part.loss.auxiliary(), ..part.clone() })
                    .collect(),
            ),
            _ => self.clone(),
        }
    }

    /// The loss of the logits plus that of each auxiliary head times its weight, plus that of each
    /// head that finds the borders of labels. Where the logits were fused from the levels of a
    /// pyramid, it is these that learn, by a loss of their own.
    ///
    /// # Shapes
    /// - output: `[1]`
    pub fn forward(&self, output: NetworkOutput, target: &Target) -> Tensor<1> {
        if let Some(pyramid) = &output.pyramid {
            return PyramidLoss::forward(pyramid, &target.to_tensor());
        }
        let main = self.of_logits(output.logits, target);
        let of_heads = self.auxiliary();
        let with_heads = output.auxiliary.into_iter().fold(main, |sum, head| {
            sum + of_heads.of_logits(head.logits, target).mul_scalar(head.weight)
        });
        if output.detail.is_empty() {
            return with_heads;
        }
        if target.counted() == 0 {
            // Ignored pixels have borders as in the reference, but here there is nothing else.
            let nothing = output.detail.into_iter().map(|head| total(head.logits.mul_scalar(0.0)));
            return nothing.fold(with_heads, |sum, nothing| sum + nothing);
        }
        let borders = detail_target(target.labels(), target.size(), target.device());
        output.detail.into_iter().fold(with_heads, |sum, head| {
            let terms = detail_loss(head.logits, borders.clone(), head.denominator);
            sum + terms.cross_entropy + terms.dice
        })
    }
}
