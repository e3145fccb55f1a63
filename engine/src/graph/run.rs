//! Runs a graph on the CPU.

use burn::backend::{Flex, FlexDevice};
use burn::tensor::Tensor;
use burn::tensor::ops::ConvOptions;
use burn_ir::{
    HandleKind, InterpolateModeIr, ModuleOperationIr, OperationIr, TensorId, TensorIr, TensorStatus,
};
use burn_router::TensorInterpreter;

use super::{CaptureError, Graph};
use crate::networks::{Heads, Network};
use crate::nn::{MaxPool2dConfig, convolve, interpolate_bilinear};

/// A graph with its weights in place, for inputs of one shape, on the CPU.
///
/// Batch norms are folded into convolutions, and no auxiliary head is there. Convolutions, max
/// pooling and bilinear resizing are those of [`crate::nn`], the rest is Burn's.
#[derive(Debug)]
pub struct InferenceGraph {
    operations: Vec<OperationIr>,
    interpreter: TensorInterpreter<Flex>,
    input: TensorId,
    shape: [usize; 4],
    logits: TensorIr,
}

impl InferenceGraph {
    /// The folded forward of `network`, a trained one, for inputs of `shape`,
    /// `[batch, in_channels, height, width]`.
    ///
    /// # Errors
    /// [`CaptureError`] if the forward does something that cannot be recorded.
    pub fn new(network: &Network, shape: [usize; 4]) -> Result<Self, CaptureError> {
        let mut graph = Graph::capture(network, shape, Heads::Main)?;
        graph.outputs.truncate(1); // the logits
        let mut graph = graph.folded();
        let logits = graph.outputs[0];
        let made: Vec<_> = graph.operations.iter().flat_map(OperationIr::outputs).collect();
        let logits = made.into_iter().find(|tensor| tensor.id == logits).cloned();
        let logits = logits.ok_or_else(|| CaptureError("it makes no logits".to_owned()))?;
        graph.end_lives();
        let mut interpreter = TensorInterpreter::new(FlexDevice);
        for (id, values) in graph.constants {
            interpreter.register_tensor_data_id(id, values);
        }
        let logits = TensorIr { status: TensorStatus::ReadWrite, ..logits };
        Ok(Self { operations: graph.operations, interpreter, input: graph.input, shape, logits })
    }

    /// Operations that a forward takes.
    pub fn len(&self) -> usize {
        self.operations.len()
    }

    /// Whether a forward takes no operation.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    /// # Shapes
    /// - `input`: that of [`new`](Self::new), on the CPU
    /// - output: `[batch, num_classes, height, width]`
    ///
    /// # Panics
    /// If the input has another shape.
    pub fn forward(&mut self, input: Tensor<4>) -> Tensor<4> {
        assert_eq!(input.dims(), self.shape, "the graph was made for inputs of this shape");
        set(&mut self.interpreter, self.input, input);
        for operation in &self.operations {
            if !accelerated(&mut self.interpreter, operation) {
                self.interpreter.register_op(operation.clone());
            }
        }
        get(&mut self.interpreter, &self.logits)
    }
}

/// Does with our kernels what they can do; says whether it did.
fn accelerated(interpreter: &mut TensorInterpreter<Flex>, operation: &OperationIr) -> bool {
    let OperationIr::Module(operation) = operation else { return false };
    match operation {
        ModuleOperationIr::Conv2d(conv) => {
            let options = &conv.options;
            let options = ConvOptions {
                stride: options.stride,
                padding: options.padding,
                dilation: options.dilation,
                groups: options.groups,
            };
            let x = get(interpreter, &conv.x);
            let weight = get(interpreter, &conv.weight);
            let bias = conv.bias.as_ref().map(|bias| get(interpreter, bias));
            set(interpreter, conv.out.id, convolve(x, weight, bias, options));
        }
        ModuleOperationIr::MaxPool2d(pool) if !pool.ceil_mode && pool.dilation == [1, 1] => {
            let layer = MaxPool2dConfig::new(pool.kernel_size, pool.stride)
                .with_padding(pool.padding)
                .init();
            let x = get(interpreter, &pool.x);
            set(interpreter, pool.out.id, layer.forward(x));
        }
        ModuleOperationIr::Interpolate(resize)
            if matches!(resize.options.mode, InterpolateModeIr::Bilinear) =>
        {
            let x = get(interpreter, &resize.x);
            let y = interpolate_bilinear(x, resize.output_size, resize.options.align_corners);
            set(interpreter, resize.out.id, y);
        }
        _ => return false,
    }
    true
}

fn get<const D: usize>(interpreter: &mut TensorInterpreter<Flex>, tensor: &TensorIr) -> Tensor<D> {
    match interpreter.get_tensor(tensor) {
        HandleKind::Float(primitive) => Tensor::from_primitive::<Flex>(primitive),
        other => unreachable!("layers work on floats, not on {}", other.name()),
    }
}

fn set<const D: usize>(interpreter: &mut TensorInterpreter<Flex>, id: TensorId, tensor: Tensor<D>) {
    let primitive = tensor.try_into_primitive::<Flex>().expect("the graph runs on the CPU");
    interpreter.register_tensor_to_device(id, HandleKind::Float(primitive));
}
