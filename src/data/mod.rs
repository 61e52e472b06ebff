//! A data set (`dataset`), `stored` in folders of images (`folder`, on `listing`) or in `shards`, of which `split` makes two parts, or in one
//! folder with a list (`list`) of labels (`labels`) or of the `boxes` of objects, by `names`; and the way from there to what
//! training sees: worker threads (`loader`) make examples (`example`), changed at random (`augment`) and, as a batch, mixed
//! in pairs (`mix`). Nothing here depends on networks.

pub mod augment;
pub mod boxes;
pub mod dataset;
pub mod example;
pub mod folder;
pub mod labels;
pub mod list;
pub mod listing;
pub mod loader;
pub mod mix;
mod names;
pub mod shards;
pub mod split;
pub mod stored;
