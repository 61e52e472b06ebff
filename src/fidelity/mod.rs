//! How close made images come to real ones: whether a fresh classifier (`judge`) can tell them apart (`two_sample`), how far
//! apart they lie in what a trained classifier sees (`features`, `frechet`, `neighbours`), and what it takes them for
//! (`classes`).

pub mod classes;
pub mod features;
pub mod frechet;
pub mod judge;
pub mod neighbours;
pub mod two_sample;
