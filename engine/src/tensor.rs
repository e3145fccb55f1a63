//! Arrays to tensors and back: the door between ndarray and Burn.

use burn::tensor::{Device, Tensor, TensorData};
use ndarray::Array4;

/// An array as a tensor on `device`.
pub fn to_tensor(array: Array4<f32>, device: &Device) -> Tensor<4> {
    let shape: [usize; 4] = array.dim().into();
    let array =
        if array.is_standard_layout() { array } else { array.as_standard_layout().into_owned() };
    let (mut values, offset) = array.into_raw_vec_and_offset();
    let count = shape.iter().product();
    values.drain(..offset.unwrap_or(0));
    values.truncate(count);
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// A tensor as an array in memory; waits for the device.
pub fn to_array(tensor: Tensor<4>) -> Array4<f32> {
    let shape = tensor.dims();
    let values = tensor.into_data().try_to_vec::<f32>().expect("tensors of the engine are f32");
    Array4::from_shape_vec(shape, values).expect("as many values as the shape says")
}

#[cfg(test)]
mod tests {
    use ndarray::s;

    use super::*;

    #[test]
    fn a_part_of_an_array_goes_there_and_back() {
        let whole = Array4::from_shape_fn([2, 3, 4, 5], |(n, c, h, w)| {
            (n * 60 + c * 20 + h * 5 + w) as f32
        });
        let part = whole.slice(s![1.., .., 1..3, ..;2]).to_owned();
        assert_eq!(to_array(to_tensor(part.clone(), &Device::flex())), part);
        let moved = whole.slice_move(s![1.., .., 1..3, ..;2]);
        assert_eq!(to_array(to_tensor(moved, &Device::flex())), part);
    }
}
