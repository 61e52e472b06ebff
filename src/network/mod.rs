//! Networks: read from JSON (`spec`), rows of the papers' tables written out (`blocks`), sizes proved (`shape`) for every
//! layer in its place (`node`), parameters listed (`parameters`), tensors made and run (`build`), also over images larger than
//! the input (`dense`), costs counted (`cost`).

mod blocks;
mod build;
pub mod cost;
mod dense;
pub mod node;
pub mod parameters;
pub mod shape;
pub mod spec;

pub use build::{Network, Output};
pub use dense::dense;
