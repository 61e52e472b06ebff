//! topfive trains, evaluates and runs ImageNet-style image classifiers on libtorch.
//!
//! Four routes lead through it, each a straight walk:
//!
//! 1. `configs/resnet34.json` -> [`config`] and [`network::spec`] (parsed) -> [`network::shape`] (proved) ->
//!    [`network::Network`] (tensors).
//! 2. image files -> [`data::folder`] -> [`data::decode`] -> [`data::transform`] -> [`data::loader`] -> [`data::batch`].
//! 3. batch -> [`network::Network::forward`] -> loss -> [`training::optimizer`] at the rate of [`training::schedule`] ->
//!    [`training::checkpoint`]; all of it is seen in [`training`].
//! 4. image -> [`views`] -> [`evaluation`] (forward, averaged over views and the models of an [`ensemble`]) -> [`metrics`] ->
//!    the `eval` and `predict` commands.
//!
//! What never happens: `network::spec`, `network::shape`, `training::schedule` and `views` know no tensors; `data` knows no
//! network; only `cli` and `commands` know arguments; only `training::checkpoint` and `weights` know the layout of files
//! with weights; nothing draws random numbers but from a stream of [`random`]'s, keyed by seed, epoch and sample.

pub mod aside;
pub mod cli;
pub mod commands;
pub mod config;
pub mod data;
pub mod device;
pub mod ensemble;
pub mod evaluation;
pub mod imagenet;
pub mod memory;
pub mod metrics;
pub mod model;
pub mod nearest;
pub mod network;
pub mod random;
pub mod report;
pub mod shapes;
pub mod training;
pub mod views;
pub mod weights;
