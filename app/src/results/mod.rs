//! What a run was measured to reach: where it keeps its numbers, and a page that shows them.
//!
//! Measuring is left to `lamina_engine::metrics`, the course of training to `run`.

mod names;
mod numbers;
mod overlays;
mod page;
mod rows;
mod scene;
mod sections;
mod settings;
mod source;

pub use overlays::{Overlay, Places, worst};
pub use page::Page;
pub use settings::Settings;
pub use source::Results;
