//! Models ready to be used: what a path on the command line names (`open`), one file that holds everything (`checkpoint`),
//! several models together (`ensemble`).

pub mod checkpoint;
pub mod ensemble;
mod open;

pub use ensemble::Ensemble;
pub use open::{Found, Model, find};
