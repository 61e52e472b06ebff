//! Images, from a folder on disk (`folder`, or `labels` for a flat one) by worker threads (`loader`) that decode them
//! (`decode`, on `jpeg`) and cut them to size (`transform`, on `resize`), to batches (`batch`). Nothing here knows of
//! networks.

pub mod batch;
pub mod decode;
pub mod folder;
mod jpeg;
pub mod labels;
pub mod loader;
pub mod resize;
pub mod transform;
