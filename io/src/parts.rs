//! Voxels in one file or in several, one after another, and how headers name them.
//!
//! A name is taken as ITK and teem take it: relative to the header's folder, or as it is
//! where it is absolute. It must lead to a plain file; one that leads out of the header's
//! folder is followed with a warning.

use std::path::{Component, Path, PathBuf};
use std::vec::IntoIter;

use crate::error::VolumeError;
use crate::fields::LONGEST_HEADER;
use crate::image::{Fault, VoxelBytes};
use crate::input::{Coding, Input, check_declared, no_file};
use crate::read::Limits;

/// Where voxels start in a file, and how they stand there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    /// Bytes of the file before anything below counts.
    pub(crate) offset: u64,
    /// Lines to skip then.
    pub(crate) lines: u64,
    pub(crate) coding: Coding,
    /// How many packed bytes there are, where the header says so.
    pub(crate) packed_bytes: Option<u64>,
    /// What to skip once unpacked.
    pub(crate) skip: Skip,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Skip {
    Bytes(u64),
    /// Whatever there is before the last bytes, which are the voxels.
    ToVoxelsAtEnd,
}

impl Layout {
    /// Voxels from byte `offset` on, as they are.
    pub(crate) fn plain(offset: u64) -> Self {
        Self { offset, lines: 0, coding: Coding::Plain, packed_bytes: None, skip: Skip::Bytes(0) }
    }

    /// Opens `path` at its first voxel, after a look at whether it can hold `bytes` of them.
    fn open(&self, path: &Path, bytes: u64, limits: &Limits) -> Result<Input, VolumeError> {
        let mut input = self.unpack(path)?;
        let skip = match self.skip {
            Skip::Bytes(skip) => skip,
            Skip::ToVoxelsAtEnd if self.coding == Coding::Plain => {
                let all = input.file_bytes();
                all.checked_sub(bytes).ok_or_else(|| input.truncated(0, bytes, all))?
            }
            Skip::ToVoxelsAtEnd => {
                let most = limits.max_bytes.saturating_add(bytes);
                input.finish(most)?;
                let all = input.position();
                let skip = all.checked_sub(bytes).ok_or_else(|| input.truncated(0, bytes, all))?;
                input = self.unpack(path)?;
                skip
            }
        };
        input.check_declared(skip, bytes, limits)?;
        input.skip_to(skip)?;
        Ok(input)
    }

    fn unpack(&self, path: &Path) -> Result<Input, VolumeError> {
        let mut input = Input::open_plain(path)?;
        input.skip_to(self.offset)?;
        for _ in 0..self.lines {
            if input.line()?.is_none() {
                break;
            }
        }
        input.decoded(self.coding, self.packed_bytes)
    }

    /// Whether a file of `file_bytes` can hold `bytes` of voxels, as far as its length tells.
    fn check(&self, path: &Path, bytes: u64, limits: &Limits) -> Result<(), VolumeError> {
        let kind = std::fs::metadata(path)
            .map_err(|source| VolumeError::Open { path: path.to_owned(), source })?;
        let rest = kind.len().saturating_sub(self.offset);
        check_declared(path, self.coding, rest, 0, bytes, limits)
    }
}

/// The voxels of an image, from its files in turn.
pub(crate) struct Parts {
    layout: Layout,
    limits: Limits,
    current: Input,
    /// Where the current file's voxels start in it.
    start: u64,
    /// Bytes of voxels that each file holds.
    bytes_each: u64,
    /// Bytes that the current file still has.
    left: u64,
    next: IntoIter<PathBuf>,
    position: u64,
    end: u64,
}

impl Parts {
    /// Opens the first of `paths`, which hold `all_bytes` of voxels in equal parts, after a
    /// look at whether each can hold its part.
    pub(crate) fn open(
        paths: Vec<PathBuf>,
        layout: Layout,
        all_bytes: u64,
        limits: &Limits,
    ) -> Result<Self, VolumeError> {
        assert!(!paths.is_empty(), "an image has at least one file");
        let bytes_each = all_bytes / paths.len() as u64;
        for path in &paths[1..] {
            layout.check(path, bytes_each, limits)?;
        }
        let mut next = paths.into_iter();
        let first = next.next().unwrap_or_default();
        let current = layout.open(&first, bytes_each, limits)?;
        Ok(Self {
            layout,
            limits: *limits,
            start: current.position(),
            current,
            bytes_each,
            left: bytes_each,
            next,
            position: 0,
            end: all_bytes,
        })
    }

    /// One file that stands at its first voxel.
    pub(crate) fn of(input: Input, all_bytes: u64, limits: &Limits) -> Self {
        Self {
            layout: Layout::plain(0),
            limits: *limits,
            start: input.position(),
            current: input,
            bytes_each: all_bytes,
            left: all_bytes,
            next: Vec::new().into_iter(),
            position: 0,
            end: all_bytes,
        }
    }

    /// Bytes that can be had from the current file; the next one is opened where it is at its end.
    fn at_hand(&mut self) -> Result<u64, VolumeError> {
        if self.left == 0
            && let Some(path) = self.next.next()
        {
            self.current.finish(self.limits.max_bytes)?;
            self.current = self.layout.open(&path, self.bytes_each, &self.limits)?;
            self.start = self.current.position();
            self.left = self.bytes_each;
        }
        Ok(self.left)
    }

    fn truncated(&self) -> VolumeError {
        self.current.truncated(self.start, self.bytes_each, self.current.position())
    }
}

impl VoxelBytes for Parts {
    fn skip_to(&mut self, target: u64) -> Result<(), VolumeError> {
        while self.position < target.min(self.end) {
            let step = self.at_hand()?.min(target - self.position);
            let wanted = self.current.position() + step;
            self.current.skip_to(wanted)?;
            if self.current.position() < wanted || step == 0 {
                return Err(self.truncated());
            }
            self.left -= step;
            self.position += step;
        }
        Ok(())
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), VolumeError> {
        let mut filled = 0;
        while filled < buffer.len() {
            let wanted =
                (buffer.len() - filled).min(usize::try_from(self.at_hand()?).unwrap_or(usize::MAX));
            let count = self.current.fill(&mut buffer[filled..filled + wanted])?;
            if count < wanted || wanted == 0 {
                return Err(self.truncated());
            }
            filled += count;
            self.left -= count as u64;
            self.position += count as u64;
        }
        Ok(())
    }

    fn finish(&mut self, limits: &Limits) -> Result<(), VolumeError> {
        self.skip_to(self.end)?;
        self.current.finish(limits.max_bytes)
    }
}

/// The files that a header names, where its voxels are not behind it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Named {
    /// As in the header.
    pub(crate) names: Vec<Vec<u8>>,
}

impl Named {
    /// Where these files are, each of which must be there.
    pub(crate) fn find(&self, header: &Path) -> Result<Vec<PathBuf>, VolumeError> {
        let found: Result<Vec<PathBuf>, VolumeError> =
            self.names.iter().map(|name| find(header, name)).collect();
        let found = found?;
        let outside = self.names.iter().any(|name| leads_out(&path_of(name)));
        if outside {
            tracing::warn!("voxels are read from outside of the folder of their header");
        }
        Ok(found)
    }

    /// The `count` names that follow in a header, one in each line.
    pub(crate) fn by_list(input: &mut Input, count: u64, field: &str) -> Result<Self, VolumeError> {
        let names = listed(input, count)?;
        if names.len() as u64 != count {
            let expected = format!("a list of {count} files");
            return Err(Fault::new(field, expected, names.len()).at(input.path()));
        }
        Ok(Self { names })
    }

    /// All names that follow in a header, one in each line.
    pub(crate) fn by_whole_list(input: &mut Input) -> Result<Self, VolumeError> {
        Ok(Self { names: listed(input, u64::MAX)? })
    }

    /// The files that `pattern`, as C's `printf` takes it, names for `count` numbers from
    /// `first` on; each is looked for at once, so that no header can ask for endless lists.
    pub(crate) fn by_pattern(
        pattern: &[u8],
        numbers: impl Iterator<Item = i64>,
        header: &Path,
    ) -> Result<Self, VolumeError> {
        let pattern = Pattern::parse(pattern).map_err(|fault| fault.at(header))?;
        let mut names = Vec::new();
        for number in numbers {
            let name = pattern.name(number);
            find(header, &name)?;
            names.push(name);
        }
        Ok(Self { names })
    }
}

/// Lines that are not empty, `most` of them.
fn listed(input: &mut Input, most: u64) -> Result<Vec<Vec<u8>>, VolumeError> {
    let mut names = Vec::new();
    while (names.len() as u64) < most
        && let Some(line) = input.line()?.filter(|_| input.position() <= LONGEST_HEADER)
    {
        let name = line.trim_ascii();
        if !name.is_empty() {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

/// Where the file is that a header calls `name`.
fn find(header: &Path, name: &[u8]) -> Result<PathBuf, VolumeError> {
    let named = path_of(name);
    let path = header.parent().unwrap_or(Path::new("")).join(&named);
    let refuse = |found| {
        let named = named.display().to_string();
        Err(VolumeError::DataFile { path: header.to_owned(), named, found })
    };
    match std::fs::metadata(&path) {
        Ok(kind) => match no_file(&kind) {
            None => Ok(path),
            Some(found) => refuse(found),
        },
        Err(_) if leads_out(&named) => refuse("no such file outside of this folder"),
        Err(_) => refuse("no such file"),
    }
}

fn leads_out(named: &Path) -> bool {
    named.components().any(|part| !matches!(part, Component::Normal(_) | Component::CurDir))
}

#[cfg(unix)]
fn path_of(name: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    PathBuf::from(std::ffi::OsStr::from_bytes(name))
}

#[cfg(not(unix))]
fn path_of(name: &[u8]) -> PathBuf {
    PathBuf::from(String::from_utf8_lossy(name).into_owned())
}

/// A name with one number in it, as `slice%03d.raw`.
#[derive(Debug)]
struct Pattern {
    before: Vec<u8>,
    width: usize,
    zeros: bool,
    after: Vec<u8>,
}

impl Pattern {
    fn parse(pattern: &[u8]) -> Result<Self, Fault> {
        let fault = || {
            Fault::new("the pattern of file names", "a name with one %d in it", "something else")
        };
        let percent = pattern.iter().position(|&byte| byte == b'%').ok_or_else(fault)?;
        let rest = &pattern[percent + 1..];
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit() || **byte == b'.').count();
        let (format, after) = rest.split_at(digits);
        let (Some(b'd' | b'i' | b'u'), false) = (after.first(), after.contains(&b'%')) else {
            return Err(fault());
        };
        // "%.3d" is "%03d" for what is not negative.
        let (dot, digits) = match format {
            [b'.', digits @ ..] => (true, digits),
            digits => (false, digits),
        };
        let text = std::str::from_utf8(digits).unwrap_or_default();
        let width = if text.is_empty() { 0 } else { text.parse().map_err(|_| fault())? };
        if width > 32 {
            return Err(fault());
        }
        let zeros = dot || digits.first() == Some(&b'0');
        Ok(Self { before: pattern[..percent].to_vec(), width, zeros, after: after[1..].to_vec() })
    }

    fn name(&self, number: i64) -> Vec<u8> {
        let width = self.width;
        let number =
            if self.zeros { format!("{number:0width$}") } else { format!("{number:width$}") };
        [&self.before, number.as_bytes(), &self.after].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_those_of_printf() {
        let name = |pattern: &str, number| {
            String::from_utf8(Pattern::parse(pattern.as_bytes()).unwrap().name(number)).unwrap()
        };
        assert_eq!(name("s%03d.raw", 7), "s007.raw");
        assert_eq!(name("s%.3d.raw", 7), "s007.raw");
        assert_eq!(name("%d", 12), "12");
        assert_eq!(name("s%3d", 7), "s  7");
        for pattern in ["s", "s%s", "s%d%d", "s%99d", "s%1.2.3d", "s%-3d", "s%"] {
            assert!(Pattern::parse(pattern.as_bytes()).is_err(), "{pattern}");
        }
    }

    #[test]
    fn names_that_lead_out_are_known() {
        for name in ["../a.raw", "/a.raw", "b/../../a.raw"] {
            assert!(leads_out(Path::new(name)), "{name}");
        }
        for name in ["a.raw", "./a.raw", "b/a.raw", "..a"] {
            assert!(!leads_out(Path::new(name)), "{name}");
        }
    }
}
