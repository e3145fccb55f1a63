//! Whole sessions, only through what the window has.

#![allow(clippy::unwrap_used, reason = "tests may unwrap")]

#[cfg(unix)]
mod kill;
mod properties;
mod support;
