//! From the options of `lamina evaluate` to what is measured and how.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, bail};
use clap::ValueEnum;
use lamina_engine::bundle::Manifest;
use lamina_engine::metrics::{Aggregation, Convention, Evaluation, Measures, Metric};
use lamina_io::dataset::DatasetConfig;

use super::EvaluateArgs;

/// What the numbers of many cases are made into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Aggregate {
    /// Each case by itself, then their mean.
    Cases,
    /// All pixels in one confusion matrix.
    Pooled,
}

/// Reads `1=anterior`.
pub fn label_name(text: &str) -> Result<(u8, String), String> {
    let expected = || format!("expected LABEL=NAME with a label from 1 to 255, found {text:?}");
    let (label, name) = text.split_once('=').ok_or_else(expected)?;
    match label.trim().parse() {
        Ok(label) if label > 0 && !name.trim().is_empty() => Ok((label, name.trim().to_owned())),
        _ => Err(expected()),
    }
}

/// Reads a tolerance.
pub fn tolerance(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(tolerance) if tolerance.is_finite() && tolerance >= 0.0 => Ok(tolerance),
        _ => Err("expected a distance in millimeters, 0 or more".to_owned()),
    }
}

/// The tolerances that were asked for, or the default.
pub fn tolerances(args: &EvaluateArgs) -> Vec<f64> {
    let mut tolerances: Vec<f64> = Vec::new();
    for &tolerance in &args.tolerance_mm {
        if !tolerances.contains(&tolerance) {
            tolerances.push(tolerance);
        }
    }
    if tolerances.is_empty() { vec![1.0] } else { tolerances }
}

/// What the options ask for.
///
/// # Errors
/// When they contradict each other, or a model or data set cannot be read.
pub fn evaluation(args: &EvaluateArgs) -> anyhow::Result<Evaluation> {
    let mut evaluation = Evaluation { measures: measures(args)?, ..Evaluation::default() };
    evaluation.classes.clone_from(&args.labels);
    evaluation.measures.ignored.extend(&args.ignore);
    if let Some(folder) = &args.model {
        for (label, class) in (0_u8..).zip(&Manifest::read(folder)?.classes).skip(1) {
            evaluation.classes.push(label);
            evaluation.names.insert(label, class.name.clone());
        }
    }
    if let Some(path) = &args.data {
        take_dataset(path, &mut evaluation)?;
    }
    match args.aggregate {
        Some(Aggregate::Cases) => evaluation.aggregation = Aggregation::PerCase,
        Some(Aggregate::Pooled) => evaluation.aggregation = Aggregation::Pooled,
        None => {}
    }
    if evaluation.aggregation == Aggregation::Pooled && args.convention != Convention::Lamina {
        bail!(
            "expected a convention only where cases are averaged, found --convention {} for what is pooled",
            args.convention
        );
    }
    evaluation.names.extend(args.label_names.iter().cloned());
    evaluation.classes.sort_unstable();
    evaluation.classes.dedup();
    Ok(evaluation)
}

fn measures(args: &EvaluateArgs) -> anyhow::Result<Measures> {
    let defaults = Measures::default();
    let mut metrics: BTreeSet<Metric> = args.metrics.iter().copied().collect();
    if metrics.is_empty() {
        // The defaults, as far as the library has them.
        metrics = defaults.metrics.iter().copied().filter(|&m| args.convention.has(m)).collect();
    }
    if args.surface {
        metrics.extend([Metric::Hd95, Metric::Assd, Metric::Nsd]);
    }
    if !args.tolerance_mm.is_empty() && !metrics.contains(&Metric::Nsd) {
        bail!("expected --surface or --metrics nsd beside --tolerance-mm, found neither");
    }
    if args.boundary_width.is_some() && !metrics.contains(&Metric::BoundaryIou) {
        bail!("expected --metrics boundary-iou beside --boundary-width, found no such metric");
    }
    let measures = Measures {
        metrics,
        tolerances: tolerances(args),
        boundary_width: args.boundary_width.unwrap_or_default(),
        convention: args.convention,
        ..defaults
    };
    let foreign: Vec<&str> = measures.foreign().into_iter().map(Metric::as_str).collect();
    if !foreign.is_empty() {
        bail!(
            "expected metrics that {} has, found {}, which it does not measure",
            args.convention,
            foreign.join(", ")
        );
    }
    Ok(measures)
}

fn take_dataset(path: &Path, evaluation: &mut Evaluation) -> anyhow::Result<()> {
    let config = DatasetConfig::read(path)?;
    if config.colored_labels {
        bail!(
            "expected label files of values, found those of colors; `lamina convert --colors` makes values of them: {}",
            path.display()
        );
    }
    let narrow = |value: u16| {
        u8::try_from(value).with_context(|| {
            format!("expected values up to 255 for classes, found {value}: {}", path.display())
        })
    };
    let mut names = BTreeMap::new();
    for (place, class) in (0_u16..).zip(&config.classes) {
        names.insert(narrow(class.value.unwrap_or(place))?, class.name.clone());
    }
    if config.modality == "rgb" {
        evaluation.aggregation = Aggregation::Pooled;
    } else if let Some(background) = config.classes.first() {
        names.remove(&narrow(background.value.unwrap_or(0))?);
    }
    // 255 is no class unless it is one.
    let ignored = config.ignored.iter().copied().chain([255]).filter_map(|v| u8::try_from(v).ok());
    evaluation.measures.ignored.extend(ignored.filter(|value| !names.contains_key(value)));
    evaluation.classes.extend(names.keys());
    evaluation.names.extend(names);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_name_needs_both_halves() {
        assert_eq!(label_name("2=posterior"), Ok((2, "posterior".to_owned())));
        for wrong in ["posterior", "0=background", "1=", "256=x", "=x"] {
            assert!(label_name(wrong).is_err(), "{wrong}");
        }
    }
}
