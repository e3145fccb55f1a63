//! `lamina networks`: what can be trained, and what it costs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context, bail};
use clap::Args;
use lamina_engine::device::DeviceChoice;
use lamina_engine::graph::Graph;
use lamina_engine::networks::{Figure, Heads, NetworkConfig, NetworkEntry, catalogue};
use serde::{Deserialize, Serialize};

use super::output::{Outcome, Output};
use super::table::{Align, Table};

/// List the networks that can be trained, and what they cost.
///
/// Parameters are counted from the network, multiply-accumulates and memory from its forward as it
/// runs at inference, without executing it.
#[derive(Debug, Args)]
pub struct NetworksArgs {
    /// Height and width of the image that costs are counted for.
    #[arg(long, value_name = "HxW", default_value = "1024x2048")]
    size: Size,

    /// Only this network, with its settings and all that was published about it.
    #[arg(long, value_name = "NAME")]
    network: Option<String>,

    /// The network of an experiment, or of any TOML file with a table `[network.…]`, instead of the
    /// published ones.
    #[arg(long, value_name = "FILE", conflicts_with = "network")]
    config: Option<PathBuf>,

    /// Channels of the image.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=1024))]
    channels: u16,

    /// Classes; without it those that the network was published with, 19 for most.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(2..=1000))]
    classes: Option<u16>,
}

/// Height and width of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Size([usize; 2]);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const LARGEST: usize = 16384;
        let length = |text: &str| text.parse().ok().filter(|length| (1..=LARGEST).contains(length));
        let sides = text.split_once(['x', 'X']);
        sides
            .and_then(|(height, width)| Some(Self([length(height)?, length(width)?])))
            .ok_or_else(|| format!("expected height x width of 1 to {LARGEST}, such as 512x1024"))
    }
}

/// A network and what it costs.
#[derive(Debug, Serialize)]
struct Row {
    /// Its name, e.g. `bpnet-s3-w32`.
    name: String,
    /// Trainable parameters, auxiliary heads included.
    params_training: usize,
    /// Those that reach the logits.
    params_inference: usize,
    /// Multiply-accumulates of one image of this size at inference.
    macs: u64,
    /// The most memory that the maps of one image take at once, in single precision.
    activation_bytes: u64,
    /// Height and width that this was counted for: those asked for, padded as the network needs.
    size: [usize; 2],
    /// Channels of the image.
    channels: usize,
    /// Classes.
    classes: usize,
    /// Pixels of the image, along an axis, for each of the map that is predicted from.
    output_stride: usize,
    /// Height and width are padded to at least this.
    smallest_size: usize,
    /// Height and width are padded to a multiple of this.
    size_multiple: usize,
    /// Where it was published.
    paper: String,
    /// What was published about it.
    published: Vec<Figure>,
    /// Its settings, as an experiment states them.
    config: NetworkConfig,
}

impl Row {
    fn new(entry: &NetworkEntry, args: &NetworksArgs) -> anyhow::Result<Self> {
        let channels = usize::from(args.channels);
        let classes = args.classes.map_or(entry.num_classes, usize::from);
        let Size(size) = args.size;
        let size = size.map(|length| entry.config.padded(length));
        let network = entry.config.init(channels, classes, &DeviceChoice::Cpu.open().device);
        let [params_training, params_inference] =
            [network.trainable_parameters(), network.inference_parameters()];
        let costs = Graph::outline(network, [1, channels, size[0], size[1]], Heads::Main)?.costs();
        let settings = entry.config.settings();
        Ok(Self {
            name: entry.name.to_owned(),
            params_training,
            params_inference,
            macs: costs.macs,
            activation_bytes: costs.activation_bytes,
            size,
            channels,
            classes,
            output_stride: settings.output_stride(),
            smallest_size: settings.smallest_size(),
            size_multiple: settings.size_multiple(),
            paper: entry.paper.to_owned(),
            published: entry.published.to_vec(),
            config: entry.config.clone(),
        })
    }

    fn published(&self, what: &str) -> Option<f64> {
        self.published.iter().find(|figure| figure.what == what).map(|figure| figure.value)
    }

    /// The multiply-accumulates that were published for this size, or for another, which is told.
    fn published_macs(&self) -> Option<String> {
        if let Some(value) = self.published(&macs_at(self.size)) {
            return Some(value.to_string());
        }
        self.published.iter().find_map(|figure| {
            let size = figure.what.strip_prefix("MACs at ")?.strip_suffix(", G")?;
            Some(format!("{} at {size}", figure.value))
        })
    }

    /// The best mIoU that was published on the validation set of Cityscapes.
    fn published_miou(&self) -> Option<f64> {
        let on_cityscapes =
            self.published.iter().filter(|figure| figure.what.starts_with("mIoU, Cityscapes val"));
        on_cityscapes.map(|figure| figure.value).reduce(f64::max)
    }
}

/// Runs `lamina networks`.
///
/// # Errors
/// For a name that no network has, for settings that no network can have, and when the list cannot
/// be printed.
pub fn run(args: &NetworksArgs, output: &Output) -> anyhow::Result<Outcome> {
    let entries = entries(args)?;
    let rows: Vec<_> =
        entries.iter().map(|entry| Row::new(entry, args)).collect::<Result<_, _>>()?;
    let alone = args.network.is_some() || args.config.is_some();
    output.result(&rows, |rows| if alone { details(&rows[0]) } else { overview(rows) })?;
    Ok(Outcome::Done)
}

fn entries(args: &NetworksArgs) -> anyhow::Result<Vec<NetworkEntry>> {
    let mut entries = catalogue();
    if let Some(name) = &args.network {
        let names: Vec<_> = entries.iter().map(|entry| entry.name).collect();
        let known = names.join(", ");
        entries.retain(|entry| entry.name == name);
        if entries.is_empty() {
            bail!("there is no network {name:?}; there are {known}");
        }
    }
    if let Some(path) = &args.config {
        /// The part of an experiment that is looked at.
        #[derive(Deserialize)]
        struct File {
            network: NetworkConfig,
        }
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        let File { network: config } = toml::from_str(&text)
            .map_err(|error| anyhow::anyhow!("{}", error.to_string().trim_end()))
            .with_context(|| format!("cannot use {}", path.display()))?;
        config.validate().with_context(|| format!("cannot use {}", path.display()))?;
        let name = config.name();
        return Ok(vec![NetworkEntry { name, paper: "", published: &[], num_classes: 19, config }]);
    }
    Ok(entries)
}

const PARAMETERS: &str = "parameters, M";

fn overview(rows: &[Row]) -> String {
    let mut papers: BTreeMap<&str, usize> = BTreeMap::new();
    let mut table = Table::new([
        ("network", Align::Left),
        ("paper", Align::Right),
        ("parameters, M: training", Align::Right),
        ("inference", Align::Right),
        ("published", Align::Right),
        ("MACs, G", Align::Right),
        ("published", Align::Right),
        ("maps, MiB", Align::Right),
        ("stride", Align::Right),
        ("least size", Align::Right),
        ("mIoU published, %", Align::Right),
    ]);
    let published = |value: Option<f64>| value.map_or("–".to_owned(), |value| value.to_string());
    for row in rows {
        let next = papers.len() + 1;
        let paper = *papers.entry(&row.paper).or_insert(next);
        table.row([
            row.name.clone(),
            format!("[{paper}]"),
            millions(row.params_training),
            millions(row.params_inference),
            published(row.published(PARAMETERS)),
            billions(row.macs),
            row.published_macs().unwrap_or_else(|| "–".to_owned()),
            mebibytes(row.activation_bytes),
            row.output_stride.to_string(),
            row.smallest_size.to_string(),
            published(row.published_miou()),
        ]);
    }
    let mut text = table.render();
    let mut papers: Vec<_> = papers.into_iter().map(|(paper, number)| (number, paper)).collect();
    papers.sort_unstable();
    text.push('\n');
    for (number, paper) in papers {
        let _ = writeln!(text, "[{number}] {paper}");
    }
    let Some(row) = rows.first() else { return text };
    let [height, width] = row.size;
    let _ = writeln!(
        text,
        "\nMACs (multiply-accumulates, which the papers call FLOPs) and maps: one image of \
         {} x {height} x {width} at inference; {} classes unless the network was published for \
         others. mIoU: the best that was published on the validation set of Cityscapes.",
        row.channels, row.classes
    );
    text
}

fn details(row: &Row) -> String {
    let [height, width] = row.size;
    let mut lines = vec![
        ("network", row.name.clone()),
        ("paper", row.paper.clone()),
        ("parameters, training", grouped(row.params_training)),
        ("parameters, inference", grouped(row.params_inference)),
        ("counted for", format!("{} x {height} x {width}, {} classes", row.channels, row.classes)),
        ("multiply-accumulates", format!("{} G", billions(row.macs))),
        ("maps at once", format!("{} MiB", mebibytes(row.activation_bytes))),
        ("output stride", row.output_stride.to_string()),
        ("least size", row.smallest_size.to_string()),
        ("sizes in multiples of", row.size_multiple.to_string()),
    ];
    lines.retain(|(_, value)| !value.is_empty());
    let mut text = String::new();
    for (what, value) in lines {
        let _ = writeln!(text, "{what:22} {value}");
    }
    if !row.published.is_empty() {
        text.push_str("\npublished\n");
        for Figure { what, value } in &row.published {
            let _ = writeln!(text, "  {what}: {value}");
        }
    }
    if let Ok(settings) = toml::to_string(&BTreeMap::from([("network", &row.config)])) {
        let _ = write!(text, "\nsettings\n{}", indented(&settings));
    }
    text
}

fn indented(text: &str) -> String {
    text.lines().filter(|line| !line.is_empty()).fold(String::new(), |mut all, line| {
        let _ = writeln!(all, "  {line}");
        all
    })
}

/// How papers' complexity at a size is called in the catalogue.
fn macs_at([height, width]: [usize; 2]) -> String {
    format!("MACs at {height}x{width}, G")
}

fn millions(count: usize) -> String {
    format!("{:.3}", count as f64 / 1e6)
}

fn billions(count: u64) -> String {
    format!("{:.2}", count as f64 / 1e9)
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / f64::from(1 << 20))
}

/// 1234567 as 1,234,567.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_come_in_threes() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_234_567), "1,234,567");
    }

    #[test]
    fn a_size_is_height_and_width() {
        assert_eq!("512x1024".parse(), Ok(Size([512, 1024])));
        for wrong in ["512", "512x", "0x4", "-1x4", "512x1024x3", "99999x1", "a x b"] {
            assert!(wrong.parse::<Size>().is_err(), "{wrong}");
        }
    }
}
