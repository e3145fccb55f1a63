//! A loss that is no number ends the run, and the batch that caused it is kept to be looked at.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use lamina_io::dataset::Case;

use super::{Batch, Batches, Fit};
use crate::error::EngineError;
use crate::networks::Network;
use crate::weights::{self, NameMap, NamedTensor, NamedTensors, Storage};

/// Watches the losses of an epoch.
pub(super) struct Diverged<'a> {
    fit: &'a Fit<'a>,
    batches: &'a Batches<'a>,
    /// The cases that the batches are made of.
    cases: &'a [Case],
    /// From 0.
    epoch: usize,
    /// The batch before, with its place in the epoch: where its gradients overflowed, only the next
    /// loss shows it.
    before: Option<(usize, Batch)>,
}

impl<'a> Diverged<'a> {
    pub fn new(
        fit: &'a Fit<'a>,
        batches: &'a Batches<'a>,
        cases: &'a [Case],
        epoch: usize,
    ) -> Self {
        Self { fit, batches, cases, epoch, before: None }
    }

    /// Takes over `batch`, whose loss this is. `step` counts from 0 within the epoch, `place` the
    /// batches.
    ///
    /// # Errors
    /// [`EngineError::Diverged`] where the loss is no number; the batch that caused it lies in the
    /// run folder then.
    pub fn check(
        &mut self,
        loss: f64,
        step: usize,
        place: usize,
        batch: Batch,
        network: &Network,
    ) -> Result<(), EngineError> {
        if loss.is_finite() {
            self.before = Some((place, batch));
            return Ok(());
        }
        // Running statistics took in this batch already.
        let sound = weights::values_by_name(network, &NameMap::SAME)
            .iter()
            .filter(|(name, _)| !name.contains(".running_"))
            .all(|(_, tensor)| tensor.values.iter().all(|value| value.is_finite()));
        let (place, batch) = match self.before.take() {
            Some(before) if !sound => before,
            _ => (place, batch),
        };
        let saved = self.save(loss, step, place, batch)?;
        Err(EngineError::Diverged { loss, epoch: self.epoch + 1, step: step + 1, batch: saved })
    }

    /// Writes inputs and labels, and says in the metadata which slices they are.
    fn save(
        &self,
        loss: f64,
        step: usize,
        place: usize,
        batch: Batch,
    ) -> Result<PathBuf, EngineError> {
        let shape = self.batches.input_shape();
        let [size, _, height, width] = shape;
        let labels = batch.labels.iter().map(|&label| f32::from(label)).collect();
        let tensors = NamedTensors::from([
            ("inputs".to_owned(), NamedTensor { shape: shape.to_vec(), values: batch.inputs }),
            ("labels".to_owned(), NamedTensor { shape: vec![size, height, width], values: labels }),
        ]);
        let named =
            |(case, slice): (usize, usize)| format!("{}, slice {slice}", self.cases[case].id);
        let slices: Vec<String> =
            self.batches.slices_of(self.epoch, place).into_iter().map(named).collect();
        let metadata = BTreeMap::from([
            ("loss".to_owned(), loss.to_string()),
            ("epoch".to_owned(), (self.epoch + 1).to_string()),
            ("step".to_owned(), (step + 1).to_string()),
            ("slices".to_owned(), slices.join("\n")),
        ]);
        let path = self.fit.run.path().join("diverged.safetensors");
        let bytes = weights::encode(tensors, Storage::F32, metadata);
        lamina_io::atomic::write_atomically(&path, |file| file.write_all(&bytes))?;
        Ok(path)
    }
}
