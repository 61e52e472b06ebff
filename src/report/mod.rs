//! How results are shown: to people on a terminal (`terminal`, `table`), to programs (`records`), as pictures
//! (`curves`, `confusion_picture`). Only `stdout` writes to standard output.

pub mod confusion_picture;
pub mod curves;
pub mod records;
pub mod stdout;
pub mod table;
mod terminal;

pub use stdout::ReaderGone;
pub use terminal::{Bar, Report, to_stderr};
