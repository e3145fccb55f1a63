//! From a volume to labels on its own grid, and what bundles and experiments refuse.
//!
//! Networks here are filled by their names, so that their answer depends on all that they see, or
//! wired by hand to label what is bright.

#![expect(clippy::unwrap_used, reason = "helpers of tests may, as tests do")]

mod tiny;

use std::collections::BTreeMap;
use std::path::Path;

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
        assert_eq!(on_slices.dim(), prepared.slices.dim());
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

/// A bundle on disk whose network is filled by its names, with this gain.
fn bundle(gain: f64) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let manifest = manifest(
        UnetConfig { base_channels: 2, depth: 2 },
        preprocessing(Plane::Axial),
        InferenceConfig::default(),
        3,
    );
    let network = fill(fresh(&manifest), &manifest.network.name_map(), gain);
    write_bundle(folder.path(), manifest, &network, Storage::F16).unwrap();
    folder
}

fn complaint(folder: &Path) -> String {
    Model::load(folder, &DeviceChoice::Cpu.open()).unwrap_err().to_string()
}

/// Changes the text of the manifest.
fn edit(folder: &Path, from: &str, to: &str) {
    let path = folder.join("model.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text.matches(from).count(), 1, "{from} in {text}");
    std::fs::write(&path, text.replace(from, to)).unwrap();
}

/// Puts other bytes under a name that the manifest vouches for, and lets it vouch for these.
fn replace(folder: &Path, name: &str, new: &[u8]) {
    let old = sha256(&bytes(folder.join(name)));
    edit(folder, &old, &sha256(new));
    std::fs::write(folder.join(name), new).unwrap();
}

/// The message with the folder taken out of the path at its end.
fn about(folder: &Path, message: &str) -> String {
    message.replace(&folder.display().to_string(), "BUNDLE")
}

#[test]
fn a_bundle_loads_and_answers_as_the_network_that_was_written() {
    let (volume, _) = noise([5, 10, 9], straight([5, 10, 9]));
    let written = arbitrary(InferenceConfig::default());
    let folder = tempfile::tempdir().unwrap();
    let manifest =
        write_bundle(folder.path(), written.manifest.clone(), &written.network, Storage::F32);
    let model = Model::load(folder.path(), &DeviceChoice::Cpu.open()).unwrap();
    assert_eq!(model.manifest, manifest.unwrap());
    let expected = segment(&volume, &written);
    assert!(expected.counts().len() > 1);
    assert!(segment(&volume, &model).labels == expected.labels);
}

#[test]
fn weights_in_a_bundle_are_named_as_in_the_reference() {
    let network = BpnetConfig { width: 4, ..BpnetConfig::default() };
    for (network, name, count) in [
        (
            NetworkConfig::Unet(UnetConfig { base_channels: 2, depth: 2 }),
            "encoder.0.conv1.weight",
            34,
        ),
        (NetworkConfig::Bpnet(network), "backbone.conv1.0.weight", 0),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let small = UnetConfig::default();
        let mut manifest =
            manifest(small, preprocessing(Plane::Axial), InferenceConfig::default(), 3);
        manifest.network = network;
        let network = fresh(&manifest);
        write_bundle(folder.path(), manifest, &network, Storage::F32).unwrap();
        Model::load(folder.path(), &DeviceChoice::Cpu.open()).unwrap();
        let path = folder.path().join("weights.safetensors");
        let (tensors, _) = decode(&bytes(&path), &path, |_| true).unwrap();
        assert!(tensors.contains_key(name), "{:?}", tensors.keys().next());
        assert!(count == 0 || tensors.len() == count, "{}", tensors.len());
    }
}

#[test]
fn a_changed_byte_in_a_bundle_is_found() {
    for name in ["weights.safetensors", "test_vector.safetensors"] {
        let folder = bundle(1.0);
        let path = folder.path().join(name);
        let mut changed = bytes(&path);
        let expected = sha256(&changed);
        *changed.last_mut().unwrap() ^= 1;
        std::fs::write(&path, &changed).unwrap();
        assert_eq!(
            about(folder.path(), &complaint(folder.path())),
            format!(
                "this file is damaged or not the one that model.toml describes: expected SHA-256 \
                 {expected}, found {}: BUNDLE/{name}",
                sha256(&changed)
            )
        );
    }
}

#[test]
fn a_missing_file_of_a_bundle_is_named() {
    for name in ["model.toml", "weights.safetensors", "test_vector.safetensors"] {
        let folder = bundle(1.0);
        std::fs::remove_file(folder.path().join(name)).unwrap();
        let message = about(folder.path(), &complaint(folder.path()));
        assert_eq!(message, format!("cannot read: BUNDLE/{name}"));
    }
}

#[test]
fn a_file_of_a_bundle_that_is_cut_off_is_named() {
    let folder = bundle(1.0);
    let weights = bytes(folder.path().join("weights.safetensors"));
    for length in [0, 7, 100, weights.len() - 1] {
        replace(folder.path(), "weights.safetensors", &weights[..length]);
        let message = about(folder.path(), &complaint(folder.path()));
        assert_eq!(message, "not a whole safetensors file: BUNDLE/weights.safetensors");
    }
    let folder = bundle(1.0);
    let manifest = bytes(folder.path().join("model.toml"));
    for length in 0..manifest.len() - 1 {
        std::fs::write(folder.path().join("model.toml"), &manifest[..length]).unwrap();
        // A cut in the last line may leave a manifest that is whole but for a hash or a word.
        let message = about(folder.path(), &complaint(folder.path()));
        assert!(message.contains(": BUNDLE/"), "{length}: {message}");
    }
}

#[test]
fn other_weights_do_not_meet_the_test_vector() {
    let folder = bundle(1.0);
    let other = bundle(1.1);
    let weights = bytes(other.path().join("weights.safetensors"));
    replace(folder.path(), "weights.safetensors", &weights);
    let message = about(folder.path(), &complaint(folder.path()));
    let expected = "the network does not give the answers that it was published with: expected a \
                    difference of at most ";
    assert!(message.starts_with(expected), "{message}");
    assert!(message.ends_with(": BUNDLE/test_vector.safetensors"), "{message}");
}

#[test]
fn a_test_vector_of_another_form_is_refused() {
    let tensor = |shape: [usize; 4]| NamedTensor {
        shape: shape.to_vec(),
        values: vec![0.5; shape.iter().product()],
    };
    let vector = |tensors: &[(&str, [usize; 4])]| {
        let named = tensors.iter().map(|(name, shape)| ((*name).to_owned(), tensor(*shape)));
        encode(named.collect::<NamedTensors>(), Storage::F32, BTreeMap::new())
    };
    for (tensors, expected) in [
        (&[("input", [1, 1, 32, 32])][..], "expected the tensors `input` and `logits`"),
        (
            &[("input", [1, 1, 33, 32]), ("logits", [1, 3, 33, 32])],
            "expected `input` to be [1, 1, 32, 32], found [1, 1, 33, 32]",
        ),
        (
            &[("input", [1, 1, 0, 0]), ("logits", [1, 3, 0, 0])],
            "expected `input` to be [1, 1, 32, 32], found [1, 1, 0, 0]",
        ),
    ] {
        let folder = bundle(1.0);
        replace(folder.path(), "test_vector.safetensors", &vector(tensors));
        let message = about(folder.path(), &complaint(folder.path()));
        assert_eq!(message, format!("{expected}: BUNDLE/test_vector.safetensors"));
    }
}

#[test]
fn a_manifest_that_does_not_fit_is_refused() {
    for (from, to, expected) in [
        // Of a future format nothing else is known, so nothing else is asked.
        (
            "format = 1\n",
            "format = 2\nlayout = \"new\"\n",
            "expected a bundle of format 1, found 2: BUNDLE/model.toml",
        ),
        (
            "depth = 2",
            "depth = 99",
            "network.unet.depth = 99: expected 2 to 8 levels: BUNDLE/model.toml",
        ),
        (
            "depth = 2",
            "depth = 3",
            "weights do not fit the network: 22 missing (decoder.1.block.conv1.weight, ",
        ),
        (
            // More memory than there is, were it made before the weights are looked at.
            "base_channels = 2\ndepth = 2",
            "base_channels = 64\ndepth = 8",
            "weights do not fit the network: ",
        ),
        (
            "neighbors = 0",
            "neighbors = 1",
            "weights do not fit the network: 1 of another shape (encoder.0.conv1.weight is \
             [2, 1, 3, 3], expected [2, 3, 3, 3]): BUNDLE/weights.safetensors",
        ),
        (
            "batch_size = 8",
            "batch_size = 0",
            "inference.batch_size = 0: expected 1 to 1024 slices: BUNDLE/model.toml",
        ),
        (
            "mirror_axes = []",
            "mirror_axes = [\"x\", \"y\", \"x\"]",
            "inference.mirror_axes = [x, y, x]: expected each axis once at most: BUNDLE/model.toml",
        ),
    ] {
        let folder = bundle(1.0);
        edit(folder.path(), from, to);
        let message = about(folder.path(), &complaint(folder.path()));
        assert!(message.starts_with(expected), "{message}");
        assert!(message.contains(": BUNDLE/"), "{message}");
    }
}

#[test]
fn a_class_more_than_the_weights_have_is_refused() {
    let folder = bundle(1.0);
    let path = folder.path().join("model.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let class = "[[classes]]\nname = \"another\"\ncolor = [1, 2, 3]\n\n";
    let place = text.find("[[classes]]").unwrap();
    std::fs::write(&path, [&text[..place], class, &text[place..]].concat()).unwrap();
    assert_eq!(
        about(folder.path(), &complaint(folder.path())),
        "weights do not fit the network: 2 of another shape (head.bias is [3], expected [4], \
         head.weight is [3, 2, 1, 1], expected [4, 2, 1, 1]): BUNDLE/weights.safetensors"
    );
}

/// Reads an experiment whose file holds `text`.
fn read(text: &str) -> Result<Experiment, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tiny-unet.toml");
    std::fs::write(&path, text).unwrap();
    Experiment::read(&path).map_err(|error| {
        let message = error.to_string();
        let path = path.display().to_string();
        assert!(message.ends_with(&path), "the path is last: {message}");
        message.replace(&path, "FILE")
    })
}

#[test]
fn a_misspelled_key_is_refused_with_its_place() {
    let message = read("dataset = \"tiny\"\n[network.unet]\ndepth = 4\nbase_chanels = 32\n");
    let message = message.unwrap_err();
    assert!(message.contains("line 4, column 1"), "{message}");
    assert!(message.contains("unknown field `base_chanels`"), "{message}");
    for text in [
        "dataset = \"tiny\"\nsed = 1\n[network.unet]\n",
        "dataset = \"tiny\"\n[network.unett]\n",
        "dataset = \"tiny\"\n[network.unet]\n[training]\nlearning-rate = 1\n",
        "dataset = \"tiny\"\n[network.unet]\n[preprocessing]\nplane = \"oblique\"\n",
        "dataset = \"tiny\"\n[network.unet]\n[augmentation]\nflip = 0.5\n",
        "dataset = \"tiny\"\n[network.unet]\n[inference]\nbatch = 3\n",
        "dataset = \"tiny\"\n[network.unet]\n[training.schedule.poly]\npwer = 3.0\n",
    ] {
        let message = read(text).unwrap_err();
        assert!(message.contains(" at line "), "{text}: {message}");
        let refused = message.contains("unknown ") || message.contains("unexpected keys");
        assert!(refused, "{text}: {message}");
    }
    assert!(read("[network.unet]\n").unwrap_err().contains("missing field `dataset`"));
    assert!(read("dataset = \"tiny\"\n").unwrap_err().contains("missing field `network`"));
}

#[test]
fn a_value_that_cannot_work_is_refused_with_its_key() {
    let with = |table: &str, line: &str| {
        let network = if table == "network.unet" { "" } else { "[network.unet]\n" };
        let (top, table) = if table.is_empty() {
            (format!("{line}\n"), String::new())
        } else {
            (String::new(), format!("[{table}]\n{line}\n"))
        };
        read(&format!("dataset = \"tiny\"\n{top}{network}{table}"))
    };
    for (table, line, expected) in [
        ("", "folds = 1", "folds = 1: expected at least 2 folds"),
        ("network.unet", "depth = 1", "network.unet.depth = 1: expected 2 to 8 levels"),
        (
            "network.unet",
            "base_channels = 0",
            "network.unet.base_channels = 0: expected 1 to 1024 channels",
        ),
        (
            "network.unet",
            "base_channels = 1024",
            "network.unet.base_channels = 1024: expected a last level of at most 8192 channels \
             at depth 5",
        ),
        ("training", "epochs = 0", "training.epochs = 0: expected at least 1"),
        ("training", "batch_size = 0", "training.batch_size = 0: expected at least 1"),
        (
            "training",
            "patch = [64, 40]",
            "training.patch = [64, 40]: expected multiples of 16 from 16 to 4096, as the network needs",
        ),
        ("training", "learning_rate = -1.0", "training.learning_rate = -1: expected 0 to 100"),
        ("training", "learning_rate = nan", "training.learning_rate = NaN: expected 0 to 100"),
        ("training", "momentum = 1.0", "training.momentum = 1: expected 0 to 0.9999"),
        ("augmentation", "flip_x = 2.0", "augmentation.flip_x = 2: expected 0 to 1"),
        ("augmentation", "noise = inf", "augmentation.noise = inf: expected 0 to 100"),
        (
            "preprocessing",
            "neighbors = 9",
            "preprocessing.neighbors = 9: expected 0 to 8 neighbors on either side",
        ),
        (
            "preprocessing",
            "spacing_mm = [1.0, 0.0]",
            "preprocessing.spacing_mm = [1.0, 0.0]: expected two spacings between 0.01 and 100 mm",
        ),
        (
            "preprocessing.normalization.percentile",
            "lower = 60.0\nupper = 40.0",
            "preprocessing.normalization.percentile = 60, 40: expected 0 <= lower < upper <= 100",
        ),
        (
            "inference",
            "mirror_axes = [\"x\", \"x\"]",
            "inference.mirror_axes = [x, x]: expected each axis once at most",
        ),
        (
            "training.schedule.poly",
            "power = nan",
            "training.schedule.poly.power = NaN: expected 0 to 10",
        ),
    ] {
        assert_eq!(with(table, line).unwrap_err(), format!("{expected}: FILE"));
    }
    assert!(with("training", "epochs = 1").is_ok());
}
