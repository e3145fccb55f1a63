//! From slices to volumes: which belong together, and which stack them into a volume.
//!
//! Slices of one series, size and direction are ordered by where they lie along their normal,
//! never by their number or name. Where several lie at one place, what else the files say
//! (b-value, echo, time, acquisition) must tell them apart.

use std::collections::BTreeMap;

use super::frames::{Frame, Instance, Plane, TRAIT_NAMES};
use crate::affine::{dot, length};
use crate::geometry::{Geometry, GeometryError};
use crate::lps::Lps;

/// Groups that a slice is compared with. More of them are no series but an attack.
const MOST_GROUPS: usize = 1000;

/// Slices nearer to each other than this lie at one place.
const SAME_PLACE_MM: f64 = 0.01;

/// Gaps may differ by this share of their median, and by what two decimals round away.
const GAP_TOLERANCE: f64 = 0.01;
const GAP_TOLERANCE_MM: f64 = 0.021;

/// How far slices may drift sideways over the whole stack, in pixels.
const DRIFT_PIXELS: f64 = 0.1;

/// Flaws of one kind that a message lists.
const LISTED: usize = 8;

/// One slice among all files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slice {
    pub(super) instance: usize,
    pub(super) frame: usize,
}

/// The slices of a volume.
#[derive(Debug)]
pub(super) struct Stack {
    /// In order, from the first along the normal. Where flaws are accepted some repeat.
    pub(super) slices: Vec<Slice>,
    pub(super) place: Result<Geometry, GeometryError>,
    /// What keeps it from being an even stack.
    pub(super) flaws: Vec<String>,
    /// No grid comes near to it.
    pub(super) hopeless: bool,
    /// What tells it from others of its series, as "b-value 50".
    pub(super) part: Option<String>,
}

/// The volumes among `instances`, series by series.
pub(super) fn stacks(instances: &[Instance]) -> Vec<Stack> {
    let mut by_series: BTreeMap<(i64, &str, usize), Vec<Slice>> = BTreeMap::new();
    for (index, instance) in instances.iter().enumerate() {
        // A file that does not say is a series of its own.
        let alone =
            if instance.series_uid.is_empty() || instance.segmentation { index + 1 } else { 0 };
        let number = instance.series_number.unwrap_or(i64::MAX);
        let slices = by_series.entry((number, &instance.series_uid, alone)).or_default();
        slices.extend((0..instance.frames.len()).map(|frame| Slice { instance: index, frame }));
    }
    let mut stacks = Vec::new();
    for slices in by_series.into_values() {
        if slices.iter().any(|slice| instances[slice.instance].segmentation) {
            let [first, ..] = slices.as_slice() else { continue };
            let shape = [1, 1, 1];
            stacks.push(Stack {
                slices: vec![*first],
                place: Ok(Geometry::pixels(shape)), // `seg.rs` finds it
                flaws: Vec::new(),
                hopeless: false,
                part: None,
            });
            continue;
        }
        for alike in alike(instances, slices) {
            for (part, slices) in one_at_a_place(instances, alike) {
                stacks.push(Stack { part, ..stack(instances, slices) });
            }
        }
    }
    stacks
}

fn frame(instances: &[Instance], slice: Slice) -> &Frame {
    &instances[slice.instance].frames[slice.frame]
}

/// Slices by size, type, spacing and direction.
fn alike(instances: &[Instance], slices: Vec<Slice>) -> Vec<Vec<Slice>> {
    let near = |a: f64, b: f64| (a - b).abs() <= 1e-3 * a.abs().max(b.abs());
    let fit = |a: Slice, b: Slice| {
        let (first, second) = (&instances[a.instance], &instances[b.instance]);
        let (one, other) = (frame(instances, a), frame(instances, b));
        let spacing = match (one.spacing, other.spacing) {
            (Some(a), Some(b)) => near(a[0], b[0]) && near(a[1], b[1]),
            (a, b) => a == b,
        };
        let direction = match (one.plane, other.plane) {
            (Some(a), Some(b)) => dot(a.right, b.right) > 0.9999 && dot(a.down, b.down) > 0.9999,
            (a, b) => a.is_none() && b.is_none(),
        };
        let (a, b) = (first.format, second.format);
        let format = (a.rows, a.columns, a.stored(), a.inverted)
            == (b.rows, b.columns, b.stored(), b.inverted);
        format && first.modality == second.modality && spacing && direction
    };
    let mut groups: Vec<Vec<Slice>> = Vec::new();
    for slice in slices {
        match groups.iter_mut().rev().take(MOST_GROUPS).find(|group| fit(group[0], slice)) {
            Some(group) => group.push(slice),
            None => groups.push(vec![slice]),
        }
    }
    groups
}

/// How far a slice lies along the normal of the first.
fn distances(instances: &[Instance], slices: &[Slice]) -> Option<Vec<f64>> {
    let planes: Option<Vec<Plane>> =
        slices.iter().map(|&slice| frame(instances, slice).plane).collect();
    let planes = planes?;
    let normal = planes.first()?.normal();
    Some(planes.iter().map(|plane| dot(plane.position, normal)).collect())
}

/// How many places there are.
fn places(instances: &[Instance], slices: &[Slice]) -> usize {
    let Some(mut distances) = distances(instances, slices) else { return slices.len() };
    distances.sort_by(f64::total_cmp);
    distances.dedup_by(|b, a| *b - *a < SAME_PLACE_MM);
    distances.len()
}

/// Slices that share places, taken apart by the first traits that do so. Each part must
/// have most of the places, or traits that change from slice to slice would tear volumes apart.
fn one_at_a_place(instances: &[Instance], slices: Vec<Slice>) -> Vec<(Option<String>, Vec<Slice>)> {
    let all = places(instances, &slices);
    if all == slices.len() {
        return vec![(None, slices)];
    }
    let count = TRAIT_NAMES.len();
    let singles = (0..count).map(|a| (a, a));
    let pairs = (0..count).flat_map(|a| (a + 1..count).map(move |b| (a, b)));
    for (a, b) in singles.chain(pairs) {
        let mut groups: BTreeMap<[&str; 2], Vec<Slice>> = BTreeMap::new();
        for &slice in &slices {
            let traits = &frame(instances, slice).traits;
            let key = [a, b].map(|index| traits[index].as_deref().unwrap_or_default());
            groups.entry(key).or_default().push(slice);
        }
        let apart =
            |group: &Vec<Slice>| places(instances, group) == group.len() && 2 * group.len() >= all;
        if groups.len() > 1 && groups.values().all(apart) {
            let mut groups: Vec<([&str; 2], Vec<Slice>)> = groups.into_iter().collect();
            // 50 comes before 400.
            let number = |text: &str| text.parse::<f64>().unwrap_or(f64::MAX);
            groups.sort_by(|(one, _), (other, _)| {
                number(one[0])
                    .total_cmp(&number(other[0]))
                    .then(number(one[1]).total_cmp(&number(other[1])))
            });
            // Numbers are shown; what is text may be anything.
            let named = |index: usize, value: &str| {
                let name = TRAIT_NAMES[index];
                match value.parse::<f64>() {
                    Ok(number) => format!("{name} {number}"),
                    Err(_) if value.is_empty() => format!("no {name}"),
                    Err(_) if value.split([' ', '/']).all(|n| n.parse::<f64>().is_ok()) => {
                        format!("{name} {value}")
                    }
                    Err(_) => format!("another {name}"),
                }
            };
            let part = |key: [&str; 2]| {
                let names = [named(a, key[0]), named(b, key[1])];
                names[..if a == b { 1 } else { 2 }].join(", ")
            };
            return groups.into_iter().map(|(key, group)| (Some(part(key)), group)).collect();
        }
    }
    vec![(None, slices)]
}

/// The slices in order, and what is wrong with them.
fn stack(instances: &[Instance], mut slices: Vec<Slice>) -> Stack {
    let first = frame(instances, slices[0]);
    let format = instances[slices[0].instance].format;
    let (height, width) = (usize::from(format.rows), usize::from(format.columns));
    let Some(mut along) = distances(instances, &slices) else {
        return unplaced(instances, slices, first, [height, width]);
    };
    let mut order: Vec<usize> = (0..slices.len()).collect();
    order.sort_by(|&a, &b| {
        let number = |index: usize| instances[slices[index].instance].number;
        along[a].total_cmp(&along[b]).then(number(a).cmp(&number(b)))
    });
    slices = order.iter().map(|&index| slices[index]).collect();
    along = order.iter().map(|&index| along[index]).collect();
    let start = along[0];

    let mut flaws = Flaws::default();
    // Repeated places: the first counts.
    let mut kept: Vec<(Slice, f64)> = Vec::new();
    for (&slice, &mm) in slices.iter().zip(&along) {
        match kept.last() {
            Some((_, last)) if mm - last < SAME_PLACE_MM => flaws.repeated(mm - start),
            _ => kept.push((slice, mm)),
        }
    }
    let mut gaps: Vec<f64> = kept.windows(2).map(|pair| pair[1].1 - pair[0].1).collect();
    gaps.sort_by(f64::total_cmp);
    let plane = |slice: Slice| {
        frame(instances, slice).plane.unwrap_or(Plane {
            position: [0.0; 3],
            right: [1.0, 0.0, 0.0],
            down: [0.0, 1.0, 0.0],
        })
    };
    let origin = plane(kept[0].0);
    let normal = origin.normal();
    let mut filled = vec![kept[0].0];
    let mut hopeless = false;
    let step = if let Some(&usual) = gaps.get((gaps.len().saturating_sub(1)) / 2) {
        let tolerance = GAP_TOLERANCE_MM.max(GAP_TOLERANCE * usual);
        for pair in kept.windows(2) {
            let [(before, from), (after, to)] = [pair[0], pair[1]];
            let gap = to - from;
            let times = (gap / usual).round();
            if (gap - usual).abs() > tolerance {
                if times >= 2.0 && (gap - times * usual).abs() <= times * tolerance {
                    flaws.missing(times as u64 - 1, from - start, to - start);
                } else {
                    flaws.uneven(gap, usual, from - start);
                }
            }
            // Half of what is missing repeats the slice before it.
            let most = 2.0 * kept.len() as f64;
            hopeless |= times > most || filled.len() > 4 * kept.len();
            let missing = if hopeless { 0 } else { (times - 1.0).clamp(0.0, most) as usize };
            let nearer = |index: usize| if 2 * index < missing { before } else { after };
            filled.extend((0..missing).map(nearer));
            filled.push(after);
        }
        let last = plane(kept[kept.len() - 1].0);
        let steps = (filled.len() - 1) as f64;
        [0, 1, 2].map(|axis| (last.position[axis] - origin.position[axis]) / steps)
    } else {
        let thickness = first.thickness.unwrap_or(1.0);
        normal.map(|v| v * thickness)
    };
    // A second pass, now that the step is known: slices beside the line.
    let pixel = first.spacing.map_or(1.0, |[rows, columns]| rows.min(columns));
    let sideways = |v: [f64; 3]| {
        let along = dot(v, normal);
        length([0, 1, 2].map(|axis| v[axis] - along * normal[axis]))
    };
    if sideways(step) * (filled.len() - 1) as f64 > DRIFT_PIXELS * pixel {
        flaws.tilt(sideways(step).atan2(dot(step, normal)).to_degrees());
    }
    for &(slice, mm) in &kept {
        let position = plane(slice).position;
        let steps = (mm - kept[0].1) / dot(step, normal);
        let beside =
            [0, 1, 2].map(|axis| position[axis] - origin.position[axis] - steps * step[axis]);
        if sideways(beside) > DRIFT_PIXELS * pixel {
            flaws.beside(sideways(beside), mm - start);
        }
    }
    if first.spacing.is_none() {
        return Stack {
            place: Ok(Geometry::pixels([filled.len(), height, width])),
            slices: filled,
            flaws: flaws.list(),
            hopeless,
            part: None,
        };
    }
    let [rows_mm, columns_mm] = first.spacing.unwrap_or([1.0; 2]);
    let grid = Lps {
        steps: [origin.right.map(|v| v * columns_mm), origin.down.map(|v| v * rows_mm), step],
        origin: origin.position,
    };
    Stack {
        place: Geometry::new([filled.len(), height, width], grid.ras_from_index()),
        slices: filled,
        flaws: flaws.list(),
        hopeless,
        part: None,
    }
}

/// Slices that do not say where they are: in the order of their numbers.
fn unplaced(
    instances: &[Instance],
    mut slices: Vec<Slice>,
    first: &Frame,
    [height, width]: [usize; 2],
) -> Stack {
    slices.sort_by_key(|slice| {
        let instance = &instances[slice.instance];
        (instance.number, slice.instance, instance.frames[slice.frame].index)
    });
    let shape = [slices.len(), height, width];
    let place = match (first.spacing, slices.len()) {
        (Some([rows_mm, columns_mm]), 1) => {
            let depth_mm = first.thickness.unwrap_or(1.0);
            let steps = [[columns_mm, 0.0, 0.0], [0.0, rows_mm, 0.0], [0.0, 0.0, depth_mm]];
            Geometry::new(shape, Lps { steps, origin: [0.0; 3] }.ras_from_index())
        }
        _ => Ok(Geometry::pixels(shape)),
    };
    let files = slices.iter().filter(|slice| slice.instance != slices[0].instance).count();
    let flaws = if files > 0 {
        vec![format!("{} slices that do not say where they are", slices.len())]
    } else {
        Vec::new()
    };
    Stack { slices, place, flaws, hopeless: false, part: None }
}

/// What is wrong, kind by kind, at millimeters along the normal from the first slice.
#[derive(Default)]
struct Flaws {
    kinds: [(Vec<String>, usize); 4],
    tilt: Option<String>,
}

impl Flaws {
    fn add(&mut self, kind: usize, flaw: String) {
        let (listed, count) = &mut self.kinds[kind];
        *count += 1;
        if listed.len() < LISTED {
            listed.push(flaw);
        }
    }

    fn repeated(&mut self, mm: f64) {
        self.add(0, format!("one more slice at {mm:.2} mm"));
    }

    fn missing(&mut self, count: u64, from: f64, to: f64) {
        let slices = if count == 1 { "slice" } else { "slices" };
        self.add(1, format!("{count} {slices} missing between {from:.2} and {to:.2} mm"));
    }

    fn uneven(&mut self, gap: f64, usual: f64, from: f64) {
        self.add(2, format!("a gap of {gap:.3} mm instead of {usual:.3} mm after {from:.2} mm"));
    }

    fn beside(&mut self, by: f64, mm: f64) {
        self.add(3, format!("a slice {by:.2} mm beside the line of the others at {mm:.2} mm"));
    }

    fn tilt(&mut self, degrees: f64) {
        self.tilt = Some(format!("slices tilted by {degrees:.2} degrees (gantry tilt)"));
    }

    fn list(self) -> Vec<String> {
        let mut flaws: Vec<String> = self.tilt.into_iter().collect();
        for (listed, count) in self.kinds {
            let more = count - listed.len();
            flaws.extend(listed);
            if more > 0 {
                flaws.push(format!("{more} more of these"));
            }
        }
        flaws
    }
}
