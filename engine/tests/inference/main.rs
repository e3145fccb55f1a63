//! From a volume to labels on its own grid, and what bundles and experiments refuse.
//!
//! Networks here are filled by their names, so that their answer depends on all that they see, or
//! wired by hand to label what is bright.

#![expect(clippy::unwrap_used, reason = "helpers of tests may, as tests do")]

mod bundles;
mod ensembles;
mod experiments;
mod passes;
#[path = "../tiny/mod.rs"]
mod tiny;

use lamina_engine::EngineError;
use lamina_engine::bundle::{Manifest, Model, WeightsRecord, sha256, write_bundle};
use lamina_engine::device::DeviceChoice;
use lamina_engine::experiment::Experiment;
use lamina_engine::inference::{
    Extras, InferenceConfig, LargestComponent, MirrorAxis, label_batches, segment_volume,
};
use lamina_engine::networks::bpnet::BpnetConfig;
use lamina_engine::networks::unet::UnetConfig;
use lamina_engine::networks::{Network, NetworkConfig};
use lamina_engine::observer::{Event, Flow, Silent};
use lamina_engine::preprocess::{
    Crop, Normalization, Plane, PreprocessConfig, Preprocessor, resample_nearest,
};
use lamina_engine::synthetic_weights::{fill, unit};
use lamina_engine::weights::{NamedTensor, NamedTensors, Storage, decode, encode, replace_weights};
use lamina_io::dataset::Class;
use lamina_io::{Affine, AxisOrder, Geometry, LabelVolume, Padding, Volume, Voxels, synthetic};
use ndarray::{Array3, Axis};
use tempfile::TempDir;
use tiny::{Script, bytes, dice};

/// A volume of noise inside a margin of zeros, and labels inside the same margin.
fn noise(shape: [usize; 3], geometry: Geometry) -> (Volume, LabelVolume) {
    let inside = |(k, j, i): (usize, usize, usize)| {
        (1..shape[0]).contains(&k) && (1..shape[1] - 1).contains(&j) && (2..shape[2]).contains(&i)
    };
    let index = |(k, j, i)| (k * shape[1] + j) * shape[2] + i;
    let values = Array3::from_shape_fn(shape, |place| {
        if inside(place) { 1.0 + unit("voxel", index(place)) as f32 } else { 0.0 }
    });
    let labels = Array3::from_shape_fn(shape, |place| {
        if inside(place) { (unit("label", index(place)) * 4.0) as u8 } else { 0 }
    });
    let volume = Volume::from_array(values, geometry.clone()).unwrap();
    (volume, LabelVolume::new(labels, geometry).unwrap())
}

fn straight(shape: [usize; 3]) -> Geometry {
    let affine = Affine::from_spacing_origin([0.5, 0.75, 2.0], [-10.0, 20.0, 5.0]);
    Geometry::new(shape, affine).unwrap()
}

fn preprocessing(plane: Plane) -> PreprocessConfig {
    PreprocessConfig { plane, ..PreprocessConfig::default() }
}

const PLANES: [Plane; 4] = [Plane::Axial, Plane::Coronal, Plane::Sagittal, Plane::Stored];

#[test]
fn preparing_is_undone_exactly_in_every_order_of_axes() {
    let shape = [4, 6, 7];
    let oblique = Geometry::new(shape, synthetic::oblique([0.5, 0.6, 1.0], [3.0; 3])).unwrap();
    for geometry in [straight(shape), oblique] {
        let (volume, labels) = noise(shape, geometry);
        for plane in PLANES {
            for crop in [Crop::None, Crop::Nonzero] {
                let config = PreprocessConfig { crop, ..preprocessing(plane) };
                let preprocessor = Preprocessor::new(config);
                let mut first = None;
                for order in AxisOrder::all() {
                    let (volume, labels) = (volume.reoriented(&order), labels.reoriented(&order));
                    let prepared = preprocessor.prepare(&volume).unwrap();
                    let on_slices = prepared.prepare_labels(&labels).unwrap();
                    let back = prepared.undo(on_slices.view());
                    assert!(back.labels == labels.labels, "{plane:?}, {crop:?}, {order:?}");
                    assert_eq!(back.geometry, volume.geometry);
                    if crop == Crop::Nonzero {
                        assert_eq!(prepared.slices.len(), 3 * 4 * 5, "the margin is cut off");
                    }
                    // A plane of the patient gives the same slices whatever the order of storage.
                    if plane != Plane::Stored {
                        let found = (prepared.slices, on_slices);
                        let first = first.get_or_insert_with(|| found.clone());
                        assert!(*first == found, "{plane:?}, {crop:?}, {order:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn padding_does_not_set_the_scale() {
    let (mut plain, _) = noise([4, 6, 7], straight([4, 6, 7]));
    let smallest = plain.statistics().min.unwrap() as f32;
    let at = [1, 2, 3];
    let Voxels::F32(voxels) = &mut plain.voxels else { panic!("noise is real") };
    voxels[at] = smallest;
    let mut padded = plain.clone();
    let Voxels::F32(voxels) = &mut padded.voxels else { panic!("noise is real") };
    voxels[at] = -3024.0;
    padded.viewing.padding = Padding::between(-3024.0, -3024.0);
    let preprocessor = Preprocessor::new(preprocessing(Plane::Axial));
    let [plain, padded] = [plain, padded].map(|volume| preprocessor.prepare(&volume).unwrap());
    assert_eq!(plain.slices, padded.slices);
}

#[test]
fn slices_lie_in_the_plane_that_is_asked_for() {
    // Depth, height and width are superior, anterior and right.
    let (volume, _) = noise([4, 6, 7], straight([4, 6, 7]));
    let shape = |plane| {
        let prepared = Preprocessor::new(preprocessing(plane)).prepare(&volume).unwrap();
        let [height, width] = prepared.slice_shape();
        [prepared.len(), height, width]
    };
    assert_eq!(PLANES.map(shape), [[4, 6, 7], [6, 4, 7], [7, 4, 6], [4, 6, 7]]);
}

fn manifest(
    network: UnetConfig,
    preprocessing: PreprocessConfig,
    inference: InferenceConfig,
    classes: usize,
) -> Manifest {
    let class = |index| Class { name: format!("class {index}"), ..Class::default() };
    Manifest {
        format: 1,
        name: "test".into(),
        title: String::new(),
        modality: "mr".into(),
        license: String::new(),
        intended_use: String::new(),
        in_channels: None,
        classes: (0..classes).map(class).collect(),
        network: NetworkConfig::Unet(network),
        preprocessing,
        inference,
        training: None,
        metrics: None,
        imported: None,
        fingerprint: None,
        weights: WeightsRecord {
            sha256: String::new(),
            test_vector_sha256: String::new(),
            storage: Storage::F32,
        },
    }
}

fn fresh(manifest: &Manifest) -> Network {
    let channels = manifest.preprocessing.channels();
    manifest.network.init(channels, manifest.classes.len(), &DeviceChoice::Cpu.open().device)
}

fn model(manifest: Manifest, wire: impl Fn(Network) -> Network) -> Model {
    let network = wire(fresh(&manifest));
    Model { manifest, network, device: DeviceChoice::Cpu.open() }
}

/// A network of three classes that answers by all that it sees, neighbors included.
fn arbitrary(inference: InferenceConfig) -> Model {
    let preprocessing = PreprocessConfig { neighbors: 1, ..preprocessing(Plane::Axial) };
    let manifest = manifest(UnetConfig { base_channels: 4, depth: 3 }, preprocessing, inference, 3);
    let names = manifest.network.name_map();
    model(manifest, |network| fill(network, &names, 1.0))
}

/// A network that labels 1 what lies above 1 after normalization: every convolution on the
/// finest level hands the first channel on, everything below is cut off.
fn bright(preprocessing: PreprocessConfig, inference: InferenceConfig) -> Model {
    let manifest = manifest(UnetConfig { base_channels: 1, depth: 2 }, preprocessing, inference, 2);
    let value = |name: &str, shape: &[usize]| -> Vec<f32> {
        let mut values = vec![0.0; shape.iter().product()];
        match name {
            "head.weight" => values[1] = 1.0,
            "head.bias" => values[1] = -1.0,
            _ if name.ends_with("conv1.weight") || name.ends_with("conv2.weight") => {
                values[4] = 1.0; // the middle of the first kernel
            }
            _ if name.ends_with("running_var") => values.fill(1.0 - 1e-5),
            _ if name.contains("norm") && name.ends_with("weight") => values.fill(1.0),
            _ => {}
        }
        values
    };
    let names = manifest.network.name_map();
    model(manifest, |network| {
        replace_weights(network, &names, |name, shape| Some(value(name, shape)))
    })
}

fn segment(volume: &Volume, model: &Model) -> LabelVolume {
    let found = segment_volume("case", volume, model, &Silent).unwrap().labels;
    assert_eq!(found.geometry, volume.geometry);
    assert_eq!(found.source, volume.source);
    found
}

#[test]
fn a_network_that_labels_what_is_bright_labels_just_that() {
    // 7 x 6 is padded to 8 x 6, so a slip of a pixel would show.
    let (volume, _) = noise([5, 6, 7], straight([5, 6, 7]));
    let values = volume.to_f32();
    let (mean, deviation) = (values.mean().unwrap(), values.std(0.0));
    let expected = values.mapv(|value| u8::from((value - mean) / deviation > 1.0));
    assert!(expected.iter().filter(|label| **label == 1).count() > 20);
    for plane in PLANES {
        let model = bright(preprocessing(plane), InferenceConfig::default());
        assert!(segment(&volume, &model).labels == expected, "{plane:?}");
    }
}

#[test]
fn a_turned_volume_gets_the_same_labels_at_the_same_places() {
    let (volume, _) = noise([5, 10, 9], straight([5, 10, 9]));
    let model = arbitrary(InferenceConfig::default());
    let expected = segment(&volume, &model);
    assert!(expected.counts().len() > 1, "{:?}", expected.counts());
    for order in AxisOrder::all() {
        let found = segment(&volume.reoriented(&order), &model);
        assert!(found.labels == expected.reoriented(&order).labels, "{order:?}");
    }
}

#[test]
fn what_is_cropped_away_is_background() {
    let (volume, _) = noise([4, 6, 7], straight([4, 6, 7]));
    let config = PreprocessConfig {
        crop: Crop::Nonzero,
        normalization: Normalization::Window { level_hu: -10.0, width_hu: 2.0 },
        ..preprocessing(Plane::Axial)
    };
    // The window turns every voxel into 1, so only the crop knows the background.
    let mut model = bright(config, InferenceConfig::default());
    let names = model.manifest.network.name_map();
    model.network = replace_weights(model.network, &names, |name, _| {
        (name == "head.bias").then(|| vec![0.0, -0.5])
    });
    let found = segment(&volume, &model);
    let expected = volume.to_f32().mapv(|value| u8::from(value != 0.0));
    assert!(found.labels == expected);
}

#[test]
fn a_large_ellipsoid_survives_resampling() {
    let geometry = straight([12, 60, 80]);
    let (volume, labels) = synthetic::ellipsoid_on(geometry, [40.0, 30.0, 6.0], [15.0, 16.0, 9.0]);
    for spacing_mm in [[1.1, 1.3], [0.3, 0.4], [0.5, 1.5]] {
        let config =
            PreprocessConfig { spacing_mm: Some(spacing_mm), ..preprocessing(Plane::Axial) };
        let prepared = Preprocessor::new(config.clone()).prepare(&volume).unwrap();
        let [height, width] = prepared.slice_shape();
        let expected = [60.0 * 0.75 / spacing_mm[1], 80.0 * 0.5 / spacing_mm[0]];
        assert_eq!([height as f64, width as f64], expected.map(f64::round));

        let on_slices = prepared.prepare_labels(&labels).unwrap();
        assert_eq!(on_slices.dim(), prepared.slices.index_axis(Axis(1), 0).dim());
        let restored = resample_nearest(on_slices.view(), prepared.resampling.inverse());
        let back = prepared.undo(restored.view());
        assert_eq!(back.geometry, volume.geometry);
        assert!(dice(&back, &labels, 1) > 0.9, "labels at {spacing_mm:?}");

        let model = bright(config, InferenceConfig::default());
        let found = segment(&volume, &model);
        assert!(dice(&found, &labels, 1) > 0.9, "{} at {spacing_mm:?}", dice(&found, &labels, 1));
    }
}

#[test]
fn the_size_of_a_batch_changes_no_label() {
    let (volume, _) = noise([7, 10, 9], straight([7, 10, 9]));
    let config = InferenceConfig { batch_size: 1, ..InferenceConfig::default() };
    let mut model = arbitrary(config);
    let expected = segment(&volume, &model);
    assert!(expected.counts().len() > 1);
    for batch_size in [2, 3, 7, 1024] {
        model.manifest.inference.batch_size = batch_size;
        assert!(segment(&volume, &model).labels == expected.labels, "{batch_size}");
    }
}

#[test]
fn a_slice_by_itself_gets_what_it_gets_among_all() {
    let (volume, _) = noise([7, 10, 9], straight([7, 10, 9]));
    for mirror_axes in [vec![], vec![MirrorAxis::X]] {
        let config = InferenceConfig { mirror_axes, ..InferenceConfig::default() };
        let mut model = arbitrary(config);
        model.manifest.preprocessing = PreprocessConfig {
            neighbors: 1,
            spacing_mm: Some([0.7, 0.7]),
            ..preprocessing(Plane::Coronal)
        };
        let whole = segment(&volume, &model);
        let config = model.manifest.preprocessing.clone();
        let prepared = Preprocessor::new(config).prepare(&volume).unwrap();
        let [height, width] = prepared.resampling.from;
        let mut labels = Array3::zeros([prepared.len(), height, width]);
        let mut sums = Array3::<u16>::zeros(labels.dim());
        for class in 0..3 {
            let extras = Extras { doubt: class == 0, probability_of: Some(class) };
            // From the last to the first, one by one.
            let alone: Vec<Vec<usize>> =
                (0..prepared.len()).rev().map(|slice| vec![slice]).collect();
            label_batches(&prepared, &model.as_labeler(), &alone, extras, &mut |slices| {
                for slice in slices {
                    assert_eq!(slice.doubt.is_some(), extras.doubt);
                    let probability = slice.probability.unwrap();
                    let mut sum = sums.index_axis_mut(Axis(0), slice.index);
                    sum.zip_mut_with(&probability, |sum, share| *sum += u16::from(*share));
                    for (label, share) in slice.labels.iter().zip(&probability) {
                        // The most probable of three has a third at least.
                        assert!(*label != class || *share >= 85);
                    }
                    labels.index_axis_mut(Axis(0), slice.index).assign(&slice.labels);
                }
                Flow::Continue
            })
            .unwrap();
        }
        assert!(prepared.undo(labels.view()).labels == whole.labels);
        assert!(whole.counts().len() > 1);
        // Each of three was rounded.
        assert!(sums.iter().all(|sum| (253..=257).contains(sum)));
    }
}

/// The same voxels the other way round, on the same grid: a mirrored patient.
fn mirrored<T: Clone>(array: &Array3<T>, axis: usize) -> Array3<T> {
    let mut array = array.clone();
    array.invert_axis(Axis(axis));
    array.as_standard_layout().into_owned()
}

#[test]
fn averaging_over_mirrors_makes_labels_symmetric() {
    // Multiples of four, so that nothing is padded on one side only.
    let (volume, _) = noise([3, 8, 12], straight([3, 8, 12]));
    for (axes, along, symmetric) in [
        (vec![MirrorAxis::X], 2, true),
        (vec![MirrorAxis::Y], 1, true),
        (vec![MirrorAxis::X, MirrorAxis::Y], 2, true),
        (vec![MirrorAxis::X, MirrorAxis::Y], 1, true),
        (vec![MirrorAxis::Y], 2, false),
        (vec![], 2, false),
    ] {
        let model = arbitrary(InferenceConfig { mirror_axes: axes.clone(), ..Default::default() });
        let other =
            Volume::from_array(mirrored(&volume.to_f32(), along), volume.geometry.clone()).unwrap();
        let found = segment(&volume, &model).labels;
        let same = mirrored(&segment(&other, &model).labels, along) == found;
        assert_eq!(same, symmetric, "{axes:?} along {along}");
    }
}

#[test]
fn only_the_largest_component_is_kept_where_asked_for() {
    let mut values = Array3::zeros([1, 4, 8]);
    values.slice_mut(ndarray::s![0, 1, 1..3]).fill(9.0);
    values.slice_mut(ndarray::s![0, 2, 5..8]).fill(9.0);
    let volume = Volume::from_array(values, straight([1, 4, 8])).unwrap();
    let count = |largest_component| {
        let config = InferenceConfig { largest_component, ..InferenceConfig::default() };
        segment(&volume, &bright(preprocessing(Plane::Axial), config)).counts()[&1]
    };
    assert_eq!((count(LargestComponent::Off), count(LargestComponent::Foreground)), (5, 3));
}

#[test]
fn segmenting_tells_how_far_it_is_and_stops_when_told() {
    let (volume, _) = noise([5, 6, 7], straight([5, 6, 7]));
    let config = InferenceConfig { batch_size: 2, ..InferenceConfig::default() };
    let model = bright(preprocessing(Plane::Axial), config);
    let done = |script: Script| -> Vec<(usize, usize)> {
        let heard = script.heard.into_inner().unwrap();
        let done = heard.iter().filter_map(|event| match event {
            Event::SlicesDone { done, total, .. } => Some((*done, *total)),
            _ => None,
        });
        done.collect()
    };
    let script = Script::stop_at(|_| false);
    segment_volume("case", &volume, &model, &script).unwrap();
    assert_eq!(done(script), [(2, 5), (4, 5), (5, 5)]);
    let script = Script::stop_at(|event| matches!(event, Event::SlicesDone { done: 4, .. }));
    let stopped = segment_volume("case", &volume, &model, &script);
    assert!(matches!(stopped, Err(EngineError::Stopped)));
    assert_eq!(done(script), [(2, 5), (4, 5)]);
}

#[test]
fn a_volume_that_the_model_cannot_take_is_refused_with_its_reason() {
    let spaced = PreprocessConfig { spacing_mm: Some([1.0, 1.0]), ..preprocessing(Plane::Axial) };
    let complaint = |volume: &Volume, config: &PreprocessConfig| {
        let model = bright(config.clone(), InferenceConfig::default());
        segment_volume("case", volume, &model, &Silent).unwrap_err().to_string()
    };
    let ramp = Array3::from_shape_fn([1, 4, 4], |(_, j, i)| (j * 4 + i) as f32);
    let picture = Volume::from_array(ramp.clone(), Geometry::pixels([1, 4, 4])).unwrap();
    assert_eq!(
        complaint(&picture, &spaced),
        "the model works at 1 x 1 mm, but this image has no spacing in millimeters"
    );
    let affine = Affine::from_spacing_origin([9000.0, 1.0, 1.0], [0.0; 3]);
    let coarse = Volume::from_array(ramp, Geometry::new([1, 4, 4], affine).unwrap()).unwrap();
    assert_eq!(
        complaint(&coarse, &spaced),
        "expected slices of at most 8192 pixels a side, found 36000 x 4 at the 1 x 1 mm that the \
         model works at"
    );
    let single = Volume::from_array(Array3::ones([1, 1, 1]), straight([1, 1, 1])).unwrap();
    assert_eq!(
        complaint(&single, &preprocessing(Plane::Axial)),
        "expected an image with contrast, found all voxels equal to 1"
    );
}
