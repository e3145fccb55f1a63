//! What bundles hold, and what of them is refused.

use std::collections::BTreeMap;
use std::path::Path;

use super::*;

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
