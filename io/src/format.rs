//! Which format a file is: by its content where it is read, by its name where it is written.
//!
//! A format is a module with an `open`, which yields an [`Image`], and a `write`; this is
//! the one place that lists them.

use std::path::{Path, PathBuf};

use crate::error::VolumeError;
use crate::image::Image;
use crate::input::{GZIP_MAGIC, Input};
use crate::read::ReadOptions;
use crate::{dicom, matlab, metaimage, nifti, nrrd, picture};

/// The formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Nifti,
    MetaImage,
    Nrrd,
    Dicom,
    Picture,
    Matlab,
}

/// The endings that [`is_supported_name`] and [`is_picture_name`] know, for messages.
pub const SUPPORTED_NAMES: &str = ".nii, .nii.gz, .hdr/.img, .mha, .mhd/.raw, .nrrd, .nhdr/.raw, DICOM, .png, .jpg, .jpeg, .tif, .tiff, .bmp or (labels) .mat";

/// How much of a file is looked at; MetaIO looks as far for the keys of its own format.
const LOOK_BYTES: usize = 8000;

impl Format {
    /// The format that `path` is called after.
    pub(crate) fn of_name(path: &Path) -> Option<Self> {
        if nifti::Name::of(path).kind != nifti::Kind::Other {
            return Some(Self::Nifti);
        }
        let ending = path.extension()?.to_str()?.to_ascii_lowercase();
        match ending.as_str() {
            "mha" | "mhd" => Some(Self::MetaImage),
            "nrrd" | "nhdr" => Some(Self::Nrrd),
            _ if matlab::is_name(path) => Some(Self::Matlab),
            _ => picture::Kind::of_name(path).map(|_| Self::Picture),
        }
    }

    /// The format of a file that starts with `bytes`.
    fn of_content(bytes: &[u8]) -> Option<Self> {
        match bytes {
            bytes if nrrd::is_header(bytes) => Some(Self::Nrrd),
            bytes if nifti::is_header(bytes) => Some(Self::Nifti),
            bytes if dicom::has_preamble(bytes) => Some(Self::Dicom),
            bytes if metaimage::is_header(bytes) => Some(Self::MetaImage),
            bytes if picture::Kind::of_content(bytes).is_some() => Some(Self::Picture),
            bytes if matlab::is_header(bytes) => Some(Self::Matlab),
            // Some lack what tells them apart, but not what any data set starts with.
            bytes if dicom::looks_like(bytes) => Some(Self::Dicom),
            _ => None,
        }
    }
}

/// Opens an image up to its first voxel: by its content, and by its name only where the
/// content says nothing, as in the `.img` of a pair.
pub(crate) fn open(path: &Path, options: &ReadOptions) -> Result<Image, VolumeError> {
    let limits = &options.limits;
    match format_of(path)? {
        Format::Nifti => nifti::open(path, limits),
        Format::MetaImage => metaimage::open(path, limits),
        Format::Nrrd => nrrd::open(path, limits),
        Format::Dicom => dicom::open(path, options),
        Format::Picture => picture::open(path, limits),
        Format::Matlab => matlab::open(path, limits),
    }
}

/// Whether what is read from `path` is a picture: PNG, JPEG, TIFF or BMP.
pub(crate) fn is_picture(path: &Path) -> Result<bool, VolumeError> {
    Ok(format_of(path)? == Format::Picture)
}

/// Whether what is read from `path` is DICOM.
pub(crate) fn is_dicom(path: &Path) -> Result<bool, VolumeError> {
    Ok(format_of(path)? == Format::Dicom)
}

fn format_of(path: &Path) -> Result<Format, VolumeError> {
    if path.is_dir() {
        return Ok(Format::Dicom); // the only one whose images are folders
    }
    if nifti::Name::of(path).kind == nifti::Kind::Voxels {
        return Ok(Format::Nifti); // bare voxels may look like anything
    }
    let mut input = Input::open_plain(path)?;
    let packed = input.peek()?.starts_with(GZIP_MAGIC);
    if packed {
        input = Input::open(path, None)?;
    }
    let mut start = vec![0; LOOK_BYTES];
    // Damage is for the reader of the format to report.
    let filled = input.fill(&mut start).unwrap_or(0);
    start.truncate(filled);
    let refuse =
        |found: &str| Err(VolumeError::Format { path: path.to_owned(), found: found.to_owned() });
    match Format::of_content(&start) {
        Some(Format::MetaImage | Format::Nrrd | Format::Picture | Format::Matlab) if packed => {
            refuse(
                "a picture, MetaImage, NRRD or MATLAB file inside of gzip data, which is to be unpacked first",
            )
        }
        Some(Format::Dicom) if packed => {
            refuse("a DICOM file inside of gzip data, which is to be unpacked first")
        }
        Some(format) => Ok(format),
        None => match foreign(&start) {
            Some(found) => refuse(found),
            None => Format::of_name(path).map_or_else(|| refuse("something else"), Ok),
        },
    }
}

/// Formats that users are likely to take for ours, by how they start.
fn foreign(bytes: &[u8]) -> Option<&'static str> {
    let starts: [(&[u8], &str); 7] = [
        (b"MATLAB 7.3 MAT-file", "a MATLAB file of version 7.3 (HDF5), to be saved with -v7 first"),
        (b"\x00\x00\x00\x01\x00\x00", "an MGH or MGZ file, which is not supported"),
        (b"ObjectType", "a MetaIO file that is no image"),
        (b"\x89HDF", "an HDF5 or MINC file"),
        (b"PK\x03\x04", "a zip archive"),
        (b"version https://git-lfs", "a pointer left by Git LFS in place of the file"),
        (b"<", "a web page or XML"),
    ];
    starts.into_iter().find(|(start, _)| bytes.starts_with(start)).map(|(_, name)| name)
}

/// Whether a scan of a folder should take a file of this name for a case: `.nii` and
/// `.hdr`, each with or without `.gz`, `.mha`, `.mhd`, `.nrrd` and `.nhdr`, and not hidden.
///
/// The `.img` of a pair is left to its `.hdr`, so that the case is not met twice; the
/// `read_…` functions take either.
pub fn is_supported_name(path: &Path) -> bool {
    let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
    let voxels_only = nifti::Name::of(path).kind == nifti::Kind::Voxels;
    let format =
        Format::of_name(path).filter(|format| !matches!(format, Format::Picture | Format::Matlab));
    !hidden && !voxels_only && format.is_some()
}

/// Whether a scan of a folder that holds no other images should take a file of this name for
/// one: `.png`, `.jpg`, `.jpeg`, `.tif`, `.tiff` and `.bmp`, and not hidden.
///
/// Beside others they are pictures *of* cases, as `lamina predict --montage` draws them.
pub fn is_picture_name(path: &Path) -> bool {
    let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
    !hidden && Format::of_name(path) == Some(Format::Picture)
}

/// The files of a scanned folder that are cases: those of [`is_supported_name`], or the pictures
/// where there is none, or the label maps of MATLAB where there are no pictures either.
pub fn images_among(paths: Vec<PathBuf>) -> Vec<PathBuf> {
    let kinds: [fn(&Path) -> bool; 3] = [is_supported_name, is_picture_name, is_matlab_name];
    let wanted = kinds.into_iter().find(|is_kind| paths.iter().any(|path| is_kind(path)));
    let is_wanted = |path: &PathBuf| wanted.is_some_and(|is_kind| is_kind(path));
    paths.into_iter().filter(is_wanted).collect()
}

fn is_matlab_name(path: &Path) -> bool {
    let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
    !hidden && Format::of_name(path) == Some(Format::Matlab)
}

/// The files that an image is made of, in the order in which they are read: both halves of
/// a pair, a header and what it names, or the one file.
pub fn files_of(path: &Path) -> Vec<PathBuf> {
    let named = match format_of(path) {
        Ok(Format::MetaImage) => metaimage::data_files(path),
        Ok(Format::Nrrd) => nrrd::data_files(path),
        Ok(Format::Dicom) => {
            return dicom::files(path, &ReadOptions::default()).unwrap_or_default();
        }
        Ok(Format::Picture | Format::Matlab) => Vec::new(),
        Ok(Format::Nifti) | Err(_) => return pair(path),
    };
    std::iter::once(path.to_owned()).chain(named).collect()
}

/// [`files_of`] the volume that the options choose.
pub fn files_read(path: &Path, options: &ReadOptions) -> Vec<PathBuf> {
    match format_of(path) {
        Ok(Format::Dicom) => dicom::files(path, options).unwrap_or_default(),
        _ => files_of(path),
    }
}

fn pair(path: &Path) -> Vec<PathBuf> {
    let name = nifti::Name::of(path);
    let (header, voxels) = match name.kind {
        nifti::Kind::Header => (None, name.find_partner("img")),
        nifti::Kind::Voxels => (name.find_partner("hdr"), None),
        nifti::Kind::Single | nifti::Kind::Other => (None, None),
    };
    header.into_iter().chain([path.to_owned()]).chain(voxels).collect()
}

/// Whether an image can be written under this name.
pub fn is_output_name(path: &Path) -> bool {
    match Format::of_name(path) {
        Some(Format::Picture) => {
            picture::Kind::of_name(path).is_some_and(picture::Kind::is_written)
        }
        Some(Format::Matlab) | None => false,
        Some(_) => true,
    }
}

/// The files that writing a label map or an image under this name makes, or replaces.
pub fn output_files(path: &Path) -> Vec<PathBuf> {
    let beside = match Format::of_name(path) {
        Some(Format::Nifti) => {
            let name = nifti::Name::of(path);
            match name.kind {
                nifti::Kind::Header => vec![name.partner("img")],
                nifti::Kind::Voxels => vec![name.partner("hdr")],
                nifti::Kind::Single | nifti::Kind::Other => Vec::new(),
            }
        }
        Some(Format::MetaImage) => metaimage::output_data_files(path),
        Some(Format::Nrrd) => nrrd::output_data_files(path),
        Some(Format::Dicom | Format::Picture | Format::Matlab) | None => Vec::new(),
    };
    std::iter::once(path.to_owned()).chain(beside).collect()
}

/// A file's name without its folder and endings: "x" for "cases/x.nii.gz".
pub fn case_stem(path: &Path) -> String {
    let name = nifti::Name::of(path);
    match name.kind {
        nifti::Kind::Single | nifti::Kind::Header | nifti::Kind::Voxels => name.stem(),
        nifti::Kind::Other => path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scan_takes_one_file_of_each_case() {
        for name in [
            "a.nii",
            "a.nii.gz",
            "A.NII.GZ",
            "b/a.hdr",
            "a.hdr.gz",
            "a.mha",
            "a.MHD",
            "a.nrrd",
            "a.seg.nrrd",
            "a.nhdr",
        ] {
            assert!(is_supported_name(Path::new(name)), "{name}");
        }
        for name in [
            "a.img",
            "a.img.gz",
            "._a.nii.gz",
            ".nii",
            "a.mgz",
            "a.gz",
            "a",
            "",
            "a.raw",
            "a.zraw",
            ".a.mha",
            "a.raw.gz",
            "a.mha.gz",
        ] {
            assert!(!is_supported_name(Path::new(name)), "{name}");
        }
    }

    #[test]
    fn stems_lose_both_endings() {
        for (name, stem) in [
            ("b/x.nii.gz", "x"),
            ("x.1.nii", "x.1"),
            ("x.IMG", "x"),
            ("x.tar.gz", "x.tar"),
            ("b/x.1.mhd", "x.1"),
            ("x.nrrd", "x"),
            ("x", "x"),
        ] {
            assert_eq!(case_stem(Path::new(name)), stem);
        }
    }
}
