//! Reference labels of a batch, as the losses need them.

use std::cell::OnceCell;

use burn::tensor::{Device, Int, Tensor, TensorData};

use super::IGNORE_LABEL;

/// Reference labels of a batch.
///
/// They stay in memory, where pixels are ranked and counted; tensors of them are made when a
/// loss first asks.
#[derive(Debug, Clone)]
pub struct Target {
    labels: Vec<u8>,
    size: [usize; 3],
    num_classes: usize,
    /// How many pixels count.
    counted: usize,
    device: Device,
    one_hot: OnceCell<Tensor<4>>,
    mask: OnceCell<Tensor<4>>,
}

impl Target {
    /// Labels `[batch, height, width]`, row-major, each below `num_classes` or [`IGNORE_LABEL`],
    /// for logits on `device`.
    pub fn new(labels: &[u8], size: [usize; 3], num_classes: usize, device: &Device) -> Self {
        assert_eq!(labels.len(), size.iter().product::<usize>(), "one label for each pixel");
        let known = |label: &u8| usize::from(*label) < num_classes || *label == IGNORE_LABEL;
        assert!(labels.iter().all(known), "labels are below {num_classes} or ignored");
        Self {
            labels: labels.to_vec(),
            size,
            num_classes,
            counted: labels.iter().filter(|label| **label != IGNORE_LABEL).count(),
            device: device.clone(),
            one_hot: OnceCell::new(),
            mask: OnceCell::new(),
        }
    }

    /// The labels, row-major.
    pub fn labels(&self) -> &[u8] {
        &self.labels
    }

    /// The labels as a tensor, `[batch, height, width]`.
    pub fn to_tensor(&self) -> Tensor<3, Int> {
        let labels: Vec<i32> = self.labels.iter().map(|label| i32::from(*label)).collect();
        Tensor::from_data(TensorData::new(labels, self.size), &self.device)
    }

    /// `[batch, height, width]`
    pub fn size(&self) -> [usize; 3] {
        self.size
    }

    /// Classes that logits have.
    pub fn num_classes(&self) -> usize {
        self.num_classes
    }

    /// How many pixels are not ignored.
    pub fn counted(&self) -> usize {
        self.counted
    }

    /// Where the logits are.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// One-hot labels, all zero where a pixel is ignored: `[batch, class, height, width]`.
    pub(super) fn one_hot(&self) -> Tensor<4> {
        let plane = self.size[1] * self.size[2];
        let make = || {
            let mut values = vec![0.0_f32; self.size[0] * self.num_classes * plane];
            for (index, &label) in self.labels.iter().enumerate() {
                if label != IGNORE_LABEL {
                    let (image, pixel) = (index / plane, index % plane);
                    values[(image * self.num_classes + usize::from(label)) * plane + pixel] = 1.0;
                }
            }
            self.tensor(values)
        };
        self.one_hot.get_or_init(make).clone()
    }

    /// 1 where a pixel counts, 0 where it is ignored: `[batch, 1, height, width]`.
    pub(super) fn mask(&self) -> Tensor<4> {
        let make = || self.pixels(|_, label| f32::from(label != IGNORE_LABEL));
        self.mask.get_or_init(make).clone()
    }

    /// What `value` answers for each pixel's place and label: `[batch, 1, height, width]`.
    pub(super) fn pixels(&self, value: impl Fn(usize, u8) -> f32) -> Tensor<4> {
        let labels = self.labels.iter().enumerate();
        self.tensor(labels.map(|(index, label)| value(index, *label)).collect())
    }

    /// Values `[batch, channel, height, width]` on the device.
    pub(super) fn tensor(&self, values: Vec<f32>) -> Tensor<4> {
        let [batch, height, width] = self.size;
        let channels = values.len() / self.labels.len().max(1);
        Tensor::from_data(TensorData::new(values, [batch, channels, height, width]), &self.device)
    }

    /// Minus the log-probability of each pixel's label, of class 0 where it is ignored:
    /// `[batch, 1, height, width]`.
    pub(super) fn surprise(&self, log_probabilities: Tensor<4>) -> Tensor<4> {
        let [batch, height, width] = self.size;
        let class = |label: &u8| if *label == IGNORE_LABEL { 0 } else { i32::from(*label) };
        let classes: Vec<i32> = self.labels.iter().map(class).collect();
        let classes = TensorData::new(classes, [batch, 1, height, width]);
        let classes = Tensor::<4, Int>::from_data(classes, &self.device);
        log_probabilities.gather(1, classes).neg()
    }
}

/// The sum over everything. Taken at once it would depend on the number of threads where there
/// is much.
pub(super) fn total(values: Tensor<4>) -> Tensor<1> {
    values.sum_dim(3).sum_dim(2).sum()
}
