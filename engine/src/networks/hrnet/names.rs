//! What the reference implementations call our weights.
//!
//! Layers of the backbone, of the plain head and of the OCR head are called as in the code of
//! HRNet, which numbers the layers of a sequence. The ANL head is called as in the attention's own
//! code, the CCNet head as in that of Huang et al.

/// The reference's name of the weight at `path`.
pub fn reference_name(path: &str) -> String {
    let parts: Vec<&str> = path.split('.').collect();
    match parts.as_slice() {
        ["backbone", rest @ ..] => backbone_name(rest),
        ["head", rest @ ..] => head_name(rest),
        _ => path.to_owned(),
    }
}

/// The reference's name of a weight of the backbone.
pub(in crate::networks) fn backbone_name(parts: &[&str]) -> String {
    match *parts {
        ["layer1", block, "downsample", layer, ref rest @ ..] => {
            join(&["layer1", block, "downsample", index(layer)], rest)
        }
        ["transition1", "0", layer, ref rest @ ..] => {
            join(&["transition1", "0", index(layer)], rest)
        }
        ["transition1", branch, layer, ref rest @ ..] => {
            join(&["transition1", branch, "0", index(layer)], rest)
        }
        // Each stage has one branch more, which is the last.
        ["transition2", layer, ref rest @ ..] => {
            join(&["transition2", "2", "0", index(layer)], rest)
        }
        ["transition3", layer, ref rest @ ..] => {
            join(&["transition3", "3", "0", index(layer)], rest)
        }
        [stage, module, "fuse_layers", to, from, step, layer, ref rest @ ..] => {
            let layers = [stage, module, "fuse_layers", to, from];
            // From coarse to fine it is a single layer. There are four branches at most.
            let layers = if from > to { layers.to_vec() } else { [&layers[..], &[step]].concat() };
            join(&[&layers[..], &[index(layer)]].concat(), rest)
        }
        _ => parts.join("."),
    }
}

fn head_name(parts: &[&str]) -> String {
    match *parts {
        [part @ ("last_layer" | "aux_head"), layer, ref rest @ ..] => {
            join(&[part, if layer == "project" { "3" } else { index(layer) }], rest)
        }
        [part @ ("f_pixel" | "f_object"), step, layer, ref rest @ ..] => {
            let layer = match (step, layer) {
                ("0", "conv") => "0",
                ("0", _) => "1.0",
                (_, "conv") => "2",
                _ => "3.0",
            };
            join(&["ocr_distri_head.object_context_block", part, layer], rest)
        }
        [part @ ("f_down" | "f_up"), layer, ref rest @ ..] => {
            join(&["ocr_distri_head.object_context_block", part, nested(layer)], rest)
        }
        ["fuse", layer, ref rest @ ..] => {
            join(&["ocr_distri_head.conv_bn_dropout", nested(layer)], rest)
        }
        ["reduce", layer, ref rest @ ..] => join(&["context", nested(layer)], rest),
        ["attention", ref rest @ ..] => join(&["context.2"], &[non_local_name(rest).as_str()]),
        ["bottleneck", layer, ref rest @ ..] => join(&["bottleneck.0", index(layer)], rest),
        ["project", ref rest @ ..] => join(&["bottleneck.2"], rest),
        [part @ ("conv3x3_ocr" | "conva" | "convb"), layer, ref rest @ ..] => {
            join(&[part, index(layer)], rest)
        }
        _ => parts.join("."),
    }
}

/// The name that the code of asymmetric non-local attention has for a weight of an APNB.
pub(in crate::networks) fn non_local_name(parts: &[&str]) -> String {
    match *parts {
        ["fuse", layer, ref rest @ ..] => join(&["conv_bn_dropout", nested(layer)], rest),
        ["w", ref rest @ ..] => join(&["stages.0.W"], rest),
        [part @ ("f_key" | "f_query"), layer, ref rest @ ..] => {
            join(&["stages.0", part, nested(layer)], rest)
        }
        _ => join(&["stages.0"], parts),
    }
}

/// Where a layer stands in a sequence of convolution and norm.
pub(in crate::networks) fn index(layer: &str) -> &str {
    match layer {
        "conv" => "0",
        "bn" => "1",
        other => other,
    }
}

/// The same where the norm and its ReLU are a sequence of their own.
fn nested(layer: &str) -> &str {
    if layer == "bn" { "1.0" } else { index(layer) }
}

pub(in crate::networks) fn join(first: &[&str], rest: &[&str]) -> String {
    [first, rest].concat().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_is_named_as_in_the_reference() {
        for (ours, theirs) in [
            ("backbone.conv1.weight", "conv1.weight"),
            ("backbone.layer1.0.bn3.bias", "layer1.0.bn3.bias"),
            ("backbone.layer1.0.downsample.bn.weight", "layer1.0.downsample.1.weight"),
            ("backbone.transition1.0.conv.weight", "transition1.0.0.weight"),
            ("backbone.transition1.1.bn.running_var", "transition1.1.0.1.running_var"),
            ("backbone.transition3.conv.weight", "transition3.3.0.0.weight"),
            ("backbone.stage4.2.branches.3.1.bn2.bias", "stage4.2.branches.3.1.bn2.bias"),
            ("backbone.stage4.0.fuse_layers.1.3.0.bn.weight", "stage4.0.fuse_layers.1.3.1.weight"),
            (
                "backbone.stage4.0.fuse_layers.3.0.2.conv.weight",
                "stage4.0.fuse_layers.3.0.2.0.weight",
            ),
            ("head.last_layer.project.bias", "last_layer.3.bias"),
            ("head.aux_head.bn.bias", "aux_head.1.bias"),
            ("head.f_pixel.1.bn.weight", "ocr_distri_head.object_context_block.f_pixel.3.0.weight"),
            ("head.f_up.conv.weight", "ocr_distri_head.object_context_block.f_up.0.weight"),
            ("head.fuse.bn.bias", "ocr_distri_head.conv_bn_dropout.1.0.bias"),
            ("head.cls_head.bias", "cls_head.bias"),
            ("head.reduce.bn.weight", "context.1.0.weight"),
            ("head.attention.f_key.bn.weight", "context.2.stages.0.f_key.1.0.weight"),
            ("head.attention.w.bias", "context.2.stages.0.W.bias"),
            ("head.cls.weight", "cls.weight"),
            ("head.cca.query_conv.weight", "cca.query_conv.weight"),
            ("head.bottleneck.bn.weight", "bottleneck.0.1.weight"),
            ("head.project.bias", "bottleneck.2.bias"),
        ] {
            assert_eq!(reference_name(ours), theirs);
        }
    }
}
