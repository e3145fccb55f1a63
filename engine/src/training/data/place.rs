//! Where in a slice a patch is cut.

use ndarray::ArrayView2;
use rand::{Rng, RngExt};

use crate::losses::IGNORE_LABEL;

/// What is to be in the middle of a patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::training) enum Wish {
    /// Foreground, as often as `foreground_share` says.
    Chance,
    /// Foreground.
    Foreground,
    /// Whatever is there.
    Anything,
    /// This class.
    Class(u8),
}

/// The pixel that comes to lie in the middle of a patch that covers `covered` pixels of the slice.
/// Along an axis that the patch covers it is the middle of the slice.
pub(in crate::training) fn center(
    labels: ArrayView2<'_, u8>,
    covered: [f64; 2],
    wish: Wish,
    foreground_share: f64,
    keep_inside: bool,
    rng: &mut impl Rng,
) -> [f64; 2] {
    let size: [usize; 2] = labels.dim().into();
    let size = size.map(|size| size as f64);
    let mut center = [0.0; 2];
    for ((size, covered), center) in size.into_iter().zip(covered).zip(&mut center) {
        let room = (size - covered).max(0.0);
        *center = (size.min(covered) - 1.0) / 2.0 + rng.random::<f64>() * room;
    }
    let by_chance = rng.random_bool(foreground_share);
    let choice = rng.random::<f64>();
    let smaller = size[0] > covered[0] || size[1] > covered[1];
    let wanted: &dyn Fn(u8) -> bool = match wish {
        Wish::Chance if !by_chance => return center,
        Wish::Anything => return center,
        Wish::Chance | Wish::Foreground => &|label| label != 0 && label != IGNORE_LABEL,
        Wish::Class(class) => &move |label| label == class,
    };
    if !smaller {
        return center;
    }
    let count = labels.iter().filter(|label| wanted(**label)).count();
    let nth = (choice * count as f64) as usize;
    let found = labels.indexed_iter().filter(|(_, label)| wanted(**label)).nth(nth);
    let Some(((row, column), _)) = found else { return center };
    let place = [row as f64, column as f64];
    if wish == Wish::Chance && !keep_inside {
        return place;
    }
    // Into the slice again, where the patch is not larger.
    [0, 1].map(|axis| {
        let least = (size[axis].min(covered[axis]) - 1.0) / 2.0;
        place[axis].clamp(least, (size[axis] - 1.0 - least).max(least))
    })
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn patches_lie_on_what_is_wished_for_and_within_the_slice() {
        let mut labels = Array2::zeros([20, 30]);
        labels[[0, 29]] = 3;
        labels[[10, 15]] = IGNORE_LABEL;
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut at =
            |wish, covered, inside| center(labels.view(), covered, wish, 1.0, inside, &mut rng);
        assert_eq!(at(Wish::Class(3), [8.0, 10.0], true), [3.5, 24.5]);
        assert_eq!(at(Wish::Foreground, [8.0, 10.0], false), [3.5, 24.5]);
        assert_eq!(at(Wish::Chance, [8.0, 10.0], false), [0.0, 29.0]);
        assert_eq!(at(Wish::Chance, [40.0, 10.0], true), [9.5, 24.5]);
        assert_eq!(at(Wish::Class(3), [40.0, 40.0], true), [9.5, 14.5]);
        for _ in 0..100 {
            let [row, column] = at(Wish::Anything, [8.0, 10.0], false);
            assert!((3.5..=15.5).contains(&row) && (4.5..=24.5).contains(&column));
            let [row, _] = at(Wish::Class(1), [8.0, 10.0], false);
            assert!((3.5..=15.5).contains(&row), "there is no such class here");
        }
    }
}
