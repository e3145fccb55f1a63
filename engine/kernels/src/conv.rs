//! 2-D convolution and its gradients, as products of unrolled neighborhoods.
//!
//! Pixels are cut into tiles small enough for the second-level cache; a tile's neighborhoods are
//! unrolled, multiplied with the weights and written straight to their place in the result.

use crate::columns::{Tile, gather, gather_strips, scatter, strip_shift, tiles};
use crate::depthwise;
use crate::matrix::{Matrix, multiply};
use crate::parallel::Shared;
use rayon::prelude::*;
use std::borrow::Cow;
use std::cell::RefCell;
use std::ops::Range;

/// Output pixels per tile, and rows per unrolled block: 256 KiB or so of columns.
const TILE_PIXELS: usize = 256;
const BLOCK_ROWS: usize = 320;
/// Into how many pieces a weight gradient is cut, whatever the number of threads.
const WEIGHT_TASKS: usize = 16;

/// What is convolved with what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2dShape {
    /// Images in the batch.
    pub batch: usize,
    /// Channels that come in.
    pub in_channels: usize,
    /// Channels that go out.
    pub out_channels: usize,
    /// Height and width of the input.
    pub input: [usize; 2],
    /// Height and width of the kernel.
    pub kernel: [usize; 2],
    /// Distance between the places where the kernel is put down.
    pub stride: [usize; 2],
    /// Zeros added above and below, left and right.
    pub padding: [usize; 2],
    /// Distance between the pixels that a kernel looks at.
    pub dilation: [usize; 2],
    /// Into how many groups the channels are cut that do not see each other.
    pub groups: usize,
}

impl Conv2dShape {
    /// Height and width of the result; zero where the kernel does not fit.
    pub fn output(&self) -> [usize; 2] {
        [0, 1].map(|axis| {
            let reach = self.dilation[axis] * (self.kernel[axis] - 1) + 1;
            let padded = self.input[axis] + 2 * self.padding[axis];
            if padded < reach { 0 } else { (padded - reach) / self.stride[axis] + 1 }
        })
    }

    fn check(&self, x: usize, weight: usize) {
        assert!(
            self.groups > 0
                && self.in_channels.is_multiple_of(self.groups)
                && self.out_channels.is_multiple_of(self.groups),
            "groups divide the channels"
        );
        let all_positive = |sizes: [usize; 2]| sizes[0] > 0 && sizes[1] > 0;
        assert!(
            all_positive(self.kernel) && all_positive(self.stride) && all_positive(self.dilation),
            "kernel, stride and dilation are positive"
        );
        assert_eq!(x, self.batch * self.in_channels * self.in_pixels(), "input fits its shape");
        assert_eq!(weight, self.out_channels * self.rows(), "weight fits its shape");
    }

    fn in_pixels(&self) -> usize {
        self.input[0] * self.input[1]
    }

    fn out_pixels(&self) -> usize {
        self.output()[0] * self.output()[1]
    }

    fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    fn group_in(&self) -> usize {
        self.in_channels / self.groups
    }

    fn group_out(&self) -> usize {
        self.out_channels / self.groups
    }

    /// Inputs that one output sums over.
    fn rows(&self) -> usize {
        self.group_in() * self.taps()
    }

    /// Whether each output pixel sees just the input pixel at its place.
    fn is_pointwise(&self) -> bool {
        self.kernel == [1, 1] && self.stride == [1, 1] && self.padding == [0, 0]
    }

    /// Whether the kernel's rows are taken one by one from strips of the image: for tiles that lie
    /// in one image, and unless the rows are so far apart that strips are longer than columns.
    fn by_strips(&self) -> bool {
        let [kernel_height, _] = self.kernel;
        self.stride == [1, 1]
            && self.output()[1] == self.input[1]
            && kernel_height > 1
            && self.out_pixels() > TILE_PIXELS / 2
            && strip_shift(self) < TILE_PIXELS
    }

    /// Into how many products a sum is cut, and how many rows a channel has in each.
    fn parts(&self) -> [usize; 2] {
        if self.by_strips() { self.kernel } else { [1, self.taps()] }
    }

    /// The channels of a group, in blocks that unroll to about [`BLOCK_ROWS`] rows.
    fn channel_blocks(&self) -> Vec<Range<usize>> {
        let channels = self.group_in();
        let pieces = (channels * self.parts()[1]).div_ceil(BLOCK_ROWS).max(1);
        let step = channels.div_ceil(pieces).max(1);
        (0..channels).step_by(step).map(|start| start..channels.min(start + step)).collect()
    }

    /// How many values [`for_columns`] unrolls.
    fn unrolled(&self, channels: usize, tile: &Tile) -> usize {
        let [parts, rows] = self.parts();
        channels
            * rows
            * (tile.len() + if self.by_strips() { (parts - 1) * strip_shift(self) } else { 0 })
    }
}

thread_local! {
    static SCRATCH: RefCell<[Vec<f32>; 2]> = const { RefCell::new([Vec::new(), Vec::new()]) };
}

/// Lends two buffers of at least the given sizes, whose contents are whatever was there.
fn with_scratch<R>(sizes: [usize; 2], work: impl FnOnce(&mut [f32], &mut [f32]) -> R) -> R {
    SCRATCH.with_borrow_mut(|[first, second]| {
        for (buffer, size) in [(&mut *first, sizes[0]), (&mut *second, sizes[1])] {
            if buffer.len() < size {
                buffer.resize(size, 0.0);
            }
        }
        work(&mut first[..sizes[0]], &mut second[..sizes[1]])
    })
}

/// Visits the unrolled neighborhoods of a tile, part by part: read in place where nothing has to be
/// unrolled, else written to `scratch`.
fn for_columns(
    x: &[f32],
    shape: &Conv2dShape,
    channels: Range<usize>,
    tile: &Tile,
    scratch: &mut [f32],
    mut visit: impl FnMut(usize, Matrix<'_>),
) {
    let [parts, rows] = shape.parts();
    let size = [channels.len() * rows, tile.len()];
    let unrolled = &mut scratch[..shape.unrolled(channels.len(), tile)];
    if shape.is_pointwise() && tile.images.len() == 1 {
        let pixels = shape.in_pixels();
        let first = tile.images.start * shape.in_channels + channels.start;
        visit(0, Matrix::by_rows(&x[first * pixels + tile.pixels.start..], size, pixels));
    } else if shape.by_strips() {
        gather_strips(x, shape, channels, tile, unrolled);
        let shift = strip_shift(shape);
        for part in 0..parts {
            let len = tile.len() + (parts - 1) * shift;
            visit(part, Matrix::by_rows(&unrolled[part * shift..], size, len));
        }
    } else {
        gather(x, shape, channels, tile, unrolled);
        visit(0, Matrix::by_rows(unrolled, size, tile.len()));
    }
}

/// Orders a weight by (group, part, output, input, place in the part).
fn by_parts<'a>(weight: &'a [f32], shape: &Conv2dShape) -> Cow<'a, [f32]> {
    let [parts, rows] = shape.parts();
    if parts == 1 {
        return Cow::Borrowed(weight);
    }
    let group_len = shape.group_out() * shape.rows();
    let mut ordered = Vec::with_capacity(weight.len());
    for group in weight.chunks_exact(group_len.max(1)) {
        for part in 0..parts {
            for kernel in group.chunks_exact(parts * rows) {
                ordered.extend_from_slice(&kernel[part * rows..(part + 1) * rows]);
            }
        }
    }
    Cow::Owned(ordered)
}

/// Channels `channels` of a tile as a matrix with one row each; copied to `scratch` where the tile
/// spans several images.
fn pixels<'a>(
    values: &'a [f32],
    [channel_count, pixel_count]: [usize; 2],
    channels: Range<usize>,
    tile: &Tile,
    scratch: &'a mut [f32],
) -> Matrix<'a> {
    if tile.images.len() == 1 {
        let start =
            (tile.images.start * channel_count + channels.start) * pixel_count + tile.pixels.start;
        return Matrix::by_rows(&values[start..], [channels.len(), tile.len()], pixel_count);
    }
    let count = channels.len();
    for (row, channel) in scratch.chunks_exact_mut(tile.len()).zip(channels) {
        for (image, target) in tile.images.clone().zip(row.chunks_exact_mut(pixel_count)) {
            let start = (image * channel_count + channel) * pixel_count;
            target.copy_from_slice(&values[start..start + pixel_count]);
        }
    }
    Matrix::by_rows(scratch, [count, tile.len()], tile.len())
}

/// Convolves a batch.
///
/// # Shapes
/// - `x`: `[batch, in_channels, height, width]`
/// - `weight`: `[out_channels, in_channels / groups, kernel height, kernel width]`
/// - `bias`: `[out_channels]`
/// - result: `[batch, out_channels, output height, output width]`
pub fn conv2d_forward(
    x: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    shape: &Conv2dShape,
) -> Vec<f32> {
    shape.check(x.len(), weight.len());
    if let Some(bias) = bias {
        assert_eq!(bias.len(), shape.out_channels, "one bias per channel");
    }
    if depthwise::applies(shape) {
        return depthwise::forward(x, weight, bias, shape);
    }
    let out_pixels = shape.out_pixels();
    let mut y = vec![0.0; shape.batch * shape.out_channels * out_pixels];
    let target = Shared::new(&mut y);
    let work = tasks(shape, out_pixels);
    let weight = by_parts(weight, shape);
    let [parts, part_rows] = shape.parts();
    let blocks = shape.channel_blocks();
    work.par_iter().for_each(|(group, tile)| {
        let outputs = group * shape.group_out()..(group + 1) * shape.group_out();
        let spans_images = tile.images.len() > 1;
        let unrolled = shape.unrolled(blocks[0].len(), tile);
        let staged = if spans_images { outputs.len() * tile.len() } else { 0 };
        with_scratch([unrolled, staged], |unrolled, staging| {
            let stage = Shared::new(staging);
            let (place, row_step) = if spans_images {
                (stage.at(0, staged), tile.len())
            } else {
                let start = (tile.images.start * shape.out_channels + outputs.start) * out_pixels
                    + tile.pixels.start;
                (target.at(start, (outputs.len() - 1) * out_pixels + tile.len()), out_pixels)
            };
            if let Some(bias) = bias {
                for (row, &value) in bias[outputs.clone()].iter().enumerate() {
                    // SAFETY: row `row` of the tile lies in the buffer that `place` was taken from
                    // and belongs to this task alone.
                    unsafe {
                        std::slice::from_raw_parts_mut(place.add(row * row_step), tile.len())
                    }
                    .fill(value);
                }
            }
            for (block, channels) in blocks.iter().enumerate() {
                let inputs = offset(channels, group * shape.group_in());
                for_columns(x, shape, inputs, tile, unrolled, |part, columns| {
                    let first = (group * parts + part) * outputs.len() * shape.group_in();
                    let weights = Matrix::by_rows(
                        &weight[(first + channels.start) * part_rows..],
                        [outputs.len(), columns.rows],
                        shape.group_in() * part_rows,
                    );
                    let add = block + part > 0 || bias.is_some();
                    // SAFETY: the tile's rows lie in the buffer (checked by `at`) and no other task
                    // has the same group, images and pixels.
                    unsafe { multiply(place, [row_step, 1], add, weights, columns) };
                });
            }
            if spans_images {
                // SAFETY: the staging buffer is this thread's own.
                let staged = unsafe { stage.slice(0, staged) };
                for (row, channel) in staged.chunks_exact(tile.len()).zip(outputs) {
                    for (image, values) in tile.images.clone().zip(row.chunks_exact(out_pixels)) {
                        let start = (image * shape.out_channels + channel) * out_pixels;
                        // SAFETY: no other task has the same group and images.
                        unsafe { target.slice(start, out_pixels) }.copy_from_slice(values);
                    }
                }
            }
        });
    });
    y
}

fn offset(range: &Range<usize>, by: usize) -> Range<usize> {
    range.start + by..range.end + by
}

fn tasks(shape: &Conv2dShape, pixels: usize) -> Vec<(usize, Tile)> {
    let tiles = tiles(0..shape.batch, pixels, TILE_PIXELS);
    (0..shape.groups)
        .flat_map(|group| tiles.iter().map(move |tile| (group, tile.clone())))
        .collect()
}

/// The gradient of a convolution with respect to its input.
///
/// # Shapes
/// - `gradient`: `[batch, out_channels, output height, output width]`
/// - `weight`: as in [`conv2d_forward`]
/// - result: `[batch, in_channels, height, width]`
pub fn conv2d_backward_input(gradient: &[f32], weight: &[f32], shape: &Conv2dShape) -> Vec<f32> {
    let in_len = shape.batch * shape.in_channels * shape.in_pixels();
    shape.check(in_len, weight.len());
    assert_eq!(
        gradient.len(),
        shape.batch * shape.out_channels * shape.out_pixels(),
        "gradient fits its shape"
    );
    if depthwise::applies(shape) {
        return depthwise::backward_input(gradient, weight, shape);
    }
    let reach = [0, 1].map(|axis| shape.dilation[axis] * (shape.kernel[axis] - 1));
    if shape.stride == [1, 1] && shape.padding[0] <= reach[0] && shape.padding[1] <= reach[1] {
        // The gradient of a convolution of stride 1 is the convolution with the kernel turned around.
        let turned = Conv2dShape {
            in_channels: shape.out_channels,
            out_channels: shape.in_channels,
            input: shape.output(),
            padding: [reach[0] - shape.padding[0], reach[1] - shape.padding[1]],
            ..*shape
        };
        if turned.output() == shape.input {
            return conv2d_forward(gradient, &turn_around(weight, shape), None, &turned);
        }
    }
    backward_input_strided(gradient, weight, shape)
}

/// Exchanges input and output channels within each group and reverses the kernel.
fn turn_around(weight: &[f32], shape: &Conv2dShape) -> Vec<f32> {
    let (inputs, outputs, taps) = (shape.group_in(), shape.group_out(), shape.taps());
    let mut turned = vec![0.0; weight.len()];
    for group in 0..shape.groups {
        let weight = &weight[group * outputs * inputs * taps..];
        let turned = &mut turned[group * outputs * inputs * taps..];
        for output in 0..outputs {
            for input in 0..inputs {
                let from = &weight[(output * inputs + input) * taps..][..taps];
                let to = &mut turned[(input * outputs + output) * taps..][..taps];
                for (to, from) in to.iter_mut().zip(from.iter().rev()) {
                    *to = *from;
                }
            }
        }
    }
    turned
}

fn backward_input_strided(gradient: &[f32], weight: &[f32], shape: &Conv2dShape) -> Vec<f32> {
    let (in_pixels, out_pixels) = (shape.in_pixels(), shape.out_pixels());
    let mut x = vec![0.0; shape.batch * shape.in_channels * in_pixels];
    let target = Shared::new(&mut x);
    let blocks = shape.channel_blocks();
    let work: Vec<(usize, usize, &Range<usize>)> = (0..shape.batch)
        .flat_map(|image| (0..shape.groups).map(move |group| (image, group)))
        .flat_map(|(image, group)| blocks.iter().map(move |block| (image, group, block)))
        .collect();
    work.par_iter().for_each(|&(image, group, channels)| {
        let outputs = group * shape.group_out()..(group + 1) * shape.group_out();
        let rows = channels.len() * shape.taps();
        let first = image * shape.in_channels + group * shape.group_in() + channels.start;
        // SAFETY: no other task has the same image, group and channels.
        let planes = unsafe { target.slice(first * in_pixels, channels.len() * in_pixels) };
        for tile in tiles(image..image + 1, out_pixels, TILE_PIXELS) {
            with_scratch([rows * tile.len(), 0], |unrolled, _| {
                let weights = Matrix::by_rows(
                    &weight[outputs.start * shape.rows() + channels.start * shape.taps()..],
                    [outputs.len(), rows],
                    shape.rows(),
                );
                let gradient = pixels(
                    gradient,
                    [shape.out_channels, out_pixels],
                    outputs.clone(),
                    &tile,
                    &mut [],
                );
                let place = unrolled.as_mut_ptr();
                // SAFETY: the scratch buffer has `rows * tile.len()` values and is this thread's own.
                unsafe { multiply(place, [tile.len(), 1], false, weights.transposed(), gradient) };
                let channel_len = shape.taps() * tile.len();
                for (plane, columns) in
                    planes.chunks_exact_mut(in_pixels).zip(unrolled.chunks_exact(channel_len))
                {
                    scatter(columns, shape, tile.pixels.start, tile.len(), plane);
                }
            });
        }
    });
    x
}

/// The gradient of a convolution with respect to its weight.
///
/// # Shapes
/// - `x`: `[batch, in_channels, height, width]`
/// - `gradient`: `[batch, out_channels, output height, output width]`
/// - result: as the weight in [`conv2d_forward`]
pub fn conv2d_backward_weight(x: &[f32], gradient: &[f32], shape: &Conv2dShape) -> Vec<f32> {
    shape.check(x.len(), shape.out_channels * shape.rows());
    let out_pixels = shape.out_pixels();
    assert_eq!(
        gradient.len(),
        shape.batch * shape.out_channels * out_pixels,
        "gradient fits its shape"
    );
    if depthwise::applies(shape) {
        return depthwise::backward_weight(x, gradient, shape);
    }
    let blocks = shape.channel_blocks();
    let [parts, part_rows] = shape.parts();
    // Each share of the batch has a sum of its own; these are added up in order at the end.
    let sum_count = WEIGHT_TASKS.div_ceil(blocks.len() * shape.groups).clamp(1, shape.batch.max(1));
    let share = shape.batch.div_ceil(sum_count);
    let len = shape.out_channels * shape.rows();
    let mut sums = vec![0.0; sum_count * len];
    let target = Shared::new(&mut sums);
    let work: Vec<(usize, usize, &Range<usize>)> = (0..sum_count)
        .flat_map(|sum| (0..shape.groups).map(move |group| (sum, group)))
        .flat_map(|(sum, group)| blocks.iter().map(move |block| (sum, group, block)))
        .collect();
    work.par_iter().for_each(|&(sum, group, channels)| {
        let images = (sum * share).min(shape.batch)..((sum + 1) * share).min(shape.batch);
        let outputs = group * shape.group_out()..(group + 1) * shape.group_out();
        for (index, tile) in tiles(images, out_pixels, TILE_PIXELS).iter().enumerate() {
            let staged = if tile.images.len() > 1 { outputs.len() * tile.len() } else { 0 };
            let unrolled = shape.unrolled(channels.len(), tile);
            with_scratch([unrolled, staged], |unrolled, staging| {
                let gradient = pixels(
                    gradient,
                    [shape.out_channels, out_pixels],
                    outputs.clone(),
                    tile,
                    staging,
                );
                let inputs = offset(channels, group * shape.group_in());
                for_columns(x, shape, inputs, tile, unrolled, |part, columns| {
                    // Transposed, rows by outputs: so the smaller of the two factors gets packed.
                    let first = (group * parts + part) * shape.group_in() + channels.start;
                    let start = sum * len + first * part_rows * outputs.len();
                    let place = target.at(start, columns.rows * outputs.len());
                    // SAFETY: the block lies in the buffer (checked by `at`); no other task has the
                    // same sum, group and channels.
                    unsafe {
                        multiply(
                            place,
                            [1, outputs.len()],
                            index > 0,
                            gradient,
                            columns.transposed(),
                        );
                    }
                });
            });
        }
    });
    let mut weight = vec![0.0; len];
    let (inputs, outputs) = (shape.group_in(), shape.group_out());
    // A cache line of sums holds 16 outputs, which therefore share a task.
    weight.par_chunks_mut(shape.rows() * 16).enumerate().for_each(|(chunk, weight)| {
        for (output, weight) in weight.chunks_exact_mut(shape.rows()).enumerate() {
            let (group, output) =
                ((chunk * 16 + output) / outputs, (chunk * 16 + output) % outputs);
            for (input, kernel) in weight.chunks_exact_mut(shape.taps()).enumerate() {
                for (part, kernel_part) in kernel.chunks_exact_mut(part_rows).enumerate() {
                    let first = ((group * parts + part) * inputs + input) * part_rows;
                    for (row, value) in kernel_part.iter_mut().enumerate() {
                        let places = sums[(first + row) * outputs + output..].iter().step_by(len);
                        *value = places.sum();
                    }
                }
            }
        }
    });
    weight
}

/// The gradient of a convolution with respect to its bias: the sum over images and pixels.
///
/// `gradient` is `[batch, channels, pixels]`, the result `[channels]`.
pub fn conv2d_backward_bias(gradient: &[f32], [batch, channels, pixels]: [usize; 3]) -> Vec<f32> {
    assert_eq!(gradient.len(), batch * channels * pixels, "gradient fits its shape");
    (0..channels)
        .into_par_iter()
        .map(|channel| {
            let planes = (0..batch).map(|image| (image * channels + channel) * pixels);
            planes
                .map(|start| crate::batch_norm::sum(&gradient[start..start + pixels]))
                .sum::<f64>() as f32
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{assert_close, in_pools, noise};

    fn naive(x: &[f32], weight: &[f32], bias: &[f32], shape: &Conv2dShape) -> Vec<f32> {
        let mut y = Vec::new();
        for image in 0..shape.batch {
            for (output, bias) in bias.iter().enumerate() {
                for pixel in 0..shape.out_pixels() {
                    let mut sum = f64::from(*bias);
                    for_each_product(shape, output, pixel, |input, place| {
                        sum += f64::from(x[image * shape.in_channels * shape.in_pixels() + input])
                            * f64::from(weight[place]);
                    });
                    y.push(sum as f32);
                }
            }
        }
        y
    }

    /// Input (within its image) and weight indices of the products in one output.
    fn for_each_product(
        shape: &Conv2dShape,
        output: usize,
        pixel: usize,
        mut visit: impl FnMut(usize, usize),
    ) {
        let [row, column] = [pixel / shape.output()[1], pixel % shape.output()[1]];
        let group = output / shape.group_out();
        for channel in 0..shape.group_in() {
            for tap in 0..shape.taps() {
                let y = row * shape.stride[0] + tap / shape.kernel[1] * shape.dilation[0];
                let x = column * shape.stride[1] + tap % shape.kernel[1] * shape.dilation[1];
                let inside = |at: usize, axis: usize| {
                    at >= shape.padding[axis] && at - shape.padding[axis] < shape.input[axis]
                };
                if inside(y, 0) && inside(x, 1) {
                    let plane = (group * shape.group_in() + channel) * shape.in_pixels();
                    let input = (y - shape.padding[0]) * shape.input[1] + x - shape.padding[1];
                    visit(
                        plane + input,
                        (output * shape.group_in() + channel) * shape.taps() + tap,
                    );
                }
            }
        }
    }

    pub(crate) fn shapes() -> Vec<Conv2dShape> {
        let base = Conv2dShape {
            batch: 3,
            in_channels: 6,
            out_channels: 8,
            input: [7, 9],
            kernel: [3, 3],
            stride: [1, 1],
            padding: [1, 1],
            dilation: [1, 1],
            groups: 1,
        };
        vec![
            base,
            Conv2dShape { batch: 1, input: [33, 37], ..base },
            Conv2dShape { batch: 5, in_channels: 80, input: [6, 8], ..base },
            Conv2dShape { stride: [2, 2], ..base },
            Conv2dShape {
                kernel: [4, 4],
                stride: [4, 4],
                padding: [0, 0],
                input: [13, 18],
                ..base
            },
            Conv2dShape { kernel: [1, 1], padding: [0, 0], ..base },
            Conv2dShape { kernel: [1, 1], padding: [0, 0], input: [40, 20], ..base },
            Conv2dShape { kernel: [1, 1], padding: [0, 0], stride: [2, 1], ..base },
            Conv2dShape { kernel: [1, 1], padding: [1, 2], ..base },
            Conv2dShape { dilation: [2, 2], padding: [2, 2], ..base },
            Conv2dShape { dilation: [5, 12], padding: [5, 12], ..base },
            Conv2dShape { kernel: [5, 2], padding: [3, 0], ..base },
            Conv2dShape { kernel: [2, 4], padding: [0, 2], stride: [1, 3], ..base },
            Conv2dShape { dilation: [2, 2], padding: [2, 2], input: [17, 19], ..base },
            Conv2dShape { dilation: [2, 1], padding: [0, 1], input: [23, 19], groups: 2, ..base },
            Conv2dShape {
                kernel: [5, 3],
                padding: [3, 1],
                input: [12, 16],
                in_channels: 150,
                ..base
            },
            Conv2dShape { groups: 2, ..base },
            Conv2dShape { groups: 2, stride: [2, 2], ..base },
            Conv2dShape { out_channels: 6, groups: 6, ..base },
            Conv2dShape { out_channels: 12, groups: 6, stride: [2, 2], ..base },
            Conv2dShape { out_channels: 12, groups: 6, dilation: [2, 1], kernel: [3, 5], ..base },
        ]
    }

    #[test]
    fn forward_and_gradients_equal_plain_loops() {
        for shape in shapes() {
            let x = noise(shape.batch * shape.in_channels * shape.in_pixels(), 1);
            let weight = noise(shape.out_channels * shape.rows(), 2);
            let bias = noise(shape.out_channels, 3);
            let gradient = noise(shape.batch * shape.out_channels * shape.out_pixels(), 4);
            let y = conv2d_forward(&x, &weight, Some(&bias), &shape);
            assert_close(&y, &naive(&x, &weight, &bias, &shape), &format!("forward {shape:?}"));

            let mut dx = vec![0.0; x.len()];
            let mut dw = vec![0.0; weight.len()];
            for (index, &gradient) in gradient.iter().enumerate() {
                let (plane, pixel) = (index / shape.out_pixels(), index % shape.out_pixels());
                let start = plane / shape.out_channels * shape.in_channels * shape.in_pixels();
                for_each_product(&shape, plane % shape.out_channels, pixel, |input, place| {
                    dx[start + input] += gradient * weight[place];
                    dw[place] += gradient * x[start + input];
                });
            }
            let found = conv2d_backward_input(&gradient, &weight, &shape);
            assert_close(&found, &dx, &format!("input gradient {shape:?}"));
            let found = conv2d_backward_weight(&x, &gradient, &shape);
            assert_close(&found, &dw, &format!("weight gradient {shape:?}"));
        }
    }

    #[test]
    fn the_number_of_threads_changes_no_bit() {
        let big = Conv2dShape {
            batch: 7,
            in_channels: 40,
            out_channels: 33,
            input: [20, 31],
            ..shapes()[0]
        };
        for shape in shapes().into_iter().chain([big]) {
            let x = noise(shape.batch * shape.in_channels * shape.in_pixels(), 1);
            let weight = noise(shape.out_channels * shape.rows(), 2);
            let gradient = noise(shape.batch * shape.out_channels * shape.out_pixels(), 4);
            let per_image = [shape.batch, shape.out_channels, shape.out_pixels()];
            in_pools(|| {
                [
                    conv2d_forward(&x, &weight, None, &shape),
                    conv2d_backward_input(&gradient, &weight, &shape),
                    conv2d_backward_weight(&x, &gradient, &shape),
                    conv2d_backward_bias(&gradient, per_image),
                ]
            });
        }
    }

    #[test]
    fn a_kernel_larger_than_its_input_gives_nothing() {
        let shape = Conv2dShape { input: [1, 9], padding: [0, 0], ..shapes()[0] };
        let x = noise(shape.batch * shape.in_channels * 9, 1);
        let weight = noise(shape.out_channels * shape.rows(), 2);
        assert!(conv2d_forward(&x, &weight, None, &shape).is_empty());
        assert_eq!(conv2d_backward_input(&[], &weight, &shape), vec![0.0; x.len()]);
        assert_eq!(conv2d_backward_weight(&x, &[], &shape), vec![0.0; weight.len()]);
    }
}
