//! The metrics from outside, on masks whose numbers are known.

use std::collections::BTreeMap;

use lamina_engine::metrics::{CaseReport, Comparison, Report, Status, evaluate_case, failed_case};
use lamina_io::{Affine, Geometry, LabelVolume};
use ndarray::{Array3, s};

/// Spacing along x, y and z, in millimeters; unequal, so that a swapped axis shows.
const SPACING: [f64; 3] = [0.6, 0.7, 3.6];

/// A 4 x 4 x 4 cube of label 1 that begins at voxel (x, y, z).
fn cube([x, y, z]: [usize; 3]) -> LabelVolume {
    let affine = Affine::from_spacing_origin(SPACING, [10.0, 20.0, 30.0]);
    let mut labels = Array3::zeros([10, 11, 12]);
    labels.slice_mut(s![z..z + 4, y..y + 4, x..x + 4]).fill(1);
    let geometry = Geometry::new([10, 11, 12], affine).expect("an invertible transform");
    LabelVolume::new(labels, geometry).expect("as many labels as voxels")
}

#[test]
fn a_cube_beside_itself_has_the_pencil_numbers() {
    let classes = evaluate_case(&cube([3, 2, 1]), &cube([2, 2, 1]), &[1]).unwrap();
    assert_eq!(classes[0].dice, Some(0.75)); // 2 * 48 / (64 + 64)
    assert_eq!(classes[0].iou, Some(0.6)); // 48 / 80
    let volume_ml = 64.0 * 0.6 * 0.7 * 3.6 / 1000.0;
    assert!((classes[0].volume_ml_prediction.unwrap() - volume_ml).abs() < 1e-12);
}

#[test]
fn a_shift_along_each_axis_costs_its_own_spacing() {
    let still = cube([2, 2, 1]);
    let shifted = [cube([3, 2, 1]), cube([2, 3, 1]), cube([2, 2, 2])];
    for (moved, spacing) in shifted.iter().zip(SPACING) {
        let comparison = Comparison::of(moved, &still, Some(spacing + 1e-9)).unwrap();
        let surface = comparison.classes(&[1])[0].surface.unwrap();
        // 16 of the 56 surface voxels, the leading face, are one step outside the other cube.
        assert!((surface.hd95_mm - spacing).abs() < 1e-9, "{surface:?} for {spacing}");
        assert_eq!(surface.surface_dice, 1.0);
    }
}

#[test]
fn a_cube_at_the_border_is_measured_like_any_other() {
    let classes = evaluate_case(&cube([0, 0, 0]), &cube([0, 0, 0]), &[1]).unwrap();
    assert_eq!((classes[0].dice, classes[0].status), (Some(1.0), Status::Scored));
    let comparison = Comparison::of(&cube([8, 7, 6]), &cube([8, 7, 6]), Some(0.0)).unwrap();
    assert_eq!(comparison.classes(&[1])[0].surface.unwrap().hd95_mm, 0.0);
}

#[test]
fn the_same_voxels_at_another_place_are_refused() {
    let reference = cube([2, 2, 1]);
    let elsewhere = Affine::from_spacing_origin(SPACING, [10.0, 20.0, 33.6]);
    let elsewhere = Geometry::new(reference.shape(), elsewhere).unwrap();
    let prediction = LabelVolume::new(reference.labels.clone(), elsewhere).unwrap();
    let mismatch = evaluate_case(&prediction, &reference, &[1]).unwrap_err().to_string();
    assert!(mismatch.contains("3.6000 mm apart"), "{mismatch}");
}

#[test]
fn a_mean_cannot_rise_by_finding_less() {
    let reference = cube([2, 2, 1]);
    let close = evaluate_case(&cube([3, 2, 1]), &reference, &[1]).unwrap();
    let mut nothing = reference.clone();
    nothing.labels.fill(0);
    let missed = evaluate_case(&nothing, &reference, &[1]).unwrap();
    let case = |name: &str, classes| CaseReport::new(name, classes);
    let mean = |second| {
        let cases = vec![case("a", close.clone()), case("b", second)];
        Report::new(cases, &BTreeMap::new()).summary.foreground.dice.unwrap()
    };
    assert_eq!(mean(close.clone()), 0.75);
    assert_eq!(mean(missed), 0.375);
    assert_eq!(mean(failed_case(Some(&reference), &[1])), 0.375);
}
