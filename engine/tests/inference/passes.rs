//! Mirrors, scales and windows: what slices get when they are looked at more than once.

use lamina_engine::inference::{MirrorMean, TileConfig, TileWeights};

use super::*;

const WEIGHTS: [TileWeights; 3] = [TileWeights::Gaussian, TileWeights::Uniform, TileWeights::Sum];

fn windows(size: [usize; 2], overlap: f64, weights: TileWeights) -> InferenceConfig {
    let tile = Some(TileConfig { size, overlap, weights });
    InferenceConfig { tile, batch_size: 3, ..InferenceConfig::default() }
}

/// Labels of a network that looks at a pixel alone do not depend on windows, so that a window that
/// is put back a pixel off would show.
#[test]
fn windows_are_put_back_where_they_were_cut_out() {
    let (volume, _) = noise([4, 21, 26], straight([4, 21, 26]));
    let whole = segment(&volume, &bright(preprocessing(Plane::Axial), InferenceConfig::default()));
    assert!(whole.counts()[&1] > 100);
    for weights in WEIGHTS {
        for (size, overlap) in [([8, 8], 0.5), ([8, 12], 0.0), ([9, 100], 0.7), ([100, 10], 0.3)] {
            let model = bright(preprocessing(Plane::Axial), windows(size, overlap, weights));
            let found = segment_volume("case", &volume, &model, &Silent).unwrap();
            assert!(found.labels.labels == whole.labels, "{weights:?} {size:?} {overlap}");
            assert!(found.passes > 4, "{}", found.passes);
        }
    }
}

#[test]
fn a_window_that_covers_the_slice_changes_nothing() {
    let (volume, _) = noise([4, 21, 26], straight([4, 21, 26]));
    let whole = segment_volume("case", &volume, &arbitrary(InferenceConfig::default()), &Silent);
    let whole = whole.unwrap();
    for weights in WEIGHTS {
        let model = arbitrary(windows([21, 26], 0.5, weights));
        let found = segment_volume("case", &volume, &model, &Silent).unwrap();
        assert!(found.labels.labels == whole.labels.labels);
        assert_eq!((found.doubt, found.passes), (whole.doubt, 4));
    }
}

/// With windows of all sizes of the batch, in every order of slices.
#[test]
fn windows_do_not_depend_on_what_comes_along() {
    let (volume, _) = noise([5, 21, 26], straight([5, 21, 26]));
    let mut config = windows([12, 12], 0.5, TileWeights::Gaussian);
    config.scales = vec![0.75, 1.0, 1.5];
    config.mirror_axes = vec![MirrorAxis::X];
    let mut model = arbitrary(config);
    let expected = segment_volume("case", &volume, &model, &Silent).unwrap();
    assert!(expected.labels.counts().len() > 1);
    for batch_size in [1, 2, 64] {
        model.manifest.inference.batch_size = batch_size;
        let found = segment_volume("case", &volume, &model, &Silent).unwrap();
        assert!(found.labels.labels == expected.labels.labels, "{batch_size}");
        assert_eq!(found.doubt, expected.doubt);
    }
}

#[test]
fn passes_are_counted() {
    let (volume, _) = noise([5, 24, 24], straight([5, 24, 24]));
    let mut config = windows([24, 12], 0.5, TileWeights::Gaussian);
    config.scales = vec![0.5, 1.0];
    config.mirror_axes = vec![MirrorAxis::X, MirrorAxis::Y];
    // Half the size is one window; at its own size steps of 6 make three of 12 columns.
    let found = segment_volume("case", &volume, &arbitrary(config), &Silent).unwrap();
    assert_eq!(found.passes, 5 * 4 * (1 + 3));
}

#[test]
fn a_single_scale_of_one_is_no_scale() {
    let (volume, _) = noise([4, 10, 9], straight([4, 10, 9]));
    let whole = segment_volume("case", &volume, &arbitrary(InferenceConfig::default()), &Silent);
    let one = InferenceConfig { scales: vec![1.0], ..InferenceConfig::default() };
    let one = segment_volume("case", &volume, &arbitrary(one), &Silent).unwrap();
    let whole = whole.unwrap();
    assert!(one.labels.labels == whole.labels.labels);
    assert_eq!(one.doubt, whole.doubt);
}

/// An ellipsoid off the middle: a scale that shifts or swaps axes would lose it.
#[test]
fn an_ellipsoid_is_found_at_every_scale_where_it_lies() {
    let geometry = straight([12, 60, 80]);
    let (volume, labels) = synthetic::ellipsoid_on(geometry, [50.0, 22.0, 6.0], [12.0, 13.0, 9.0]);
    let whole = bright(preprocessing(Plane::Axial), InferenceConfig::default());
    let whole = dice(&segment(&volume, &whole), &labels, 1);
    for scales in [vec![0.5], vec![2.0], vec![0.75, 1.0, 1.25, 1.5], vec![0.5, 3.0]] {
        let mut config = windows([32, 24], 0.5, TileWeights::Gaussian);
        config.scales = scales.clone();
        let model = bright(preprocessing(Plane::Axial), config);
        let found = dice(&segment(&volume, &model), &labels, 1);
        assert!(found > whole - 0.05 && found > 0.9, "{scales:?}: {found} {whole}");
    }
}

#[test]
fn the_rule_of_bpnet_can_be_said_and_is_symmetric() {
    let (volume, _) = noise([3, 8, 24], straight([3, 8, 24]));
    let mut config = windows([8, 12], 1.0 / 3.0, TileWeights::Sum);
    config.scales = vec![1.0, 1.5];
    config.mirror_axes = vec![MirrorAxis::X];
    config.mirror_mean = MirrorMean::Product;
    let model = arbitrary(config.clone());
    let found = segment_volume("case", &volume, &model, &Silent).unwrap();
    assert!(found.labels.counts().len() > 1);
    assert!((0.0..1.0).contains(&found.doubt.risk) && found.doubt.risk > 0.0, "{:?}", found.doubt);
    // 24 columns in windows of 12 by a stride of 8 begin at 0, 8 and 12, which no mirror leaves as it
    // is; by a stride of 12 they do.
    config.tile = Some(TileConfig { size: [12, 12], overlap: 0.0, weights: TileWeights::Sum });
    let model = arbitrary(config);
    let other = Volume::from_array(mirrored(&volume.to_f32(), 2), volume.geometry.clone()).unwrap();
    let found = segment(&volume, &model).labels;
    assert!(mirrored(&segment(&other, &model).labels, 2) == found);
}

/// Of two windows side by side without overlap, each is what it would be as a slice of its own.
#[test]
fn windows_without_overlap_are_slices_of_their_own() {
    let shape = [2, 8, 24];
    let (volume, _) = noise(shape, straight(shape));
    // Normalized as it is, so that a half is normalized as in the whole.
    let config = PreprocessConfig {
        normalization: Normalization::Window { level_hu: 1.0, width_hu: 2.0 },
        ..preprocessing(Plane::Axial)
    };
    let of = |inference| {
        let manifest =
            manifest(UnetConfig { base_channels: 4, depth: 3 }, config.clone(), inference, 3);
        let names = manifest.network.name_map();
        model(manifest, |network| fill(network, &names, 1.0))
    };
    let found = segment(&volume, &of(windows([8, 12], 0.0, TileWeights::Gaussian))).labels;
    let values = volume.to_f32();
    for from in [0, 12] {
        let half = values.slice(ndarray::s![.., .., from..from + 12]).to_owned();
        let half = Volume::from_array(half, straight([2, 8, 12])).unwrap();
        let expected = segment(&half, &of(InferenceConfig::default())).labels;
        assert!(found.slice(ndarray::s![.., .., from..from + 12]) == expected);
    }
    let whole = segment(&volume, &of(InferenceConfig::default())).labels;
    assert!(whole != found, "the seam makes a difference");
}
