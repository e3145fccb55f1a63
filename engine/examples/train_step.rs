//! Times training steps of a plain U-Net on the CPU, with our layers and with Burn's.
//!
//! `cargo run --release -p lamina-engine --example train_step -- [steps] [ours|burn]`

#![expect(clippy::print_stdout, reason = "it tells what it measured")]

use burn::module::Module;
use burn::optim::momentum::MomentumConfig;
use burn::optim::{GradientsParams, ModuleOptimizer, SgdConfig};
use burn::tensor::{Device, Distribution, Tensor};
use std::time::Instant;

/// The U-Net over a set of layers, which differ only in their names.
macro_rules! unet {
    ($name:ident, { $($layers:tt)* }) => {
        mod $name {
            use burn::module::Module;
            use burn::tensor::{Device, Tensor};
            $($layers)*

            #[derive(Module, Debug)]
            struct Block {
                convs: Vec<Conv>,
                norms: Vec<Norm>,
            }

            impl Block {
                fn new(from: usize, to: usize, device: &Device) -> Self {
                    Self {
                        convs: vec![conv3(from, to, device), conv3(to, to, device)],
                        norms: vec![norm(to, device), norm(to, device)],
                    }
                }

                fn forward(&self, mut x: Tensor<4>) -> Tensor<4> {
                    for (conv, norm) in self.convs.iter().zip(&self.norms) {
                        x = norm_relu(norm, conv.forward(x));
                    }
                    x
                }
            }

            #[derive(Module, Debug)]
            pub struct Unet {
                down: Vec<Block>,
                ups: Vec<Up>,
                merge: Vec<Block>,
                head: Conv,
            }

            impl Unet {
                pub fn new(device: &Device) -> Self {
                    let channels = [3, 32, 64, 128, 256];
                    let pairs = [2, 3, 4].map(|level| (channels[level], channels[level - 1]));
                    Self {
                        down: channels.windows(2).map(|pair| Block::new(pair[0], pair[1], device)).collect(),
                        ups: pairs.iter().map(|&(from, to)| up(from, to, device)).collect(),
                        merge: pairs.iter().map(|&(_, to)| Block::new(2 * to, to, device)).collect(),
                        head: conv1(32, 3, device),
                    }
                }

                pub fn forward(&self, mut x: Tensor<4>) -> Tensor<4> {
                    let mut skipped = Vec::new();
                    for (level, block) in self.down.iter().enumerate() {
                        if level > 0 {
                            x = pool(x);
                        }
                        x = block.forward(x);
                        skipped.push(x.clone());
                    }
                    skipped.pop();
                    for (up, merge) in self.ups.iter().zip(&self.merge).rev() {
                        let skip = skipped.pop().expect("one skip per level");
                        x = merge.forward(concat(skip, up.forward(x)));
                    }
                    self.head.forward(x)
                }
            }
        }
    };
}

unet!(ours, {
    use lamina_engine::nn::{BatchNorm2d as Norm, Conv2d as Conv, ConvTranspose2d as Up};
    use lamina_engine::nn::{
        BatchNorm2dConfig, Conv2dConfig, ConvTranspose2dConfig, MaxPool2dConfig,
    };

    fn conv3(from: usize, to: usize, device: &Device) -> Conv {
        Conv2dConfig::new([from, to], [3, 3]).with_padding([1, 1]).with_bias(false).init(device)
    }

    fn conv1(from: usize, to: usize, device: &Device) -> Conv {
        Conv2dConfig::new([from, to], [1, 1]).init(device)
    }

    fn norm(channels: usize, device: &Device) -> Norm {
        BatchNorm2dConfig::new(channels).init(device)
    }

    fn norm_relu(norm: &Norm, x: Tensor<4>) -> Tensor<4> {
        norm.forward_relu(x)
    }

    fn up(from: usize, to: usize, device: &Device) -> Up {
        ConvTranspose2dConfig::new([from, to], [2, 2]).with_stride([2, 2]).init(device)
    }

    fn pool(x: Tensor<4>) -> Tensor<4> {
        MaxPool2dConfig::new([2, 2], [2, 2]).init().forward(x)
    }

    fn concat(a: Tensor<4>, b: Tensor<4>) -> Tensor<4> {
        Tensor::cat(vec![a, b], 1)
    }
});

unet!(burns, {
    use burn::nn::conv::{
        Conv2d as Conv, Conv2dConfig, ConvTranspose2d as Up, ConvTranspose2dConfig,
    };
    use burn::nn::{BatchNorm as Norm, BatchNormConfig, PaddingConfig2d};
    use burn::tensor::activation::relu;
    use burn::tensor::module::max_pool2d;
    use burn::tensor::ops::MaxPoolOptions;

    fn conv3(from: usize, to: usize, device: &Device) -> Conv {
        let config = Conv2dConfig::new([from, to], [3, 3]).with_padding(PaddingConfig2d::Same);
        config.with_bias(false).init(device)
    }

    fn conv1(from: usize, to: usize, device: &Device) -> Conv {
        Conv2dConfig::new([from, to], [1, 1]).init(device)
    }

    fn norm(channels: usize, device: &Device) -> Norm {
        BatchNormConfig::new(channels).init(device)
    }

    fn norm_relu(norm: &Norm, x: Tensor<4>) -> Tensor<4> {
        relu(norm.forward(x))
    }

    fn up(from: usize, to: usize, device: &Device) -> Up {
        ConvTranspose2dConfig::new([from, to], [2, 2]).with_stride([2, 2]).init(device)
    }

    fn pool(x: Tensor<4>) -> Tensor<4> {
        max_pool2d(x, MaxPoolOptions::new([2, 2]))
    }

    fn concat(a: Tensor<4>, b: Tensor<4>) -> Tensor<4> {
        Tensor::cat(vec![a, b], 1)
    }
});

/// The median and the shortest time of a step, in milliseconds.
fn time<M: Module>(
    mut model: M,
    steps: usize,
    forward: impl Fn(&M, Tensor<4>) -> Tensor<4>,
) -> [f64; 3] {
    let device = Device::flex().autodiff();
    let momentum = MomentumConfig { momentum: 0.9, dampening: 0.0, nesterov: false };
    let mut optimizer: ModuleOptimizer = SgdConfig::new().with_momentum(Some(momentum)).init();
    let x = Tensor::<4>::random([24, 3, 48, 64], Distribution::Normal(0.0, 1.0), &device);
    let mut loss_value = 0.0;
    let mut times = Vec::new();
    for _ in 0..steps {
        let start = Instant::now();
        let loss = forward(&model, x.clone()).powi_scalar(2).mean();
        loss_value = loss.clone().into_scalar::<f64>();
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        model = optimizer.step(0.01, model, gradients);
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    [times[steps / 2], times[0], loss_value]
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let steps = arguments.next().and_then(|steps| steps.parse().ok()).unwrap_or(10);
    let which = arguments.next();
    let device = Device::flex().autodiff();
    device.seed(1);
    if which.as_deref() != Some("burn") {
        let [median, shortest, loss] = time(ours::Unet::new(&device), steps, ours::Unet::forward);
        println!("ours: {median:.0} ms per step, {shortest:.0} at best (loss {loss:.6})");
    }
    if which.as_deref() != Some("ours") {
        let [median, shortest, loss] = time(burns::Unet::new(&device), steps, burns::Unet::forward);
        println!("Burn's: {median:.0} ms per step, {shortest:.0} at best (loss {loss:.6})");
    }
}
