//! The worklist: opening it, going from case to case, keeping what was decided.

use std::collections::BTreeMap;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use lamina_io::{ReadOptions, export_labels, files_read, is_output_name};

use super::Desktop;
use super::dialogs::Dialog;
use crate::cli::files_sha256;
use crate::gui::command::Command;
use crate::gui::job::{Job, News};
use crate::gui::open::OpenRequest;
use crate::gui::state::Activity;
use crate::gui::worklist::measure::{CaseNumbers, measure, wanted};
use crate::gui::worklist::scan::{CORRECTED, Scanned, scan};
use crate::gui::worklist::{
    Case, Column, Decision, ListCommand, Score, Sources, Worklist, decisions,
};

/// A case with corrected labels in a file.
struct Corrected {
    case: usize,
    step: u64,
    path: PathBuf,
}

/// The jobs of a worklist.
#[derive(Default)]
pub(super) struct Listing {
    scanning: Option<Job<Result<Scanned, String>>>,
    measuring: Option<Job<(usize, CaseNumbers)>>,
    storing: Option<Job<Result<PathBuf, String>>>,
    saving: Option<Job<Result<Corrected, String>>>,
    checking: Option<Job<String>>,
    /// Decisions that are in no file yet.
    undecided: BTreeMap<String, Decision>,
    /// Where they belong.
    folder: PathBuf,
    /// The labels that were accepted: their layer and its last step.
    accepted: Option<(u64, u64)>,
    /// What the user wants once the labels are saved.
    after_saving: Option<Command>,
}

impl Listing {
    pub(super) fn is_running(&self) -> bool {
        self.scanning.is_some()
            || self.measuring.is_some()
            || self.saving.is_some()
            || self.checking.is_some()
            || self.keeps()
    }

    /// Whether decisions are being stored.
    pub(super) fn keeps(&self) -> bool {
        self.storing.is_some() || !self.undecided.is_empty()
    }
}

impl Desktop {
    /// Lists the cases of folders.
    pub fn open_worklist(&mut self, sources: Sources) {
        self.state.typed_path = None;
        self.state.opening = Some(Activity::new("Listing cases"));
        self.listing.measuring = None;
        self.listing.scanning = Some(Job::start(
            self.wake(),
            |reason| Err(format!("Cannot list the cases: {reason}")),
            move |worker| worker.send(scan(&sources, &|| worker.stopped())),
        ));
    }

    pub(super) fn take_listing(&mut self) {
        self.take_scan();
        self.take_numbers();
        self.take_corrected();
        self.doubt_what_was_accepted();
        self.store_decisions();
        if let Some(job) = &self.listing.checking {
            match job.news() {
                News::Nothing => {}
                News::Over => self.listing.checking = None,
                News::Event(problem) => self.problem(problem),
            }
        }
    }

    fn take_scan(&mut self) {
        let Some(job) = &self.listing.scanning else { return };
        match job.news() {
            News::Nothing => {}
            News::Over => {
                self.listing.scanning = None;
                self.state.opening = None;
            }
            News::Event(Ok(Scanned { mut list, notices })) => {
                // The same folder again, with other images: the case stays open.
                let before = self.state.worklist.take();
                let open = before
                    .filter(|before| before.sources.results == list.sources.results)
                    .and_then(|before| Some(before.open_case()?.name.clone()));
                list.current =
                    open.and_then(|name| list.cases.iter().position(|case| case.name == name));
                self.measure_cases(&list);
                self.state.worklist = Some(list);
                for notice in notices {
                    self.notice(notice);
                }
            }
            News::Event(Err(problem)) => self.problem(problem),
        }
    }

    /// Measures all cases of which something is not known yet.
    fn measure_cases(&mut self, list: &Worklist) {
        let cases: Vec<(usize, Case)> = (list.order.iter().copied())
            .map(|place| (place, &list.cases[place]))
            .filter(|(_, case)| wanted(case))
            .map(|(place, case)| (place, case.clone()))
            .collect();
        if cases.is_empty() {
            return;
        }
        self.listing.measuring = Some(Job::start(
            self.wake(),
            |_| (usize::MAX, reader_failed()),
            move |worker| {
                for (place, case) in cases {
                    if worker.stopped() {
                        return;
                    }
                    // One bad file does not end it for the others.
                    let found = catch_unwind(|| measure(&case));
                    worker.send((place, found.unwrap_or_else(|_| reader_failed())));
                }
            },
        ));
    }

    fn take_numbers(&mut self) {
        while let Some(job) = &self.listing.measuring {
            match job.news() {
                News::Nothing => return,
                News::Over => {
                    self.listing.measuring = None;
                    if let Some(list) = &mut self.state.worklist
                        && matches!(list.sorted_by.0, Column::Dice | Column::Amount(_))
                    {
                        list.sort();
                    }
                }
                News::Event((place, numbers)) => {
                    let Some(list) = &mut self.state.worklist else { continue };
                    let Some(case) = list.cases.get_mut(place) else { continue };
                    case.score = numbers.score;
                    if let Some(amounts) = numbers.amounts {
                        case.amounts = amounts;
                        let known = |label| list.classes.iter().any(|(known, _)| *known == label);
                        let new =
                            list.cases[place].amounts.iter().any(|amount| !known(amount.label));
                        if new {
                            list.name_classes();
                        }
                    }
                }
            }
        }
    }

    pub(super) fn run_list(&mut self, command: ListCommand) {
        match command {
            ListCommand::Choose => self.choose(Dialog::Worklist),
            ListCommand::Open(results) => {
                self.open_worklist(Sources { results, ..Sources::default() });
            }
            ListCommand::ChooseImages => self.choose(Dialog::ListImages),
            ListCommand::ChooseReferences => self.choose(Dialog::ListReferences),
            ListCommand::Images(folder) => self.with_sources(|s| s.images = Some(folder)),
            ListCommand::References(folder) => self.with_sources(|s| s.references = Some(folder)),
            ListCommand::Sort(column) => {
                if let Some(list) = &mut self.state.worklist {
                    list.sort_by(column);
                }
            }
            ListCommand::OnlyToDo(only) => {
                if let Some(list) = &mut self.state.worklist {
                    list.only_to_do = only;
                    list.sort();
                }
            }
            ListCommand::Next | ListCommand::Previous => {
                let forwards = command == ListCommand::Next;
                let Some(list) = &self.state.worklist else { return };
                match list.neighbor(forwards) {
                    Some(place) => self.run(Command::List(ListCommand::Go(place))),
                    None if forwards => self.notice("This is the last case of the list."),
                    None => self.notice("This is the first case of the list."),
                }
            }
            ListCommand::Go(place) => self.go_to_case(place),
            ListCommand::Accept => self.decide(Decision::Accepted),
            ListCommand::Flag => self.decide(Decision::Flagged),
            ListCommand::SaveAndGoOn => self.save_corrected(),
            ListCommand::Close => {
                self.state.worklist = None;
                self.listing.measuring = None;
                self.listing.scanning = None;
            }
        }
    }

    fn with_sources(&mut self, change: impl FnOnce(&mut Sources)) {
        self.state.typed_path = None;
        let Some(list) = &self.state.worklist else { return };
        let mut sources = list.sources.clone();
        change(&mut sources);
        self.open_worklist(sources);
    }

    fn go_to_case(&mut self, place: usize) {
        let Some(list) = &mut self.state.worklist else { return };
        let Some(case) = list.cases.get(place) else { return };
        list.current = Some(place);
        let (name, labels) = (case.name.clone(), case.shown_labels().clone());
        let reference = case.reference.clone();
        let Some(image) = case.image.clone() else {
            self.close();
            return self.problem(format!(
                "There is no image for this case; choose the folder of the images: {name}"
            ));
        };
        self.forget_reference();
        self.comparing.open_later(reference);
        self.open(OpenRequest { paths: vec![image, labels], ..OpenRequest::default() });
    }

    /// What was asked for is open, or is not: a case shows its own image or none.
    pub(super) fn opening_ended(&mut self) {
        let case = self.state.worklist.as_ref().and_then(Worklist::open_case);
        if let Some(case) = case {
            let shown = self.state.image.as_ref().map(|image| &image.path);
            if shown.is_some() && shown != case.image.as_ref() {
                if let Some(list) = &mut self.state.worklist {
                    list.current = None; // something else was opened, or nothing could be
                }
            } else {
                self.name_labels_of_case();
                self.check_image_of_case();
            }
        }
        self.open_pending_reference();
    }

    /// Says so where the record tells that labels were made of another image.
    fn check_image_of_case(&mut self) {
        let Some(case) = self.state.worklist.as_ref().and_then(Worklist::open_case) else { return };
        let (Some(image), Some(expected)) = (case.image.clone(), case.image_sha256.clone()) else {
            return;
        };
        let name = case.name.clone();
        self.listing.checking = Some(Job::start(
            self.wake(),
            |reason| format!("Cannot check the image: {reason}"),
            move |worker| {
                // What cannot be read is said by whoever opens it.
                let found = files_sha256(&files_read(&image, &ReadOptions::default()));
                if found.is_ok_and(|found| found != expected) {
                    worker.send(format!(
                        "The labels of this case were made of another image, by their record; \
                         choose the folder of the images: {name}"
                    ));
                }
            },
        ));
    }

    /// Labels are called as the record says, and have the colors of the model if it is there.
    fn name_labels_of_case(&mut self) {
        let Some(case) = self.state.worklist.as_ref().and_then(Worklist::open_case) else { return };
        let Some(layer) = &mut self.state.labels else { return };
        let model = case
            .model
            .as_ref()
            .and_then(|name| self.state.models.iter().find(|choice| choice.manifest.name == *name));
        if let Some(choice) = model {
            layer.name_labels(&choice.manifest.classes);
        }
        for amount in &case.amounts {
            if amount.name != format!("Label {}", amount.label) {
                layer.change_row(amount.label, |row| row.name.clone_from(&amount.name));
            }
        }
    }

    /// Decides about the open case; the same decision again takes it back.
    fn decide(&mut self, decision: Decision) {
        let Some(list) = &mut self.state.worklist else { return };
        let Some(case) = list.current.and_then(|place| list.cases.get_mut(place)) else {
            return self.notice("Open a case of the list first.");
        };
        case.decision = if case.decision == decision { Decision::ToDo } else { decision };
        let accepted = case.decision == Decision::Accepted;
        let layer = self.state.labels.as_ref().filter(|_| accepted);
        self.listing.accepted = layer.map(|layer| (layer.revision()[0], layer.step()));
        self.listing.undecided.insert(case.name.clone(), case.decision);
        self.listing.folder.clone_from(&list.sources.results);
        self.store_decisions();
    }

    /// A case whose labels were changed since they were accepted is to be decided about again.
    fn doubt_what_was_accepted(&mut self) {
        let now = self.state.labels.as_ref().map(|layer| (layer.revision()[0], layer.step()));
        let (Some((layer, step)), Some((accepted, at))) = (now, self.listing.accepted) else {
            return;
        };
        if layer != accepted {
            self.listing.accepted = None; // another case is open
        } else if step != at {
            self.decide(Decision::Accepted); // once more takes it back
            self.notice("The labels were changed: the case is to be decided about again.");
        }
    }

    /// Stores decisions, one file after the other.
    fn store_decisions(&mut self) {
        if let Some(job) = &self.listing.storing {
            match job.news() {
                News::Nothing | News::Event(Ok(_)) => return,
                News::Event(Err(problem)) => return self.problem(problem),
                News::Over => self.listing.storing = None,
            }
        }
        if self.listing.undecided.is_empty() {
            return;
        }
        let changes = std::mem::take(&mut self.listing.undecided);
        let folder = self.listing.folder.clone();
        self.listing.storing = Some(Job::start(
            self.wake(),
            |reason| Err(format!("What was decided is not stored: {reason}")),
            move |worker| worker.send(decisions::store(&folder, &changes)),
        ));
    }

    /// Saves the labels of the open case beside those that it came with, then does what waited.
    fn save_corrected(&mut self) {
        let asked = self.state.asking.take();
        let (Some(list), Some(layer)) = (&self.state.worklist, &self.state.labels) else { return };
        let (Some(place), Some(case)) = (list.current, list.open_case()) else { return };
        let folder = list.sources.results.join(CORRECTED);
        let name = corrected_name(case);
        let (labels, step) = (layer.volume(), layer.step());
        self.listing.after_saving = asked;
        self.listing.saving = Some(Job::start(
            self.wake(),
            |reason| Err(format!("Cannot save the labels: the writer failed: {reason}")),
            move |worker| {
                let path = folder.join(name);
                let made = std::fs::create_dir_all(&folder).map_err(|error| {
                    format!(
                        "Cannot make the folder of corrected labels: {error}: {}",
                        folder.display()
                    )
                });
                let saved = made.and_then(|()| {
                    export_labels(&path, &labels).map_err(|error| {
                        format!("Cannot save the labels: {}", crate::cli::error_line(&error))
                    })
                });
                worker.send(saved.map(|_| Corrected { case: place, step, path }));
            },
        ));
    }

    fn take_corrected(&mut self) {
        let Some(job) = &self.listing.saving else { return };
        match job.news() {
            News::Nothing => {}
            News::Over => self.listing.saving = None,
            News::Event(Ok(Corrected { case, step, path })) => {
                if let Some(layer) = &mut self.state.labels {
                    layer.saved_at(step);
                    if !layer.is_unsaved() {
                        self.finish_labels(true);
                    }
                }
                self.notice(format!(
                    "Saved, and read back the same voxel by voxel: {}",
                    path.display()
                ));
                if let Some(list) = &mut self.state.worklist
                    && let Some(case) = list.cases.get_mut(case)
                {
                    case.corrected = Some(path);
                    case.amounts.clear();
                    if case.reference.is_some() {
                        case.score = Score::Waiting;
                    }
                }
                if let Some(list) = self.state.worklist.take() {
                    self.measure_cases(&list);
                    self.state.worklist = Some(list);
                }
                if let Some(command) = self.listing.after_saving.take() {
                    self.run(command);
                }
            }
            News::Event(Err(problem)) => {
                self.listing.after_saving = None;
                self.problem(problem);
            }
        }
    }
}

/// What corrected labels are called: as those that they correct, where that can be written.
fn corrected_name(case: &Case) -> PathBuf {
    let name = case.labels.file_name().map(Path::new);
    match name {
        Some(name) if is_output_name(name) && name.extension() != Some("dcm".as_ref()) => {
            name.to_owned()
        }
        _ => PathBuf::from(format!("{}.nii.gz", case.name)),
    }
}

/// What is known of a case whose reader panicked.
fn reader_failed() -> CaseNumbers {
    CaseNumbers { amounts: None, score: Score::Failed("the reader failed".to_owned()) }
}
