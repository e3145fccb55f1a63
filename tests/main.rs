//! What users have, end to end: the program `lamina` on files.
//!
//! `cli/` shows single commands as transcripts, `journeys/` goes through several.
//! Data are made by `lamina_io::synthetic`; tests on real scans look for them in
//! `LAMINA_DATA` and say so when they skip.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::too_many_lines,
    reason = "every line here is a test: it may panic, says what it skips, and holds transcripts"
)]

mod cli {
    mod check_data;
    mod compare;
    mod convert;
    mod ensembles;
    mod errors;
    mod evaluate;
    mod export;
    mod forward;
    mod help;
    mod import;
    mod info;
    mod networks;
    mod plan;
    mod predict;
    mod report;
    mod train;
}
mod journeys {
    mod cache;
    mod color;
    mod cross_validation;
    mod dicom;
    pub mod privacy;
    mod real_dicom;
    mod real_files;
    mod real_formats;
    mod real_scans;
    mod segmentations;
    mod train_then_predict;
    mod train_then_report;
}
#[path = "../io/tests/common/dicom.rs"]
mod dicom;
mod support;
#[cfg(feature = "gui")]
mod window;
