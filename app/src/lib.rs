//! The programs of Lamina: thin shells over `lamina-engine` and `lamina-io`.
//!
//! [`cli`] is the command line, [`montage`] draws its pictures, [`report`] makes pages of cases, [`run`]
//! shows a training, [`results`] what runs were measured to reach, `gui` is the window.

pub mod chart;
pub mod cli;
#[cfg(feature = "gui")]
pub mod gui;
pub mod montage;
pub mod report;
pub mod results;
pub mod run;
