//! NIfTI as in the tables of `nifti1.h` and `nifti2.h`, lowest byte first.

use std::path::{Path, PathBuf};

use super::{Number, Placement, Reason, Reread, unpacked, unreadable};

/// Where each field of a version is, and whether its numbers are wide.
struct Table {
    dim: usize,
    datatype: usize,
    pixdim: usize,
    scale: usize,
    units: usize,
    codes: [usize; 2], // qform, sform
    quatern: usize,
    srow: usize,
    wide: bool,
}

const NIFTI_1: Table = Table {
    dim: 40,
    datatype: 70,
    pixdim: 76,
    scale: 112,
    units: 123,
    codes: [252, 254],
    quatern: 256,
    srow: 280,
    wide: false,
};

const NIFTI_2: Table = Table {
    dim: 16,
    datatype: 12,
    pixdim: 104,
    scale: 176,
    units: 500,
    codes: [344, 348],
    quatern: 352,
    srow: 400,
    wide: true,
};

pub(super) fn open(path: &Path) -> Result<Reread, Reason> {
    let (header_path, voxel_path) = both(path);
    let mut file = unpacked(&header_path)?;
    let mut start = [0; 4];
    file.read_exact(&mut start).map_err(unreadable)?;
    let (table, length) = match i32::from_le_bytes(start) {
        348 => (&NIFTI_1, 348),
        540 => (&NIFTI_2, 540),
        other => return Err(format!("a header of {other} bytes")),
    };
    let mut header = vec![0; length];
    header[..4].copy_from_slice(&start);
    file.read_exact(&mut header[4..]).map_err(unreadable)?;

    let float = |at: usize, index: usize| {
        let width = if table.wide { 8 } else { 4 };
        let at = at + width * index;
        Number::Float(width).value(&header[at..at + width])
    };
    let whole = |at: usize, width: usize| Number::Signed(width).value(&header[at..at + width]);
    let dim = |index: usize| {
        let width = if table.wide { 8 } else { 2 };
        whole(table.dim + width * index, width) as usize
    };
    let size = match dim(0) {
        2 => [dim(1), dim(2), 1],
        3 => [dim(1), dim(2), dim(3)],
        other => return Err(format!("{other} dimensions")),
    };
    let number = match whole(table.datatype, 2) as i64 {
        2 => Number::Unsigned(1),
        4 => Number::Signed(2),
        8 => Number::Signed(4),
        16 => Number::Float(4),
        64 => Number::Float(8),
        256 => Number::Signed(1),
        512 => Number::Unsigned(2),
        768 => Number::Unsigned(4),
        1024 => Number::Signed(8),
        1280 => Number::Unsigned(8),
        other => return Err(format!("voxels of type {other}")),
    };
    let [slope, intercept] = [float(table.scale, 0), float(table.scale, 1)];
    let code_width = if table.wide { 4 } else { 2 };
    let [qform, sform] = table.codes.map(|at| whole(at, code_width));
    let pixdim = [0, 1, 2, 3].map(|index| float(table.pixdim, index));
    let mut placement = if sform > 0.0 {
        [0, 1, 2].map(|row| [0, 1, 2, 3].map(|column| float(table.srow, 4 * row + column)))
    } else if qform > 0.0 {
        let fields = [0, 1, 2, 3, 4, 5].map(|index| float(table.quatern, index));
        by_quaternion(pixdim, fields)
    } else {
        by_spacing(pixdim, size)
    };
    let mm = match header[table.units] & 7 {
        1 => 1000.0,
        3 => 0.001,
        _ => 1.0,
    };
    placement.as_flattened_mut().iter_mut().for_each(|value| *value *= mm);

    let voxels = if let Some(voxel_path) = voxel_path {
        unpacked(&voxel_path)?
    } else {
        let mut extension = [0; 4];
        file.read_exact(&mut extension).map_err(unreadable)?;
        if extension != [0; 4] {
            return Err("a header with extensions".to_owned());
        }
        file
    };
    let scale = if slope == 0.0 { [1.0, 0.0] } else { [slope, intercept] };
    Ok(Reread { size, placement: Some(placement), picture: false, number, scale, voxels })
}

/// The header's file, and that of the voxels where it is another.
fn both(path: &Path) -> (PathBuf, Option<PathBuf>) {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let lower = name.to_ascii_lowercase();
    let bare = lower.strip_suffix(".gz").unwrap_or(&lower);
    let other = |ours: &str, theirs: &str| {
        let at = bare.len() - ours.len();
        let upper = name[at..bare.len()].chars().all(|c| c.is_ascii_uppercase());
        let theirs = if upper { theirs.to_ascii_uppercase() } else { theirs.to_owned() };
        path.with_file_name(format!("{}{theirs}{}", &name[..at], &name[bare.len()..]))
    };
    let ending = bare.rsplit('.').next().unwrap_or_default();
    if ending == "hdr" {
        (path.to_owned(), Some(other("hdr", "img")))
    } else if ending == "img" {
        (other("img", "hdr"), Some(path.to_owned()))
    } else {
        (path.to_owned(), None)
    }
}

/// Turns each axis by v + 2 u × (u × v + a v), the quaternion being (a, u).
fn by_quaternion(pixdim: [f64; 4], [b, c, d, x, y, z]: [f64; 6]) -> Placement {
    let cross = |p: [f64; 3], q: [f64; 3]| {
        [p[1] * q[2] - p[2] * q[1], p[2] * q[0] - p[0] * q[2], p[0] * q[1] - p[1] * q[0]]
    };
    let u = [b, c, d];
    let a = (1.0 - b * b - c * c - d * d).max(0.0).sqrt();
    let turned = |v: [f64; 3]| {
        let inner = cross(u, v);
        let inner = [0, 1, 2].map(|i| inner[i] + a * v[i]);
        let outer = cross(u, inner);
        [0, 1, 2].map(|i| v[i] + 2.0 * outer[i])
    };
    let handed = if pixdim[0] < 0.0 { -1.0 } else { 1.0 };
    let steps = [
        turned([pixdim[1], 0.0, 0.0]),
        turned([0.0, pixdim[2], 0.0]),
        turned([0.0, 0.0, handed * pixdim[3]]),
    ];
    let origin = [x, y, z];
    [0, 1, 2].map(|row| [steps[0][row], steps[1][row], steps[2][row], origin[row]])
}

/// Without a transform the middle of the grid is the origin, and x runs to the left.
fn by_spacing(pixdim: [f64; 4], size: [usize; 3]) -> Placement {
    [0, 1, 2].map(|axis| {
        let step = if axis == 0 { -pixdim[1] } else { pixdim[axis + 1] };
        let mut row = [0.0; 4];
        row[axis] = step;
        row[3] = -step * (size[axis] as f64 - 1.0) / 2.0;
        row
    })
}
