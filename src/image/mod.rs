//! The bytes of one file, of a `format`, become an image (`decode`, on `jpeg`, `gif`, `icon`, `tiff` and `rgb`, with a
//! `share` of the memory there is), what a crop needs of its pixels a crop of the network's size (`crop`, on `resize`),
//! in training changed by `edit`, crops a batch (`batch`), and a batch the values that a network takes (`normalise`).
//! Pictures are put together (`grid`) and written (`png`). The loops over pixels are compiled `twice`. Nothing here depends on
//! networks or experiments.

pub mod batch;
pub mod crop;
pub mod decode;
pub mod edit;
pub mod format;
pub mod gif;
pub mod grid;
mod icon;
pub mod jpeg;
pub mod normalise;
pub mod png;
pub mod resize;
mod rgb;
mod share;
mod tiff;
mod twice;
