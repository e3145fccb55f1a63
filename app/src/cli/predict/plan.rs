//! Names every file of a run before the first one is written.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use lamina_io::{ReadOptions, files_of, files_read, is_picture_name, output_files};

use super::PredictArgs;
use crate::cli::inputs::{CaseFiles, Input};

/// One scan and the files that it becomes.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) case: String,
    pub(super) input: PathBuf,
    pub(super) mask: PathBuf,
    pub(super) sidecar: PathBuf,
    /// How uncertain each voxel is, where that is asked for.
    pub(super) uncertainty: Option<PathBuf>,
    pub(super) montage: PathBuf,
    pub(super) report: PathBuf,
    pub(super) reference: Option<PathBuf>,
}

/// Names all files before one is written.
pub(super) fn plan(inputs: &[Input], args: &PredictArgs) -> anyhow::Result<Vec<Job>> {
    let references = args
        .reference
        .as_deref()
        .map(CaseFiles::read)
        .transpose()
        .context("cannot use --reference")?;
    let one_reference = args.reference.as_deref().filter(|path| path.is_file());
    if let Some(file) = one_reference
        && inputs.len() != 1
    {
        bail!(
            "expected a folder of references for {} inputs, found a file: {}",
            inputs.len(),
            file.display()
        );
    }
    let mut taken: HashMap<&str, &Path> = HashMap::new();
    let mut jobs = Vec::new();
    for Input { case, name, path } in inputs {
        if let Some(first) = taken.insert(case, path) {
            bail!(
                "two inputs would become the same mask {case:?}; run them into different folders: {} and {}",
                first.display(),
                path.display()
            );
        }
        let reference = match (one_reference, &references) {
            (Some(file), _) => Some(file.to_path_buf()),
            (None, Some(references)) => references.find(name)?.map(Path::to_path_buf),
            (None, None) => None,
        };
        let mask = args.out.join(match args.format {
            Some(format) => format!("{case}.{}", format.ending()).into(),
            None if case == name => mask_name(path, case),
            None => format!("{case}.nii.gz").into(),
        });
        let uncertainty = args.uncertainty.map(|_| uncertainty_of(&mask, case));
        let is_png = mask.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("png"));
        let montage = if is_png { format!("{case}_montage.png") } else { format!("{case}.png") };
        jobs.push(Job {
            case: case.clone(),
            input: path.clone(),
            mask,
            uncertainty,
            sidecar: args.out.join(format!("{case}.json")),
            montage: args.out.join(montage),
            report: args.out.join(format!("{case}.html")),
            reference,
        });
    }
    refuse_to_overwrite_sources(&jobs, references.as_ref(), &args.series.reading(args.volume))?;
    Ok(jobs)
}

/// Beside the mask and in its format; that of DICOM holds labels alone.
fn uncertainty_of(mask: &Path, case: &str) -> PathBuf {
    let name = mask.file_name().unwrap_or_default().to_string_lossy();
    let ending = match name.strip_prefix(case) {
        Some(ending) if !ending.eq_ignore_ascii_case(".dcm") => ending,
        _ => ".nii.gz",
    };
    mask.with_file_name(format!("{case}_uncertainty{ending}"))
}

/// The input's own name where masks can be written in its format.
pub(in crate::cli) fn mask_name(input: &Path, case: &str) -> PathBuf {
    let name = input.file_name().unwrap_or_default();
    let lower = name.to_string_lossy().to_lowercase();
    if input.is_dir() {
        return format!("{case}.nii.gz").into();
    }
    let endings = [".nii", ".nii.gz", ".mha", ".mhd", ".nrrd", ".nhdr", ".png", ".tif", ".tiff"];
    if endings.iter().any(|ending| lower.ends_with(ending)) {
        name.into()
    } else if is_picture_name(input) {
        format!("{case}.png").into()
    } else {
        format!("{case}.nii.gz").into()
    }
}

/// No file that a run reads is one that it writes.
fn refuse_to_overwrite_sources(
    jobs: &[Job],
    references: Option<&CaseFiles>,
    reading: &ReadOptions,
) -> anyhow::Result<()> {
    let absolute = |path: &Path| path.canonicalize().ok();
    let mut sources: HashMap<PathBuf, &Path> = HashMap::new();
    let references =
        references.into_iter().flat_map(CaseFiles::iter).map(|input| input.path.as_path());
    let read = jobs.iter().map(|job| (job.input.as_path(), files_read(&job.input, reading)));
    for (path, files) in read.chain(references.map(|path| (path, files_of(path)))) {
        let files = files.into_iter();
        sources.extend(files.filter_map(|file| Some((file.canonicalize().ok()?, path))));
    }
    let written = jobs.iter().flat_map(|job| {
        let masks = output_files(&job.mask).into_iter();
        let maps = job.uncertainty.iter().flat_map(|path| output_files(path));
        masks.chain(maps).chain([job.sidecar.clone(), job.montage.clone(), job.report.clone()])
    });
    for written in written {
        if let Some(source) = absolute(&written).and_then(|absolute| sources.get(&absolute)) {
            bail!(
                "the output would overwrite a file that is read; choose another --out: {}",
                source.display()
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_of_uncertainty_is_named_after_its_mask() {
        let name = |mask: &str| uncertainty_of(Path::new(mask), "a").display().to_string();
        assert_eq!(name("out/a.nii.gz"), "out/a_uncertainty.nii.gz");
        assert_eq!(name("out/a.PNG"), "out/a_uncertainty.PNG");
        assert_eq!(name("out/a.dcm"), "out/a_uncertainty.nii.gz");
    }

    #[test]
    fn a_mask_is_named_after_its_input() {
        let name = |path: &str, case: &str| mask_name(Path::new(path), case).display().to_string();
        assert_eq!(name("in/a.nii.gz", "a"), "a.nii.gz");
        assert_eq!(name("in/a.NII", "a"), "a.NII");
        assert_eq!(name("in/a.hdr", "a"), "a.nii.gz");
        assert_eq!(name("in/a.mhd", "a"), "a.mhd");
        assert_eq!(name("in/a.tif", "a"), "a.tif");
        assert_eq!(name("in/a.jpg", "a"), "a.png"); // labels are not stored with losses
        assert_eq!(name("in/a.seg.nrrd", "a.seg"), "a.seg.nrrd");
    }
}
