//! Trained models: opened by path or name (`open`), stored in a single file (`checkpoint`), combined (`ensemble`), and the
//! names of their classes (`classes`).

pub mod checkpoint;
pub mod classes;
pub mod ensemble;
mod open;

pub use ensemble::Ensemble;
pub use open::{Found, Model, find};
