//! How often slices are looked at, instead of as the model says.

use clap::{Args, ValueEnum};
use lamina_engine::inference::{InferenceConfig, MirrorAxis, TileConfig, TileWeights};

/// Test-time augmentation and windows; each as the model says unless given.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Looking again, instead of as the model says")]
pub struct PassesArgs {
    /// Average over mirrored slices: none, x (left and right), y (top and bottom) or flips, which is
    /// both and each: four passes for one.
    #[arg(long, value_name = "none|x|y|flips", hide_possible_values = true)]
    tta: Option<Mirrors>,

    /// Average over slices in these sizes, 1 being their own: 0.5,1,2. Each costs its square.
    #[arg(long, value_name = "FACTOR,…", value_delimiter = ',')]
    scales: Vec<f64>,

    /// Look at larger slices through windows of this size, a side or HEIGHTxWIDTH; none looks at
    /// whole slices.
    #[arg(long, value_name = "SIZE|none", value_parser = parse_tile)]
    tile: Option<Tile>,

    /// Share of a window that the next one covers too.
    #[arg(long, value_name = "SHARE", requires = "tile")]
    overlap: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mirrors {
    None,
    X,
    Y,
    Flips,
}

/// What `--tile` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tile {
    None,
    Of([usize; 2]),
}

fn parse_tile(text: &str) -> Result<Tile, String> {
    if text == "none" {
        return Ok(Tile::None);
    }
    let sides: Result<Vec<usize>, _> = text.split('x').map(str::parse).collect();
    match sides.as_deref() {
        Ok(&[side]) => Ok(Tile::Of([side, side])),
        Ok(&[height, width]) => Ok(Tile::Of([height, width])),
        _ => Err(format!("expected a side, HEIGHTxWIDTH or none, found {text:?}")),
    }
}

impl PassesArgs {
    /// Changes what was asked for.
    pub(super) fn configure(&self, inference: &mut InferenceConfig) {
        if let Some(mirrors) = self.tta {
            inference.mirror_axes = match mirrors {
                Mirrors::None => vec![],
                Mirrors::X => vec![MirrorAxis::X],
                Mirrors::Y => vec![MirrorAxis::Y],
                Mirrors::Flips => vec![MirrorAxis::X, MirrorAxis::Y],
            };
        }
        if !self.scales.is_empty() {
            inference.scales.clone_from(&self.scales);
        }
        match self.tile {
            None => {}
            Some(Tile::None) => inference.tile = None,
            Some(Tile::Of(size)) => {
                let weights =
                    inference.tile.as_ref().map_or(TileWeights::default(), |tile| tile.weights);
                let overlap = self.overlap.unwrap_or(0.5);
                inference.tile = Some(TileConfig { size, overlap, weights });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_has_one_side_or_two() {
        assert_eq!(parse_tile("512"), Ok(Tile::Of([512, 512])));
        assert_eq!(parse_tile("256x512"), Ok(Tile::Of([256, 512])));
        assert_eq!(parse_tile("none"), Ok(Tile::None));
        for wrong in ["", "x", "12x", "1x2x3", "-4", "big"] {
            assert!(parse_tile(wrong).is_err(), "{wrong}");
        }
    }
}
