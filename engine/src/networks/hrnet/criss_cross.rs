//! Criss-cross attention.
//!
//! Huang, Wang, Huang, Huang, Wei, Liu. `CCNet`: Criss-Cross Attention for Semantic Segmentation.
//! ICCV 2019. arXiv:1811.11721, section 3.2.

use burn::module::{Module, Param};
use burn::nn::Initializer;
use burn::tensor::activation::softmax;
use burn::tensor::{Bool, Device, Tensor};

use crate::nn::{Conv2d, Conv2dConfig};

/// Attention of every pixel to those of its column and its row, added to the map.
#[derive(Module, Debug)]
pub struct CrissCross {
    query_conv: Conv2d,
    key_conv: Conv2d,
    value_conv: Conv2d,
    /// What the attention counts for; nothing at first.
    gamma: Param<Tensor<1>>,
}

impl CrissCross {
    /// Attention within a map of `channels`; keys and queries have an eighth of them.
    pub fn new(channels: usize, device: &Device) -> Self {
        let pointwise = |to| Conv2dConfig::new([channels, to], [1, 1]).init(device);
        Self {
            query_conv: pointwise(channels / 8),
            key_conv: pointwise(channels / 8),
            value_conv: pointwise(channels),
            gamma: Initializer::Zeros.init([1], device),
        }
    }

    /// # Shapes
    /// - `map`, output: `[batch, channels, height, width]`
    pub fn forward(&self, map: Tensor<4>) -> Tensor<4> {
        let [_, _, height, width] = map.dims();
        // [batch, height, width, channels], of which each row is a sequence, and
        // [batch, width, height, channels], of which each column is one.
        let rows = |x: Tensor<4>| x.permute([0, 2, 3, 1]);
        let columns = |x: Tensor<4>| x.permute([0, 3, 2, 1]);
        let query = self.query_conv.forward(map.clone());
        let key = self.key_conv.forward(map.clone());
        let value = self.value_conv.forward(map.clone());

        let along_column = columns(query.clone()).matmul(columns(key.clone()).swap_dims(2, 3));
        // A pixel is in its column and in its row; it counts in the row.
        let itself = !Tensor::<2, Bool>::diag_mask([height, height], 0, &map.device());
        let itself = itself.unsqueeze::<4>().expand(along_column.dims());
        let along_column = along_column.mask_fill(itself, f64::NEG_INFINITY).swap_dims(1, 2);
        let along_row = rows(query).matmul(rows(key).swap_dims(2, 3));
        let scores = Tensor::cat(vec![along_column, along_row], 3);
        let share = softmax(scores, 3); // [batch, height, width, height + width]

        let from_column = share.clone().narrow(3, 0, height).swap_dims(1, 2);
        let from_column = from_column.matmul(columns(value.clone())).swap_dims(1, 2);
        let from_row = share.narrow(3, height, width).matmul(rows(value));
        let attended = (from_column + from_row).permute([0, 3, 1, 2]);
        attended * self.gamma.val().reshape([1, 1, 1, 1]) + map
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::TensorData;

    use super::*;

    /// Queries and keys that are zero weigh all pixels alike; values are the map itself.
    fn average(map: Tensor<4>) -> Tensor<4> {
        let device = map.device();
        let mut block = CrissCross::new(8, &device);
        let constant = |layer: &mut Conv2d, weight: Tensor<4>| {
            let [channels, ..] = weight.dims();
            layer.weight = Param::from_tensor(weight);
            layer.bias = Some(Initializer::Zeros.init([channels], &device));
        };
        constant(&mut block.query_conv, Tensor::zeros([1, 8, 1, 1], &device));
        constant(&mut block.key_conv, Tensor::zeros([1, 8, 1, 1], &device));
        constant(&mut block.value_conv, Tensor::<2>::eye(8, &device).reshape([8, 8, 1, 1]));
        block.gamma = Param::from_tensor(Tensor::ones([1], &device));
        block.forward(map.clone()) - map
    }

    #[test]
    fn a_pixel_sees_its_row_and_its_column_and_itself_once() {
        let device = Device::flex();
        let row: Vec<f32> = vec![1.0, 2.0, 4.0, 8.0, 16.0, 32.0];
        let map = Tensor::<4>::from_data(TensorData::new(row.repeat(8), [1, 8, 2, 3]), &device);
        let seen = average(map).into_data().try_to_vec::<f32>().unwrap();
        // Of 1 2 4 over 8 16 32: the first sees 1, 2, 4 and 8, the last 4, 8, 16 and 32.
        let expected = [15.0, 23.0, 39.0, 57.0, 58.0, 60.0].map(|sum| sum / 4.0);
        for (index, (seen, expected)) in seen.into_iter().zip(expected.repeat(8)).enumerate() {
            assert!((seen - expected).abs() < 1e-5, "{index}: {seen} for {expected}");
        }
    }

    #[test]
    fn a_single_pixel_sees_itself() {
        let map = Tensor::<4>::full([1, 8, 1, 1], 3.0, &Device::flex());
        let seen = average(map).into_data().try_to_vec::<f32>().unwrap();
        assert!(seen.iter().all(|value| (value - 3.0).abs() < 1e-6), "{seen:?}");
    }
}
