//! Journals that are cut off, damaged, made up, or in use.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use ndarray::Array3;
use serde_json::json;

use super::frame::{Check, Kind, frame, head};
use super::payload::{self, BackFacts, BaseFacts};
use super::*;
use crate::axis::Axis;
use crate::brush::{Brush, BrushShape};
use crate::session::Session;
use crate::step::{Action, Step};
use crate::testing::{geometry, session};

const SHAPE: [usize; 3] = [2, 5, 7];

/// A small journal, whole.
struct Small {
    folder: tempfile::TempDir,
    path: PathBuf,
    bytes: Vec<u8>,
    /// The labels after each record, from the first on, and where that record ends.
    states: Vec<(u64, Array3<u8>)>,
}

impl Small {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut session = session(Array3::zeros(SHAPE));
        let journal = Journal::create(folder.path(), session.scene(), None).unwrap();
        let path = journal.path().to_owned();
        session.write_journal(journal).unwrap();
        let mut states = Vec::new();
        let mut note = |session: &Session| {
            session.sync_journal().unwrap();
            let end = std::fs::metadata(&path).unwrap().len();
            states.push((end, session.labels().clone()));
        };
        note(&session);
        for n in 1..4 {
            dab(&mut session, n);
            note(&session);
        }
        session.undo().unwrap();
        note(&session);
        session.redo().unwrap();
        note(&session);
        drop(session);
        let bytes = std::fs::read(&path).unwrap();
        Self { folder, path, bytes, states }
    }

    fn with(&self, bytes: &[u8]) -> Result<Recovery, JournalError> {
        std::fs::write(&self.path, bytes).unwrap();
        let recovery = Recovery::open(&self.path);
        assert_eq!(std::fs::read(&self.path).unwrap(), bytes, "reading changes nothing");
        recovery
    }

    /// The records up to `count`, and the check to go on from.
    fn prefix(&self, count: usize) -> (Vec<u8>, Check) {
        let bytes = self.bytes[..self.states[count].0 as usize].to_vec();
        let check = *bytes.last_chunk().unwrap();
        (bytes, check)
    }

    /// The same with a record behind that was made up, but whose checks are right.
    fn with_record(
        &self,
        count: usize,
        kind: Kind,
        payload: &[u8],
    ) -> Result<Recovery, JournalError> {
        let (mut bytes, check) = self.prefix(count);
        bytes.extend(frame(kind, payload, &check).0);
        self.with(&bytes)
    }
}

fn dab(session: &mut Session, label: u8) {
    let brush = Brush::new(BrushShape::Disc(Axis::Depth), 1.3, label);
    session.begin_stroke(brush, [1.0, f64::from(label), f64::from(label)]).unwrap();
    session.end_stroke().unwrap();
}

fn damaged(recovery: &Recovery) -> bool {
    matches!(recovery.ending(), Ending::Damaged { .. })
}

#[test]
fn cut_off_at_any_byte_everything_before_comes_back() {
    let small = Small::new();
    let base_end = small.states[0].0;
    for len in 0..=small.bytes.len() {
        let result = small.with(&small.bytes[..len]);
        let whole = small.states.iter().rfind(|(end, _)| *end <= len as u64);
        let Some((end, labels)) = whole else {
            let error = result.unwrap_err();
            let message = error.to_string();
            assert!(message.ends_with(&small.path.display().to_string()), "{message}");
            let expected = if len < 12 { "another kind of file" } else { "expected the labels" };
            assert!(message.contains(expected), "{len} of {base_end}: {message}");
            continue;
        };
        let recovery = result.unwrap();
        assert_eq!(recovery.labels(), labels);
        let lost_bytes = len as u64 - end;
        assert_eq!(recovery.ending().lost_bytes(), lost_bytes);
        let cut = matches!(recovery.ending(), Ending::Cut { at, .. } if at == end);
        assert_eq!(cut, lost_bytes > 0);
        if len % 29 == 0 {
            // Going on cuts off what is of no use, and appends.
            let mut session = recovery.resume(None).unwrap();
            assert_eq!(std::fs::metadata(&small.path).unwrap().len(), *end);
            dab(&mut session, 4);
            let labels = session.labels().clone();
            drop(session);
            let again = Recovery::open(&small.path).unwrap();
            assert_eq!((again.labels(), again.ending()), (&labels, &Ending::Whole));
        }
    }
}

#[test]
fn a_flipped_bit_is_found_and_everything_before_comes_back() {
    let small = Small::new();
    for at in 0..small.bytes.len() {
        let mut bytes = small.bytes.clone();
        bytes[at] ^= 1 << (at % 8);
        match small.with(&bytes) {
            Ok(recovery) => {
                let good = small.states.iter().rfind(|(end, _)| *end <= at as u64).unwrap();
                assert_eq!(recovery.labels(), &good.1, "byte {at}");
                let Ending::Damaged { at: found, .. } = recovery.ending() else {
                    panic!("byte {at}: {:?}", recovery.ending());
                };
                assert_eq!(*found, good.0);
                let message = recovery.ending().error(&small.path).unwrap().to_string();
                assert!(message.contains("expected") && message.contains("found"), "{message}");
            }
            Err(error) => {
                assert!(at < small.states[0].0 as usize, "byte {at}: {error}");
                let version = (8..12).contains(&at);
                assert_eq!(matches!(error, JournalError::Version { expected: 1, .. }), version);
                assert_eq!(matches!(error, JournalError::Kind { .. }), at < 8);
            }
        }
    }
}

#[test]
fn records_that_are_left_out_or_moved_are_noticed() {
    let small = Small::new();
    let part = |n: usize| &small.bytes[small.states[n].0 as usize..small.states[n + 1].0 as usize];
    let base = &small.bytes[..small.states[0].0 as usize];
    let left_out = small.with(&[base, part(1), part(2)].concat()).unwrap();
    assert!(damaged(&left_out) && left_out.steps().is_empty());
    let moved = small.with(&[base, part(1), part(0)].concat()).unwrap();
    assert!(damaged(&moved) && moved.steps().is_empty());
    let twice = small.with(&[base, part(0), part(0)].concat()).unwrap();
    assert!(damaged(&twice) && twice.steps().len() == 1);
}

#[test]
fn a_tail_of_zeros_was_never_written() {
    let small = Small::new();
    let zeros = [small.bytes.clone(), vec![0; 9000]].concat();
    let recovery = small.with(&zeros).unwrap();
    assert!(matches!(recovery.ending(), Ending::Cut { lost_bytes: 9000, .. }));
    let noise = [small.bytes.clone(), vec![0; 9000], vec![1]].concat();
    assert!(damaged(&small.with(&noise).unwrap()));
}

#[test]
fn absurd_lengths_take_no_memory() {
    let small = Small::new();
    let (mut bytes, _) = small.prefix(2);
    // The head of a record of 2^63 bytes, with a checksum that is right.
    let mut head = (1_u64 << 63).to_le_bytes().to_vec();
    head.push(2);
    let mut crc = flate2::Crc::new();
    crc.update(&head);
    head.extend(crc.sum().to_le_bytes());
    bytes.extend(head);
    let recovery = small.with(&bytes).unwrap();
    assert!(matches!(recovery.ending(), Ending::Cut { lost_bytes: 13, .. }));
    assert_eq!(recovery.labels(), &small.states[2].1);
}

#[test]
fn a_beginning_that_lies_is_refused() {
    let small = Small::new();
    let payload = payload::base(&Array3::zeros(SHAPE), &geometry(SHAPE), None, Moment::now());
    let payload = payload.unwrap();
    let (facts, packed) = payload::split::<BaseFacts>(&payload).unwrap();
    let with_shape = |shape: [usize; 3]| {
        let facts = serde_json::to_vec(&BaseFacts { shape, ..facts.clone() }).unwrap();
        let size = (facts.len() as u32).to_le_bytes();
        let payload = [size.as_slice(), &facts, packed].concat();
        let (start, check) = head();
        small.with(&[start, frame(Kind::Base, &payload, &check).0].concat())
    };
    assert!(with_shape(SHAPE).is_ok());
    assert!(matches!(with_shape([1 << 20; 3]), Err(JournalError::TooLarge { .. })));
    for shape in [[0, 5, 7], [usize::MAX; 3], [2, 5, 8], [2, 5, 6], [1 << 11, 1 << 10, 1 << 10]] {
        assert!(matches!(with_shape(shape), Err(JournalError::Damaged { .. })), "{shape:?}");
    }
    let (start, check) = head();
    let nothing = [start.clone(), frame(Kind::Base, &[], &check).0].concat();
    assert!(matches!(small.with(&nothing), Err(JournalError::Damaged { .. })));
    let no_base = [start, frame(Kind::End, b"{}", &check).0].concat();
    assert!(matches!(small.with(&no_base), Err(JournalError::Damaged { .. })));
    let big = Recovery::open_within(&small.path, 10);
    assert!(matches!(big, Err(JournalError::Damaged { .. })));
    small.with(&small.bytes).unwrap();
    let big = Recovery::open_within(&small.path, 69);
    assert!(matches!(big, Err(JournalError::TooLarge { limit: 69, found: 70, .. })));
}

#[test]
fn changes_that_do_not_fit_the_labels_are_refused() {
    let small = Small::new();
    let step = Step {
        number: 9,
        time: Moment::now(),
        seconds: 0.0,
        tool: "brush".to_owned(),
        label: None,
        parameters: json!({}),
        rules: crate::rules::Rules::default(),
        voxels: 1,
        counts: Vec::new(),
    };
    // Gap, count, old, new: 70 voxels, of which some have another label, or none are left.
    let wrong: [&[u8]; 6] =
        [&[0, 70, 0, 9], &[69, 2, 0, 9], &[0, 0, 0, 9], &[0, 1, 9, 9], &[0, 1, 0], &[0xff; 40]];
    for runs in wrong {
        let payload = payload::step(&step, runs).unwrap();
        let recovery = small.with_record(3, Kind::Step, &payload).unwrap();
        assert!(damaged(&recovery), "{runs:?}");
        assert_eq!(recovery.labels(), &small.states[3].1);
        assert_eq!(recovery.steps().len(), 3);
    }
    let payload = payload::step(&step, &[0, 1, 0, 9]).unwrap();
    assert_eq!(small.with_record(3, Kind::Step, &payload).unwrap().ending(), &Ending::Whole);
    let cut = &payload[..payload.len() - 6];
    assert!(damaged(&small.with_record(3, Kind::Step, cut).unwrap()));
    for number in [1, 2, 9] {
        let facts = BackFacts { step: number, time: Moment::now() };
        let facts = payload::facts_alone(&facts).unwrap();
        assert!(damaged(&small.with_record(3, Kind::Undo, &facts).unwrap()));
        assert!(damaged(&small.with_record(3, Kind::Redo, &facts).unwrap()));
    }
    for kind in [Kind::Base, Kind::Step, Kind::Undo, Kind::Redo, Kind::End] {
        for payload in [&[][..], b"{}", &[0xff; 100]] {
            assert!(damaged(&small.with_record(1, kind, payload).unwrap()));
        }
    }
}

#[test]
fn a_bomb_is_unpacked_bit_by_bit() {
    // Few bytes that unpack to 600 MB of runs beyond the volume: refused at the first of them.
    let small = Small::new();
    let step = br#"{"number":9,"time":"2026-01-01T00:00:00.000Z","seconds":0,"tool":"x","parameters":{},"voxels":1,"counts":[]}"#;
    let mut payload = (step.len() as u32).to_le_bytes().to_vec();
    payload.extend(step);
    let mut encoder = flate2::write::ZlibEncoder::new(payload, flate2::Compression::fast());
    let zeros = vec![0_u8; 1 << 20];
    (0..600).for_each(|_| encoder.write_all(&zeros).unwrap());
    let payload = encoder.finish().unwrap();
    let recovery = small.with_record(2, Kind::Step, &payload).unwrap();
    assert!(damaged(&recovery));
}

#[test]
fn one_program_at_a_time_writes() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = session(Array3::zeros(SHAPE));
    let journal = Journal::create(folder.path(), first.scene(), None).unwrap();
    first.write_journal(journal).unwrap();
    dab(&mut first, 1);
    first.sync_journal().unwrap();
    let path = first.journal_path().unwrap();
    let second = Recovery::open(&path).unwrap().resume(None);
    assert!(matches!(second, Err(JournalError::InUse { .. })));
    assert!(find_journals(folder.path()).unwrap()[0].in_use);
    let stale = Recovery::open(&path).unwrap();
    dab(&mut first, 2);
    drop(first);
    assert!(!find_journals(folder.path()).unwrap()[0].in_use);
    assert!(matches!(stale.resume(None), Err(JournalError::Changed { .. })));
    assert_eq!(Recovery::open(&path).unwrap().steps().len(), 2);
}

#[test]
fn journals_in_a_folder_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let image = crate::testing::image(Array3::zeros(SHAPE));
    let id = ImageId::of(&image);
    let mut kept = session(Array3::zeros(SHAPE));
    kept.write_journal(Journal::create(folder.path(), kept.scene(), Some(id)).unwrap()).unwrap();
    dab(&mut kept, 1);
    dab(&mut kept, 2);
    kept.undo().unwrap();
    let mut done = session(Array3::zeros(SHAPE));
    done.write_journal(Journal::create(folder.path(), done.scene(), Some(id)).unwrap()).unwrap();
    let brush = Brush::new(BrushShape::Sphere, 1.0, 1);
    done.begin_stroke(brush, [0.0, 1.0, 1.0]).unwrap();
    done.finish(true).unwrap();
    assert!(!done.in_stroke() && done.undoable().is_some());
    let paths = [&kept, &done].map(|session| session.journal_path().unwrap());
    drop((kept, done));
    std::fs::write(folder.path().join(format!("x.{EXTENSION}")), "not a journal").unwrap();
    std::fs::write(folder.path().join("notes.txt"), "not even that").unwrap();

    let found = find_journals(folder.path()).unwrap();
    assert_eq!(found.len(), 3);
    let of = |path: &PathBuf| found.iter().find(|found| found.path == *path).unwrap();
    let summary = of(&paths[0]).summary.as_ref().unwrap();
    assert_eq!((summary.steps, summary.finished, summary.shape), (1, false, SHAPE));
    assert_eq!((summary.image, &summary.ending), (Some(id), &Ending::Whole));
    assert!(of(&paths[1]).summary.as_ref().unwrap().finished);
    let other = found.iter().find(|found| found.path.ends_with(format!("x.{EXTENSION}"))).unwrap();
    assert!(matches!(other.summary, Err(JournalError::Kind { .. })));
    let name = paths[0].file_name().unwrap().to_string_lossy().into_owned();
    assert!(name.contains(&id.short()), "{name}");

    // Work that goes on after it was finished is not finished.
    let mut again = Recovery::open(&paths[1]).unwrap().resume(None).unwrap();
    assert_eq!(again.audit().last().unwrap().action, Action::Saved);
    dab(&mut again, 2);
    drop(again);
    let found = find_journals(folder.path()).unwrap();
    let again = found.iter().find(|found| found.path == paths[1]).unwrap();
    assert!(!again.summary.as_ref().unwrap().finished);
}

#[test]
fn changes_reach_the_disk_within_a_second_by_themselves() {
    let folder = tempfile::tempdir().unwrap();
    let mut session = session(Array3::zeros(SHAPE));
    session.write_journal(Journal::create(folder.path(), session.scene(), None).unwrap()).unwrap();
    dab(&mut session, 1);
    let began = Instant::now();
    loop {
        let status = session.journal_status().unwrap();
        assert!(status.error.is_none());
        if status.waiting == 0 && status.unsynced == 0 {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(5), "{status:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn the_image_has_to_lie_on_the_grid() {
    let small = Small::new();
    let image = crate::testing::image(Array3::zeros([2, 5, 8]));
    let recovery = Recovery::open(&small.path).unwrap();
    let refused = recovery.resume(Some(Arc::new(image)));
    assert!(matches!(refused, Err(JournalError::OtherImage { .. })));
    let missing = Recovery::open(&small.folder.path().join("nowhere"));
    assert!(matches!(missing, Err(JournalError::Open { .. })));
    let session = session(Array3::zeros(SHAPE));
    let nowhere = small.folder.path().join("nowhere");
    let refused = Journal::create(&nowhere, session.scene(), None);
    assert!(matches!(refused, Err(JournalError::Folder { .. })));
    assert!(matches!(find_journals(&nowhere), Err(JournalError::Folder { .. })));
}

#[test]
fn old_changes_are_left_to_the_journal_and_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut session = session(Array3::zeros(SHAPE));
    dab(&mut session, 4); // before the journal: it stays in memory
    let before = session.history_bytes();
    session.write_journal(Journal::create(folder.path(), session.scene(), None).unwrap()).unwrap();
    session.set_history_limit(0);
    let mut states = Vec::new();
    for label in [1, 2, 3, 1, 2, 3] {
        states.push(session.labels().clone());
        dab(&mut session, label);
        session.sync_journal().unwrap();
        assert!(session.history_bytes() < 3 * before, "all but the last change were dropped");
    }
    session.set_history_limit(0);
    assert_eq!(session.history_bytes(), before);
    let last = session.labels().clone();
    for state in states.iter().rev() {
        session.undo().unwrap();
        assert_eq!(session.labels(), state);
    }
    session.undo().unwrap();
    assert!(session.labels().iter().all(|&label| label == 0));
    while session.redoable().is_some() {
        session.redo().unwrap();
    }
    assert_eq!(session.labels(), &last);
}
