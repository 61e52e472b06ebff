//! The bytes of one file become pixels (`decode`, on `jpeg`), pixels a crop of the network's size (`crop`, on
//! `resize`), crops a batch (`batch`), and a batch the values that a network takes (`normalise`). Nothing here depends
//! on networks or experiments.

pub mod batch;
pub mod crop;
pub mod decode;
mod jpeg;
pub mod normalise;
pub mod resize;
