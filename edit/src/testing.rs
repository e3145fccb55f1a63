//! What tests of this crate share.

use lamina_io::{Affine, Geometry, LabelVolume, Volume};
use ndarray::Array3;

use crate::session::Session;

/// Numbers that look random and are the same each time (Steele, Lea, Flood 2014: SplitMix).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// From 0 up to, not including, `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// From 0 up to 1.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Unequal spacing: 0.7 x 0.9 x 2.5 mm.
pub(crate) fn geometry(shape: [usize; 3]) -> Geometry {
    Geometry::new(shape, Affine::from_spacing_origin([0.7, 0.9, 2.5], [1.0, 2.0, 3.0])).unwrap()
}

/// A session on such a grid.
pub(crate) fn session(labels: Array3<u8>) -> Session {
    let (depth, height, width) = labels.dim();
    Session::new(LabelVolume::new(labels, geometry([depth, height, width])).unwrap())
}

/// An image on such a grid.
pub(crate) fn image(values: Array3<f32>) -> Volume {
    let (depth, height, width) = values.dim();
    Volume::from_array(values, geometry([depth, height, width])).unwrap()
}

/// Blobs of labels below `labels`: noise whose neighbors are alike.
pub(crate) fn blobs(shape: [usize; 3], labels: usize, seed: u64) -> Array3<u8> {
    let mut random = Random::new(seed);
    let mut array = Array3::zeros(shape);
    for _ in 0..shape.iter().product::<usize>() / 12 {
        let label = random.below(labels) as u8;
        let start = shape.map(|size| random.below(size));
        let end = [0, 1, 2].map(|a| (start[a] + 1 + random.below(4)).min(shape[a]));
        array
            .slice_mut(ndarray::s![start[0]..end[0], start[1]..end[1], start[2]..end[2]])
            .fill(label);
    }
    array
}
