//! What a network answers to some slices: once, or over mirrors, scales and windows.
//!
//! However often slices are looked at, what is held beside the answer to a batch is one more
//! like it and what the network needs for `batch_size` windows.

use burn::tensor::{Tensor, activation};
use ndarray::{Array2, Array4, ArrayView2, Axis, Zip, s};

use super::slices::Labeler;
use super::tiles::{TileConfig, TileWeights};
use super::{InferenceConfig, MirrorAxis, MirrorMean};
use crate::preprocess::{Prepared, Resampling, resample_linear};
use crate::tensor::{to_array, to_tensor};

/// What a network answers to some slices.
#[derive(Debug)]
pub(super) struct Scores {
    /// `[slice, class, height, width]` of the prepared slices.
    pub values: Array4<f32>,
    /// Whether these are logits; otherwise they are probabilities.
    pub are_logits: bool,
}

impl Labeler<'_> {
    /// Logits of some slices where each is looked at once, else their mean probabilities.
    pub(super) fn scores(&self, prepared: &Prepared, slices: &[usize]) -> Scores {
        if self.config.is_plain(prepared.slice_shape()) {
            self.scores_of_whole(prepared, slices)
        } else {
            Scores { values: self.mean_over_passes(prepared, slices), are_logits: false }
        }
    }

    /// How often the network looks at each slice, or a window of it.
    pub fn passes(&self, prepared: &Prepared) -> usize {
        let sizes = self.config.scales().iter().map(|scale| scaled(prepared.slice_shape(), *scale));
        let windows = |size| self.config.tile.as_ref().map_or(1, |tile| tile.corners(size).len());
        combinations(&self.config.mirror_axes).len() * sizes.map(windows).sum::<usize>()
    }

    /// Logits, or mean probabilities over mirrors, without the padding.
    fn scores_of_whole(&self, prepared: &Prepared, slices: &[usize]) -> Scores {
        let [height, width] = prepared.slice_shape();
        let padded = [height, width].map(|size| self.architecture.padded(size));
        let mut input = Array4::zeros([slices.len(), self.channels, padded[0], padded[1]]);
        let mut corner = [0, 0];
        for (&index, input) in slices.iter().zip(input.axis_iter_mut(Axis(0))) {
            corner = prepared.write_input(index, input);
        }
        let input = to_tensor(input, self.device);
        let (answer, are_logits) = if self.config.mirror_axes.is_empty() {
            (self.network.forward(input), true)
        } else {
            (self.mirrored_mean(input), false)
        };
        let scores = to_array(answer);
        let [top, left] = corner;
        let values = scores.slice_move(s![.., .., top..top + height, left..left + width]);
        Scores { values, are_logits }
    }

    /// Probabilities, averaged over scales, windows and mirrors.
    fn mean_over_passes(&self, prepared: &Prepared, slices: &[usize]) -> Array4<f32> {
        let [height, width] = prepared.slice_shape();
        let mut input = Array4::zeros([slices.len(), self.channels, height, width]);
        for (&index, input) in slices.iter().zip(input.axis_iter_mut(Axis(0))) {
            prepared.write_input(index, input);
        }
        let mut sum: Option<Array4<f32>> = None;
        for &scale in self.config.scales() {
            let size = scaled([height, width], scale);
            let there = Resampling::new([height, width], size);
            let found = match &self.config.tile {
                Some(tile) if !tile.covers(size) => {
                    self.over_windows(&resampled(&input, there), tile)
                }
                _ => self.probabilities(&resampled(&input, there)),
            };
            let found = resampled(&found, there.inverse());
            match &mut sum {
                None => sum = Some(found),
                Some(sum) => *sum += &found,
            }
        }
        let mut sum = sum.expect("there is at least one scale");
        if self.config.adds_up_to_one() {
            sum /= self.config.scales().len() as f32;
        } else {
            normalize(&mut sum);
        }
        sum
    }

    /// Probabilities of slices of any size, padded for the network and back.
    ///
    /// # Shapes
    /// - `input`: `[slice, channel, height, width]`
    /// - output: `[slice, class, height, width]`
    fn probabilities(&self, input: &Array4<f32>) -> Array4<f32> {
        let (count, channels, height, width) = input.dim();
        let padded = [height, width].map(|size| self.architecture.padded(size));
        let [top, left] = [(padded[0] - height) / 2, (padded[1] - width) / 2];
        let inside = s![.., .., top..top + height, left..left + width];
        let mut framed = Array4::zeros([count, channels, padded[0], padded[1]]);
        framed.slice_mut(inside).assign(input);
        let input = to_tensor(framed, self.device);
        let answer = if self.config.mirror_axes.is_empty() {
            activation::softmax(self.network.forward(input), 1)
        } else {
            self.mirrored_mean(input)
        };
        to_array(answer).slice_move(inside)
    }

    /// Probabilities of slices that are larger than a window: the weighted mean of all that see a
    /// pixel, or their sum.
    fn over_windows(&self, input: &Array4<f32>, tile: &TileConfig) -> Array4<f32> {
        let (count, channels, height, width) = input.dim();
        let [rows, columns] = tile.window([height, width]);
        let weights = Array2::from_shape_vec([rows, columns], tile.weights([rows, columns]))
            .expect("a weight for each pixel of a window");
        let corners = tile.corners([height, width]);
        let windows: Vec<(usize, [usize; 2])> = (0..count)
            .flat_map(|slice| corners.iter().map(move |corner| (slice, *corner)))
            .collect();
        let mut sum: Option<Array4<f32>> = None;
        for batch in windows.chunks(self.config.batch_size) {
            let mut cut = Array4::zeros([batch.len(), channels, rows, columns]);
            for (&(slice, [top, left]), mut cut) in batch.iter().zip(cut.axis_iter_mut(Axis(0))) {
                let window = s![slice, .., top..top + rows, left..left + columns];
                cut.assign(&input.slice(window));
            }
            let found = self.probabilities(&cut);
            let sum =
                sum.get_or_insert_with(|| Array4::zeros([count, found.dim().1, height, width]));
            for (&(slice, [top, left]), found) in batch.iter().zip(found.axis_iter(Axis(0))) {
                let window = s![slice, .., top..top + rows, left..left + columns];
                for (target, found) in
                    sum.slice_mut(window).outer_iter_mut().zip(found.outer_iter())
                {
                    Zip::from(target)
                        .and(found)
                        .and(&weights)
                        .for_each(|sum, found, weight| *sum += found * weight);
                }
            }
        }
        let mut sum = sum.expect("a slice has at least one window");
        if tile.weights != TileWeights::Sum {
            divide(&mut sum, weight_sums([height, width], &corners, weights.view()).view());
        }
        sum
    }

    fn mirrored_mean(&self, input: Tensor<4>) -> Tensor<4> {
        let mirrors = combinations(&self.config.mirror_axes);
        let count = mirrors.len() as f64;
        let found = mirrors.into_iter().map(|axes| {
            let logits = self.network.forward(mirrored(input.clone(), &axes));
            mirrored(activation::softmax(logits, 1), &axes)
        });
        match self.config.mirror_mean {
            MirrorMean::Mean => found
                .reduce(|sum, probabilities| sum + probabilities)
                .expect("at least the unmirrored pass")
                .div_scalar(count),
            MirrorMean::Product => found
                .reduce(|product, probabilities| product * probabilities)
                .expect("at least the unmirrored pass"),
        }
    }
}

impl InferenceConfig {
    /// Whether a slice of this size goes through the network as it is.
    fn is_plain(&self, slice: [usize; 2]) -> bool {
        self.scales() == [1.0]
            && self.tile.as_ref().is_none_or(|tile| tile.covers(slice))
            && self.multiplies_nothing()
    }

    /// Whether the mean over scales is one of probabilities.
    fn adds_up_to_one(&self) -> bool {
        let sums = self.tile.as_ref().is_some_and(|tile| tile.weights == TileWeights::Sum);
        !sums && self.multiplies_nothing()
    }

    fn multiplies_nothing(&self) -> bool {
        self.mirror_axes.is_empty() || self.mirror_mean == MirrorMean::Mean
    }
}

fn scaled(size: [usize; 2], scale: f64) -> [usize; 2] {
    size.map(|size| ((size as f64 * scale).round() as usize).max(1))
}

/// Resamples all maps of some slices.
fn resampled(maps: &Array4<f32>, resampling: Resampling) -> Array4<f32> {
    if resampling.is_identity() {
        return maps.clone();
    }
    let (slices, channels, height, width) = maps.dim();
    let maps = maps.as_standard_layout();
    let stack = maps
        .to_shape([slices * channels, height, width])
        .expect("in memory order, maps are a stack");
    let [height, width] = resampling.to;
    resample_linear(stack.view(), resampling)
        .into_shape_with_order([slices, channels, height, width])
        .expect("as many maps as before")
}

/// What all windows that see a pixel count together.
fn weight_sums(
    size: [usize; 2],
    corners: &[[usize; 2]],
    weights: ArrayView2<'_, f32>,
) -> Array2<f32> {
    let (rows, columns) = weights.dim();
    let mut sums = Array2::zeros(size);
    for &[top, left] in corners {
        let mut window = sums.slice_mut(s![top..top + rows, left..left + columns]);
        window += &weights;
    }
    sums
}

fn divide(maps: &mut Array4<f32>, by: ArrayView2<'_, f32>) {
    for mut slice in maps.outer_iter_mut() {
        for mut map in slice.outer_iter_mut() {
            map /= &by;
        }
    }
}

/// Makes the scores of each pixel add up to 1; where all are 0, all classes are alike.
fn normalize(maps: &mut Array4<f32>) {
    for mut slice in maps.outer_iter_mut() {
        let alike = 1.0 / slice.len_of(Axis(0)) as f32;
        for mut pixel in slice.lanes_mut(Axis(0)) {
            let sum = pixel.sum();
            pixel.mapv_inplace(|score| if sum > 0.0 { score / sum } else { alike });
        }
    }
}

fn mirrored(tensor: Tensor<4>, axes: &[usize]) -> Tensor<4> {
    axes.iter().fold(tensor, |tensor, &axis| tensor.flip([axis as isize]))
}

/// Every subset of the axes, the empty one first, as tensor dimensions.
fn combinations(axes: &[MirrorAxis]) -> Vec<Vec<usize>> {
    let dimension = |axis: MirrorAxis| match axis {
        MirrorAxis::X => 3,
        MirrorAxis::Y => 2,
    };
    axes.iter().fold(vec![Vec::new()], |subsets, &axis| {
        let with = subsets.iter().map(|subset| {
            let mut subset: Vec<usize> = subset.clone();
            subset.push(dimension(axis));
            subset
        });
        subsets.iter().cloned().chain(with).collect()
    })
}

#[cfg(test)]
mod tests {
    use ndarray::{arr2, arr3};

    use super::*;

    #[test]
    fn mirrors_combine_to_every_subset() {
        assert_eq!(combinations(&[]), [Vec::<usize>::new()]);
        let both = combinations(&[MirrorAxis::X, MirrorAxis::Y]);
        assert_eq!(both, [vec![], vec![3], vec![2], vec![3, 2]]);
    }

    #[test]
    fn weights_of_windows_add_up_where_they_overlap() {
        let weights = arr2(&[[1.0, 2.0]]);
        let sums = weight_sums([1, 4], &[[0, 0], [0, 1], [0, 2]], weights.view());
        assert_eq!(sums, arr2(&[[1.0, 3.0, 3.0, 2.0]]));
    }

    #[test]
    fn scores_add_up_to_one_and_none_are_all_alike() {
        let mut maps = arr3(&[[[3.0, 0.0]], [[1.0, 0.0]]]).insert_axis(Axis(0));
        normalize(&mut maps);
        assert_eq!(maps, arr3(&[[[0.75, 0.5]], [[0.25, 0.5]]]).insert_axis(Axis(0)));
    }
}
