//! `lamina train`.

use crate::support::{Sandbox, write_tiny_experiment};
use crate::transcript;

#[test]
fn a_misspelled_key_is_refused_with_its_line() {
    let sandbox = Sandbox::new();
    write_tiny_experiment(&sandbox);
    let text = include_str!("../support/tiny_unet.toml").replace("learning_rate", "learning_rat");
    sandbox.write("configs/experiments/wrong.toml", text);
    let run = sandbox
        .lamina("train --config configs/experiments/wrong.toml --data data --out run")
        .exits(2);
    assert!(run.stderr.contains("learning_rat") && run.stderr.contains("line 19"), "{run}");
    assert!(!sandbox.path("run").exists());
}

#[test]
fn a_network_that_labels_whole_images_is_refused() {
    let sandbox = Sandbox::new();
    write_tiny_experiment(&sandbox);
    let text = include_str!("../support/tiny_unet.toml");
    let unet = "[network.unet]\nbase_channels = 4\ndepth = 2\n";
    sandbox
        .write("configs/experiments/classifier.toml", text.replace(unet, "[network.stdc_cls]\n"));
    let run = sandbox
        .lamina("train --config configs/experiments/classifier.toml --data data --out run")
        .exits(2);
    let reason = "network = stdc_cls: expected a network that labels pixels";
    assert!(run.stderr.contains(reason), "{run}");
    assert!(!sandbox.path("run").exists());
}

#[test]
fn the_data_must_be_named() {
    let sandbox = Sandbox::new();
    write_tiny_experiment(&sandbox);
    transcript!(sandbox.lamina("train --config configs/experiments/tiny-unet.toml --out run"), @r#"
    $ lamina train --config configs/experiments/tiny-unet.toml --out run
    exit code 2
    --- stderr
    error: expected --data, the folder that holds the data set's folder, or LAMINA_DATA in the environment
    "#);
}

#[test]
fn an_absent_experiment_is_named() {
    transcript!(Sandbox::new().lamina("train --config absent.toml --data data --out run"), @r#"
    $ lamina train --config absent.toml --data data --out run
    exit code 2
    --- stderr
    error: cannot read: absent.toml
      caused by: No such file or directory (os error 2)
    "#);
}
