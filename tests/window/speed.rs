//! How long the program takes for a frame, without the drawing of the operating system.
//! Run with `-- --ignored --nocapture frame_times`.

use std::time::{Duration, Instant};

use lamina::gui::command::Command;
use lamina::gui::plane::Plane;
use lamina_io::{Affine, Geometry, Rescale, Volume, Voxels, write_volume};
use ndarray::Array3;

use super::{settle, window};
use crate::support::Sandbox;

#[test]
#[ignore = "a measurement: needs the machine for itself"]
fn frame_times_with_three_planes_changing() {
    let sandbox = Sandbox::new();
    let shape = [300, 512, 512];
    let stored =
        Array3::from_shape_fn(shape, |(k, j, i)| ((i * 7 + j * 13 + k * 31) % 2000) as i16);
    let affine = Affine::from_spacing_origin([0.7, 0.7, 1.0], [0.0; 3]);
    let geometry = Geometry::new(shape, affine).unwrap();
    let volume = Volume::new(Voxels::I16(stored), Rescale::IDENTITY, geometry).unwrap();
    write_volume(&sandbox.path("large.nii"), &volume).unwrap();
    drop(volume);
    let mut window = window(&[sandbox.path("large.nii")]);
    settle(&mut window);
    let mut times: Vec<Duration> = (0..150)
        .map(|frame| {
            for (plane, most) in
                [(Plane::Axial, 300), (Plane::Coronal, 512), (Plane::Sagittal, 512)]
            {
                window.state_mut().run(Command::Slice(plane, (7 * frame) % most));
            }
            let began = Instant::now();
            window.step();
            began.elapsed()
        })
        .collect();
    times.sort();
    let [median, late] = [times[75], times[142]].map(|time| time.as_secs_f64() * 1000.0);
    eprintln!("frame without the upload: median {median:.1} ms, 95th percentile {late:.1} ms");
}
