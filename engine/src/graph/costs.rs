//! What a forward costs.

use std::collections::BTreeSet;

use burn_ir::{
    BaseOperationIr, FloatOperationIr, ModuleOperationIr, OperationIr, TensorId, TensorIr,
};
use serde::Serialize;

use super::Graph;

/// Multiply-accumulates and memory of one forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Costs {
    /// Multiply-accumulates of convolutions, linear layers and matrix products; biases and
    /// operations on single elements do not count, as in the papers, which call them FLOPs.
    pub macs: u64,
    /// The most memory that maps take at once, the input among them, each held until it is read
    /// for the last time.
    pub activation_bytes: u64,
}

impl Graph {
    /// What one forward costs.
    pub fn costs(&self) -> Costs {
        Costs {
            macs: self.operations.iter().map(multiply_accumulates).sum(),
            activation_bytes: self.activation_bytes(),
        }
    }

    /// What all maps of one forward take together, as a training holds them for its backward.
    pub fn map_bytes(&self) -> u64 {
        let constants = self.constant_ids();
        let view = |operation: &&OperationIr| {
            matches!(operation, OperationIr::BaseFloat(BaseOperationIr::Reshape(_)))
        };
        let made = self.operations.iter().filter(|operation| !view(operation));
        let maps = made.flat_map(|operation| operation.outputs().collect::<Vec<_>>());
        maps.filter(|tensor| !constants.contains(&tensor.id)).map(bytes).sum()
    }

    /// Everything made from constants alone is a constant.
    pub(super) fn constant_ids(&self) -> BTreeSet<TensorId> {
        let mut constants: BTreeSet<_> = self.constants.keys().copied().collect();
        for operation in &self.operations {
            if operation.inputs().all(|tensor| constants.contains(&tensor.id)) {
                constants.extend(operation.outputs().map(|tensor| tensor.id));
            }
        }
        constants
    }

    fn activation_bytes(&self) -> u64 {
        let constants = self.constant_ids();
        let last = self.last_uses();
        let input = self.operations.iter().flat_map(OperationIr::inputs);
        let input = input.into_iter().find(|tensor| tensor.id == self.input);
        let mut live = input.map_or(0, bytes);
        let mut most = live;
        for (index, operation) in self.operations.iter().enumerate() {
            let maps = |tensor: &&TensorIr| !constants.contains(&tensor.id);
            let ends = |id: &TensorId| last.get(id) == Some(&index) && !self.outputs.contains(id);
            // Another shape of the same values takes no memory.
            let view = matches!(operation, OperationIr::BaseFloat(BaseOperationIr::Reshape(_)));
            let made: u64 = operation.outputs().filter(maps).map(bytes).sum();
            if !view {
                most = most.max(live + made);
            }
            let mut read: Vec<_> = operation.inputs().filter(maps).collect();
            read.sort_unstable_by_key(|tensor| tensor.id.value());
            read.dedup_by_key(|tensor| tensor.id);
            let freed: u64 = read.into_iter().filter(|tensor| ends(&tensor.id)).map(bytes).sum();
            live = live + made - freed;
        }
        most
    }
}

fn bytes(tensor: &TensorIr) -> u64 {
    (tensor.shape.num_elements() * tensor.dtype.size()) as u64
}

fn multiply_accumulates(operation: &OperationIr) -> u64 {
    let elements = |tensor: &TensorIr| tensor.shape.num_elements() as u64;
    // Of a weight `[first, ...]`: what is summed for each element beside the first axis.
    let per_first = |weight: &TensorIr| elements(weight) / weight.shape[0].max(1) as u64;
    match operation {
        OperationIr::Module(ModuleOperationIr::Conv2d(conv)) => {
            elements(&conv.out) * per_first(&conv.weight)
        }
        OperationIr::Module(ModuleOperationIr::Conv1d(conv)) => {
            elements(&conv.out) * per_first(&conv.weight)
        }
        OperationIr::Module(ModuleOperationIr::ConvTranspose2d(conv)) => {
            elements(&conv.x) * per_first(&conv.weight)
        }
        OperationIr::Module(ModuleOperationIr::Linear(linear)) => {
            elements(&linear.out) * linear.weight.shape[0] as u64
        }
        OperationIr::Float(_, FloatOperationIr::Matmul(product)) => {
            let inner = product.lhs.shape.iter().last().copied().unwrap_or(1);
            elements(&product.out) * inner as u64
        }
        _ => 0,
    }
}
