//! Networks: read from JSON (`spec`), rows of the papers' tables written out (`blocks`), sizes proved (`shape`) for every
//! layer in its place (`node`), parameters listed (`parameters`), tensors made and run (`build`), costs counted (`cost`).

mod blocks;
mod build;
pub mod cost;
pub mod node;
pub mod parameters;
pub mod shape;
pub mod spec;

pub use build::{Network, Output};
