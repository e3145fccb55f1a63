//! Labels as colors, alone or over their image, for people to look at.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::Path;

use ndarray::Axis;
use tiff::encoder::compression::DeflateLevel;
use tiff::encoder::{Compression, TiffEncoder, colortype};

use super::{Kind, Picture, decode, usual_color};
use crate::atomic::write_atomically;
use crate::error::VolumeError;
use crate::label::LabelVolume;
use crate::read::ReadOptions;
use crate::volume::Volume;

/// Colored pages of one size: one for each slice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Painting {
    width: usize,
    height: usize,
    /// Row by row, red, green and blue.
    pages: Vec<Vec<[u8; 3]>>,
}

/// How labels are drawn over an image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Overlay {
    /// What the labels' colors count against the image: 1 hides it, 0 hides them.
    pub opacity: f64,
    /// Whether label 0 is drawn too: in a street it is a class like the others.
    pub all_labels: bool,
    /// Whether borders alone are drawn: voxels with a neighbor in their slice of another label.
    pub contour: bool,
}

/// The color of a label: that of `colors`, or of PASCAL VOC where there is none.
pub(crate) fn color_of(colors: &[[u8; 3]], label: u8) -> [u8; 3] {
    colors.get(usize::from(label)).copied().unwrap_or_else(|| usual_color(label))
}

impl Painting {
    /// Each label in its color.
    pub fn of_labels(labels: &LabelVolume, colors: &[[u8; 3]]) -> Self {
        let [_, height, width] = labels.shape();
        let page = |slice: ndarray::ArrayView2<'_, u8>| {
            slice.iter().map(|&label| color_of(colors, label)).collect()
        };
        Self { width, height, pages: labels.labels.axis_iter(Axis(0)).map(page).collect() }
    }

    /// An image in gray, from its darkest to its brightest hundredth, where it is a volume.
    pub fn of_volume(volume: &Volume) -> Self {
        let [depth, height, width] = volume.shape();
        let mut values: Vec<f32> =
            volume.to_f32().iter().copied().filter(|value| value.is_finite()).collect();
        values.sort_by(f32::total_cmp);
        let at = |share: f64| {
            let last = values.len().saturating_sub(1);
            values.get((share * last as f64).round() as usize).copied().unwrap_or(0.0)
        };
        let (least, most) = (at(0.01), at(0.99));
        let gray = |value: f32| {
            let share = (value - least) / (most - least).max(f32::MIN_POSITIVE);
            [(255.0 * share.clamp(0.0, 1.0)).round() as u8; 3] // NaN is black
        };
        let pages = (0..depth).map(|k| volume.slice_f32(k).iter().map(|&v| gray(v)).collect());
        Self { width, height, pages: pages.collect() }
    }

    /// A picture in its colors.
    ///
    /// # Errors
    /// If it is damaged, or has pixels of more than eight bits.
    pub fn of_picture(path: &Path, options: &ReadOptions) -> Result<Self, VolumeError> {
        let picture = decode(path, &options.limits)?;
        let colors: Option<Vec<[u8; 3]>> =
            (0..picture.pixels()).map(|pixel| picture.color(pixel)).collect();
        let Picture { width, height, .. } = picture;
        let colors = colors.ok_or_else(|| VolumeError::DataType {
            path: path.to_owned(),
            found: "pixels of more than eight bits in place of colors".to_owned(),
        })?;
        let pages = colors.chunks_exact((width * height).max(1)).map(<[_]>::to_vec).collect();
        Ok(Self { width, height, pages })
    }

    /// Pages, height, width.
    pub fn shape(&self) -> [usize; 3] {
        [self.pages.len(), self.height, self.width]
    }

    /// Draws `labels`, which have the same shape, over it.
    ///
    /// # Panics
    /// If they have another shape.
    pub fn draw(&mut self, labels: &LabelVolume, colors: &[[u8; 3]], overlay: Overlay) {
        assert_eq!(self.shape(), labels.shape(), "labels of the image's own shape are drawn on it");
        for (page, slice) in self.pages.iter_mut().zip(labels.labels.axis_iter(Axis(0))) {
            for ((row, column), &label) in slice.indexed_iter() {
                if (label == 0 && !overlay.all_labels)
                    || (overlay.contour && !is_border(&slice, [row, column]))
                {
                    continue;
                }
                let pixel = &mut page[row * self.width + column];
                for (channel, color) in pixel.iter_mut().zip(color_of(colors, label)) {
                    let (below, above) = (f64::from(*channel), f64::from(color));
                    *channel = (below + overlay.opacity * (above - below)).round() as u8;
                }
            }
        }
    }

    /// One page alone.
    pub fn page(&self, page: usize) -> Option<Self> {
        let pages = vec![self.pages.get(page)?.clone()];
        Some(Self { width: self.width, height: self.height, pages })
    }

    /// Writes a PNG of one page, or a TIFF of all.
    ///
    /// # Errors
    /// If the name has another ending, a PNG would have several pages, or the file cannot be
    /// written.
    pub fn write(&self, path: &Path) -> Result<(), VolumeError> {
        let refuse = |found: String| Err(VolumeError::NoPicture { path: path.to_owned(), found });
        let size = [self.width, self.height].map(|size| u32::try_from(size).unwrap_or(0));
        if size.contains(&0) {
            return refuse(format!("{} × {} pixels", self.width, self.height));
        }
        match (Kind::of_name(path), &self.pages[..]) {
            (Some(Kind::Png), [page]) => write_atomically(path, |file| png(file, size, page)),
            (Some(Kind::Png), pages) => {
                refuse(format!("{} slices, which a TIFF would take", pages.len()))
            }
            (Some(Kind::Tiff), pages) => write_atomically(path, |file| tiff(file, size, pages)),
            _ => Err(VolumeError::OutputName { path: path.to_owned() }),
        }
    }
}

/// Whether a neighbor in the slice has another label.
fn is_border(slice: &ndarray::ArrayView2<'_, u8>, [row, column]: [usize; 2]) -> bool {
    let label = slice[[row, column]];
    let neighbors = [
        (row.wrapping_sub(1), column),
        (row + 1, column),
        (row, column.wrapping_sub(1)),
        (row, column + 1),
    ];
    neighbors.iter().any(|&neighbor| slice.get(neighbor).is_some_and(|&other| other != label))
}

fn png(file: &mut BufWriter<File>, [width, height]: [u32; 2], page: &[[u8; 3]]) -> io::Result<()> {
    let mut encoder = png::Encoder::new(file, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(page.as_flattened())?;
    writer.finish()?;
    Ok(())
}

fn tiff(
    file: &mut BufWriter<File>,
    [width, height]: [u32; 2],
    pages: &[Vec<[u8; 3]>],
) -> io::Result<()> {
    let mut encoder = TiffEncoder::new(file)
        .map_err(io::Error::other)?
        .with_compression(Compression::Deflate(DeflateLevel::Fast));
    for page in pages {
        encoder
            .write_image::<colortype::RGB8>(width, height, page.as_flattened())
            .map_err(io::Error::other)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Geometry;

    fn square() -> LabelVolume {
        let labels = ndarray::Array3::from_shape_fn([1, 5, 5], |(_, y, x)| {
            u8::from((1..4).contains(&x) && (1..4).contains(&y))
        });
        LabelVolume::new(labels, Geometry::pixels([1, 5, 5])).unwrap()
    }

    #[test]
    fn labels_are_blended_over_their_image_and_contours_are_hollow() {
        let image = Volume::from_array(
            ndarray::Array3::from_elem([1, 5, 5], 3.0),
            Geometry::pixels([1, 5, 5]),
        );
        let dark = Painting::of_volume(&image.unwrap());
        let labels = square();
        let draw = |contour| {
            let mut painting = dark.clone();
            painting.draw(
                &labels,
                &[[9; 3], [200, 100, 0]],
                Overlay { opacity: 0.5, all_labels: false, contour },
            );
            painting.pages[0].clone()
        };
        let (filled, hollow) = (draw(false), draw(true));
        assert_eq!((filled[0], filled[6], filled[12]), ([0; 3], [100, 50, 0], [100, 50, 0]));
        assert_eq!((hollow[0], hollow[6], hollow[12]), ([0; 3], [100, 50, 0], [0; 3]));
    }
}
