//! Batch norms become part of the convolutions before them.

use std::collections::{BTreeMap, BTreeSet};

use burn::tensor::TensorData;
use burn_ir::{BatchNormOpIr, Conv2dOpIr, ModuleOperationIr, OperationIr, TensorId, TensorIr};

use super::Graph;

impl Graph {
    /// The graph without the batch norms that follow a convolution which nothing else reads: with
    /// s = γ / √(σ² + ε) for each channel, weights are scaled by s and the bias is
    /// β + s·(b − μ). Also without what nothing reads.
    ///
    /// The graph has to be [captured](Graph::capture) with its weights.
    #[must_use]
    pub fn folded(mut self) -> Self {
        let mut uses: BTreeMap<TensorId, usize> = BTreeMap::new();
        for tensor in self.operations.iter().flat_map(OperationIr::inputs) {
            *uses.entry(tensor.id).or_default() += 1;
        }
        for output in &self.outputs {
            *uses.entry(*output).or_default() += 1;
        }
        let mut convolutions: BTreeMap<TensorId, usize> = BTreeMap::new();
        let mut kept: Vec<OperationIr> = Vec::with_capacity(self.operations.len());
        for operation in std::mem::take(&mut self.operations) {
            if let OperationIr::Module(ModuleOperationIr::BatchNorm(norm)) = &operation
                && uses[&norm.x.id] == 1
                && let Some(&index) = convolutions.get(&norm.x.id)
                && let OperationIr::Module(ModuleOperationIr::Conv2d(convolution)) = &kept[index]
                && let Some(folded) = fold(convolution, norm, &mut self.constants)
            {
                convolutions.insert(folded.out.id, index);
                kept[index] = OperationIr::Module(ModuleOperationIr::Conv2d(folded));
                continue;
            }
            if let OperationIr::Module(ModuleOperationIr::Conv2d(convolution)) = &operation {
                convolutions.insert(convolution.out.id, kept.len());
            }
            kept.push(operation);
        }
        self.operations = kept;
        self.prune();
        self
    }

    /// Takes away what nothing reads.
    fn prune(&mut self) {
        let mut read: BTreeSet<_> = self.outputs.iter().copied().collect();
        let mut kept: Vec<_> = std::mem::take(&mut self.operations)
            .into_iter()
            .rev()
            .filter(|operation| {
                let wanted = operation.outputs().any(|tensor| read.contains(&tensor.id));
                if wanted {
                    read.extend(operation.inputs().map(|tensor| tensor.id));
                }
                wanted
            })
            .collect();
        kept.reverse();
        self.operations = kept;
        self.constants.retain(|id, _| read.contains(id));
    }
}

/// The convolution that does both, if all that is needed is constant.
fn fold(
    convolution: &Conv2dOpIr,
    norm: &BatchNormOpIr,
    constants: &mut BTreeMap<TensorId, TensorData>,
) -> Option<Conv2dOpIr> {
    let values = |tensor: &TensorIr| -> Option<Vec<f64>> {
        Some(constants.get(&tensor.id)?.iter::<f64>().collect())
    };
    let [gamma, beta] = [values(&norm.gamma)?, values(&norm.beta)?];
    let [mean, variance] = [values(&norm.mean)?, values(&norm.variance)?];
    let mut weight = values(&convolution.weight)?;
    let bias = match &convolution.bias {
        Some(bias) => values(bias)?,
        None => vec![0.0; mean.len()],
    };
    let epsilon: f64 = norm.epsilon.elem();
    let scales: Vec<f64> =
        gamma.iter().zip(&variance).map(|(gamma, var)| gamma / (var + epsilon).sqrt()).collect();
    let per_channel = weight.len() / scales.len();
    for (channel, scale) in weight.chunks_mut(per_channel).zip(&scales) {
        for value in channel {
            *value *= scale;
        }
    }
    let bias: Vec<f32> = (0..scales.len())
        .map(|channel| (beta[channel] + scales[channel] * (bias[channel] - mean[channel])) as f32)
        .collect();
    // The norm's scale and shift, of which nothing else is read, lend their ids.
    let [weight_id, bias_id] = [norm.gamma.id, norm.beta.id];
    let weight: Vec<f32> = weight.into_iter().map(|value| value as f32).collect();
    let shape = convolution.weight.shape.clone();
    constants.insert(weight_id, TensorData::new(weight, shape));
    constants.insert(bias_id, TensorData::new(bias, norm.beta.shape.clone()));
    Some(Conv2dOpIr {
        weight: TensorIr { id: weight_id, ..convolution.weight.clone() },
        bias: Some(TensorIr { id: bias_id, ..norm.beta.clone() }),
        out: norm.out.clone(),
        ..convolution.clone()
    })
}
