//! What a tool changed: runs of voxels with their old and new label.
//!
//! A change takes memory by how much it changes, about four bytes for each run of voxels that
//! lie next to each other in memory and go from one label to another.

use std::io::{self, Read};

use crate::bounds::Bounds;
use crate::tally::{Gains, LabelCount, Tally};

/// Voxels next to each other in memory that go from one label to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The first voxel, counted as `(k * height + j) * width + i`.
    pub start: u64,
    /// How many voxels.
    pub len: u64,
    /// Their label before.
    pub old: u8,
    /// Their label after.
    pub new: u8,
}

/// A change of labels, to be done, undone and done again.
#[derive(Clone, Debug, Default)]
pub struct Change {
    /// See [`RunReader`].
    bytes: Vec<u8>,
    voxels: u64,
    bounds: Option<Bounds>,
    counts: Vec<LabelCount>,
}

impl Change {
    /// A change of these runs, which are in order and do not overlap.
    pub(crate) fn from_runs(
        runs: impl IntoIterator<Item = Run>,
        shape: [usize; 3],
        before: &Tally,
    ) -> Self {
        let mut writer = RunWriter::new(shape);
        runs.into_iter().for_each(|run| writer.push(run));
        writer.finish(before)
    }

    /// The runs, in order.
    pub fn runs(&self) -> impl Iterator<Item = Run> + '_ {
        // Our own bytes: they end where a run ends.
        RunReader::new(self.bytes.as_slice(), u64::MAX).map_while(Result::ok)
    }

    /// How many voxels it changes.
    pub fn voxels(&self) -> u64 {
        self.voxels
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.voxels == 0
    }

    /// A box around all that it changes.
    pub fn bounds(&self) -> Option<Bounds> {
        self.bounds
    }

    /// Voxels of each label that it touches, before and after.
    pub fn counts(&self) -> &[LabelCount] {
        &self.counts
    }

    /// Bytes of memory that it takes.
    pub fn memory_bytes(&self) -> usize {
        self.bytes.capacity() + size_of::<Self>()
    }

    /// Its runs as they are stored.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Runs in order, joined where they go on.
pub(crate) struct RunWriter {
    bytes: Vec<u8>,
    shape: [usize; 3],
    /// Where the last written run ended.
    end: u64,
    open: Option<Run>,
    voxels: u64,
    bounds: Option<Bounds>,
    gains: Gains,
}

impl RunWriter {
    pub(crate) fn new(shape: [usize; 3]) -> Self {
        let gains = Gains::default();
        Self { bytes: Vec::new(), shape, end: 0, open: None, voxels: 0, bounds: None, gains }
    }

    pub(crate) fn push(&mut self, run: Run) {
        if let Some(open) = &mut self.open {
            assert!(run.start >= open.start + open.len, "runs come in order");
            if open.start + open.len == run.start && (open.old, open.new) == (run.old, run.new) {
                open.len += run.len;
                return;
            }
        }
        self.close();
        self.open = Some(run);
    }

    fn close(&mut self) {
        let Some(run) = self.open.take() else { return };
        push_number(&mut self.bytes, run.start - self.end);
        push_number(&mut self.bytes, run.len);
        self.bytes.extend([run.old, run.new]);
        self.end = run.start + run.len;
        self.voxels += run.len;
        self.gains.moved(run.old, run.new, run.len);
        self.bounds = Bounds::join(self.bounds, Some(run_bounds(&run, self.shape)));
    }

    pub(crate) fn finish(mut self, before: &Tally) -> Change {
        self.close();
        self.bytes.shrink_to_fit();
        Change {
            bytes: self.bytes,
            voxels: self.voxels,
            bounds: self.bounds,
            counts: before.preview(&self.gains),
        }
    }
}

/// The box around a run.
pub(crate) fn run_bounds(run: &Run, [_, height, width]: [usize; 3]) -> Bounds {
    let index = |at: u64| {
        let row = at as usize / width;
        [row / height, row % height, at as usize % width]
    };
    let (first, last) = (index(run.start), index(run.start + run.len - 1));
    let [k, j, i] = first;
    let end = last.map(|index| index + 1);
    if k != last[0] {
        Bounds { start: [k, 0, 0], end: [end[0], height, width] }
    } else if j != last[1] {
        Bounds { start: [k, j, 0], end: [end[0], end[1], width] }
    } else {
        Bounds { start: [k, j, i], end }
    }
}

/// Reads runs as they are stored: how many voxels lie between the end of the last run and the
/// start of this one, how many it has (both in LEB128), its old label, its new label.
///
/// Any bytes may be read: what comes out lies within so many voxels, in order, without overlap.
pub(crate) struct RunReader<R> {
    source: R,
    end: u64,
    voxels: u64,
    failed: bool,
}

impl<R: Read> RunReader<R> {
    pub(crate) fn new(source: R, voxels: u64) -> Self {
        Self { source, end: 0, voxels, failed: false }
    }

    fn byte(&mut self) -> io::Result<Option<u8>> {
        let mut byte = [0];
        loop {
            match self.source.read(&mut byte) {
                Ok(0) => return Ok(None),
                Ok(_) => return Ok(Some(byte[0])),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The run that `first` begins.
    fn run(&mut self, first: u8) -> io::Result<Run> {
        let gap = self.number(first)?;
        let first = self.must()?;
        let len = self.number(first)?;
        let (old, new) = (self.must()?, self.must()?);
        let start = self.end.checked_add(gap);
        let end = start.and_then(|start| start.checked_add(len));
        match (start, end) {
            (Some(start), Some(end)) if end <= self.voxels && len > 0 && old != new => {
                self.end = end;
                Ok(Run { start, len, old, new })
            }
            _ => Err(invalid("a run beyond the volume, empty, or without change")),
        }
    }

    fn must(&mut self) -> io::Result<u8> {
        self.byte()?.ok_or_else(|| invalid("half a run"))
    }

    fn number(&mut self, first: u8) -> io::Result<u64> {
        read_number(first, || self.must())
    }
}

impl<R: Read> Iterator for RunReader<R> {
    type Item = io::Result<Run>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let run = match self.byte() {
            Ok(None) => return None,
            Ok(Some(first)) => self.run(first),
            Err(error) => Err(error),
        };
        self.failed = run.is_err();
        Some(run)
    }
}

pub(crate) fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Appends a number in LEB128.
pub(crate) fn push_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// The number in LEB128 that `first` begins.
pub(crate) fn read_number(first: u8, mut next: impl FnMut() -> io::Result<u8>) -> io::Result<u64> {
    let mut byte = first;
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let bits = u64::from(byte & 0x7f);
        if shift == 63 && bits > 1 {
            break;
        }
        number |= bits << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
        byte = next()?;
    }
    Err(invalid("a number beyond 64 bits"))
}

#[cfg(test)]
mod tests {
    use ndarray::Array3;

    use super::*;

    const SHAPE: [usize; 3] = [3, 4, 5];

    fn change(runs: &[Run]) -> Change {
        let before = Tally::of(&Array3::zeros(SHAPE));
        Change::from_runs(runs.iter().copied(), SHAPE, &before)
    }

    fn run(start: u64, len: u64, old: u8, new: u8) -> Run {
        Run { start, len, old, new }
    }

    #[test]
    fn runs_come_back_and_neighbors_are_joined() {
        let change = change(&[run(3, 2, 0, 1), run(5, 1, 0, 1), run(6, 1, 0, 2), run(40, 3, 0, 1)]);
        let runs: Vec<_> = change.runs().collect();
        assert_eq!(runs, [run(3, 3, 0, 1), run(6, 1, 0, 2), run(40, 3, 0, 1)]);
        assert_eq!(change.voxels(), 7);
        let counts = [(0, 60, 53), (1, 0, 6), (2, 0, 1)].map(|(label, before, after)| LabelCount {
            label,
            before,
            after,
        });
        assert_eq!(change.counts(), counts);
    }

    #[test]
    fn bounds_hold_all_that_changes() {
        assert_eq!(change(&[]).bounds(), None);
        let one_row = change(&[run(27, 2, 0, 1)]);
        assert_eq!(one_row.bounds(), Bounds::new([1, 1, 2], [2, 2, 4]));
        let two_rows = change(&[run(28, 4, 0, 1)]);
        assert_eq!(two_rows.bounds(), Bounds::new([1, 1, 0], [2, 3, 5]));
        let two_slices = change(&[run(38, 4, 0, 1)]);
        assert_eq!(two_slices.bounds(), Bounds::new([1, 0, 0], [3, 4, 5]));
    }

    #[test]
    fn numbers_of_all_sizes_come_back() {
        for shift in 0..64 {
            for number in [1_u64 << shift, (1 << shift) - 1, u64::MAX >> shift] {
                let mut bytes = Vec::new();
                push_number(&mut bytes, number);
                let mut rest = bytes[1..].iter();
                let next = || rest.next().copied().ok_or_else(|| invalid("cut off"));
                assert_eq!(read_number(bytes[0], next).unwrap(), number);
                assert!(rest.next().is_none());
            }
        }
        let mut endless = [0xff_u8; 20].into_iter();
        assert!(read_number(0xff, || Ok(endless.next().unwrap())).is_err());
    }

    #[test]
    fn any_bytes_give_runs_within_the_volume_or_an_error() {
        let mut state = 7_u32;
        for _ in 0..20_000 {
            let bytes: Vec<u8> = (0..12)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (state >> 24) as u8 & if state & 0x10_0000 == 0 { 0xff } else { 7 }
                })
                .collect();
            let mut end = 0;
            for run in RunReader::new(bytes.as_slice(), 60).map_while(Result::ok) {
                assert!(run.start >= end && run.len > 0 && run.old != run.new);
                end = run.start + run.len;
                assert!(end <= 60);
            }
        }
        let gap_overflows = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 1, 0, 1];
        let mut runs = RunReader::new(gap_overflows.as_slice(), u64::MAX);
        assert!(runs.next().unwrap().is_err());
        assert!(runs.next().is_none());
    }
}
