//! A picture to paint on: rectangles, pixels and words, all with soft edges.

use ab_glyph::{Font, FontRef, PxScale, ScaleFont, point};
use image::{Rgb, RgbImage};

/// A color, 0 to 255 per channel.
pub type Color = [u8; 3];

/// The typeface of the captions, and the one for what it lacks.
const FONTS: [&[u8]; 2] = [epaint_default_fonts::UBUNTU_LIGHT, epaint_default_fonts::HACK_REGULAR];

/// A picture, and the typefaces to write on it.
pub struct Canvas {
    image: RgbImage,
    fonts: [FontRef<'static>; 2],
}

impl Canvas {
    /// A picture of one color.
    pub fn new(width: u32, height: u32, color: Color) -> Self {
        let font =
            |bytes| FontRef::try_from_slice(bytes).expect("the bundled typefaces are intact");
        Self { image: RgbImage::from_pixel(width, height, Rgb(color)), fonts: FONTS.map(font) }
    }

    /// The finished picture.
    pub fn into_image(self) -> RgbImage {
        self.image
    }

    /// Covers one pixel with a share of `color`; outside the picture nothing happens.
    pub fn blend(&mut self, x: i64, y: i64, color: Color, cover: f64) {
        let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y)) else { return };
        if let Some(pixel) = self.image.get_pixel_mut_checked(x, y) {
            let cover = cover.clamp(0.0, 1.0);
            for (below, above) in pixel.0.iter_mut().zip(color) {
                let mixed = f64::from(*below) + (f64::from(above) - f64::from(*below)) * cover;
                *below = mixed.round() as u8;
            }
        }
    }

    /// A rectangle with rounded corners.
    pub fn rounded_rectangle(
        &mut self,
        [x, y, width, height]: [f64; 4],
        radius: f64,
        color: Color,
    ) {
        let (half_width, half_height) = (width / 2.0, height / 2.0);
        for row in y.floor() as i64..(y + height).ceil() as i64 {
            for column in x.floor() as i64..(x + width).ceil() as i64 {
                let from_middle = |pixel: i64, start: f64, half: f64| {
                    ((pixel as f64 + 0.5 - start - half).abs() - (half - radius)).max(0.0)
                };
                let outside =
                    from_middle(column, x, half_width).hypot(from_middle(row, y, half_height))
                        - radius;
                self.blend(column, row, color, 0.5 - outside);
            }
        }
    }

    /// A straight line with round ends.
    pub fn stroke(&mut self, [x0, y0]: [f64; 2], [x1, y1]: [f64; 2], width: f64, color: Color) {
        let half = width / 2.0;
        let (right, down) = (x1 - x0, y1 - y0);
        let squared = right * right + down * down;
        for row in (y0.min(y1) - half - 1.0).floor() as i64..=(y0.max(y1) + half + 1.0) as i64 {
            // Only where the line passes this row: a long one crosses few pixels of its box.
            let (mut first, mut last) = (x0.min(x1), x0.max(x1));
            if down.abs() > 1e-9 {
                let along = |y: f64| ((y - y0) / down).clamp(0.0, 1.0) * right + x0;
                let ends = [along(row as f64 - half - 1.0), along(row as f64 + half + 2.0)];
                (first, last) = (ends[0].min(ends[1]), ends[0].max(ends[1]));
            }
            for column in (first - half - 1.0).floor() as i64..=(last + half + 1.0) as i64 {
                let (x, y) = (column as f64 + 0.5 - x0, row as f64 + 0.5 - y0);
                let share = if squared > 0.0 { (x * right + y * down) / squared } else { 0.0 };
                let share = share.clamp(0.0, 1.0);
                let away = (x - share * right).hypot(y - share * down);
                self.blend(column, row, color, half + 0.5 - away);
            }
        }
    }

    /// A filled circle.
    pub fn dot(&mut self, [x, y]: [f64; 2], radius: f64, color: Color) {
        self.stroke([x, y], [x, y], 2.0 * radius, color);
    }

    /// Writes `text` with its left end at `x` on the line `baseline`; answers where it ends.
    pub fn text(&mut self, x: f64, baseline: f64, size: f64, color: Color, text: &str) -> f64 {
        let mut pen = x;
        for character in text.chars() {
            let (glyph, advance) = self.glyph(character, size, pen, baseline);
            pen += advance;
            if let Some(glyph) = glyph {
                let corner = glyph.px_bounds().min;
                glyph.draw(|column, row, cover| {
                    let (column, row) =
                        (corner.x as i64 + i64::from(column), corner.y as i64 + i64::from(row));
                    self.blend(column, row, color, f64::from(cover));
                });
            }
        }
        pen
    }

    /// How wide `text` is.
    pub fn text_width(&self, size: f64, text: &str) -> f64 {
        text.chars().map(|character| self.glyph(character, size, 0.0, 0.0).1).sum()
    }

    /// `text`, cut short with dots where it is wider than `width`.
    pub fn fitting(&self, size: f64, width: f64, text: &str) -> String {
        if self.text_width(size, text) <= width {
            return text.to_owned();
        }
        let mut kept: Vec<char> = text.chars().collect();
        while kept.pop().is_some() {
            let short: String = kept.iter().chain(&['…']).collect();
            if self.text_width(size, &short) <= width {
                return short;
            }
        }
        String::new()
    }

    fn glyph(
        &self,
        character: char,
        size: f64,
        x: f64,
        baseline: f64,
    ) -> (Option<ab_glyph::OutlinedGlyph>, f64) {
        let font = self
            .fonts
            .iter()
            .find(|font| font.glyph_id(character).0 != 0)
            .unwrap_or(&self.fonts[0]);
        let scale = PxScale::from(size as f32);
        let glyph_id = font.glyph_id(character);
        let advance = f64::from(font.as_scaled(scale).h_advance(glyph_id));
        let placed = glyph_id.with_scale_and_position(scale, point(x as f32, baseline as f32));
        (font.outline_glyph(placed), advance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_cover_is_half_the_color() {
        let mut canvas = Canvas::new(1, 1, [0, 100, 200]);
        canvas.blend(0, 0, [100, 100, 100], 0.5);
        canvas.blend(5, -1, [255; 3], 1.0);
        assert_eq!(canvas.into_image().get_pixel(0, 0).0, [50, 100, 150]);
    }

    #[test]
    fn a_long_name_is_cut_to_its_place() {
        let canvas = Canvas::new(1, 1, [0; 3]);
        let short = canvas.fitting(16.0, 60.0, "a rather long name of a case");
        assert!(short.ends_with('…') && canvas.text_width(16.0, &short) <= 60.0, "{short}");
        assert_eq!(canvas.fitting(16.0, 600.0, "short"), "short");
    }

    #[test]
    fn words_leave_ink() {
        let mut canvas = Canvas::new(40, 20, [0; 3]);
        let end = canvas.text(2.0, 15.0, 14.0, [255; 3], "Ag–");
        assert!(end > 12.0);
        assert!(canvas.into_image().pixels().any(|pixel| pixel.0[0] > 128));
    }
}
