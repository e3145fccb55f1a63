//! Makes the kernels operations of Burn, with their gradients.
//!
//! The traits are implemented for the CPU backend and for that backend under autodiff; which one is
//! called is decided by the tensors at run time.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, DispatchDevice, Flex, TensorMetadata, backend_extension};
use burn::tensor::{DType, Tensor, TensorData};
use lamina_kernels::{
    BatchNormShape, Conv2dShape, Pool2dShape, ResizeShape, batch_norm_apply, batch_norm_backward,
    batch_norm_train_forward, conv_transpose2d_backward_input, conv_transpose2d_backward_weight,
    conv_transpose2d_forward, conv2d_backward_bias, conv2d_backward_input, conv2d_backward_weight,
    conv2d_forward, max_pool2d_backward, max_pool2d_forward, resize_bilinear_backward,
    resize_bilinear_forward,
};
use std::sync::Arc;

/// Whether the kernels serve this tensor: it lives on the CPU backend, in `f32`.
pub(super) fn serve<const D: usize>(tensor: &Tensor<D>) -> bool {
    let device = tensor.device().without_autodiff();
    matches!(device.as_dispatch(), DispatchDevice::Flex(_)) && tensor.dtype() == DType::F32
}

/// A convolution or, with the same shape read backwards, a transposed one.
#[derive(Clone, Copy, Debug)]
pub struct Convolution {
    /// From which sizes to which; see `lamina_kernels` for what it means when transposed.
    pub shape: Conv2dShape,
    /// Whether it runs from the shape's result to its input.
    pub transposed: bool,
}

impl Convolution {
    fn small(&self) -> [usize; 4] {
        let [height, width] = self.shape.output();
        [self.shape.batch, self.shape.out_channels, height, width]
    }

    fn large(&self) -> [usize; 4] {
        let [height, width] = self.shape.input;
        [self.shape.batch, self.shape.in_channels, height, width]
    }

    fn forward(
        &self,
        x: &FlexTensor,
        weight: &FlexTensor,
        bias: Option<&FlexTensor>,
    ) -> FlexTensor {
        let run = if self.transposed { conv_transpose2d_forward } else { conv2d_forward };
        let size = if self.transposed { self.large() } else { self.small() };
        tensor(run(values(x), values(weight), bias.map(values), &self.shape), size)
    }

    fn backward_input(&self, gradient: &FlexTensor, weight: &FlexTensor) -> FlexTensor {
        let run =
            if self.transposed { conv_transpose2d_backward_input } else { conv2d_backward_input };
        let size = if self.transposed { self.small() } else { self.large() };
        tensor(run(values(gradient), values(weight), &self.shape), size)
    }

    fn backward_weight(&self, x: &FlexTensor, gradient: &FlexTensor) -> FlexTensor {
        let run =
            if self.transposed { conv_transpose2d_backward_weight } else { conv2d_backward_weight };
        let Conv2dShape { in_channels, out_channels, kernel: [height, width], groups, .. } =
            self.shape;
        tensor(
            run(values(x), values(gradient), &self.shape),
            [out_channels, in_channels / groups, height, width],
        )
    }
}

/// The operations that have gradients.
#[backend_extension(Flex, Autodiff)]
pub trait Kernels: Backend {
    /// Convolves `x` with `weight`.
    fn kernel_conv2d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        convolution: Convolution,
    ) -> FloatTensor<Self>;

    /// Convolves `x` with `weight` and adds `bias`.
    fn kernel_conv2d_biased(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        convolution: Convolution,
    ) -> FloatTensor<Self>;

    /// Normalizes by the statistics of the batch, with ReLU if asked; also gives mean and biased
    /// variance as `[2, channels]`, without a gradient.
    fn kernel_batch_norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f64,
        relu: bool,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// Takes the maximum of each window.
    fn kernel_max_pool2d(x: FloatTensor<Self>, shape: Pool2dShape) -> FloatTensor<Self>;

    /// Resizes bilinearly.
    fn kernel_resize(x: FloatTensor<Self>, shape: ResizeShape) -> FloatTensor<Self>;
}

/// The operations for inference only.
#[backend_extension(Flex)]
pub trait InferenceKernels: Backend {
    /// Normalizes by known statistics, with ReLU if asked.
    fn kernel_batch_norm_apply(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        epsilon: f64,
        relu: bool,
    ) -> FloatTensor<Self>;
}

type FlexTensor = FloatTensor<Flex>;

/// The values of a contiguous tensor.
fn values(tensor: &FlexTensor) -> &[f32] {
    tensor.as_slice().expect("kernels get contiguous f32 tensors")
}

fn tensor<const D: usize>(values: Vec<f32>, size: [usize; D]) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, size))
}

fn sizes(tensor: &FlexTensor) -> [usize; 4] {
    tensor.shape().dims()
}

fn batch_norm_shape(x: &FlexTensor) -> BatchNormShape {
    let [batch, channels, height, width] = sizes(x);
    BatchNormShape { batch, channels, pixels: height * width }
}

/// The size of a pooled tensor.
fn pooled(x: &FlexTensor, [height, width]: [usize; 2]) -> [usize; 4] {
    let [batch, channels, ..] = sizes(x);
    [batch, channels, height, width]
}

impl Kernels for Flex {
    fn kernel_conv2d(x: FlexTensor, weight: FlexTensor, convolution: Convolution) -> FlexTensor {
        convolution.forward(&x.to_contiguous(), &weight.to_contiguous(), None)
    }

    fn kernel_conv2d_biased(
        x: FlexTensor,
        weight: FlexTensor,
        bias: FlexTensor,
        convolution: Convolution,
    ) -> FlexTensor {
        convolution.forward(
            &x.to_contiguous(),
            &weight.to_contiguous(),
            Some(&bias.to_contiguous()),
        )
    }

    fn kernel_batch_norm(
        x: FlexTensor,
        gamma: FlexTensor,
        beta: FlexTensor,
        epsilon: f64,
        relu: bool,
    ) -> (FlexTensor, FlexTensor) {
        let (x, gamma, beta) = (x.to_contiguous(), gamma.to_contiguous(), beta.to_contiguous());
        let shape = batch_norm_shape(&x);
        let found = batch_norm_train_forward(
            values(&x),
            values(&gamma),
            values(&beta),
            epsilon,
            &shape,
            relu,
        );
        let statistics = tensor([found.mean, found.variance].concat(), [2, shape.channels]);
        (tensor(found.y, sizes(&x)), statistics)
    }

    fn kernel_max_pool2d(x: FlexTensor, shape: Pool2dShape) -> FlexTensor {
        let (y, _) = max_pool2d_forward(values(&x.to_contiguous()), &shape);
        tensor(y, pooled(&x, shape.output()))
    }

    fn kernel_resize(x: FlexTensor, shape: ResizeShape) -> FlexTensor {
        let y = resize_bilinear_forward(values(&x.to_contiguous()), &shape);
        tensor(y, pooled(&x, shape.output))
    }
}

impl InferenceKernels for Flex {
    fn kernel_batch_norm_apply(
        x: FlexTensor,
        gamma: FlexTensor,
        beta: FlexTensor,
        mean: FlexTensor,
        variance: FlexTensor,
        epsilon: f64,
        relu: bool,
    ) -> FlexTensor {
        let x = x.to_contiguous();
        let (gamma, variance) = (gamma.to_contiguous(), variance.to_contiguous());
        let scale: Vec<f32> = values(&gamma)
            .iter()
            .zip(values(&variance))
            .map(|(gamma, variance)| {
                (f64::from(*gamma) / (f64::from(*variance) + epsilon).sqrt()) as f32
            })
            .collect();
        let (mean, beta) = (mean.to_contiguous(), beta.to_contiguous());
        let factors = [values(&mean), &scale, values(&beta)];
        tensor(batch_norm_apply(values(&x), factors, &batch_norm_shape(&x), relu), sizes(&x))
    }
}

impl<C: CheckpointStrategy> Kernels for Autodiff<Flex, C> {
    fn kernel_conv2d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        convolution: Convolution,
    ) -> FloatTensor<Self> {
        let parents = [x.node(), weight.node()];
        let (x, weight) =
            (x.into_primitive().to_contiguous(), weight.into_primitive().to_contiguous());
        let y = convolution.forward(&x, &weight, None);
        match convolution.prepare::<C>(parents).compute_bound().stateful() {
            OpsKind::Tracked(step) => step.finish((x, weight), y),
            OpsKind::UnTracked(step) => step.finish(y),
        }
    }

    fn kernel_conv2d_biased(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        convolution: Convolution,
    ) -> FloatTensor<Self> {
        let parents = [x.node(), weight.node(), bias.node()];
        let (x, weight) =
            (x.into_primitive().to_contiguous(), weight.into_primitive().to_contiguous());
        let y = convolution.forward(&x, &weight, Some(&bias.into_primitive().to_contiguous()));
        match convolution.prepare::<C>(parents).compute_bound().stateful() {
            OpsKind::Tracked(step) => step.finish((x, weight), y),
            OpsKind::UnTracked(step) => step.finish(y),
        }
    }

    fn kernel_batch_norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f64,
        relu: bool,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let parents = [x.node(), gamma.node(), beta.node()];
        let x = x.into_primitive().to_contiguous();
        let (gamma, beta) =
            (gamma.into_primitive().to_contiguous(), beta.into_primitive().to_contiguous());
        let shape = batch_norm_shape(&x);
        let found = batch_norm_train_forward(
            values(&x),
            values(&gamma),
            values(&beta),
            epsilon,
            &shape,
            relu,
        );
        let (mean, inv_std) = (found.mean, found.inv_std);
        let statistics = tensor([&mean[..], &found.variance].concat(), [2, shape.channels]);
        let y = tensor(found.y, sizes(&x));
        let y = match (BatchNorm { relu }).prepare::<C>(parents).compute_bound().stateful() {
            OpsKind::Tracked(step) => {
                step.finish(BatchNormState { x, gamma, beta, mean, inv_std }, y)
            }
            OpsKind::UnTracked(step) => step.finish(y),
        };
        (y, FloatTensor::<Self>::new(statistics))
    }

    fn kernel_max_pool2d(x: FloatTensor<Self>, shape: Pool2dShape) -> FloatTensor<Self> {
        let parents = [x.node()];
        let x = x.into_primitive().to_contiguous();
        let (y, winners) = max_pool2d_forward(values(&x), &shape);
        let y = tensor(y, pooled(&x, shape.output()));
        match MaxPool(shape).prepare::<C>(parents).compute_bound().stateful() {
            OpsKind::Tracked(step) => step.finish((Arc::new(winners), sizes(&x)), y),
            OpsKind::UnTracked(step) => step.finish(y),
        }
    }

    fn kernel_resize(x: FloatTensor<Self>, shape: ResizeShape) -> FloatTensor<Self> {
        let parents = [x.node()];
        let x = x.into_primitive();
        let y = Flex::kernel_resize(x.clone(), shape);
        match Resize(shape).prepare::<C>(parents).compute_bound().stateful() {
            OpsKind::Tracked(step) => step.finish(sizes(&x), y),
            OpsKind::UnTracked(step) => step.finish(y),
        }
    }
}

impl Backward<Flex, 2> for Convolution {
    type State = (FlexTensor, FlexTensor);

    fn backward(self, step: Ops<Self::State, 2>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let [x_node, weight_node] = step.parents;
        let gradient = gradients.consume::<Flex>(&step.node).to_contiguous();
        let (x, weight) = step.state;
        if let Some(node) = x_node {
            gradients.register::<Flex>(node.id, self.backward_input(&gradient, &weight));
        }
        if let Some(node) = weight_node {
            gradients.register::<Flex>(node.id, self.backward_weight(&x, &gradient));
        }
    }
}

impl Backward<Flex, 3> for Convolution {
    type State = (FlexTensor, FlexTensor);

    fn backward(self, step: Ops<Self::State, 3>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let [x_node, weight_node, bias_node] = step.parents;
        let gradient = gradients.consume::<Flex>(&step.node).to_contiguous();
        let (x, weight) = step.state;
        if let Some(node) = x_node {
            gradients.register::<Flex>(node.id, self.backward_input(&gradient, &weight));
        }
        if let Some(node) = weight_node {
            gradients.register::<Flex>(node.id, self.backward_weight(&x, &gradient));
        }
        if let Some(node) = bias_node {
            let [batch, channels, height, width] = sizes(&gradient);
            let sums = conv2d_backward_bias(values(&gradient), [batch, channels, height * width]);
            gradients.register::<Flex>(node.id, tensor(sums, [channels]));
        }
    }
}

#[derive(Debug)]
struct BatchNorm {
    relu: bool,
}

#[derive(Clone, Debug)]
struct BatchNormState {
    x: FlexTensor,
    gamma: FlexTensor,
    beta: FlexTensor,
    mean: Vec<f32>,
    inv_std: Vec<f32>,
}

impl Backward<Flex, 3> for BatchNorm {
    type State = BatchNormState;

    fn backward(self, step: Ops<Self::State, 3>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let gradient = gradients.consume::<Flex>(&step.node).to_contiguous();
        let BatchNormState { x, gamma, beta, mean, inv_std } = step.state;
        let shape = batch_norm_shape(&x);
        let [dx, d_gamma, d_beta] = batch_norm_backward(
            values(&gradient),
            values(&x),
            [values(&gamma), values(&beta)],
            [&mean, &inv_std],
            &shape,
            self.relu,
        );
        let found = [
            tensor(dx, sizes(&x)),
            tensor(d_gamma, [shape.channels]),
            tensor(d_beta, [shape.channels]),
        ];
        for (node, gradient) in step.parents.into_iter().zip(found) {
            if let Some(node) = node {
                gradients.register::<Flex>(node.id, gradient);
            }
        }
    }
}

#[derive(Debug)]
struct MaxPool(Pool2dShape);

impl Backward<Flex, 1> for MaxPool {
    type State = (Arc<Vec<u32>>, [usize; 4]);

    fn backward(self, step: Ops<Self::State, 1>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let [node] = step.parents;
        let gradient = gradients.consume::<Flex>(&step.node).to_contiguous();
        let (winners, size) = step.state;
        if let Some(node) = node {
            let dx = max_pool2d_backward(values(&gradient), &winners, &self.0);
            gradients.register::<Flex>(node.id, tensor(dx, size));
        }
    }
}

#[derive(Debug)]
struct Resize(ResizeShape);

impl Backward<Flex, 1> for Resize {
    type State = [usize; 4];

    fn backward(self, step: Ops<Self::State, 1>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let [node] = step.parents;
        let gradient = gradients.consume::<Flex>(&step.node).to_contiguous();
        if let Some(node) = node {
            let dx = resize_bilinear_backward(values(&gradient), &self.0);
            gradients.register::<Flex>(node.id, tensor(dx, step.state));
        }
    }
}
