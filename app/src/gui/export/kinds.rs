//! What can be exported and in which formats, with what the dialog says of each.

use crate::gui::state::State;

/// What is exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// The labels.
    Labels,
    /// How much of each label there is.
    Volumes,
    /// What was changed, with which tool, when.
    Audit,
    /// The plane in view as a picture.
    Plane,
    /// The window as a picture.
    Window,
    /// Slices with the labels over them as one picture.
    Montage,
    /// All of it as a page.
    Report,
    /// What is open and how it is looked at.
    Session,
}

impl What {
    /// All, in the order of the dialog.
    pub const ALL: [Self; 8] = [
        Self::Labels,
        Self::Volumes,
        Self::Audit,
        Self::Plane,
        Self::Window,
        Self::Montage,
        Self::Report,
        Self::Session,
    ];

    /// What to call it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Labels => "Labels",
            Self::Volumes => "Table of volumes",
            Self::Audit => "Audit trail of the edits",
            Self::Plane => "Picture of a plane",
            Self::Window => "Picture of the window",
            Self::Montage => "Montage of the case",
            Self::Report => "Case report",
            Self::Session => "Session",
        }
    }

    /// One sentence more.
    pub fn about(self) -> &'static str {
        match self {
            Self::Labels => "Read back by other code and compared in the patient, voxel by voxel.",
            Self::Volumes => "Voxels and milliliters of each label, as CSV or JSON.",
            Self::Audit => "Every change with time, tool, label and voxels, as CSV.",
            Self::Plane => "The plane under the cursor, whole, with labels as they are shown. PNG.",
            Self::Window => "What is on the screen, without names of files. PNG.",
            Self::Montage => "Slices that hold labels with their outlines. PNG.",
            Self::Report => {
                "One HTML page: labels over slices, volumes, doubtful slices, edits, the model. \
                 Needs no network; prints on A4."
            }
            Self::Session => {
                "Which files are open and how they are looked at. It names the files as seen from \
                 its own folder, and holds nothing of their headers."
            }
        }
    }

    /// Whether it can be made of labels only.
    pub fn needs_labels(self) -> bool {
        matches!(self, Self::Labels | Self::Volumes | Self::Audit | Self::Montage)
    }
}

/// A format of label files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LabelFormat {
    /// `.nii.gz`
    NiftiGzip,
    /// `.nii`
    Nifti,
    /// `.hdr` and `.img`
    NiftiPair,
    /// `.mha`
    MetaImage,
    /// `.mhd` and `.zraw`
    MetaImagePair,
    /// `.nrrd`
    Nrrd,
    /// `.nhdr` and `.raw.gz`
    NrrdPair,
    /// `.dcm`, binary
    DicomSeg,
    /// `.dcm`, label map
    DicomLabelmap,
    /// `.tif`, a page for each slice
    Tiff,
    /// `.tif` in colors
    ColoredTiff,
    /// `.png` of a single slice
    Png,
    /// `.png` in colors
    ColoredPng,
}

impl LabelFormat {
    /// All, in the order of the dialog.
    pub const ALL: [Self; 13] = [
        Self::NiftiGzip,
        Self::Nifti,
        Self::NiftiPair,
        Self::MetaImage,
        Self::MetaImagePair,
        Self::Nrrd,
        Self::NrrdPair,
        Self::DicomSeg,
        Self::DicomLabelmap,
        Self::Tiff,
        Self::ColoredTiff,
        Self::Png,
        Self::ColoredPng,
    ];

    /// What to call it.
    pub fn label(self) -> &'static str {
        match self {
            Self::NiftiGzip => "NIfTI, compressed (.nii.gz)",
            Self::Nifti => "NIfTI (.nii)",
            Self::NiftiPair => "NIfTI, two files (.hdr, .img)",
            Self::MetaImage => "MetaImage (.mha)",
            Self::MetaImagePair => "MetaImage, two files (.mhd)",
            Self::Nrrd => "NRRD (.nrrd)",
            Self::NrrdPair => "NRRD, two files (.nhdr)",
            Self::DicomSeg => "DICOM segmentation (.dcm)",
            Self::DicomLabelmap => "DICOM label map (.dcm)",
            Self::Tiff => "TIFF, a page for each slice (.tif)",
            Self::ColoredTiff => "TIFF in colors (.tif)",
            Self::Png => "PNG with a palette (.png)",
            Self::ColoredPng => "PNG in colors (.png)",
        }
    }

    /// What names of such files end in.
    pub fn ending(self) -> &'static str {
        match self {
            Self::NiftiGzip => ".nii.gz",
            Self::Nifti => ".nii",
            Self::NiftiPair => ".hdr",
            Self::MetaImage => ".mha",
            Self::MetaImagePair => ".mhd",
            Self::Nrrd => ".nrrd",
            Self::NrrdPair => ".nhdr",
            Self::DicomSeg | Self::DicomLabelmap => ".dcm",
            Self::Tiff | Self::ColoredTiff => ".tif",
            Self::Png | Self::ColoredPng => ".png",
        }
    }

    /// Whether it is written into the study of the image.
    pub fn is_dicom(self) -> bool {
        matches!(self, Self::DicomSeg | Self::DicomLabelmap)
    }

    /// Whether it holds colors in place of labels.
    pub fn is_colored(self) -> bool {
        matches!(self, Self::ColoredTiff | Self::ColoredPng)
    }

    /// What the user should know before.
    pub fn caveat(self) -> Option<&'static str> {
        match self {
            Self::DicomSeg => Some(
                "Copies the patient and the study of the image into the file, as the standard asks.",
            ),
            Self::DicomLabelmap => Some(
                "Copies the patient and the study of the image into the file. Few other programs \
                 read this class yet.",
            ),
            Self::Tiff | Self::ColoredTiff | Self::Png | Self::ColoredPng => {
                Some("A picture does not say where it lies; it is compared slice by slice.")
            }
            _ => None,
        }
    }

    /// Why it cannot hold the labels that there are.
    pub fn refusal(self, state: &State) -> Option<&'static str> {
        let image = state.image.as_ref()?;
        if self.is_dicom() && !image.is_dicom {
            return Some("Only for images that are DICOM");
        }
        let slices = image.volume.shape()[0];
        if matches!(self, Self::Png | Self::ColoredPng) && slices > 1 {
            return Some("Holds one slice only; TIFF holds all");
        }
        None
    }
}

/// A format of tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableFormat {
    /// `.csv`
    Csv,
    /// `.json`
    Json,
}
