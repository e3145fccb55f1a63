//! Work that may take longer than a frame: a thread, a channel of events, and a stop flag.
//!
//! A panic in the work ends the work, never the window.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};

/// Wakes the window up, so that it looks at what jobs have sent.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// Work that runs.
#[derive(Debug)]
pub struct Job<E> {
    events: Receiver<E>,
    stop: Arc<AtomicBool>,
}

/// What a job answers when it is asked for news.
#[derive(Debug, PartialEq, Eq)]
pub enum News<E> {
    /// Something happened.
    Event(E),
    /// Nothing new.
    Nothing,
    /// It is over and all is said.
    Over,
}

/// The side of a job that does the work.
pub struct Worker<E> {
    events: Sender<E>,
    stop: Arc<AtomicBool>,
    wake: Wake,
}

impl<E> Worker<E> {
    /// Tells the window; nobody may be listening any more.
    pub fn send(&self, event: E) {
        if self.events.send(event).is_ok() {
            (self.wake)();
        }
    }

    /// Whether the result is not wanted any more.
    pub fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

impl<E: Send + 'static> Job<E> {
    /// Starts `work`; if it panics, or no thread can be had, `failed` makes an event of why.
    pub fn start(
        wake: Wake,
        failed: impl FnOnce(String) -> E + Send + 'static,
        work: impl FnOnce(&Worker<E>) + Send + 'static,
    ) -> Self {
        let (sender, events) = channel();
        let stop = Arc::new(AtomicBool::new(false));
        let worker = Worker { events: sender, stop: stop.clone(), wake };
        // Without a thread the job is over at once, and its window says so.
        let _ = std::thread::Builder::new().name("job".into()).spawn(move || {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| work(&worker))) {
                worker.send(failed(reason(panic.as_ref())));
            }
            let Worker { events, wake, .. } = worker;
            drop(events);
            wake();
        });
        Self { events, stop }
    }

    /// The next thing that happened.
    pub fn news(&self) -> News<E> {
        match self.events.try_recv() {
            Ok(event) => News::Event(event),
            Err(TryRecvError::Empty) => News::Nothing,
            Err(TryRecvError::Disconnected) => News::Over,
        }
    }

    /// Asks it to end soon.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl<E> Drop for Job<E> {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn reason(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "no reason given".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(job: &Job<String>) -> Vec<String> {
        let mut events = Vec::new();
        loop {
            match job.news() {
                News::Event(event) => events.push(event),
                News::Nothing => std::thread::yield_now(),
                News::Over => return events,
            }
        }
    }

    #[test]
    fn a_panic_becomes_an_event() {
        let job = Job::start(
            Arc::new(|| ()),
            |reason| format!("failed: {reason}"),
            |worker| {
                worker.send("one".to_owned());
                assert!(worker.stopped(), "two");
            },
        );
        assert_eq!(all(&job), ["one", "failed: two"]);
    }

    #[test]
    fn a_job_hears_that_it_should_stop() {
        let job = Job::start(
            Arc::new(|| ()),
            |reason| reason,
            |worker| {
                while !worker.stopped() {
                    std::thread::yield_now();
                }
                worker.send("stopped".to_owned());
            },
        );
        job.stop();
        assert_eq!(all(&job), ["stopped"]);
    }
}
