//! `lamina forward`.

use std::collections::BTreeMap;
use std::fs;

use lamina_engine::weights::{NamedTensor, NamedTensors, Storage, decode, encode};

use super::import::with_model;
use crate::support::Sandbox;
use crate::transcript;

fn tensors(sandbox: &Sandbox, name: &str) -> NamedTensors {
    let path = sandbox.path(name);
    decode(&fs::read(&path).unwrap(), &path, |_| true).unwrap().0
}

fn file(name: &str, shape: &[usize], value: f32) -> Vec<u8> {
    let values = vec![value; shape.iter().product()];
    let tensor = NamedTensor { shape: shape.to_vec(), values };
    encode(NamedTensors::from([(name.to_owned(), tensor)]), Storage::F32, BTreeMap::new())
}

#[test]
fn the_answer_is_that_of_pytorch() {
    let sandbox = with_model();
    sandbox.write("x.safetensors", include_bytes!("../golden/torch/answer.safetensors"));
    transcript!(sandbox.lamina("forward model --input x.safetensors --output y.safetensors --device cpu"), @r#"
    $ lamina forward model --input x.safetensors --output y.safetensors --device cpu
    exit code 0
    --- stdout
    tensor  shape         largest magnitude
    ───────────────────────────────────────
    logits  [2, 3, 6, 4]             0.1831

    output  y.safetensors ([time])
    "#);
    let [expected, found] =
        ["x.safetensors", "y.safetensors"].map(|name| tensors(&sandbox, name)["logits"].clone());
    assert_eq!(found.shape, expected.shape);
    for (expected, found) in expected.values.iter().zip(&found.values) {
        // Logits are up to 3; sums of a hundred products in another order.
        assert!((expected - found).abs() < 1e-5, "{expected} {found}");
    }
}

#[test]
fn the_inference_graph_answers_the_same() {
    let sandbox = with_model();
    sandbox.write("x.safetensors", include_bytes!("../golden/torch/answer.safetensors"));
    sandbox
        .lamina("forward model --input x.safetensors --output y.safetensors --inference-graph")
        .exits(0);
    let expected = tensors(&sandbox, "x.safetensors")["logits"].clone();
    let found = tensors(&sandbox, "y.safetensors");
    assert_eq!(found.keys().collect::<Vec<_>>(), ["logits"]);
    assert_eq!(found["logits"].shape, expected.shape);
    for (expected, found) in expected.values.iter().zip(&found["logits"].values) {
        // Weights that took up their norms are rounded once more.
        assert!((expected - found).abs() < 1e-5, "{expected} {found}");
    }
    let refused = sandbox
        .lamina(
            "forward model --input x.safetensors --output z.safetensors --inference-graph --taps",
        )
        .exits(2);
    assert!(refused.stderr.contains("cannot be used with '--taps'"), "{}", refused.stderr);
}

#[test]
fn any_size_is_answered_at_its_own_size() {
    let sandbox = with_model();
    for (height, width) in [(1, 1), (5, 8), (7, 3), (17, 2)] {
        sandbox.write("x.safetensors", file("input", &[2, 1, height, width], 0.5));
        let run = sandbox
            .lamina(
                "forward model --input x.safetensors --output y.safetensors --device cpu --json",
            )
            .exits(0);
        assert_eq!(tensors(&sandbox, "y.safetensors")["logits"].shape, [2, 3, height, width]);
        let padded = [height, width].map(|size| size.next_multiple_of(2));
        let told = &run.json()["padded"];
        assert_eq!(told.is_null(), padded == [height, width], "{run}");
        assert_eq!(run.stderr.contains("padded with zeros"), padded != [height, width], "{run}");
    }
}

#[test]
fn a_size_that_needs_padding_is_answered_as_padding_it_oneself() {
    let sandbox = with_model();
    let image = |height: usize, width: usize, top: usize, left: usize| {
        let mut values = vec![0.0; height * width];
        for row in 0..5 {
            for column in 0..3 {
                values[(row + top) * width + column + left] = (row * 3 + column) as f32 / 7.0 - 1.0;
            }
        }
        let tensor = NamedTensor { shape: vec![1, 1, height, width], values };
        encode(NamedTensors::from([("input".into(), tensor)]), Storage::F32, BTreeMap::new())
    };
    // Zeros go after the image where one row or column is missing.
    sandbox.write("small.safetensors", image(5, 3, 0, 0));
    sandbox.write("large.safetensors", image(6, 4, 0, 0));
    for name in ["small", "large"] {
        let files = format!("--input {name}.safetensors --output {name}_y.safetensors");
        sandbox.lamina(&format!("forward model {files} --device cpu")).exits(0);
    }
    let [small, large] = ["small_y.safetensors", "large_y.safetensors"]
        .map(|name| tensors(&sandbox, name)["logits"].clone());
    for class in 0..3 {
        for row in 0..5 {
            for column in 0..3 {
                let ours = small.values[(class * 5 + row) * 3 + column];
                assert_eq!(ours, large.values[(class * 6 + row) * 4 + column]);
            }
        }
    }
}

#[test]
fn heads_and_taps_are_written_on_request() {
    let sandbox = Sandbox::new();
    sandbox.write("weights.safetensors", crate::support::synthetic_bpnet());
    sandbox.write("narrow.toml", "[network.bpnet]\nwidth = 4\n");
    sandbox
        .lamina("import --network bpnet-s3 --config narrow.toml --weights weights.safetensors --out model")
        .exits(0);
    sandbox.write("x.safetensors", file("input", &[1, 3, 17, 20], 0.5));
    let names = |options: &str| {
        let files = "--input x.safetensors --output y.safetensors";
        sandbox.lamina(&format!("forward model {files} --device cpu {options}")).exits(0);
        let tensors = tensors(&sandbox, "y.safetensors");
        let maps = tensors.iter().filter(|(name, _)| !name.starts_with("tap/"));
        assert!(maps.clone().all(|(_, map)| map.shape == [1, 5, 17, 20]));
        let maps: Vec<String> = maps.map(|(name, _)| name.clone()).collect();
        let taps = tensors.keys().filter(|name| name.starts_with("tap/")).count();
        (maps, taps, tensors["logits"].clone())
    };
    let (maps, taps, logits) = names("");
    assert_eq!((maps, taps), (vec!["logits".to_owned()], 0));
    let (maps, taps, same) = names("--training-heads --taps");
    assert_eq!(maps, ["aux0", "aux1", "aux2", "logits"]);
    assert!(taps > 5, "{taps}");
    assert_eq!(logits, same);
}

#[test]
fn a_network_that_labels_images_answers_once_per_image_and_segments_nothing() {
    let sandbox = Sandbox::new();
    sandbox.write("weights.safetensors", crate::support::synthetic_classifier());
    sandbox.write("narrow.toml", "[network.stdc_cls]\nbase_channels = 4\n");
    let run = sandbox
        .lamina("import --network stdc1-cls --config narrow.toml --weights weights.safetensors --out model --json")
        .exits(0);
    assert_eq!(run.json()["takes_volumes"], false);
    sandbox.write("x.safetensors", file("input", &[2, 3, 33, 20], 0.5));
    sandbox
        .lamina("forward model --input x.safetensors --output y.safetensors --device cpu")
        .exits(0);
    let found = tensors(&sandbox, "y.safetensors");
    assert_eq!(found["out"].shape, [2, 1000]);
    assert_eq!(found["out"], found["logits"]);
    let (volume, _) = crate::support::ellipsoid([9.0, 12.0, 2.5]);
    sandbox.image("scans/a.nii", &volume);
    transcript!(sandbox.lamina("predict scans --out masks --model model"), @r#"
    $ lamina predict scans --out masks --model model
    exit code 2
    --- stderr
    error: cannot use this model
      caused by: model answers with one label for a whole image and segments nothing
    "#);
}

#[test]
fn an_input_that_the_network_cannot_take_is_refused() {
    let sandbox = with_model();
    let mut whole = file("input", &[1, 1, 2, 2], 1.0);
    let header = String::from_utf8_lossy(&whole).find("F32").unwrap();
    whole[header..header + 3].copy_from_slice(b"I32");
    let mut not_finite = file("input", &[1, 1, 2, 2], 1.0);
    let last = not_finite.len() - 4;
    not_finite[last..].copy_from_slice(&f32::NAN.to_le_bytes());
    for (bytes, reason) in [
        (
            file("input", &[1, 3, 4, 4], 1.0),
            "expected `input` to be [batch, 1, height, width], found [1, 3, 4, 4]: x.safetensors",
        ),
        (file("input", &[1, 4, 4], 1.0), "found [1, 4, 4]: x.safetensors"),
        (file("input", &[0, 1, 4, 4], 1.0), "found [0, 1, 4, 4]: x.safetensors"),
        (file("input", &[1, 1, 0, 4], 1.0), "found [1, 1, 0, 4]: x.safetensors"),
        (
            file("image", &[1, 1, 4, 4], 1.0),
            "expected a tensor `input`, found image: x.safetensors",
        ),
        (whole, "expected `input` to be stored as F32, F16, BF16 or F64, found I32: x.safetensors"),
        (
            not_finite,
            "expected finite numbers in `input`, found NaN at [0, 0, 1, 1]: x.safetensors",
        ),
        (b"junk".to_vec(), "not a whole safetensors file: x.safetensors"),
    ] {
        sandbox.write("x.safetensors", bytes);
        let run =
            sandbox.lamina("forward model --input x.safetensors --output y.safetensors").exits(2);
        assert!(run.stderr.contains(reason), "expected {reason:?}\n{run}");
        assert!(!sandbox.path("y.safetensors").exists());
    }
    transcript!(sandbox.lamina("forward model --input absent --output y.safetensors"), @r#"
    $ lamina forward model --input absent --output y.safetensors
    exit code 2
    --- stderr
    error: cannot use --input
      caused by: cannot read: absent
      caused by: No such file or directory (os error 2)
    "#);
}

#[test]
fn nothing_that_is_read_is_written_over() {
    let sandbox = with_model();
    let x = file("input", &[1, 1, 4, 4], 1.0);
    sandbox.write("x.safetensors", &x);
    transcript!(sandbox.lamina("forward model --input x.safetensors --output x.safetensors"), @r#"
    $ lamina forward model --input x.safetensors --output x.safetensors
    exit code 2
    --- stderr
    error: the output would overwrite a file that is read; choose another --output: x.safetensors
    "#);
    assert_eq!(fs::read(sandbox.path("x.safetensors")).unwrap(), x);
    sandbox
        .lamina("forward model --input x.safetensors --output model/weights.safetensors")
        .exits(2);
}
