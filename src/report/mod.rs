//! How results are shown: to people on a terminal (`terminal`, `table`), to programs (`records`, `confusion_table`,
//! `log_table`, `event_file`), as pictures (`curves`, `rate_curve` and `confusion_picture`, on the canvas of `svg`;
//! `confusion_raster`), and all of it on one `page`. Only `stdout` writes to standard output.

pub mod confusion_picture;
pub mod confusion_raster;
pub mod confusion_table;
pub mod curves;
pub mod event_file;
pub mod log_table;
pub mod npy;
pub mod page;
pub mod rate_curve;
pub mod records;
pub mod stdout;
mod svg;
pub mod table;
mod terminal;

pub use stdout::ReaderGone;
pub use terminal::{Bar, Report, to_stderr};
