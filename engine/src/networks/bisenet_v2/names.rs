//! What the community's code calls our weights.

/// That code's name of the weight at `path`: it names stages by the paper's table and numbers the
/// layers of its sequences.
pub fn reference_name(path: &str) -> String {
    let parts: Vec<&str> = path.split('.').collect();
    let name: Vec<String> = match parts.as_slice() {
        ["detail", stage, rest @ ..] => join(&["detail", &stage.to_uppercase()], rest),
        ["segment", "stem", rest @ ..] => join(&["segment", "S1S2"], rest),
        ["segment", "context", rest @ ..] => join(&["segment", "S5_5"], rest),
        ["segment", stage, rest @ ..] => {
            let stage = if *stage == "s5" { "S5_4".to_owned() } else { stage.to_uppercase() };
            let (index, rest) = match rest {
                ["others", index, rest @ ..] => {
                    (index.parse().map_or(0, |index: usize| index + 1), rest)
                }
                _ => (0, rest.get(1..).unwrap_or_default()),
            };
            let first = ["segment".to_owned(), stage, index.to_string()];
            [&first[..], &gather_expand(rest)].concat()
        }
        ["bga", part, rest @ ..] => match rest {
            ["depthwise", rest @ ..] => {
                [&join(&["bga", part], &[])[..], &numbered(0, rest)].concat()
            }
            ["pointwise", rest @ ..] => join(&["bga", part, "2"], rest),
            _ => [&join(&["bga", part], &[])[..], &numbered(0, rest)].concat(),
        },
        [head, "doubled", rest @ ..] => join(&[head, "conv_out.0.1"], rest),
        [head, "conv_out", rest @ ..] => join(&[head, "conv_out.1"], rest),
        _ => join(&[], &parts),
    };
    name.join(".")
}

/// The layers of a gather-and-expansion layer but its first are sequences.
fn gather_expand(part: &[&str]) -> Vec<String> {
    match part {
        ["conv1", ..] => join(&[], part),
        ["shortcut_depthwise", rest @ ..] => [join(&["shortcut"], &[]), numbered(0, rest)].concat(),
        ["shortcut_pointwise", rest @ ..] => [join(&["shortcut"], &[]), numbered(2, rest)].concat(),
        [layer, rest @ ..] => [join(&[layer], &[]), numbered(0, rest)].concat(),
        [] => Vec::new(),
    }
}

/// A convolution and its norm by their places in a sequence, the convolution's being `first`.
fn numbered(first: usize, part: &[&str]) -> Vec<String> {
    match part {
        ["conv", rest @ ..] => join(&[&first.to_string()], rest),
        ["bn", rest @ ..] => join(&[&(first + 1).to_string()], rest),
        _ => join(&[], part),
    }
}

fn join(first: &[&str], rest: &[&str]) -> Vec<String> {
    first.iter().chain(rest).map(|part| (*part).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_is_named_as_in_the_community_s_code() {
        for (ours, theirs) in [
            ("detail.s1.0.conv.weight", "detail.S1.0.conv.weight"),
            ("segment.stem.left.1.bn.bias", "segment.S1S2.left.1.bn.bias"),
            ("segment.s3.first.conv1.conv.weight", "segment.S3.0.conv1.conv.weight"),
            ("segment.s4.first.dwconv2.bn.weight", "segment.S4.0.dwconv2.1.weight"),
            ("segment.s5.others.2.dwconv.conv.weight", "segment.S5_4.3.dwconv.0.weight"),
            ("segment.s4.others.0.conv2.bn.running_var", "segment.S4.1.conv2.1.running_var"),
            ("segment.s3.first.shortcut_depthwise.bn.bias", "segment.S3.0.shortcut.1.bias"),
            ("segment.s3.first.shortcut_pointwise.conv.weight", "segment.S3.0.shortcut.2.weight"),
            ("segment.context.conv_gap.conv.weight", "segment.S5_5.conv_gap.conv.weight"),
            ("bga.left1.depthwise.bn.weight", "bga.left1.1.weight"),
            ("bga.right2.pointwise.weight", "bga.right2.2.weight"),
            ("bga.left2.conv.weight", "bga.left2.0.weight"),
            ("head.conv_out.bias", "head.conv_out.1.bias"),
            ("aux5_4.doubled.conv.weight", "aux5_4.conv_out.0.1.conv.weight"),
            ("aux2.conv.bn.weight", "aux2.conv.bn.weight"),
        ] {
            assert_eq!(reference_name(ours), theirs);
        }
    }
}
