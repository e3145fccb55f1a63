//! What has to hold whatever a user does.

use crate::support::{self, Random, do_something, random_operation, random_rules, session};
use lamina_edit::{Axis, EditError, Journal, Recovery, Session};
use ndarray::{Array3, Axis as Dimension};

/// The labels after each step, and how many of them stand.
struct Oracle {
    states: Vec<Array3<u8>>,
    at: usize,
}

impl Oracle {
    fn of(session: &Session) -> Self {
        Self { states: vec![session.labels().clone()], at: 0 }
    }

    /// Follows what a session did, and checks it.
    fn follow(&mut self, session: &Session, before: &Before) {
        let (steps, done) = session.steps();
        let numbers: Vec<u64> = steps.map(|step| step.number).collect();
        if done == before.done && numbers == before.numbers {
            // Nothing, or a cancelled stroke.
        } else if done < before.done {
            assert_eq!(done + 1, before.done);
            self.at -= 1;
        } else if numbers == before.numbers {
            self.at += 1;
        } else {
            assert_eq!((done, numbers.len()), (before.done + 1, before.done + 1));
            self.states.truncate(self.at + 1);
            self.states.push(session.labels().clone());
            self.at += 1;
        }
        assert_eq!(done, self.at);
        assert!(session.labels() == self.states[self.at], "labels are those of step {done}");
    }
}

/// What a session said before something was done.
struct Before {
    labels: Array3<u8>,
    numbers: Vec<u64>,
    done: usize,
    slices: Vec<Vec<u64>>,
}

impl Before {
    fn of(session: &Session) -> Self {
        let (steps, done) = session.steps();
        let numbers = steps.map(|step| step.number).collect();
        Self { labels: session.labels().clone(), numbers, done, slices: revisions(session) }
    }
}

fn revisions(session: &Session) -> Vec<Vec<u64>> {
    let shape = session.geometry().shape();
    let of = |axis: Axis| {
        (0..shape[axis.index()]).map(|index| session.slice_revision(axis, index)).collect()
    };
    Axis::ALL.map(of).to_vec()
}

fn check_counts(session: &Session) {
    for label in 0..=255 {
        let expected = session.labels().iter().filter(|&&found| found == label).count();
        assert_eq!(session.tally().count(label), expected as u64);
    }
    let voxel_ml = 0.7 * 0.9 * 2.5 / 1000.0;
    let expected = session.tally().count(1) as f64 * voxel_ml;
    assert!((session.volume_ml(1).unwrap() - expected).abs() < 1e-9);
}

/// A slice that looks different has a new revision.
fn check_revisions(session: &Session, before: &Before) {
    let now = revisions(session);
    for axis in Axis::ALL {
        for (index, &old) in before.slices[axis.index()].iter().enumerate() {
            let slice =
                |labels: &Array3<u8>| labels.index_axis(Dimension(axis.index()), index).to_owned();
            if slice(session.labels()) != slice(&before.labels) {
                assert!(now[axis.index()][index] > old, "{axis:?} {index}");
            }
        }
    }
}

#[test]
fn undo_and_redo_are_exact_and_counts_and_revisions_keep_up() {
    for seed in 0..6 {
        let mut random = Random::new(seed);
        let mut session = session();
        let mut oracle = Oracle::of(&session);
        for round in 0..150 {
            let before = Before::of(&session);
            if round % 10 == 0 {
                session.set_rules(random_rules(&mut random));
            }
            do_something(&mut session, &mut random);
            oracle.follow(&session, &before);
            check_revisions(&session, &before);
            if round % 10 == 0 {
                check_counts(&session);
            }
        }
        let (_, done) = session.steps();
        assert!(done > 10, "enough was done");
        while session.undoable().is_some() {
            session.undo().unwrap();
        }
        assert_eq!(session.labels(), &oracle.states[0]);
        while session.redoable().is_some() {
            session.redo().unwrap();
        }
        assert_eq!(session.labels(), oracle.states.last().unwrap());
        check_counts(&session);
    }
}

#[test]
fn rules_are_never_broken() {
    let image = support::image().to_f32();
    let mut changed = 0;
    for seed in 100..112 {
        let mut random = Random::new(seed);
        let mut session = session();
        for round in 0..120 {
            // Rules hold for what is done, not for what is undone.
            let rules = if round < 20 { *session.rules() } else { random_rules(&mut random) };
            session.set_rules(rules);
            let before = session.labels().clone();
            let (_, done) = session.steps();
            if random.below(2) == 0 {
                drop(session.apply(&random_operation(&mut random)));
            } else {
                do_something(&mut session, &mut random);
            }
            if session.steps().1 <= done || session.redoable().is_some() {
                continue;
            }
            if session.audit().last().unwrap().action != lamina_edit::Action::Change {
                continue;
            }
            for (index, (&old, &new)) in before
                .indexed_iter()
                .zip(session.labels())
                .map(|((index, old), new)| (index, (old, new)))
            {
                if old == new {
                    continue;
                }
                changed += 1;
                assert!(!rules.locked.contains(old) && !rules.locked.contains(new));
                assert!(rules.within_labels.is_none_or(|labels| labels.contains(old)));
                let value = f64::from(image[index]);
                assert!(rules.within_values.is_none_or(|range| range.contains(value)));
            }
        }
    }
    assert!(changed > 10_000);
}

#[test]
fn a_journal_gives_the_same_labels_and_history() {
    for seed in 200..206 {
        let folder = tempfile::tempdir().unwrap();
        let mut random = Random::new(seed);
        let mut session = session();
        // Some work before there is a journal, and another journal in the middle of it.
        for round in 0..120 {
            if round == 15 || round == 60 {
                let journal = Journal::create(folder.path(), session.scene(), None).unwrap();
                session.write_journal(journal).unwrap();
                if seed % 2 == 0 {
                    session.set_history_limit(0); // all that is old is read back from disk
                }
            }
            if round == 90 {
                session.sync_journal().unwrap();
                let path = session.journal_path().unwrap();
                let labels = session.labels().clone();
                let standing: Vec<_> = {
                    let (steps, done) = session.steps();
                    steps.take(done).cloned().collect()
                };
                drop(session);
                let recovery = Recovery::open(&path).unwrap();
                assert_eq!(recovery.labels(), &labels);
                let mut own = standing.iter().rev().zip(recovery.steps().iter().rev());
                // What was done since the journal was begun and never undone is the same.
                assert!(own.next().is_none_or(|(a, b)| a.voxels == b.voxels));
                session = recovery.resume(Some(support::image())).unwrap();
                session.set_second(Some(&support::second())).unwrap();
            }
            if round % 20 == 7 {
                session.set_rules(random_rules(&mut random));
            }
            do_something(&mut session, &mut random);
        }
        session.sync_journal().unwrap();
        let recovery = Recovery::open(&session.journal_path().unwrap()).unwrap();
        assert_eq!(recovery.labels(), session.labels());
        let undoable = session.undoable().map(|step| step.number);
        assert_eq!(recovery.steps().last().map(|step| step.number), undoable);
        // And back to the beginning, both ways.
        let mut redo = 0;
        while session.undoable().is_some() {
            session.undo().unwrap();
            redo += 1;
        }
        assert!(redo > 0);
        session.sync_journal().unwrap();
        let path = session.journal_path().unwrap();
        assert_eq!(Recovery::open(&path).unwrap().labels(), session.labels());
        while session.redoable().is_some() {
            session.redo().unwrap();
        }
        session.sync_journal().unwrap();
        assert_eq!(Recovery::open(&path).unwrap().labels(), session.labels());
    }
}

#[test]
fn a_change_worked_out_from_old_labels_is_refused() {
    let mut random = Random::new(1);
    let mut session = session();
    let operation = loop {
        let operation = random_operation(&mut random);
        if operation.plan(session.scene(), &|| false).is_ok_and(|plan| !plan.change().is_empty()) {
            break operation;
        }
    };
    let planned = operation.plan(session.scene(), &|| false).unwrap();
    session.commit(planned.clone()).unwrap();
    assert!(matches!(session.commit(planned), Err(EditError::Stale)));
    session.undo().unwrap();
    let stopped = operation.plan(session.scene(), &|| true);
    assert!(matches!(stopped, Err(EditError::Stopped)) || stopped.is_ok());
}
