//! What the reference calls our weights: those of the backbone as the code of HRNet does, those of
//! the head as a rebuild does that numbers the layers of a sequence; the authors released no code.

use crate::networks::hrnet::names::{backbone_name, index, join, non_local_name};

/// The reference's name of the weight at `path`.
pub fn reference_name(path: &str) -> String {
    let parts: Vec<&str> = path.split('.').collect();
    match *parts.as_slice() {
        ["backbone", ref rest @ ..] => backbone_name(rest),
        ["head", ref rest @ ..] => head_name(rest),
        _ => path.to_owned(),
    }
}

/// The same of a weight of the [`Head`](super::Head) alone.
pub fn head_name(parts: &[&str]) -> String {
    match *parts {
        ["semantic", "apnb", ref rest @ ..] => {
            join(&["semantic.apnb"], &[non_local_name(rest).as_str()])
        }
        ["semantic", "levels", level, "proj", layer, ref rest @ ..] => {
            join(&["semantic.proj", level, index(layer)], rest)
        }
        ["semantic", "levels", level, "cls", ref rest @ ..] => join(&["semantic.cls", level], rest),
        // The finest level has no residual block, and thus no name for what stands before it.
        ["semantic", "agg", "3", "reduce", layer, ref rest @ ..] => {
            join(&["semantic.agg.3", index(layer)], rest)
        }
        ["semantic", "agg", level, part, layer, ref rest @ ..] => {
            join(&["semantic.agg", level, part, index(layer)], rest)
        }
        ["semantic", "upd", level, layer, ref rest @ ..] => {
            join(&["semantic.upd", level, index(layer)], rest)
        }
        [head, "reduce", layer, ref rest @ ..] => join(&[head, "reduce", index(layer)], rest),
        _ => parts.join("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_is_named_as_in_the_reference() {
        for (ours, theirs) in [
            ("backbone.transition2.conv.weight", "transition2.2.0.0.weight"),
            ("head.unity.reduce.bn.bias", "unity.reduce.1.bias"),
            ("head.unity.preds.2.weight", "unity.preds.2.weight"),
            ("head.semantic.reduce.conv.weight", "semantic.reduce.0.weight"),
            ("head.semantic.apnb.fuse.bn.bias", "semantic.apnb.conv_bn_dropout.1.0.bias"),
            ("head.semantic.attn.3.k.weight", "semantic.attn.3.k.weight"),
            ("head.semantic.agg.0.conv2.bn.weight", "semantic.agg.0.conv2.1.weight"),
            ("head.semantic.agg.3.reduce.bn.weight", "semantic.agg.3.1.weight"),
            ("head.semantic.upd.1.conv.weight", "semantic.upd.1.0.weight"),
            ("head.semantic.levels.2.proj.bn.weight", "semantic.proj.2.1.weight"),
            ("head.semantic.levels.3.cls.bias", "semantic.cls.3.bias"),
        ] {
            assert_eq!(reference_name(ours), theirs);
        }
    }
}
