//! From values to shades of gray: windows, their presets, and the tables that apply them.

use lamina_io::{Modality, Rescale, StoredType, Volume, Voxels, WindowFunction};

use super::pixels::{self, Pixel};
use super::plane::PlaneView;

/// A range of values that is shown from black to white.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    /// Its middle.
    pub center: f64,
    /// How far it reaches from black to white.
    pub width: f64,
}

impl Window {
    /// The window from one value to another.
    pub fn between(low: f64, high: f64) -> Self {
        let width = if high > low { high - low } else { 1.0 };
        Self { center: f64::midpoint(low, high), width }
    }

    /// From black, 0, to white, 255.
    pub fn shade(&self, value: f64) -> u8 {
        let share = (value - self.center) / self.width + 0.5;
        (share * 255.0 + 0.5) as u8 // ends at 0 and 255; what is no number is black
    }
}

/// A window with a name.
#[derive(Debug, Clone, PartialEq)]
pub struct Preset {
    /// What to call it.
    pub name: String,
    /// The window.
    pub window: Window,
}

/// Windows for CT, in Hounsfield units, that radiologists know by name.
const CT: [(&str, f64, f64); 6] = [
    ("Soft tissue", 40.0, 400.0),
    ("Lung", -600.0, 1500.0),
    ("Bone", 400.0, 1800.0),
    ("Brain", 40.0, 80.0),
    ("Liver", 60.0, 160.0),
    ("Vessels", 250.0, 700.0),
];

/// Windows that are found from the values, and the shares of the values that they leave out.
const FROM_VALUES: [(&str, f64, f64); 2] =
    [("Auto, 99 % of values", 0.005, 0.995), ("All values", 0.0, 1.0)];

/// Whether a preset is one of ours; those of a file may have any name.
pub fn is_own_preset(name: &str) -> bool {
    CT.iter().chain(&FROM_VALUES).any(|(own, _, _)| *own == name)
}

/// Values looked at to find percentiles.
const SAMPLES: usize = 50_000;

/// The presets for `volume`: those of its header, of its modality, and of its values. The first
/// is what it is opened with.
pub fn presets(volume: &Volume) -> Vec<Preset> {
    let mut presets = Vec::new();
    for (number, window) in (1..).zip(&volume.viewing.windows) {
        let name = window.name.clone().unwrap_or_else(|| format!("From the file {number}"));
        let name = format!("{name}, {} / {}", window.center, window.width);
        // What the standard calls linear reaches from one end to the other less one.
        let (center, width) = match window.function {
            WindowFunction::Linear => (window.center - 0.5, (window.width - 1.0).max(1.0)),
            WindowFunction::LinearExact | WindowFunction::Sigmoid => (window.center, window.width),
        };
        if center.is_finite() && width.is_finite() && width > 0.0 {
            presets.push(Preset { name, window: Window { center, width } });
        }
    }
    let from_values = percentiles(volume);
    let is_ct = volume.modality == Some(Modality::Ct);
    if !is_ct {
        presets.extend(from_values.clone());
    }
    if is_ct {
        presets.extend(CT.map(|(name, center, width)| Preset {
            name: name.to_owned(),
            window: Window { center, width },
        }));
        presets.extend(from_values);
    }
    presets
}

/// Windows found from the values themselves.
fn percentiles(volume: &Volume) -> Vec<Preset> {
    let samples = sorted_sample(volume);
    let at = |share: f64| {
        let last = samples.len().checked_sub(1)?;
        samples.get((share * last as f64).round() as usize).copied()
    };
    let found = FROM_VALUES.into_iter().filter_map(|(name, low, high)| {
        Some(Preset { name: name.to_owned(), window: Window::between(at(low)?, at(high)?) })
    });
    let mut found: Vec<Preset> = found.collect();
    if found.is_empty() {
        // Nothing finite to look at.
        let window = Window { center: 0.5, width: 1.0 };
        found.push(Preset { name: "All values".to_owned(), window });
    }
    found
}

/// Evenly spread finite values without the padding, in ascending order.
fn sorted_sample(volume: &Volume) -> Vec<f64> {
    let [depth, height, width] = volume.shape();
    let count = depth * height * width;
    // A prime step meets every row and slice at another place.
    let step = if count <= SAMPLES { 1 } else { next_prime(count / SAMPLES) };
    let padding = volume.viewing.padding;
    let mut values: Vec<f64> = (0..count)
        .step_by(step)
        .map(|at| volume.voxels.get([at / width / height, at / width % height, at % width]))
        .filter(|stored| !padding.is_some_and(|padding| padding.holds(*stored)))
        .map(|stored| volume.rescale.apply(stored))
        .filter(|value| value.is_finite())
        .collect();
    values.sort_unstable_by(f64::total_cmp);
    values
}

fn next_prime(from: usize) -> usize {
    let is_prime = |n: usize| n > 1 && (2..=n.isqrt()).all(|divisor| !n.is_multiple_of(divisor));
    // There is one between any number and its double.
    (from..=2 * from).find(|n| is_prime(*n)).unwrap_or(2)
}

/// A window made ready for one volume.
#[derive(Debug, Clone, PartialEq)]
pub struct Shades {
    /// The shade of each stored number, by its bits; for types of one and two bytes.
    table: Vec<u8>,
    window: Window,
    rescale: Rescale,
    inverted: bool,
}

impl Shades {
    /// The shades of `window` for the stored numbers of `volume`.
    pub fn new(window: Window, inverted: bool, volume: &Volume) -> Self {
        let rescale = volume.rescale;
        let mut shades = Self { table: Vec::new(), window, rescale, inverted };
        let stored: fn(u16) -> f64 = match volume.voxels.stored_type() {
            StoredType::U8 => |bits| f64::from(bits as u8),
            StoredType::I8 => |bits| f64::from(bits as i8),
            StoredType::U16 => |bits| f64::from(bits),
            StoredType::I16 => |bits| f64::from(bits as i16),
            _ => return shades,
        };
        let last = if volume.voxels.stored_type().bytes() == 1 { 255 } else { u16::MAX };
        shades.table = (0..=last).map(|bits| shades.of(stored(bits))).collect();
        shades
    }

    /// The shade of one stored number.
    pub fn of(&self, stored: f64) -> u8 {
        let shade = self.window.shade(self.rescale.apply(stored));
        if self.inverted { 255 - shade } else { shade }
    }

    /// Writes the shades of a slice, row by row of its page.
    pub fn fill<P: Pixel>(
        &self,
        voxels: &Voxels,
        view: &PlaneView,
        slice: usize,
        pixels: &mut [P],
    ) {
        /// Through a table by the bits of the number: no index can lie outside.
        macro_rules! through_table {
            ($array:expr, $numbers:literal, $bits:ty) => {{
                let table: &[u8; $numbers] =
                    self.table.as_slice().try_into().expect("made for this type");
                let page = pixels::page($array, view, slice);
                pixels::fill(page, pixels, |stored| table[usize::from(stored as $bits)]);
            }};
        }
        macro_rules! computed {
            ($array:expr, $to_f64:expr) => {{
                let page = pixels::page($array, view, slice);
                pixels::fill(page, pixels, |stored| self.of($to_f64(stored)));
            }};
        }
        match voxels {
            Voxels::U8(array) => through_table!(array, 256, u8),
            Voxels::I8(array) => through_table!(array, 256, u8),
            Voxels::U16(array) => through_table!(array, 65_536, u16),
            Voxels::I16(array) => through_table!(array, 65_536, u16),
            Voxels::U32(array) => computed!(array, f64::from),
            Voxels::I32(array) => computed!(array, f64::from),
            Voxels::U64(array) => computed!(array, |stored: u64| stored as f64),
            Voxels::I64(array) => computed!(array, |stored: i64| stored as f64),
            Voxels::F32(array) => computed!(array, f64::from),
            Voxels::F64(array) => computed!(array, |stored| stored),
        }
    }
}

#[cfg(test)]
mod tests {
    use lamina_io::Geometry;
    use ndarray::Array3;

    use super::super::plane::Plane;
    use super::*;

    #[test]
    fn a_window_is_black_at_its_lower_end_and_white_at_its_upper() {
        let window = Window { center: 40.0, width: 400.0 };
        assert_eq!(
            [-1000.0, -160.0, 40.0, 240.0, 1e9].map(|v| window.shade(v)),
            [0, 0, 128, 255, 255]
        );
        assert_eq!(window.shade(f64::NAN), 0);
    }

    #[test]
    fn a_table_gives_what_the_window_gives() {
        let stored =
            Array3::from_shape_vec([1, 2, 2], vec![i16::MIN, -1000, 40, i16::MAX]).unwrap();
        let rescale = Rescale { slope: 2.0, intercept: -1024.0 };
        let geometry = Geometry::pixels([1, 2, 2]);
        let volume = Volume::new(Voxels::I16(stored), rescale, geometry).unwrap();
        let window = Window { center: 40.0, width: 4000.0 };
        for inverted in [false, true] {
            let shades = Shades::new(window, inverted, &volume);
            let view = PlaneView::new(Plane::Stored, &volume.geometry);
            let mut found = [[0; 3]; 4];
            shades.fill(&volume.voxels, &view, 0, &mut found);
            let found = found.map(|[shade, ..]| shade);
            let expected = [i16::MIN, -1000, 40, i16::MAX].map(|stored| {
                let shade = window.shade(2.0 * f64::from(stored) - 1024.0);
                if inverted { 255 - shade } else { shade }
            });
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn an_image_without_a_window_opens_with_its_percentiles() {
        let mut values: Vec<f32> = (0..1000_u16).map(f32::from).collect();
        values[999] = 1e6;
        values[0] = f32::NAN;
        let values = Array3::from_shape_vec([10, 10, 10], values).unwrap();
        let volume = Volume::from_array(values, Geometry::pixels([10, 10, 10])).unwrap();
        let presets = presets(&volume);
        assert_eq!(presets[0].name, "Auto, 99 % of values");
        let Window { center, width } = presets[0].window;
        assert!((center - 500.0).abs() < 2.0 && (width - 988.0).abs() < 4.0);
        assert!((presets[1].window.width - 999_999.0).abs() < 1e-6);
    }

    #[test]
    fn what_holds_no_number_still_has_a_window() {
        let values = Array3::from_elem([1, 1, 2], f32::NAN);
        let volume = Volume::from_array(values, Geometry::pixels([1, 1, 2])).unwrap();
        assert_eq!(presets(&volume)[0].window, Window { center: 0.5, width: 1.0 });
    }
}
