//! topfive trains, evaluates and runs ImageNet-style image classifiers on libtorch.
//!
//! Follow the code along five routes:
//!
//! 1. `configs/resnet34.json` -> [`experiment`] (parsed, changed by recipes and single settings, complete) ->
//!    [`network::shape`] (proved) -> tensors by name ([`network::init`] or [`weights`]) -> [`network::Network::forward`].
//! 2. a data set ([`data::folder`], [`data::labels`], [`data::shards`]) -> [`data::dataset`] -> [`image::decode`] ->
//!    [`data::augment`] -> [`image::crop`] -> [`image::edit`] ([`data::example`] shows it up to here) -> [`data::loader`] ->
//!    [`image::batch`] -> [`image::normalise`].
//! 3. batch -> forward -> loss -> gradients -> [`training::optimizer`] at the rate of [`training::schedule`]:
//!    [`training::step`] shows it on one screen, [`training`] is the loop around it, [`training::average`] keeps the
//!    average of the weights, [`training::saves`] writes all of it, [`training::state`] is what a resumed run needs;
//!    [`training::find_rate`] is a loop that looks for the rate. Several [`processes`] walk routes 3 and 4 side by side.
//!    [`adversarial`] is a loop of its own over the same parts, in which a generator and a discriminator
//!    ([`experiment::gan`]) learn against each other: [`adversarial::step`]; [`adversarial::measure`] tells which generator of
//!    a run is the best.
//! 4. image -> [`views`] -> [`evaluation`] (forward, on a processor through the network as [`network::Network::fused`]
//!    rewrites it; averaged over views and the models of an ensemble, [`model`]) -> [`metrics`] -> [`report`], in the
//!    `eval` and `predict` [`commands`]. [`native`] is libtorch beyond tch.
//! 5. a model -> what it has learned, and where in an image it sees it: [`explain`] -> pictures, in the `explain` command.
//!
//! What routes 3 to 5 find is put on one page by [`report::page`].
//!
//! [`fidelity`] measures how close made images come to real ones, for `eval` of a generator and the choice of the best one.
//!
//! [`check`] reads a data set for people rather than for networks, and [`pack`] writes one in shards.
//!
//! Invariants: [`network::spec`], [`network::shape`], [`training::schedule`], [`views`] and [`geometry`] use no
//! tensors; [`image`] depends on neither networks nor experiments; [`data`], [`check`] and [`pack`] do not depend on
//! networks; only [`cli`] and [`commands`] deal with command-line arguments; only [`model::checkpoint`] and [`weights`]
//! know the layout of weight files; [`evaluation`] does not depend on [`training`], and [`report`] on neither tensors
//! nor networks; every random stream and seed is keyed by its purpose ([`random`]; [`shapes`] keys its own by image).
//! The test `structure` enforces what a text search can.

#![warn(missing_docs)]

pub mod adversarial;
pub mod atomic;
pub mod check;
pub mod cli;
pub mod commands;
pub mod data;
pub mod device;
pub mod digest;
pub mod evaluation;
pub mod experiment;
pub mod explain;
pub mod fidelity;
pub mod geometry;
pub mod image;
pub mod imagenet;
pub mod memory;
pub mod metrics;
pub mod model;
pub mod native;
pub mod nearest;
pub mod network;
pub mod pack;
pub mod processes;
pub mod random;
pub mod range;
pub mod remedy;
pub mod report;
pub mod shapes;
pub mod text;
pub mod training;
pub mod views;
pub mod weights;
