//! `lamina import`.

use std::fs;

use crate::support::Sandbox;
use crate::transcript;

/// The small U-Net of `tests/golden/torch/`, as PyTorch saved it.
pub fn with_weights() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("wrapped.pth", include_bytes!("../golden/torch/wrapped.pth"));
    sandbox.write("weights.safetensors", include_bytes!("../golden/torch/weights.safetensors"));
    sandbox.write("small.toml", "[network.unet]\nbase_channels = 2\ndepth = 2\n");
    sandbox
}

/// A model of those weights in `model`.
pub fn with_model() -> Sandbox {
    let sandbox = with_weights();
    let import = "import --network unet --config small.toml --weights weights.safetensors";
    sandbox.lamina(&format!("{import} --out model")).exits(0);
    sandbox
}

#[test]
fn a_checkpoint_of_pytorch_becomes_a_model() {
    let sandbox = with_weights();
    transcript!(
        sandbox.lamina("import --network unet --config small.toml --weights wrapped.pth --out models/small"),
        @r#"
    $ lamina import --network unet --config small.toml --weights wrapped.pth --out models/small
    exit code 0
    --- stdout
    model    models/small
    network  unet, 1 channel, 3 classes
    weights  34 tensors below state_dict.module; passed over 22 tensors elsewhere
    "#);
    let names = ["model.toml", "test_vector.safetensors", "weights.safetensors"];
    assert_eq!(sandbox.list("models/small"), names);
    let model = fs::read_to_string(sandbox.path("models/small/model.toml")).unwrap();
    assert!(
        model.contains("name = \"small\"") && model.contains("file = \"wrapped.pth\""),
        "{model}"
    );
}

#[test]
fn what_does_not_fit_is_listed_and_nothing_is_written() {
    let sandbox = with_weights();
    transcript!(sandbox.lamina("import --network bpnet-s3-w32 --weights wrapped.pth --out model"), @r#"
    $ lamina import --network bpnet-s3-w32 --weights wrapped.pth --out model
    exit code 2
    --- stderr
    error: weights do not fit bpnet-s3-w32: 301 missing, 34 unexpected, 0 of another shape: wrapped.pth
      missing:
        backbone.bn1.bias
        backbone.bn1.running_mean
        backbone.bn1.running_var
        backbone.bn1.weight
        backbone.context.0.bn.bias
        backbone.context.0.bn.running_mean
        backbone.context.0.bn.running_var
        backbone.context.0.bn.weight
        and 293 more
      unexpected:
        decoder.0.block.conv1.weight
        decoder.0.block.conv2.weight
        decoder.0.block.norm1.bias
        decoder.0.block.norm1.running_mean
        decoder.0.block.norm1.running_var
        decoder.0.block.norm1.weight
        decoder.0.block.norm2.bias
        decoder.0.block.norm2.running_mean
        and 26 more
      all of them: -v or --json
    "#);
    assert!(!sandbox.path("model").exists());
    let run = sandbox.lamina("import --network bpnet-s3-w32 --weights wrapped.pth --out model -v");
    assert!(run.stderr.lines().count() > 250 && !run.stderr.contains("more"), "{run}");
    let run = sandbox
        .lamina("import --network bpnet-s3-w32 --weights wrapped.pth --out model --json")
        .exits(2);
    let lists = run.json();
    assert_eq!(lists["unexpected"].as_array().unwrap().len(), 34, "{run}");
    assert!(
        lists["missing"].as_array().unwrap().len() > 250 && lists["shapes"].is_array(),
        "{run}"
    );
    assert_eq!(sandbox.list("."), ["small.toml", "weights.safetensors", "wrapped.pth"]);
}

#[test]
fn weights_of_another_shape_say_both_shapes() {
    let sandbox = with_weights();
    transcript!(
        sandbox.lamina("import --network unet --config small.toml --weights wrapped.pth --out model --classes 4"),
        @r#"
    $ lamina import --network unet --config small.toml --weights wrapped.pth --out model --classes 4
    exit code 2
    --- stderr
    error: weights do not fit unet: 0 missing, 0 unexpected, 2 of another shape: wrapped.pth
      of another shape:
        head.bias is [3], expected [4]
        head.weight is [3, 2, 1, 1], expected [4, 2, 1, 1]
    "#);
}

#[test]
fn a_model_is_replaced_only_on_request_and_only_if_it_is_one() {
    let sandbox = with_model();
    let import = "import --network unet --config small.toml --weights wrapped.pth --out model";
    transcript!(sandbox.lamina(import), @r#"
    $ lamina import --network unet --config small.toml --weights wrapped.pth --out model
    exit code 2
    --- stderr
    error: there is a model already, which --overwrite replaces: model
    "#);
    let before = fs::read(sandbox.path("model/model.toml")).unwrap();
    sandbox.lamina(&format!("{import} --force")).exits(0);
    assert_ne!(fs::read(sandbox.path("model/model.toml")).unwrap(), before);
    sandbox.write("model/notes.txt", "mine");
    transcript!(sandbox.lamina(&format!("{import} --overwrite")), @r#"
    $ lamina import --network unet --config small.toml --weights wrapped.pth --out model --overwrite
    exit code 2
    --- stderr
    error: expected a folder for --out that holds nothing but a model, found notes.txt in it: model
    "#);
    assert_eq!(sandbox.list("model").len(), 4);
}

#[test]
fn what_cannot_work_is_refused_before_anything_is_written() {
    let sandbox = with_weights();
    sandbox.write("wrong.toml", "[network.unet]\ndepth = 1\n");
    sandbox.write("text.pth", "no weights at all");
    sandbox.write("empty.safetensors", [&[2, 0, 0, 0, 0, 0, 0, 0], b"{}".as_slice()].concat());
    let import = |rest: &str| sandbox.lamina(&format!("import --out model {rest}")).exits(2);
    let weights = "--weights wrapped.pth";
    for (arguments, reason) in [
        (format!("--network resnet {weights}"), "network = resnet: expected one of bpnet-s3-w32"),
        (format!("--network unet --config wrong.toml {weights}"), "network.unet.depth = 1"),
        (format!("--network bpnet-s3 --config small.toml {weights}"), "expected [network.bpnet]"),
        (format!("--network unet {weights} --classes 0"), "classes = 0: expected 1 to 65536"),
        ("--network unet --weights absent.pth".to_owned(), "No such file"),
        ("--network unet --weights text.pth".to_owned(), "cannot read this as a PyTorch file"),
        ("--network unet --weights .".to_owned(), "expected a file"),
        ("--network unet --weights empty.safetensors".to_owned(), "expected tensors, found none"),
    ] {
        let run = import(&arguments);
        assert!(run.stderr.contains(reason), "expected {reason:?}\n{run}");
        assert!(!sandbox.path("model").exists());
    }
}

#[test]
fn a_model_of_tensors_is_refused_by_predict() {
    let sandbox = with_weights();
    sandbox.write("tiny.toml", "[network.unet]\nbase_channels = 2\ndepth = 2\n");
    let rgb = crate::support::synthetic_unet(3, 19);
    sandbox.write("rgb.safetensors", rgb);
    transcript!(
        sandbox.lamina("import --network unet --config tiny.toml --weights rgb.safetensors --out model"),
        @r#"
    $ lamina import --network unet --config tiny.toml --weights rgb.safetensors --out model
    exit code 0
    --- stdout
    model    model
    network  unet, 3 channels, 19 classes
    weights  34 tensors
    --- stderr
    this model takes tensors (lamina forward); for lamina predict, say in --config how volumes become its input: [preprocessing]
    "#);
    let (volume, _) = crate::support::ellipsoid([9.0, 12.0, 2.5]);
    sandbox.image("scans/a.nii", &volume);
    transcript!(sandbox.lamina("predict scans --out masks --model model"), @r#"
    $ lamina predict scans --out masks --model model
    exit code 2
    --- stderr
    error: cannot use this model
      caused by: model takes tensors of 3 channels (lamina forward); how volumes would become them is not known to it
    "#);
    assert!(!sandbox.path("masks").exists());
}

#[test]
fn a_model_of_slices_is_taken_by_predict() {
    let sandbox = with_model();
    let (volume, _) = crate::support::ellipsoid([9.0, 12.0, 2.5]);
    sandbox.image("scans/a.nii", &volume);
    sandbox.lamina("predict scans --out masks --model model").exits(0);
    assert_eq!(sandbox.list("masks"), ["a.json", "a.nii"]);
}
