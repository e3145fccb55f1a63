//! Changing labels: operations are worked out on a thread of their own.

use lamina_edit::{EditError, Operation, Planned};

use super::Desktop;
use crate::gui::job::{Job, News};
use crate::gui::state::Activity;

/// How an operation ended.
type Answer = Result<Planned, Failure>;

/// Why there is no change.
#[derive(Debug)]
pub(super) enum Failure {
    Refused(EditError),
    Panicked(String),
}

/// The operation that is being worked out.
#[derive(Default)]
pub(super) struct Correcting {
    job: Option<Job<Answer>>,
}

impl Correcting {
    pub(super) fn is_running(&self) -> bool {
        self.job.is_some()
    }

    /// Ends it without a change.
    pub(super) fn stop(&mut self) {
        self.job = None;
    }
}

impl Desktop {
    /// Works an operation out and makes its change, one step to be undone.
    pub(super) fn apply(&mut self, operation: Operation) {
        let Some(layer) = &self.state.labels else { return };
        let scene = layer.session().scene().clone();
        self.state.correcting = Some(Activity::new("Working out the change"));
        self.correcting.job = Some(Job::start(
            self.wake(),
            |reason| Err(Failure::Panicked(reason)),
            move |worker| {
                let answer = operation.plan(&scene, &|| worker.stopped());
                drop(scene); // or the change would copy the labels
                worker.send(answer.map_err(Failure::Refused));
            },
        ));
    }

    pub(super) fn take_corrections(&mut self) {
        let Some(job) = &self.correcting.job else { return };
        let answer = match job.news() {
            News::Nothing => return,
            News::Over => {
                self.correcting.job = None;
                self.state.correcting = None;
                return;
            }
            News::Event(answer) => answer,
        };
        let Some(layer) = &mut self.state.labels else { return };
        let done = match answer {
            Ok(planned) => layer.edit(|session| session.commit(planned)).map_err(|e| e.to_string()),
            Err(Failure::Refused(error)) => Err(error.to_string()),
            Err(Failure::Panicked(reason)) => Err(format!("the tool failed: {reason}")),
        };
        layer.end_live();
        if let Err(reason) = done {
            self.problem(format!("The labels were not changed: {reason}"));
        }
    }
}
