//! A program that is killed amid its work loses nothing that it handed to the system.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::{Random, do_something, image, second, session};
use lamina_edit::{Ending, Journal, Recovery, Session, find_journals};

/// Where the child works; set, it says that this process is the child.
const FOLDER: &str = "LAMINA_EDIT_KILL_TEST_FOLDER";

const SEED: u64 = 77;

/// Does what comes next, which depends on nothing but what was done before.
fn next(session: &mut Session) {
    let events = session.audit().len();
    let mut attempt = 0;
    while session.audit().len() == events {
        attempt += 1;
        let seed = SEED ^ (events as u64) << 20 ^ attempt;
        do_something(session, &mut Random::new(seed));
    }
}

/// Works until it is killed, and says how far everything is in the hands of the system.
fn work(folder: &Path) {
    let found = find_journals(folder).unwrap();
    let mut session = if let Some(journal) = found.first() {
        let recovery = Recovery::open(&journal.path).unwrap();
        let mut session = recovery.resume(Some(image())).unwrap();
        session.set_second(Some(&second())).unwrap();
        session
    } else {
        let mut session = session();
        let journal = Journal::create(folder, session.scene(), None).unwrap();
        session.write_journal(journal).unwrap();
        session
    };
    let mut out = std::io::stdout();
    loop {
        next(&mut session);
        if session.audit().len() % 3 == 0 {
            while session.journal_status().unwrap().waiting > 0 {
                std::thread::yield_now();
            }
            writeln!(out, "written {}", session.audit().len()).unwrap();
            out.flush().unwrap();
        }
    }
}

#[test]
fn a_killed_program_loses_nothing_that_was_written() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        work(Path::new(&folder));
    }
    let mut random = Random::new(5);
    let folder = tempfile::tempdir().unwrap();
    let mut simulated = session();
    let mut kills_amid_work = 0;
    for round in 0..12 {
        let name = "kill::a_killed_program_loses_nothing_that_was_written";
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut written = 0;
        let mut note = |line: &str| {
            if let Some(count) = line.split("written ").nth(1) {
                written = count.parse().unwrap();
            }
        };
        // It has begun for sure; then any moment will do.
        note(&lines.by_ref().map(Result::unwrap).find(|line| line.contains("written ")).unwrap());
        std::thread::sleep(Duration::from_micros(random.below(60_000) as u64));
        child.kill().unwrap(); // SIGKILL
        child.wait().unwrap();
        lines.map_while(Result::ok).for_each(|line| note(&line));

        let found = find_journals(folder.path()).unwrap();
        assert_eq!(found.len(), 1);
        assert!(!found[0].in_use, "the lock died with the program");
        let summary = found[0].summary.as_ref().unwrap();
        assert!(!summary.finished);
        let recovery = Recovery::open(&found[0].path).unwrap();
        assert!(matches!(recovery.ending(), Ending::Whole | Ending::Cut { .. }));
        let events = recovery.audit().len();
        assert!(events >= written, "round {round}: {events} of {written}");
        assert_eq!(summary.steps, recovery.steps().len() as u64);
        kills_amid_work += usize::from(events > written);
        while simulated.audit().len() < events {
            next(&mut simulated);
        }
        assert!(recovery.labels() == simulated.labels(), "round {round}");
        let own: Vec<_> = simulated.audit().iter().map(|row| (row.action, row.voxels)).collect();
        let read: Vec<_> = recovery.audit().iter().map(|row| (row.action, row.voxels)).collect();
        assert_eq!(own, read);
    }
    assert!(kills_amid_work > 0);
}
