//! A user who does things at random, the same each time.

use std::sync::Arc;

use lamina_edit::*;
use lamina_io::{Affine, Geometry, LabelVolume, Volume};
use ndarray::Array3;

pub const SHAPE: [usize; 3] = [9, 24, 31];

/// Numbers that look random and are the same each time (SplitMix).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    pub fn label(&mut self) -> u8 {
        self.of(&[0, 1, 1, 2, 3])
    }

    pub fn index(&mut self) -> [usize; 3] {
        SHAPE.map(|size| self.below(size))
    }

    pub fn place(&mut self) -> Place {
        SHAPE.map(|size| self.unit() * (size as f64 + 2.0) - 1.5)
    }

    pub fn reach(&mut self) -> Reach {
        let axis = self.of(&Axis::ALL);
        let index = self.below(SHAPE[axis.index()]);
        self.of(&[Reach::Volume, Reach::EachSlice(axis), Reach::Slice { axis, index }])
    }

    fn range(&mut self) -> ValueRange {
        let range = ValueRange::between(self.unit() * 100.0, self.unit() * 100.0);
        let high = if self.below(3) == 0 { f64::INFINITY } else { range.high };
        ValueRange { high, ..range }
    }
}

/// Oblique, with unequal spacing.
pub fn geometry() -> Geometry {
    let (sin, cos) = 0.3_f64.sin_cos();
    let steps = [[0.7, 0.0, 0.0], [0.0, 0.9 * cos, 0.9 * sin], [0.0, -2.5 * sin, 2.5 * cos]];
    Geometry::new(SHAPE, Affine::from_columns(steps, [-20.0, 4.0, 9.0])).unwrap()
}

pub fn image() -> Arc<Volume> {
    let values = Array3::from_shape_fn(SHAPE, |(k, j, i)| {
        (50.0 + 30.0 * (k as f32 / 2.0).sin() + 20.0 * (j as f32 / 3.0 + i as f32 / 5.0).cos())
            .round()
    });
    Arc::new(Volume::from_array(values, geometry()).unwrap())
}

pub fn second() -> LabelVolume {
    let labels =
        Array3::from_shape_fn(SHAPE, |(k, j, i)| u8::from(k + j / 3 + i / 4 > 9) + u8::from(i < 4));
    LabelVolume::new(labels, geometry()).unwrap()
}

/// A session with an image, and second labels, which has not been changed.
pub fn session() -> Session {
    let mut session = Session::for_image(image());
    session.set_second(Some(&second())).unwrap();
    session
}

pub fn random_rules(random: &mut Random) -> Rules {
    Rules {
        within_labels: (random.below(4) == 0).then(|| LabelSet::from([0, random.label()])),
        within_values: (random.below(4) == 0).then(|| random.range()),
        locked: if random.below(3) == 0 { LabelSet::from([3]) } else { LabelSet::EMPTY },
    }
}

/// Does something, or finds that it cannot.
pub fn do_something(session: &mut Session, random: &mut Random) {
    match random.below(20) {
        0..6 => stroke(session, random),
        6..9 => drop(session.undo()),
        9..11 => drop(session.redo()),
        _ => drop(session.apply(&random_operation(random))),
    }
}

fn stroke(session: &mut Session, random: &mut Random) {
    let shape = match random.below(4) {
        0 => BrushShape::Sphere,
        n => BrushShape::Disc(Axis::ALL[n - 1]),
    };
    let mut brush = Brush::new(shape, 0.4 + 4.0 * random.unit(), random.label());
    brush.values = (random.below(3) == 0).then(|| random.range());
    brush.over = (random.below(5) == 0).then(|| LabelSet::from([random.label()]));
    if session.begin_stroke(brush, random.place()).is_err() {
        return;
    }
    for _ in 0..random.below(6) {
        session.move_stroke(random.place()).unwrap();
    }
    if random.below(12) == 0 {
        session.cancel_stroke().unwrap();
    } else {
        session.end_stroke().unwrap();
    }
}

pub fn random_operation(random: &mut Random) -> Operation {
    let (label, axis) = (random.label(), random.of(&Axis::ALL));
    let neighbors = random.of(&[Neighbors::Faces, Neighbors::Corners]);
    let over = random.of(&[Over::Background, Over::Any]);
    let (seed, reach) = (random.index(), random.reach());
    let slice = random.of(&[None, Some(axis)]);
    match random.below(11) {
        0 => Operation::Polygon(Polygon {
            axis,
            slice: seed[axis.index()],
            corners: (0..3 + random.below(6))
                .map(|_| [random.unit() * 24.0; 2])
                .map(|[a, b]| [a, (b * 7.3) % 29.0])
                .collect(),
            winding: random.of(&[Winding::NonZero, Winding::EvenOdd]),
            label,
        }),
        1 => Operation::Fill(Fill { seed, slice, neighbors, label }),
        2 => Operation::Grow(Grow {
            seed,
            range: GrowRange::AroundSeed(8.0 * random.unit()),
            radius_mm: Some(6.0 * random.unit()),
            slice,
            neighbors,
            max_voxels: 3000,
            label,
        }),
        3 => Operation::Threshold(Threshold { values: random.range(), reach, over, label }),
        4 => Operation::Interpolate(Interpolate {
            axis,
            label: random.of(&[None, Some(label.max(1))]),
            over,
        }),
        5 => {
            let action = match random.below(4) {
                0 => IslandAction::KeepLargest,
                1 => IslandAction::KeepAt(seed),
                2 => IslandAction::RemoveSmaller(Size::Milliliters(0.05)),
                _ => IslandAction::Split(vec![2, 4]),
            };
            Operation::Islands(Islands { label: 1, action, neighbors, reach })
        }
        6 => Operation::Holes(Holes {
            label: label.max(1),
            neighbors,
            reach,
            over,
            max_voxels: Some(500),
        }),
        7 => {
            let kernel =
                random.of(&[Kernel::Gaussian { sigma_mm: 1.0 }, Kernel::Median { radius_mm: 2.0 }]);
            Operation::Smooth(Smooth { label: random.of(&[None, Some(1)]), kernel, reach, over })
        }
        8 => Operation::Margin(Margin {
            label: label.max(1),
            margin_mm: random.of(&[-2.0, -0.8, 0.8, 2.5]),
            reach,
            over,
        }),
        9 => Operation::Boolean(Boolean {
            combine: random.of(&[Combine::Union, Combine::Subtract, Combine::Intersect]),
            label: label.max(1),
            with: random
                .of(&[Operand::Labels(LabelSet::from([2])), Operand::Second(LabelSet::from([1]))]),
            over,
        }),
        _ => {
            let size = SHAPE.map(|size| 1 + random.below(size / 3));
            let start = [0, 1, 2].map(|a| random.below(SHAPE[a] - size[a] + 1));
            let fill = random.label();
            let labels = Arc::new(Array3::from_elem(size, fill));
            Operation::Paste(Paste { start, labels, by: "a test".to_owned() })
        }
    }
}
