//! Colors in CIELab, as RecommendedDisplayCIELabValue holds them. PS3.3, C.10.7.1.1.

/// sRGB as L, a and b, each spread over 16 bits.
///
/// The standard says CIELab of ICC profiles, which is lit by D50. What others write and show
/// (dcmtk, dcmjs, highdicom) is lit by D65, the white of sRGB itself; so is this, or they would
/// show another color.
pub(super) fn cielab(color: [u8; 3]) -> [u16; 3] {
    let [red, green, blue] = color.map(|value| {
        let value = f64::from(value) / 255.0;
        if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    });
    // IEC 61966-2-1, over the white point.
    let x = (0.4124 * red + 0.3576 * green + 0.1805 * blue) / 0.9505;
    let y = 0.2126 * red + 0.7152 * green + 0.0722 * blue;
    let z = (0.0193 * red + 0.1192 * green + 0.9505 * blue) / 1.0890;
    // ISO 11664-4.
    let curve = |t: f64| {
        if t > (6.0_f64 / 29.0).powi(3) {
            t.cbrt()
        } else {
            t * (29.0_f64 / 6.0).powi(2) / 3.0 + 4.0 / 29.0
        }
    };
    let [x, y, z] = [x, y, z].map(curve);
    let spread = |share: f64| (share.clamp(0.0, 1.0) * 65535.0).round() as u16;
    [
        spread((116.0 * y - 16.0) / 100.0),
        spread((500.0 * (x - y) + 128.0) / 255.0),
        spread((200.0 * (y - z) + 128.0) / 255.0),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colors_are_those_of_the_tables() {
        let lab = |color: [u8; 3]| {
            let [l, a, b] = cielab(color).map(f64::from);
            [l / 655.35, a / 257.0 - 128.0, b / 257.0 - 128.0]
        };
        // Lindbloom's calculator, sRGB and D65.
        for (color, expected) in [
            ([0, 0, 0], [0.0, 0.0, 0.0]),
            ([255, 255, 255], [100.0, 0.0, 0.0]),
            ([255, 0, 0], [53.24, 80.09, 67.20]),
            ([0, 255, 0], [87.73, -86.18, 83.18]),
            ([0, 0, 255], [32.30, 79.19, -107.86]),
        ] {
            for (found, expected) in lab(color).iter().zip(expected) {
                assert!((found - expected).abs() < 0.1, "{color:?}: {:?}", lab(color));
            }
        }
    }
}
