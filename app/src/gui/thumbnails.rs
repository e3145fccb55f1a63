//! Small pictures of what a folder has to choose from: the middle slice of each. Runs as a job;
//! kept in memory and nowhere else.

use std::path::Path;

use lamina_io::{ReadOptions, SeriesChoice, Volume, VolumeError, read_slice};

use super::job::Worker;
use super::pixels::{Rgb, gray};
use super::plane::{Plane, PlaneView};
use super::shades::{Shades, presets};
use super::state::Study;

/// Pixels of a picture along its longer side.
const SIDE: usize = 96;

/// Pictures that are made at most.
const MOST: usize = 200;

/// A small picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Thumbnail {
    /// Columns and rows.
    pub size: [usize; 2],
    /// Row by row, from black to white.
    pub shades: Vec<u8>,
    /// How much wider than high it is in the patient.
    pub aspect: f32,
}

/// A picture, or that there is none, of what stands at this place in the list.
pub type ThumbnailEvent = (usize, Option<Thumbnail>);

/// Makes the pictures of a study, series first, in the order of the list.
pub fn thumbnails(study: &Study, worker: &Worker<ThumbnailEvent>) {
    let of_series = study.series.iter().map(|series| {
        let series = Some(SeriesChoice::Number(series.number));
        // What the flaws are stands beside the picture.
        let options = ReadOptions { series, accept_flaws: true, ..ReadOptions::default() };
        (study.folder.as_path(), options)
    });
    let of_files = study.files.iter().map(|file| (file.as_path(), ReadOptions::default()));
    for (place, (path, options)) in of_series.chain(of_files).take(MOST).enumerate() {
        if worker.stopped() {
            return;
        }
        worker.send((place, thumbnail_of(path, &options)));
    }
}

fn thumbnail_of(path: &Path, options: &ReadOptions) -> Option<Thumbnail> {
    let slice = match read_slice(path, options, None) {
        Err(VolumeError::Dimensions { .. }) => read_slice(path, &options.with_volume(0), None),
        answer => answer,
    };
    Some(thumbnail(&slice.ok()?))
}

/// The picture of a volume of one slice.
fn thumbnail(slice: &Volume) -> Thumbnail {
    let views = PlaneView::all(&slice.geometry);
    let across = views.into_iter().find(|view| view.slice.axis == 2);
    let view = across.unwrap_or_else(|| PlaneView::new(Plane::Stored, &slice.geometry));
    let window = presets(slice)[0].window;
    let mut pixels: Vec<Rgb> = Vec::new();
    gray(slice, &view, 0, &Shades::new(window, false, slice), &mut pixels);
    let [columns, rows] = [view.right.len, view.down.len];
    // The mean of squares of so many pixels a side, the last of them cut off.
    let step = columns.max(rows).div_ceil(SIDE);
    let size = [columns.div_ceil(step), rows.div_ceil(step)];
    let mean = |column: usize, row: usize| {
        let (mut sum, mut count) = (0_u32, 0);
        for line in (row * step)..((row + 1) * step).min(rows) {
            for place in (column * step)..((column + 1) * step).min(columns) {
                sum += u32::from(pixels[line * columns + place][0]);
                count += 1;
            }
        }
        (sum / count) as u8
    };
    let shades = (0..size[0] * size[1]).map(|at| mean(at % size[0], at / size[0])).collect();
    let [width, height] = [view.right, view.down].map(|run| run.len as f64 * run.step);
    Thumbnail { size, shades, aspect: (width / height).clamp(0.2, 5.0) as f32 }
}

#[cfg(test)]
mod tests {
    use lamina_io::{Affine, Geometry, Rescale, Voxels};
    use ndarray::Array3;

    use super::*;

    #[test]
    fn a_large_slice_becomes_means_and_keeps_its_shape() {
        // Left half dark, right half bright; pixels are twice as high as wide.
        let stored =
            Array3::from_shape_fn([1, 100, 400], |(_, _, i)| if i < 200 { 0_u8 } else { 90 });
        let affine = Affine::from_spacing_origin([-1.0, -2.0, 1.0], [0.0; 3]);
        let geometry = Geometry::new([1, 100, 400], affine).unwrap();
        let volume = Volume::new(Voxels::U8(stored), Rescale::IDENTITY, geometry).unwrap();
        let small = thumbnail(&volume);
        assert_eq!(small.size, [80, 20]);
        assert_eq!(small.shades[..80], [[0; 40], [255; 40]].concat());
        assert_eq!(small.aspect, 2.0);
    }

    #[test]
    fn one_voxel_is_a_picture() {
        let volume = Volume::from_array(Array3::ones([1, 1, 1]), Geometry::pixels([1, 1, 1]));
        assert_eq!(thumbnail(&volume.unwrap()).size, [1, 1]);
    }
}
