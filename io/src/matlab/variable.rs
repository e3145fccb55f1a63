//! What a variable is, as far as a label map has to be told from others.

use std::fmt;

/// A variable, known by its head.
#[derive(Debug)]
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) shape: Shape,
    /// What MATLAB calls its class.
    pub(super) class: &'static str,
    pub(super) dims: Vec<i64>,
    /// Where its element starts in the file.
    pub(super) at: u64,
}

/// Whether it can be a label map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Real numbers in two dimensions, none of them empty.
    Numbers { height: usize, width: usize },
    /// Anything else.
    Other,
}

impl Shape {
    pub(super) fn of(class: u8, complex: bool, dims: &[i64]) -> Self {
        let &[height, width] = dims else { return Self::Other };
        match (usize::try_from(height), usize::try_from(width)) {
            (Ok(height @ 1..), Ok(width @ 1..)) if is_number(class) && !complex => {
                Self::Numbers { height, width }
            }
            _ => Self::Other,
        }
    }
}

/// `double`, `single` and the integers.
fn is_number(class: u8) -> bool {
    (6..=15).contains(&class)
}

pub(super) const OPAQUE: u8 = 17;

/// What MATLAB calls a class (`mxCLASS`, table 1-3 of the MAT-File Format).
pub(super) fn class_name(class: u8) -> &'static str {
    match class {
        1 => "cell",
        2 => "struct",
        3 => "object",
        4 => "char",
        5 => "sparse",
        6 => "double",
        7 => "single",
        8 => "int8",
        9 => "uint8",
        10 => "int16",
        11 => "uint16",
        12 => "int32",
        13 => "uint32",
        14 => "int64",
        15 => "uint64",
        16 => "function",
        OPAQUE => "opaque",
        _ => "unknown",
    }
}

impl fmt::Display for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dims: Vec<String> = self.dims.iter().map(i64::to_string).collect();
        let (name, class) = (self.name.escape_debug(), self.class);
        if dims.is_empty() {
            write!(f, "{name} ({class})")
        } else {
            write!(f, "{name} ({} {class})", dims.join("x"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_maps_are_real_numbers_in_two_dimensions() {
        assert_eq!(Shape::of(11, false, &[2, 3]), Shape::Numbers { height: 2, width: 3 });
        for (class, complex, dims) in [
            (11, true, &[2, 3][..]),
            (1, false, &[2, 3]),
            (4, false, &[2, 3]),
            (5, false, &[2, 3]),
            (16, false, &[2, 3]),
            (6, false, &[2, 0]),
            (6, false, &[-1, 3]),
            (6, false, &[2, 3, 4]),
            (6, false, &[]),
        ] {
            assert_eq!(Shape::of(class, complex, dims), Shape::Other, "{class} {dims:?}");
        }
    }
}
