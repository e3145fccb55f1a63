//! The programs of Lamina: thin shells over `lamina-engine` and `lamina-io`.
//!
//! [`cli`] is the command line, [`montage`] draws its pictures.

pub mod cli;
pub mod montage;
