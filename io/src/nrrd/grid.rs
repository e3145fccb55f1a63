//! Which axes of an NRRD are space, and where its voxels are.

use super::fields::Fields;
use crate::affine::{cross, length};
use crate::fields::shown;
use crate::image::Fault;
use crate::lps::Lps;

/// What an axis is.
#[derive(Clone, Debug, PartialEq)]
enum Axis {
    /// Along space; with the step of one voxel where directions are given.
    Space(Option<[f64; 3]>),
    /// One image after the other: time, or whatever has no direction.
    Series,
    /// Numbers that belong to one voxel, of this kind.
    Within(String),
}

/// The grid, and the sizes of what is not inside of a voxel.
#[derive(Debug)]
pub(crate) struct Grid {
    /// Voxels along x, y, z, then along what comes in series.
    pub(crate) dims: Vec<u64>,
    /// How many of them are space.
    pub(crate) spatial: usize,
    /// Where the voxels are, where the header says so.
    pub(crate) lps: Option<Lps>,
}

/// Why there is none: a bad field, or voxels that hold more than one number.
pub(crate) enum Unusable {
    Field(Fault),
    Voxels(String),
}

impl From<Fault> for Unusable {
    fn from(fault: Fault) -> Self {
        Self::Field(fault)
    }
}

/// The coordinates that directions are in.
struct Space {
    dimension: usize,
    /// What turns them into LPS.
    signs: [f64; 3],
    named: bool,
}

impl Space {
    fn of(fields: &Fields) -> Result<Self, Fault> {
        let named = |dimension, signs| Ok(Self { dimension, signs, named: true });
        let Some(space) = fields.get("space") else {
            let dimension = match fields.get("spacedimension") {
                None => 0,
                Some(value) => value
                    .parse()
                    .ok()
                    .filter(|n| (1..=4).contains(n))
                    .ok_or_else(|| Fault::new("space dimension", "1 to 4", shown(value)))?,
            };
            return Ok(Self { dimension, signs: [1.0; 3], named: false });
        };
        let lower = space.to_ascii_lowercase();
        match lower.as_str() {
            "right-anterior-superior" | "ras" => named(3, [-1.0, -1.0, 1.0]),
            "left-anterior-superior" | "las" => named(3, [1.0, -1.0, 1.0]),
            "left-posterior-superior" | "lps" | "scanner-xyz" | "3d-right-handed" => {
                named(3, [1.0; 3])
            }
            "right-anterior-superior-time" | "rast" => named(4, [-1.0, -1.0, 1.0]),
            "left-anterior-superior-time" | "last" => named(4, [1.0, -1.0, 1.0]),
            "left-posterior-superior-time"
            | "lpst"
            | "scanner-xyz-time"
            | "3d-right-handed-time" => named(4, [1.0; 3]),
            _ => {
                let expected = "right-anterior-superior, left-anterior-superior, \
                     left-posterior-superior, scanner-xyz or 3D-right-handed, with -time or without";
                Err(Fault::new("space", expected, shown(space)))
            }
        }
    }

    /// A vector of this space in LPS; one along time alone is none.
    fn vector(&self, field: &str, vector: &[f64]) -> Result<Option<[f64; 3]>, Fault> {
        if vector.len() != self.dimension {
            let expected = format!("vectors of {} numbers, as the space has", self.dimension);
            return Err(Fault::new(field, expected, format!("one of {}", vector.len())));
        }
        if vector.iter().all(|v| v.is_nan()) {
            return Ok(None);
        }
        let mut lps = [0.0; 3];
        for (axis, value) in vector.iter().take(3).enumerate() {
            lps[axis] = self.signs[axis] * value;
        }
        match vector.get(3) {
            Some(time) if *time != 0.0 => {
                if lps == [0.0; 3] {
                    return Ok(None);
                }
                Err(Fault::new(field, "vectors along space or along time", format!("{vector:?}")))
            }
            _ => Ok(Some(lps)),
        }
    }
}

impl Grid {
    /// The grid of axes of these `sizes`.
    pub(crate) fn of(fields: &Fields, sizes: &[u64]) -> Result<Self, Unusable> {
        let space = Space::of(fields)?;
        let axes = axes(fields, &space, sizes)?;
        let mut steps = Vec::new();
        let mut indices = Vec::new();
        let mut series = Vec::new();
        for (index, (axis, &size)) in axes.iter().zip(sizes).enumerate() {
            match axis {
                Axis::Within(_) | Axis::Series if size == 1 && steps.is_empty() => {}
                Axis::Within(kind) if size > 1 => {
                    return Err(Unusable::Voxels(format!("{size} numbers per voxel ({kind})")));
                }
                Axis::Within(_) | Axis::Series => series.push(size),
                Axis::Space(_) if series.iter().any(|&size| size > 1) => {
                    let found = "the volumes of a series voxel by voxel, not one after the other";
                    return Err(Unusable::Voxels(found.to_owned()));
                }
                Axis::Space(step) => {
                    steps.push(*step);
                    indices.push(index);
                }
            }
        }
        let spatial = steps.len();
        if spatial == 0 {
            return Err(Fault::new("kinds", "an axis along space", "none").into());
        }
        let mut dims: Vec<u64> = indices.iter().map(|&index| sizes[index]).collect();
        if !series.is_empty() {
            dims.resize(3, 1); // a series is one of volumes, if thin ones
            dims.extend(series);
        }
        let lps = place(fields, &space, &steps, &indices, sizes)?;
        Ok(Self { dims, spatial, lps })
    }
}

/// What each axis is: by its kind, then by whether it has a direction.
fn axes(fields: &Fields, space: &Space, sizes: &[u64]) -> Result<Vec<Axis>, Fault> {
    let count = sizes.len();
    let kinds: Option<Vec<String>> = fields
        .get("kinds")
        .map(|kinds| kinds.split_whitespace().map(str::to_ascii_lowercase).collect());
    if let Some(kinds) = &kinds
        && kinds.len() != count
    {
        return Err(Fault::new("kinds", format!("{count} kinds"), kinds.len()));
    }
    let directions = fields.vectors("spacedirections")?;
    if let Some(directions) = &directions
        && directions.len() != count
    {
        let expected = format!("{count} vectors, or none, one per axis");
        return Err(Fault::new("space directions", expected, directions.len()));
    }
    let mut steps: Vec<Option<[f64; 3]>> = vec![None; count];
    for (step, direction) in steps.iter_mut().zip(directions.iter().flatten()) {
        if let Some(direction) = direction {
            *step = space.vector("space directions", direction)?;
        }
    }
    let directed = steps.iter().any(Option::is_some);
    let mut spatial = 0;
    let mut axes = Vec::new();
    for (axis, step) in steps.into_iter().enumerate() {
        let kind = kinds.as_ref().map_or("???", |kinds| kinds[axis].as_str());
        let is = match kind {
            "time" => Axis::Series,
            "domain" | "space" | "none" | "???" => {
                let along_space = if directed { step.is_some() } else { spatial < 3 };
                if along_space { Axis::Space(step) } else { Axis::Series }
            }
            other => Axis::Within(other.to_owned()),
        };
        spatial += usize::from(matches!(is, Axis::Space(_)));
        axes.push(is);
    }
    if spatial > 3 {
        return Err(Fault::new("space directions", "at most three axes along space", spatial));
    }
    Ok(axes)
}

/// Where the voxels are: by directions, else by distances, else nowhere.
fn place(
    fields: &Fields,
    space: &Space,
    steps: &[Option<[f64; 3]>],
    indices: &[usize],
    sizes: &[u64],
) -> Result<Option<Lps>, Fault> {
    let origin = origin(fields, space)?;
    let mut lps =
        Lps { steps: [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], origin: [0.0; 3] };
    if let Some(directions) = steps.iter().copied().collect::<Option<Vec<[f64; 3]>>>() {
        for (axis, step) in directions.iter().enumerate() {
            if length(*step) == 0.0 || step.iter().any(|v| !v.is_finite()) {
                let found = format!("{step:?} along axis {}", indices[axis]);
                return Err(Fault::new("space directions", "vectors other than 0", found));
            }
            lps.steps[axis] = *step;
        }
        complete(&mut lps.steps, directions.len());
        lps.origin = origin.unwrap_or_default();
        return Ok(Some(lps));
    }
    let spacings = fields.per_axis("spacings", sizes.len())?;
    let Some(spacings) = spacings.filter(|all| indices.iter().any(|&axis| !all[axis].is_nan()))
    else {
        return Ok(None);
    };
    for (axis, &index) in indices.iter().enumerate() {
        let spacing = spacings[index];
        let spacing = if spacing.is_nan() && sizes[index] == 1 { 1.0 } else { spacing };
        if spacing == 0.0 || !spacing.is_finite() {
            let found = format!("{spacing} along axis {index}");
            return Err(Fault::new("spacings", "distances other than 0", found));
        }
        for (step, sign) in lps.steps[axis].iter_mut().zip(space.signs) {
            *step *= spacing * sign;
        }
    }
    lps.origin = match origin {
        Some(origin) => origin,
        None if space.named => [0.0; 3],
        None => first_sample(fields, &lps, indices, sizes.len())?,
    };
    Ok(Some(lps))
}

fn origin(fields: &Fields, space: &Space) -> Result<Option<[f64; 3]>, Fault> {
    let Some(vectors) = fields.vectors("spaceorigin")? else { return Ok(None) };
    let [Some(vector)] = &vectors[..] else {
        return Err(Fault::new("space origin", "one vector", format!("{} of them", vectors.len())));
    };
    if vector.len() != space.dimension {
        let expected = format!("{} numbers, as the space has", space.dimension);
        return Err(Fault::new("space origin", expected, vector.len()));
    }
    if vector.iter().all(|v| v.is_nan()) {
        return Ok(None);
    }
    let mut origin = [0.0; 3];
    for (axis, value) in vector.iter().take(3).enumerate() {
        origin[axis] = space.signs[axis] * value;
    }
    if origin.iter().any(|v| !v.is_finite()) {
        return Err(Fault::new("space origin", "finite numbers", format!("{vector:?}")));
    }
    Ok(Some(origin))
}

/// The first sample along each axis, from `axis mins`: half a step behind it for cells, which
/// samples are unless `centers` says that they are nodes (`nrrdOriginCalculate` of teem).
fn first_sample(
    fields: &Fields,
    lps: &Lps,
    indices: &[usize],
    count: usize,
) -> Result<[f64; 3], Fault> {
    let mut origin = [0.0; 3];
    let Some(mins) = fields.per_axis("axismins", count)? else { return Ok(origin) };
    let centers = fields.get("centers").or(fields.get("centerings")).unwrap_or_default();
    let centers: Vec<&str> = centers.split_whitespace().collect();
    if indices.iter().any(|&index| !mins[index].is_finite()) {
        return Ok(origin);
    }
    for (axis, &index) in indices.iter().enumerate() {
        let node = centers.get(index).is_some_and(|center| center.eq_ignore_ascii_case("node"));
        let half = if node { 0.0 } else { lps.steps[axis][axis] / 2.0 };
        origin[axis] = mins[index] + half;
    }
    Ok(origin)
}

/// Directions for axes that an image of fewer than three lacks: across those that it has.
fn complete(steps: &mut [[f64; 3]; 3], known: usize) {
    if known == 1 {
        let along = steps[0];
        let largest = (0..3)
            .fold(0, |best, axis| if along[axis].abs() > along[best].abs() { axis } else { best });
        let mut other = [0.0; 3];
        other[(largest + 1) % 3] = 1.0;
        let across = cross(cross(along, other), along);
        steps[1] = across.map(|v| v / length(across));
    }
    if known <= 2 {
        let across = cross(steps[0], steps[1]);
        // An image without a third axis looks along +z, unless it lies otherwise.
        let flat = across[0] == 0.0 && across[1] == 0.0;
        let across = if flat { [0.0, 0.0, across[2].abs()] } else { across };
        steps[2] = across.map(|v| v / length(across));
    }
}
