//! `lamina networks`.

use crate::support::Sandbox;
use crate::transcript;

#[test]
fn every_network_is_listed_with_what_it_costs() {
    let listed = Sandbox::new().lamina("networks").exits(0);
    let row = |name: &str| {
        let line = listed.stdout.lines().find(|line| line.starts_with(&format!("{name} ")));
        line.unwrap().split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    let expected = [
        "bpnet-s3-w32",
        "[1]",
        "5.135",
        "5.105",
        "5.1",
        "73.69",
        "74.2",
        "288.0",
        "4",
        "13",
        "77.2",
    ];
    assert_eq!(row("bpnet-s3-w32"), expected);
    assert_eq!(row("unet")[2..6], ["31.039", "31.039", "–", "1543.77"]);
    // Published for another size, which is told.
    assert_eq!(row("bisenet-v2")[5..9], ["98.41", "21.15", "at", "512x1024"]);
}

#[test]
fn one_network_is_shown_with_its_settings_and_what_was_published() {
    transcript!(Sandbox::new().lamina("networks --network bpnet-s3-w32 --size 360x480"), @r#"
    $ lamina networks --network bpnet-s3-w32 --size 360x480
    exit code 0
    --- stdout
    network                bpnet-s3-w32
    paper                  Nie, Xue, Ren. Bidirectional Pyramid Networks for Semantic Segmentation. ACCV 2020
    parameters, training   5,134,812
    parameters, inference  5,105,091
    counted for            3 x 360 x 480, 19 classes
    multiply-accumulates   6.10 G
    maps at once           23.7 MiB
    output stride          4
    least size             13
    sizes in multiples of  1

    published
      parameters, M: 5.1
      MACs at 1024x2048, G: 74.2
      mIoU, Cityscapes val, %: 77.2
      mIoU, CamVid test, %: 69.4

    settings
      [network.bpnet]
      stages = 3
      width = 32
      fusion = "ama"
      flow = "bidirectional"
      attention = "pup"
      attention_dropout = 0.05
    "#);
}

#[test]
fn machines_get_the_same_list_as_an_array() {
    let entries = Sandbox::new().lamina("networks --json").exits(0).json();
    for entry in entries.as_array().unwrap() {
        assert!(entry["name"].is_string() && entry["paper"].is_string(), "{entry}");
        for count in ["params_inference", "macs", "activation_bytes", "output_stride"] {
            assert!(entry[count].as_u64().unwrap() > 0, "{count} of {entry}");
        }
        let [training, inference] =
            ["params_training", "params_inference"].map(|key| entry[key].as_u64().unwrap());
        assert!(training >= inference, "{entry}");
        assert_eq!(entry["size"], serde_json::json!([1024, 2048]));
    }
}

#[test]
fn costs_grow_with_the_image() {
    let macs = |size: &str| {
        let command = format!("networks --json --network unet --size {size}");
        let entries = Sandbox::new().lamina(&command).exits(0).json();
        (entries[0]["macs"].as_u64().unwrap(), entries[0]["size"].clone())
    };
    let (large, _) = macs("512x512");
    let (small, _) = macs("256x256");
    assert_eq!(large, 4 * small);
    let (_, padded) = macs("250x1");
    assert_eq!(padded, serde_json::json!([256, 16]), "the network needs multiples of 16");
}

#[test]
fn the_network_of_a_file_is_counted() {
    let sandbox = Sandbox::new();
    sandbox.write("mine.toml", "[network.unet]\nbase_channels = 8\ndepth = 3\n");
    let entries = sandbox.lamina("networks --json --config mine.toml --channels 1").exits(0).json();
    assert_eq!(entries[0]["name"], "unet");
    assert_eq!(entries[0]["config"]["unet"]["base_channels"], 8);
    let fewer = entries[0]["params_training"].as_u64().unwrap();
    assert!(fewer < 200_000, "{fewer}");
}

#[test]
fn settings_that_no_network_can_have_are_refused() {
    let sandbox = Sandbox::new();
    sandbox.write("mine.toml", "[network.bpnet]\nstages = 9\n");
    transcript!(sandbox.lamina("networks --config mine.toml"), @r"
    $ lamina networks --config mine.toml
    exit code 2
    --- stderr
    error: cannot use mine.toml
      caused by: network.bpnet.stages = 9: expected 3 (S3) or 4 (S4)
    ");
    sandbox.write("mine.toml", "[network.unet]\ndeepth = 3\n");
    transcript!(sandbox.lamina("networks --config mine.toml"), @r"
    $ lamina networks --config mine.toml
    exit code 2
    --- stderr
    error: cannot use mine.toml
      caused by: TOML parse error at line 2, column 1
      |
    2 | deepth = 3
      | ^^^^^^
    unknown field `deepth`, expected `base_channels` or `depth`
    ");
}

#[test]
fn an_unknown_network_and_a_wrong_size_are_refused() {
    let refused = Sandbox::new().lamina("networks --network vgg").exits(2);
    assert!(refused.stderr.starts_with("error: there is no network \"vgg\"; there are bpnet-s3"));
    let refused = Sandbox::new().lamina("networks --size 512").exits(2);
    assert!(refused.stderr.contains("expected height x width of 1 to 16384"), "{}", refused.stderr);
}
