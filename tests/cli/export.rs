//! `lamina export`.

use std::fs;

use lamina_engine::weights::{NamedTensors, decode};

use super::import::with_model;
use crate::support::Sandbox;
use crate::transcript;

fn tensors(sandbox: &Sandbox, name: &str) -> NamedTensors {
    let path = sandbox.path(name);
    decode(&fs::read(&path).unwrap(), &path, |_| true).unwrap().0
}

#[test]
fn what_was_imported_is_exported_bit_by_bit() {
    let sandbox = with_model();
    transcript!(sandbox.lamina("export model --weights back.safetensors"), @r#"
    $ lamina export model --weights back.safetensors
    exit code 0
    --- stdout
    weights  back.safetensors, 34 tensors
    "#);
    let bits = |name| {
        let tensors = tensors(&sandbox, name).into_iter();
        let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect::<Vec<_>>();
        tensors.map(|(name, tensor)| (name, tensor.shape, bits(tensor.values))).collect::<Vec<_>>()
    };
    assert_eq!(bits("back.safetensors"), bits("weights.safetensors"));
}

#[test]
fn a_trained_model_is_exported_exactly_as_it_is_used() {
    let sandbox = Sandbox::new();
    crate::support::write_tiny_model(&sandbox);
    sandbox.lamina("export models/tiny --weights tiny.safetensors").exits(0);
    let config = "[network.unet]\nbase_channels = 4\ndepth = 2\n";
    sandbox.write("tiny.toml", config);
    sandbox
        .lamina("import --network unet --config tiny.toml --weights tiny.safetensors --out again")
        .exits(0);
    let vector = "test_vector.safetensors";
    assert_eq!(
        tensors(&sandbox, &format!("again/{vector}")),
        tensors(&sandbox, &format!("models/tiny/{vector}"))
    );
}

#[test]
fn the_models_own_file_is_not_written_over() {
    let sandbox = with_model();
    transcript!(sandbox.lamina("export model --weights model/weights.safetensors"), @r#"
    $ lamina export model --weights model/weights.safetensors
    exit code 2
    --- stderr
    error: the model would be damaged; choose another --weights: model/weights.safetensors
    "#);
    let run = sandbox.lamina("export model --weights weights.pth").exits(2);
    assert!(
        run.stderr.contains("expected a .safetensors file for --weights: weights.pth"),
        "{run}"
    );
    let run = sandbox.lamina("export nowhere --weights weights.safetensors").exits(2);
    assert!(run.stderr.contains("cannot read: nowhere/model.toml"), "{run}");
    let run = sandbox.lamina("export model --weights nowhere/weights.safetensors").exits(2);
    assert!(run.stderr.contains("nowhere"), "{run}");
}
