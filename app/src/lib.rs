//! The programs of Lamina: thin shells over `lamina-engine` and `lamina-io`.
//!
//! [`cli`] is the command line, [`montage`] draws its pictures, [`report`] makes pages of cases, `gui` is the window.

pub mod cli;
#[cfg(feature = "gui")]
pub mod gui;
pub mod montage;
pub mod report;
