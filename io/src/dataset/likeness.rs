//! What an image looks like from afar: one that was stored anew with losses still looks the same.
//!
//! A difference hash: means over a grid of blocks, and for each whether its right neighbor is
//! brighter.

/// Blocks along y; one more along x.
const BLOCKS: usize = 16;

/// How many bits of two images that look alike may differ. Photographs of CamVid stored as JPEG of
/// quality 50 differ in up to 9, those of two drives in 86 or more, scans of two hippocampi in 40.
const MOST_BITS: u32 = 12;

/// Blocks that have to differ from their right neighbors: where fewer do, a shape on an even ground
/// would look like any other.
const LEAST_STEPS: u32 = 192;

/// Which blocks are darker than their right neighbors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Likeness([u64; BLOCKS * BLOCKS / 64]);

impl Likeness {
    /// Sums blocks of images of this size, all slices together.
    pub(super) fn builder(width: usize, height: usize) -> Builder {
        Builder {
            width,
            height,
            sums: [[0.0; BLOCKS + 1]; BLOCKS],
            counts: [[0; BLOCKS + 1]; BLOCKS],
        }
    }

    /// Whether two images look the same.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let bits = self.0.iter().zip(other.0).map(|(a, b)| (a ^ b).count_ones());
        bits.sum::<u32>() <= MOST_BITS
    }
}

/// Sums of blocks.
pub(super) struct Builder {
    width: usize,
    height: usize,
    sums: [[f64; BLOCKS + 1]; BLOCKS],
    counts: [[u64; BLOCKS + 1]; BLOCKS],
}

impl Builder {
    /// Adds a value at a pixel of a slice, counted row by row.
    pub(super) fn add(&mut self, pixel: usize, value: f64) {
        if value.is_finite() {
            let (x, y) = (pixel % self.width, pixel / self.width);
            let block = (y * BLOCKS / self.height, x * (BLOCKS + 1) / self.width);
            self.sums[block.0][block.1] += value;
            self.counts[block.0][block.1] += 1;
        }
    }

    /// What it looks like; nothing of images that are too small or too even to tell.
    pub(super) fn finish(self) -> Option<Likeness> {
        let small = self.width * self.height < 4 * BLOCKS * (BLOCKS + 1);
        if small || self.width <= BLOCKS || self.height < BLOCKS {
            return None;
        }
        let mut bits = [0_u64; BLOCKS * BLOCKS / 64];
        let mut steps = 0;
        for y in 0..BLOCKS {
            for x in 0..BLOCKS {
                let mean = |x: usize| self.sums[y][x] / self.counts[y][x].max(1) as f64;
                let (here, right) = (mean(x), mean(x + 1));
                steps += u32::from(here != right);
                if here < right {
                    let bit = y * BLOCKS + x;
                    bits[bit / 64] |= 1 << (bit % 64);
                }
            }
        }
        (steps > LEAST_STEPS).then_some(Likeness(bits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn likeness(value: impl Fn(usize, usize) -> f64) -> Option<Likeness> {
        let mut builder = Likeness::builder(40, 32);
        for pixel in 0..40 * 32 {
            builder.add(pixel, value(pixel % 40, pixel / 40));
        }
        builder.finish()
    }

    #[test]
    fn small_changes_are_overlooked_and_others_are_not() {
        let waves =
            |x: usize, y: usize| (x as f64 / 3.0).sin() * 100.0 + (y as f64 / 5.0).cos() * 50.0;
        let image = likeness(waves).unwrap();
        assert!(image.is_like(&likeness(|x, y| waves(x, y).round() + 7.0).unwrap()));
        assert!(!image.is_like(&likeness(|x, y| waves(y, x)).unwrap()));
        assert_eq!(likeness(|_, _| 5.0), None);
    }
}
