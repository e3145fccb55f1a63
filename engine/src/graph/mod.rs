//! The forward of a network as a graph: what counts, the folded inference graph, and later the
//! compiled plan are made from.
//!
//! A network is written once, as Burn modules. Its graph is captured from the forward that runs:
//! the operations are recorded with their shapes and not executed, so that nothing here is a second
//! description of any network.

mod costs;
mod fold;
mod run;

use std::collections::{BTreeMap, BTreeSet};

use burn::backend::Capture;
use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Tensor, TensorData};
use burn_ir::{IrVisitorMut, OperationIr, TensorId, TensorIr, TensorStatus};

pub use costs::Costs;
pub use run::InferenceGraph;

use crate::networks::{Heads, Network, NetworkOutput};

/// A forward for one size of the input.
#[derive(Debug, Clone)]
pub struct Graph {
    /// In the order in which they run.
    operations: Vec<OperationIr>,
    /// Weights and other tensors that do not depend on the input. Empty if only shapes were asked
    /// for.
    constants: BTreeMap<TensorId, TensorData>,
    input: TensorId,
    /// The logits, then what the auxiliary heads answer.
    outputs: Vec<TensorId>,
}

/// Why a forward could not be captured: our mistake, not the user's.
#[derive(Debug, thiserror::Error)]
#[error("the forward of this network cannot be captured: {0}")]
pub struct CaptureError(String);

impl Graph {
    /// The forward of `network`, a trained one, for inputs of `shape`,
    /// `[batch, in_channels, height, width]`.
    ///
    /// # Errors
    /// [`CaptureError`] if the forward does something that cannot be recorded.
    pub fn capture(
        network: &Network,
        shape: [usize; 4],
        heads: Heads,
    ) -> Result<Self, CaptureError> {
        Self::record(shape, heads, |device| network.clone().to_device(device))
    }

    /// The shapes of [`capture`](Self::capture) alone: weights are neither drawn nor read, so that
    /// a large network costs nothing. The network is lost, as its running statistics, which Burn
    /// shares between clones, are.
    ///
    /// # Errors
    /// as [`capture`](Self::capture)
    pub fn outline(
        network: Network,
        shape: [usize; 4],
        heads: Heads,
    ) -> Result<Self, CaptureError> {
        Self::record(shape, heads, |device| network.map(&mut Hollow { device }))
    }

    fn record(
        shape: [usize; 4],
        heads: Heads,
        network: impl FnOnce(&Device) -> Network,
    ) -> Result<Self, CaptureError> {
        let device = Device::capture();
        let mut input = None;
        let captured = device.capture_scope(|scope| {
            let network = network(&device);
            let image = Tensor::<4>::zeros(shape, &Device::flex()).to_device(&device);
            let image_id = id_of(&image);
            input = Some(image_id);
            let output = network.architecture().run(image, heads, &mut |_, _| {});
            let outputs: Vec<_> = maps_of(output).iter().map(id_of).collect();
            scope.complete([image_id], outputs)
        });
        let captured = captured.map_err(|error| CaptureError(error.to_string()))?;
        let [input] = captured.graph.inputs[..] else {
            return Err(CaptureError("it has more than one input".to_owned()));
        };
        let mut constants = captured.values;
        constants.remove(&input);
        let mut graph = Self {
            operations: captured.graph.operations,
            constants,
            input,
            outputs: captured.graph.outputs,
        };
        // What recording adds: tensors that came from outside, and the ends of lives.
        graph
            .operations
            .retain(|operation| !matches!(operation, OperationIr::Init(_) | OperationIr::Drop(_)));
        Ok(graph)
    }

    /// Operations on the input whose result nothing reads.
    pub fn unused(&self) -> Vec<String> {
        let constants = self.constant_ids();
        let mut read: BTreeSet<TensorId> = self.outputs.iter().copied().collect();
        read.extend(self.operations.iter().flat_map(OperationIr::inputs).map(|tensor| tensor.id));
        let unused = |operation: &&OperationIr| {
            !operation
                .outputs()
                .any(|tensor| read.contains(&tensor.id) || constants.contains(&tensor.id))
        };
        self.operations.iter().filter(unused).map(|operation| format!("{operation:?}")).collect()
    }

    /// How many operations there are.
    pub fn len(&self) -> usize {
        self.operations.len()
    }

    /// Whether the input is passed on as it is.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    /// The last operation that reads each tensor.
    fn last_uses(&self) -> BTreeMap<TensorId, usize> {
        let mut last = BTreeMap::new();
        for (index, operation) in self.operations.iter().enumerate() {
            last.extend(operation.inputs().map(|tensor| (tensor.id, index)));
        }
        last
    }

    /// Marks where tensors are read for the last time, after operations were changed.
    fn end_lives(&mut self) {
        let last = self.last_uses();
        let kept: BTreeSet<TensorId> =
            self.constants.keys().chain(&self.outputs).copied().collect();
        let operations = std::mem::take(&mut self.operations);
        for (index, mut operation) in operations.into_iter().enumerate() {
            let ids: Vec<TensorId> = operation.inputs().map(|tensor| tensor.id).collect();
            let ends = |id: &TensorId| last[id] == index && !kept.contains(id);
            let once = |id: &TensorId| ids.iter().filter(|other| *other == id).count() == 1;
            operation
                .visit_mut(&mut Statuses { ends: &|id| ids.contains(id) && ends(id) && once(id) });
            let read_twice: BTreeSet<_> = ids.iter().filter(|id| ends(id) && !once(id)).collect();
            let dropped: Vec<_> = (operation.inputs())
                .filter(|tensor| read_twice.contains(&tensor.id))
                .map(|tensor| (tensor.id, tensor.clone()))
                .collect::<BTreeMap<_, _>>()
                .into_values()
                .collect();
            self.operations.push(operation);
            self.operations.extend(dropped.into_iter().map(OperationIr::Drop));
        }
    }
}

/// All that a network answers, the logits first.
fn maps_of(output: NetworkOutput) -> Vec<Tensor<4>> {
    output.into_named().into_iter().map(|(_, map)| map).collect()
}

fn id_of(tensor: &Tensor<4>) -> TensorId {
    let primitive = tensor.clone().try_into_primitive::<Capture>();
    primitive.expect("the tensor is on the capturing device").id()
}

/// Replaces each weight by zeros that are only recorded.
struct Hollow<'a> {
    device: &'a Device,
}

impl ModuleMapper for Hollow<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let zeros = Tensor::zeros(param.lazy_shape(), self.device);
        Param::initialized(param.id, zeros)
    }
}

/// Writes down for each tensor that an operation reads whether that is the last time.
struct Statuses<'a> {
    ends: &'a dyn Fn(&TensorId) -> bool,
}

impl IrVisitorMut for Statuses<'_> {
    fn visit_tensor_mut(&mut self, tensor: &mut TensorIr) {
        if tensor.status == TensorStatus::NotInit {
            return; // what the operation makes
        }
        tensor.status =
            if (self.ends)(&tensor.id) { TensorStatus::ReadWrite } else { TensorStatus::ReadOnly };
    }
}
