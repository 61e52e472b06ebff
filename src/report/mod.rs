//! How results are shown: to people on a terminal (`terminal`, `table`), to programs (`records`), as pictures
//! (`curves`, `confusion_picture`).

pub mod confusion_picture;
pub mod curves;
pub mod records;
pub mod table;
mod terminal;

pub use terminal::{Bar, Report};
