//! Which prediction belongs to which reference.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, bail};
use lamina_engine::metrics::Pair;

use crate::cli::inputs::{CaseFiles, Input};
use crate::cli::output::{Output, error_line};

/// Pairs the files of two folders by name, or two files; a reference without a prediction keeps the
/// reason.
///
/// # Errors
/// When one of them cannot be read, or nothing fits.
pub(crate) fn pair_up(
    prediction: &Path,
    reference: &Path,
    output: &Output,
) -> anyhow::Result<Vec<Pair>> {
    let references = CaseFiles::read(reference).context("cannot use --reference")?;
    let predictions = CaseFiles::read(prediction).context("cannot use --prediction")?;
    let single = reference.is_file() && prediction.is_file();
    let pair = |reference: &Input, found| Pair {
        case: reference.case.clone(),
        reference: reference.path.clone(),
        prediction: found,
    };
    if single {
        let first = references.iter().next().context("expected a reference")?;
        return Ok(vec![pair(first, Ok(prediction.to_path_buf()))]);
    }
    // A single file on one side asks for its own case only.
    let mut pairs = Vec::new();
    if prediction.is_file() {
        for Input { path, name, case } in predictions.iter() {
            let Some(found) = references.find(name)? else {
                bail!(
                    "expected a reference for {}, found none in {}",
                    path.display(),
                    reference.display()
                );
            };
            let reference = found.to_path_buf();
            pairs.push(Pair { case: case.clone(), reference, prediction: Ok(path.clone()) });
        }
        return Ok(pairs);
    }
    let mut used = BTreeSet::new();
    for input in references.iter() {
        let found = match predictions.find(&input.name) {
            Ok(None) => predictions.find(&input.case),
            found => found,
        };
        let found = match found {
            Ok(Some(path)) => {
                used.insert(path.to_path_buf());
                Ok(path.to_path_buf())
            }
            Ok(None) => {
                Err(format!("there is no prediction for this reference: {}", input.path.display()))
            }
            Err(ambiguous) => Err(error_line(ambiguous.as_ref())),
        };
        pairs.push(pair(input, found));
    }
    if used.is_empty() {
        bail!(
            "expected predictions with the names of the references, found none that fits: {}",
            prediction.display()
        );
    }
    if !reference.is_file() {
        for input in predictions.iter().filter(|input| !used.contains(&input.path)) {
            let path = input.path.display();
            output.note(format!("not scored, there is no reference for it: {path}"));
        }
    }
    Ok(pairs)
}
