//! Where the pixels of a patch come from, row by row.
//!
//! Where a slice is neither turned nor bent that is computed once for all rows and once for all columns.
//! Both ways give the same bits.

use ndarray::ArrayView2;

use super::elastic::Among;
use super::spatial::Warp;
use crate::losses::IGNORE_LABEL;

/// Where the pixels of one row of the patch come from.
pub(super) struct Lines<'a> {
    warp: &'a Warp,
    center: [f64; 2],
    middle: [f64; 2],
    sine: f64,
    cosine: f64,
    size: [usize; 2],
    /// Whether columns come from the same place in every row, and rows in every column.
    straight: bool,
    /// The nodes of the bend around each column.
    among: Vec<Among>,
    from_y: Vec<f64>,
    from_x: Vec<f64>,
    taps: Vec<Tap>,
}

/// The upper left of the four pixels that one comes from, and the weights of those below and on
/// the right.
#[derive(Clone, Copy)]
struct Tap {
    /// Its place in the plane; `EDGE` where not all four are in the slice.
    base: usize,
    down: f32,
    right: f32,
}

const EDGE: usize = usize::MAX;

impl<'a> Lines<'a> {
    pub(super) fn new(
        warp: &'a Warp,
        center: [f64; 2],
        patch: [usize; 2],
        size: [usize; 2],
    ) -> Self {
        let (sine, cosine) = warp.radians.sin_cos();
        let [rows, columns] = patch;
        let mut lines = Self {
            warp,
            center,
            middle: [(rows as f64 - 1.0) / 2.0, (columns as f64 - 1.0) / 2.0],
            sine,
            cosine,
            size,
            straight: sine == 0.0 && cosine == 1.0 && warp.bend.is_none(),
            among: warp
                .bend
                .iter()
                .flat_map(|bend| (0..columns).map(|column| bend.among(column)))
                .collect(),
            from_y: vec![0.0; columns],
            from_x: vec![0.0; columns],
            taps: vec![Tap { base: EDGE, down: 0.0, right: 0.0 }; columns],
        };
        if lines.straight {
            lines.place(0);
        }
        lines
    }

    /// Goes on to row `row` of the patch.
    pub(super) fn go_to(&mut self, row: usize) {
        if self.straight {
            let from_y = self.center[0] + sign(self.warp.flip_y) * self.y(row);
            self.from_y.fill(from_y);
        } else {
            self.place(row);
        }
        let [height, width] = self.size;
        for ((tap, from_y), from_x) in self.taps.iter_mut().zip(&self.from_y).zip(&self.from_x) {
            let (floor_y, floor_x) = (from_y.floor(), from_x.floor());
            let whole = floor_y >= 0.0
                && floor_x >= 0.0
                && floor_y < height as f64 - 1.0
                && floor_x < width as f64 - 1.0;
            let base = if whole { floor_y as usize * width + floor_x as usize } else { EDGE };
            let (down, right) = ((from_y - floor_y) as f32, (from_x - floor_x) as f32);
            *tap = Tap { base, down, right };
        }
    }

    fn y(&self, row: usize) -> f64 {
        (row as f64 - self.middle[0] - self.warp.shift[1]) / self.warp.scale
    }

    fn place(&mut self, row: usize) {
        let straight_y = self.y(row);
        let &Warp { flip_x, flip_y, scale, shift, .. } = self.warp;
        let line = self.warp.bend.as_ref().map(|bend| bend.line(row));
        for (column, (from_y, from_x)) in self.from_y.iter_mut().zip(&mut self.from_x).enumerate() {
            let mut x = (column as f64 - self.middle[1] - shift[0]) / scale;
            let mut y = straight_y;
            if let Some([along_y, along_x]) = &line {
                y += self.among[column].of(along_y) / scale;
                x += self.among[column].of(along_x) / scale;
            }
            *from_y = self.center[0] + sign(flip_y) * (self.cosine * y - self.sine * x);
            *from_x = self.center[1] + sign(flip_x) * (self.sine * y + self.cosine * x);
        }
    }

    /// The pixel of the slice that is nearest to where each of the row comes from.
    fn nearest(&self) -> impl Iterator<Item = Option<[usize; 2]>> + '_ {
        let [height, width] = self.size;
        self.from_y.iter().zip(&self.from_x).map(move |(from_y, from_x)| {
            let (near_y, near_x) = (from_y.round(), from_x.round());
            let inside =
                near_y >= 0.0 && near_x >= 0.0 && near_y < height as f64 && near_x < width as f64;
            inside.then_some([near_y as usize, near_x as usize])
        })
    }

    pub(super) fn labels(&self, source: ArrayView2<'_, u8>, target: &mut [u8]) {
        for (label, nearest) in target.iter_mut().zip(self.nearest()) {
            *label = nearest.map_or(IGNORE_LABEL, |at| source[at]);
        }
    }

    pub(super) fn inside(&self, target: &mut [bool]) {
        for (inside, nearest) in target.iter_mut().zip(self.nearest()) {
            *inside = nearest.is_some();
        }
    }

    pub(super) fn sample<T: Copy>(
        &self,
        plane: &[T],
        number: impl Fn(T) -> f32,
        outside: f32,
        target: &mut [f32],
    ) {
        let [height, width] = self.size;
        for (column, (value, tap)) in target.iter_mut().zip(&self.taps).enumerate() {
            let Tap { base, down, right } = *tap;
            let [above, below] = if base == EDGE {
                let (y, x) =
                    (self.from_y[column].floor() as i64, self.from_x[column].floor() as i64);
                let at = |y: i64, x: i64| {
                    let inside = y >= 0 && x >= 0 && y < height as i64 && x < width as i64;
                    if inside { number(plane[y as usize * width + x as usize]) } else { outside }
                };
                [[at(y, x), at(y, x + 1)], [at(y + 1, x), at(y + 1, x + 1)]]
            } else {
                let (above, below) =
                    (&plane[base..base + 2], &plane[base + width..base + width + 2]);
                [above, below].map(|pair| [number(pair[0]), number(pair[1])])
            };
            let above = above[0] * (1.0 - right) + above[1] * right;
            let below = below[0] * (1.0 - right) + below[1] * right;
            *value = above * (1.0 - down) + below * down;
        }
    }
}

pub(super) fn sign(flip: bool) -> f64 {
    if flip { -1.0 } else { 1.0 }
}
