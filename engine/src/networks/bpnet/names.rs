//! What the reference implementation calls our weights.

/// The reference's name of the weight at `path`.
///
/// The reference keeps many layers in numbered sequences and numbers its levels from 1; its
/// modules `stages.0.f_query` of a block with one input are an alias of `f_key`, see
/// [`is_alias`].
pub fn reference_name(path: &str) -> String {
    let parts: Vec<&str> = path.split('.').collect();
    match parts.as_slice() {
        ["stem", layer, rest @ ..] => {
            let layer = match *layer {
                "conv1" => "conv1.0",
                "bn1" => "conv1.1",
                "conv2" => "conv1.3",
                "bn2" => "conv1.4",
                "conv3" => "conv1.6",
                "bn3" => "bn1",
                other => other,
            };
            join("backbone", layer, rest)
        }
        ["layers", level, block, "downsample", layer, rest @ ..] => {
            let layer = if *layer == "conv" { "0" } else { "1" };
            let name = format!("layer{}.{block}.downsample.{layer}", plus(level, 1));
            join("backbone", &name, rest)
        }
        ["layers", level, rest @ ..] => join("backbone", &format!("layer{}", plus(level, 1)), rest),
        ["ppm", "features", bin, layer, rest @ ..] => {
            let layer = if *layer == "conv" { "1" } else { "2" };
            join("backbone", &format!("ppm.features.{bin}.{layer}"), rest)
        }
        ["fuse", diagonal, step, rest @ ..] => {
            let name = format!("fuse{}_{}", plus(diagonal, 2), plus(step, 1));
            let names = ["convSource1", "convSource2", "convSourceMul"];
            join("backbone", &name, &merge(rest, names))
        }
        ["down", level, rest @ ..] => {
            let names = ["downsamplelayers", "convTimes", "downsampleMul"];
            let name = format!("down{}", plus(level, 2));
            join("backbone", &name, &merge(rest, names))
        }
        ["tail", part, rest @ ..] => match *part {
            "fusion" => join("backbone", "fusion", &non_local(rest)),
            "context" => join("backbone", "context.1", &non_local(rest)),
            "context_conv" => join("backbone", "context.0", rest),
            "head_conv" => join("backbone", "head.0", rest),
            "head_project" => join("backbone", "head.1", rest),
            other => join("backbone", other, rest),
        },
        _ => path.to_owned(),
    }
}

/// Whether `name` is in the reference's files a second time what another name is already.
pub fn is_alias(name: &str) -> bool {
    name.starts_with("backbone.context.1.stages.0.f_query.")
}

/// `part` with the names that a link has for the layers of a merge: of the transform, of the
/// product's transform, and of the transform for the product.
fn merge<'a>(part: &[&'a str], names: [&'a str; 3]) -> Vec<&'a str> {
    let [transform, product, transform_product] = names;
    match part {
        ["merge", "transform", rest @ ..] => [&[transform], rest].concat(),
        ["merge", "product", rest @ ..] => [&[product], rest].concat(),
        ["merge", "transform_product", rest @ ..] => [&[transform_product], rest].concat(),
        ["merge", rest @ ..] => rest.to_vec(),
        ["conv_target", rest @ ..] => [&["convTarget"], rest].concat(),
        _ => part.to_vec(),
    }
}

fn non_local<'a>(part: &[&'a str]) -> Vec<&'a str> {
    match part {
        ["fuse", rest @ ..] => [&["conv_bn_dropout", "0"], rest].concat(),
        ["w", rest @ ..] => [&["stages", "0", "W"], rest].concat(),
        _ => [&["stages", "0"], part].concat(),
    }
}

fn join(first: &str, second: &str, rest: &[&str]) -> String {
    [&[first, second], rest].concat().join(".")
}

/// An index of ours as the reference counts. What is no number is left as it is.
fn plus(index: &str, offset: usize) -> String {
    index.parse::<usize>().map_or_else(|_| index.to_owned(), |index| (index + offset).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_is_named_as_in_the_reference() {
        for (ours, theirs) in [
            ("stem.bn3.running_var", "backbone.bn1.running_var"),
            ("stem.conv2.weight", "backbone.conv1.3.weight"),
            ("layers.0.1.bn2.bias", "backbone.layer1.1.bn2.bias"),
            ("layers.3.0.downsample.bn.weight", "backbone.layer4.0.downsample.1.weight"),
            ("ppm.features.2.conv.weight", "backbone.ppm.features.2.1.weight"),
            ("fuse.2.0.merge.transform.conv.weight", "backbone.fuse4_1.convSource1.conv.weight"),
            ("fuse.0.0.merge.alpha", "backbone.fuse2_1.alpha"),
            ("fuse.1.1.conv_target.bn.bias", "backbone.fuse3_2.convTarget.bn.bias"),
            ("down.1.merge.product.conv.weight", "backbone.down3.convTimes.conv.weight"),
            ("down.0.project.conv.weight", "backbone.down2.project.conv.weight"),
            ("tail.context.w.bias", "backbone.context.1.stages.0.W.bias"),
            ("tail.fusion.fuse.conv.weight", "backbone.fusion.conv_bn_dropout.0.conv.weight"),
            ("tail.conv_low.bn.bias", "backbone.conv_low.bn.bias"),
            ("heads.3.conv_1x1.bias", "heads.3.conv_1x1.bias"),
        ] {
            assert_eq!(reference_name(ours), theirs);
        }
    }
}
