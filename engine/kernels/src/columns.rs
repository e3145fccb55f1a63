//! Unrolls the neighborhoods of output pixels into columns of a matrix, and back.
//!
//! Rows run over (channel, kernel row, kernel column), columns over pixels.

use crate::Conv2dShape;
use std::ops::Range;

/// Some output pixels: a piece of one image, or several whole ones.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tile {
    pub(crate) images: Range<usize>,
    pub(crate) pixels: Range<usize>,
}

impl Tile {
    /// How many pixels lie in the tile.
    pub(crate) fn len(&self) -> usize {
        self.images.len() * self.pixels.len()
    }
}

/// Cuts `images` of `pixels` each into tiles of about `wanted` pixels.
pub(crate) fn tiles(images: Range<usize>, pixels: usize, wanted: usize) -> Vec<Tile> {
    if pixels == 0 {
        return Vec::new();
    }
    if pixels > wanted / 2 {
        let pieces = pixels.div_ceil(wanted);
        let step = pixels.div_ceil(pieces).next_multiple_of(16);
        let piece = |image| {
            (0..pixels).step_by(step).map(move |start| Tile {
                images: image..image + 1,
                pixels: start..pixels.min(start + step),
            })
        };
        return images.flat_map(piece).collect();
    }
    let end = images.end;
    let step = (wanted / pixels).max(1);
    images
        .step_by(step)
        .map(|first| Tile { images: first..end.min(first + step), pixels: 0..pixels })
        .collect()
}

/// Where a row of output pixels reads within a row of input: outputs `valid`, from input
/// `valid.start * stride + offset - padding` on.
fn valid_range(size: usize, out: usize, tap: usize, stride: usize, padding: usize) -> Range<usize> {
    // input = position * stride + tap - padding, to lie in 0..size
    let start = padding.saturating_sub(tap).div_ceil(stride);
    let end = (size + padding).saturating_sub(tap).div_ceil(stride);
    start.min(out)..end.clamp(start.min(out), out)
}

/// Writes the columns of `tile` for input channels `channels` to `columns`, row after row.
///
/// # Shapes
/// - `x`: `[batch, in_channels, height, width]`
/// - `columns`: `[channels * kernel height * kernel width, tile pixels]`
pub(crate) fn gather(
    x: &[f32],
    shape: &Conv2dShape,
    channels: Range<usize>,
    tile: &Tile,
    columns: &mut [f32],
) {
    let [height, width] = shape.input;
    let [kernel_height, kernel_width] = shape.kernel;
    let out_width = shape.output()[1];
    let shifts = shape.stride == [1, 1] && out_width == width;
    let per_image = tile.pixels.len();
    let mut rows = columns.chunks_exact_mut(tile.len());
    for channel in channels {
        for kernel_row in 0..kernel_height {
            for kernel_column in 0..kernel_width {
                let row = rows.next().expect("a row for each tap");
                for (image, target) in tile.images.clone().zip(row.chunks_exact_mut(per_image)) {
                    let start = (image * shape.in_channels + channel) * height * width;
                    let plane = &x[start..start + height * width];
                    let tap = [kernel_row * shape.dilation[0], kernel_column * shape.dilation[1]];
                    if shifts {
                        gather_shifted(
                            plane,
                            shape,
                            tap,
                            shape.output()[0],
                            tile.pixels.start,
                            target,
                        );
                    } else {
                        gather_rows(plane, shape, tap, tile.pixels.start, target);
                    }
                }
            }
        }
    }
}

/// How far apart a strip holds the neighbors in two adjoining rows of the kernel.
pub(crate) fn strip_shift(shape: &Conv2dShape) -> usize {
    shape.dilation[0] * shape.input[1]
}

/// Writes a strip for each of `channels` and each kernel column to `strips`, one after the other.
///
/// Kernel row `r` of a tile's columns is found in the strips from `r * strip_shift` on, so that
/// only a third as much has to be copied for a kernel of three rows. For a piece of one image, at
/// stride 1 and where the output is as wide as the input.
///
/// # Shapes
/// - `x`: `[batch, in_channels, height, width]`
/// - `strips`: `[channels * kernel width, tile pixels + (kernel height - 1) * strip_shift]`
pub(crate) fn gather_strips(
    x: &[f32],
    shape: &Conv2dShape,
    channels: Range<usize>,
    tile: &Tile,
    strips: &mut [f32],
) {
    let [height, width] = shape.input;
    let reach = shape.dilation[0] * (shape.kernel[0] - 1);
    let len = tile.len() + (shape.kernel[0] - 1) * strip_shift(shape);
    let mut rows = strips.chunks_exact_mut(len);
    for channel in channels {
        let start = (tile.images.start * shape.in_channels + channel) * height * width;
        let plane = &x[start..start + height * width];
        for kernel_column in 0..shape.kernel[1] {
            let strip = rows.next().expect("a strip for each kernel column");
            let tap = [0, kernel_column * shape.dilation[1]];
            let out_rows = shape.output()[0] + reach;
            gather_shifted(plane, shape, tap, out_rows, tile.pixels.start, strip);
        }
    }
}

/// The fast case: output pixel and input pixel are always equally far apart in memory, so that one
/// copy serves, after which the places beyond the border are cleared.
fn gather_shifted(
    plane: &[f32],
    shape: &Conv2dShape,
    tap: [usize; 2],
    out_rows: usize,
    first: usize,
    target: &mut [f32],
) {
    let [height, width] = shape.input;
    let rows = valid_range(height, out_rows, tap[0], 1, shape.padding[0]);
    let columns = valid_range(width, width, tap[1], 1, shape.padding[1]);
    let last = first + target.len();
    // A copy may reach over the ends of the rows, but not over the ends of the plane.
    let shift = (tap[0] as isize - shape.padding[0] as isize) * width as isize
        + (tap[1] as isize - shape.padding[1] as isize);
    let from = (rows.start * width).max((-shift).max(0) as usize).clamp(first, last);
    let to =
        (rows.end * width).min((plane.len() as isize - shift).max(0) as usize).clamp(from, last);
    target[..from - first].fill(0.0);
    target[to - first..].fill(0.0);
    if to > from {
        let source = (from as isize + shift) as usize;
        target[from - first..to - first].copy_from_slice(&plane[source..source + to - from]);
    }
    if columns != (0..width) {
        let mut row_start = first / width * width;
        while row_start < last {
            for column in (0..columns.start).chain(columns.end..width) {
                let pixel = row_start + column;
                if (first..last).contains(&pixel) {
                    target[pixel - first] = 0.0;
                }
            }
            row_start += width;
        }
    }
}

fn gather_rows(
    plane: &[f32],
    shape: &Conv2dShape,
    tap: [usize; 2],
    first: usize,
    target: &mut [f32],
) {
    let width = shape.input[1];
    for_rows(shape, tap, first, target.len(), |place, input| {
        let row = &mut target[place];
        let Some((skip, source, count)) = input else {
            row.fill(0.0);
            return;
        };
        row[..skip].fill(0.0);
        row[skip + count..].fill(0.0);
        debug_assert!(source % width + (count - 1) * shape.stride[1] < width);
        if shape.stride[1] == 1 {
            row[skip..skip + count].copy_from_slice(&plane[source..source + count]);
        } else {
            let source = plane[source..].iter().step_by(shape.stride[1]);
            for (value, &from) in row[skip..skip + count].iter_mut().zip(source) {
                *value = from;
            }
        }
    });
}

/// Adds the columns of one piece of one image to the image's gradient, the reverse of [`gather`].
///
/// `gradient` is one channel's plane, `columns` that channel's rows.
pub(crate) fn scatter(
    columns: &[f32],
    shape: &Conv2dShape,
    first: usize,
    pixels: usize,
    gradient: &mut [f32],
) {
    let mut rows = columns.chunks_exact(pixels);
    for kernel_row in 0..shape.kernel[0] {
        for kernel_column in 0..shape.kernel[1] {
            let row = rows.next().expect("a row for each tap");
            let tap = [kernel_row * shape.dilation[0], kernel_column * shape.dilation[1]];
            for_rows(shape, tap, first, pixels, |place, input| {
                let Some((skip, target, count)) = input else {
                    return;
                };
                let values = &row[place][skip..skip + count];
                if shape.stride[1] == 1 {
                    for (sum, value) in gradient[target..target + count].iter_mut().zip(values) {
                        *sum += value;
                    }
                } else {
                    for (sum, value) in
                        gradient[target..].iter_mut().step_by(shape.stride[1]).zip(values)
                    {
                        *sum += value;
                    }
                }
            });
        }
    }
}

/// Calls `visit` for each row of output that meets the pixels `first..first + count`: with its
/// place among them and, unless it lies beyond the border, with how many of its pixels to skip, the
/// input index of the first one after these, and how many follow.
fn for_rows(
    shape: &Conv2dShape,
    tap: [usize; 2],
    first: usize,
    count: usize,
    mut visit: impl FnMut(Range<usize>, Option<(usize, usize, usize)>),
) {
    let [height, width] = shape.input;
    let [_, out_width] = shape.output();
    let valid = valid_range(width, out_width, tap[1], shape.stride[1], shape.padding[1]);
    let mut pixel = first;
    while pixel < first + count {
        let (row, column) = (pixel / out_width, pixel % out_width);
        let end = (column + first + count - pixel).min(out_width);
        let place = pixel - first..pixel - first + end - column;
        pixel += end - column;
        let start = valid.start.clamp(column, end);
        let stop = valid.end.clamp(start, end);
        let input_row = (row * shape.stride[0] + tap[0])
            .checked_sub(shape.padding[0])
            .filter(|&input_row| input_row < height && stop > start);
        visit(
            place,
            input_row.map(|input_row| {
                let input_column = start * shape.stride[1] + tap[1] - shape.padding[1];
                (start - column, input_row * width + input_column, stop - start)
            }),
        );
    }
}
