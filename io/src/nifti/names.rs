//! Names of NIfTI files, and which of a pair belongs to which.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// What a file's name says about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `.nii`: header and voxels.
    Single,
    /// `.hdr`: the header of a pair.
    Header,
    /// `.img`: the voxels of a pair.
    Voxels,
    /// None of these.
    Other,
}

/// A path, taken apart.
#[derive(Clone, Debug)]
pub(crate) struct Name {
    pub(crate) kind: Kind,
    /// Whether it ends in `.gz`.
    pub(crate) gzip: bool,
    /// The path without these endings.
    stem: PathBuf,
    upper_case: bool,
}

impl Name {
    pub(crate) fn of(path: &Path) -> Self {
        let is = |path: &Path, ending: &str| {
            path.extension().is_some_and(|e| e.eq_ignore_ascii_case(ending))
        };
        let gzip = is(path, "gz");
        let inner = if gzip { path.with_extension("") } else { path.to_path_buf() };
        let endings = [("nii", Kind::Single), ("hdr", Kind::Header), ("img", Kind::Voxels)];
        let kind = endings
            .into_iter()
            .find(|(ending, _)| is(&inner, ending))
            .map_or(Kind::Other, |(_, kind)| kind);
        let upper_case =
            inner.extension().and_then(OsStr::to_str).is_some_and(|e| e == e.to_ascii_uppercase());
        let stem = inner.with_extension("");
        Self { kind, gzip, stem, upper_case }
    }

    /// The name of the other file of the pair, compressed like this one.
    pub(crate) fn partner(&self, ending: &str) -> PathBuf {
        self.sibling(ending, self.gzip)
    }

    /// The other file of the pair, if it is there: compressed like this one or else not.
    pub(crate) fn find_partner(&self, ending: &str) -> Option<PathBuf> {
        let candidates = [self.sibling(ending, self.gzip), self.sibling(ending, !self.gzip)];
        candidates.into_iter().find(|candidate| candidate.exists())
    }

    fn sibling(&self, ending: &str, gzip: bool) -> PathBuf {
        let ending = if gzip { format!(".{ending}.gz") } else { format!(".{ending}") };
        let ending = if self.upper_case { ending.to_ascii_uppercase() } else { ending };
        let mut name = OsString::from(&self.stem);
        name.push(ending);
        PathBuf::from(name)
    }

    /// The file's name without the endings.
    pub(crate) fn stem(&self) -> String {
        self.stem.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partners_are_compressed_alike() {
        let name = Name::of(Path::new("a.b/case.1.hdr.gz"));
        assert_eq!((name.kind, name.gzip), (Kind::Header, true));
        assert_eq!(name.partner("img"), Path::new("a.b/case.1.img.gz"));
        assert_eq!(name.stem(), "case.1");
        assert_eq!(Name::of(Path::new("CASE.IMG")).partner("hdr"), Path::new("CASE.HDR"));
    }

    #[test]
    fn other_names_are_none_of_them() {
        for name in ["case.mha", "case", "case.gz", "", ".nii"] {
            assert_eq!(Name::of(Path::new(name)).kind, Kind::Other, "{name}");
        }
        assert_eq!(Name::of(Path::new("CASE.NII.GZ")).kind, Kind::Single);
    }
}
