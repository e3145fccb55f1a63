//! Captured forwards: what they count, and that the folded one answers the same.

#![expect(clippy::unwrap_used, reason = "helpers of tests may, as tests do")]

use burn::tensor::{Device, Tensor, TensorData};
use lamina_engine::graph::{Graph, InferenceGraph};
use lamina_engine::networks::{Heads, NetworkConfig, NetworkEntry, catalogue};
use lamina_engine::synthetic_weights::{fill, input};
use lamina_engine::weights::shapes_by_path;

fn image(shape: [usize; 4]) -> Tensor<4> {
    let values = input("input", shape.iter().product());
    Tensor::from_data(TensorData::new(values, shape), &Device::flex())
}

fn entry(name: &str) -> NetworkEntry {
    catalogue().into_iter().find(|entry| entry.name == name).unwrap()
}

/// Multiply-accumulates of the forward in billions, to two digits.
fn gmacs(config: &NetworkConfig, size: [usize; 2], heads: Heads) -> String {
    let network = config.init(3, 19, &Device::flex());
    let graph = Graph::outline(network, [1, 3, size[0], size[1]], heads).unwrap();
    format!("{:.2}", graph.costs().macs as f64 / 1e9)
}

/// BPNet's reference computes the keys of its attention a second time as queries: 64 x 128
/// positions of 8c channels to 2c each, 0.13 and 0.30 of its 73.82 and 165.78 billions.
#[test]
fn multiply_accumulates_are_those_that_were_measured_on_the_reference() {
    for (name, expected) in [
        ("bpnet-s3-w32", "73.69"),
        ("bpnet-s3", "165.47"),
        ("bisenet-v1", "118.34"),
        ("bisenet-v2", "98.41"),
        ("stdc1-seg", "67.45"),
        ("stdc2-seg", "93.83"),
        ("nnunet-2d", "474.73"),
        ("unet", "1543.77"),
    ] {
        let config = entry(name).config;
        assert_eq!(gmacs(&config, [1024, 2048], Heads::Main), expected, "{name}");
    }
}

#[test]
fn no_forward_makes_a_tensor_that_nothing_reads() {
    for entry in catalogue() {
        for heads in [Heads::Main, Heads::All] {
            let network = entry.config.init(3, entry.num_classes, &Device::flex());
            let size = entry.config.padded(96);
            let graph = Graph::outline(network, [1, 3, size, size], heads).unwrap();
            assert_eq!(graph.unused(), Vec::<String>::new(), "{} {heads:?}", entry.name);
        }
    }
}

#[test]
fn heads_of_training_cost_nothing_at_inference() {
    for entry in catalogue() {
        let outline = |heads| {
            let network = entry.config.init(3, entry.num_classes, &Device::flex());
            let size = entry.config.padded(96);
            Graph::outline(network, [1, 3, size, size], heads).unwrap().costs().macs
        };
        let network = entry.config.init(3, entry.num_classes, &Device::flex());
        let auxiliary = network.trainable_parameters() - network.inference_parameters();
        if auxiliary > 0 && !entry.config.settings().classifies_images() {
            assert!(outline(Heads::Main) < outline(Heads::All), "{}", entry.name);
        }
    }
}

#[test]
fn the_folded_graph_answers_as_the_network() {
    for entry in catalogue() {
        let config = &entry.config;
        let network = config.init(3, entry.num_classes, &Device::flex());
        let network = fill(network, &config.name_map(), 1.0);
        let [height, width] = [49, 71].map(|size| config.padded(size));
        let shape = [1, 3, height, width];
        let expected = network.forward(image(shape));
        let mut graph = InferenceGraph::new(&network, shape).unwrap();
        let whole = Graph::capture(&network, shape, Heads::Main).unwrap();
        let mut paths = shapes_by_path(&network).into_keys();
        let has_batch_norms = paths.any(|path| path.ends_with(".running_mean"));
        assert!(!has_batch_norms || graph.len() < whole.len(), "{}: no norm folded", entry.name);
        for attempt in 0..2 {
            let found = graph.forward(image(shape));
            assert_eq!(found.dims(), expected.dims());
            let largest: f32 = expected.clone().abs().max().into_scalar();
            let difference: f32 = (found - expected.clone()).abs().max().into_scalar();
            assert!(
                difference <= 1e-4 * largest && largest.is_finite(),
                "{} {attempt}: {difference:e} of {largest:e}",
                entry.name
            );
        }
    }
}
