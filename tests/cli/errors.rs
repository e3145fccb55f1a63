//! What goes wrong before anything starts: exit code 2, one chain of reasons, nothing written.

use std::fs;

use crate::support::{Sandbox, ellipsoid, write_tiny_model};
use crate::transcript;

fn with_scan() -> Sandbox {
    let sandbox = Sandbox::new();
    let (volume, _) = ellipsoid([9.0, 12.0, 2.5]);
    sandbox.image("scans/a.nii", &volume);
    sandbox
}

#[test]
fn an_empty_folder_is_refused() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("scans")).unwrap();
    transcript!(sandbox.lamina("predict scans --out masks"), @r#"
    $ lamina predict scans --out masks
    exit code 2
    --- stderr
    error: expected volumes (.nii, .nii.gz, .hdr/.img, .mha, .mhd/.raw, .nrrd, .nhdr/.raw, DICOM, .png, .jpg, .jpeg, .tif, .tiff, .bmp or (labels) .mat), found none in this folder: scans
    "#);
}

#[test]
fn a_folder_that_is_no_model_is_refused() {
    let sandbox = with_scan();
    transcript!(sandbox.lamina("predict scans --out masks --model scans"), @r#"
    $ lamina predict scans --out masks --model scans
    exit code 2
    --- stderr
    error: cannot use --model
      caused by: cannot read: scans/model.toml
      caused by: No such file or directory (os error 2)
    "#);
    assert!(!sandbox.path("masks").exists());
}

#[test]
fn weights_that_were_changed_are_refused() {
    let sandbox = with_scan();
    write_tiny_model(&sandbox);
    let path = sandbox.path("models/tiny/weights.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, bytes).unwrap();
    transcript!(sandbox.lamina("predict scans --out masks"), @r#"
    $ lamina predict scans --out masks
    exit code 2
    --- stderr
    error: cannot use this model
      caused by: this file is damaged or not the one that model.toml describes: expected SHA-256 [sha256], found [sha256]: models/tiny/weights.safetensors
    "#);
    assert!(!sandbox.path("masks").exists());
}

#[test]
fn two_inputs_for_one_mask_are_named() {
    let sandbox = with_scan();
    let (volume, _) = ellipsoid([9.0, 12.0, 2.5]);
    sandbox.image("others/a.nii.gz", &volume);
    transcript!(sandbox.lamina("predict scans others --out masks"), @r#"
    $ lamina predict scans others --out masks
    exit code 2
    --- stderr
    error: two inputs would become the same mask "a"; run them into different folders: scans/a.nii and others/a.nii.gz
    "#);
}

#[test]
fn masks_over_their_own_scans_are_refused() {
    let sandbox = with_scan();
    transcript!(sandbox.lamina("predict scans --out scans --overwrite"), @r#"
    $ lamina predict scans --out scans --overwrite
    exit code 2
    --- stderr
    error: the output would overwrite a file that is read; choose another --out: scans/a.nii
    "#);
}

#[test]
fn a_file_where_the_folder_should_be_is_refused() {
    let sandbox = with_scan();
    write_tiny_model(&sandbox);
    sandbox.write("masks", "a file");
    transcript!(sandbox.lamina("predict scans --out masks"), @r#"
    $ lamina predict scans --out masks
    exit code 2
    --- stderr
    error: expected a folder for --out, found a file: masks
    "#);
}

#[test]
fn an_unknown_device_is_a_usage_error() {
    let run = with_scan().lamina("predict scans --out masks --device gpu").exits(2);
    assert!(
        run.stderr.contains("expected auto, cpu, cuda[:N] or wgpu[:N], found \"gpu\""),
        "{run}"
    );
}

#[test]
fn one_reference_for_two_scans_is_refused() {
    let sandbox = with_scan();
    let (volume, labels) = ellipsoid([9.0, 12.0, 2.5]);
    sandbox.image("scans/b.nii", &volume);
    sandbox.labels("reference.nii", &labels);
    transcript!(sandbox.lamina("predict scans --out masks --reference reference.nii"), @r#"
    $ lamina predict scans --out masks --reference reference.nii
    exit code 2
    --- stderr
    error: expected a folder of references for 2 inputs, found a file: reference.nii
    "#);
}

#[test]
fn an_absent_reference_folder_is_named() {
    let sandbox = with_scan();
    transcript!(sandbox.lamina("evaluate --prediction scans --reference absent"), @r#"
    $ lamina evaluate --prediction scans --reference absent
    exit code 2
    --- stderr
    error: cannot use --reference
      caused by: expected a file or a folder: absent
      caused by: No such file or directory (os error 2)
    "#);
}

#[test]
fn with_json_stdout_holds_no_words() {
    let run = with_scan().lamina("predict scans --out masks --model absent --json").exits(2);
    assert_eq!(run.stdout, "");
    assert!(run.stderr.starts_with("error: "), "{run}");
}
