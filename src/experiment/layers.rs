//! The layers that `training.freeze` and `training.rate_scale` name, and those that `training.sync_batch_norm` is about.

use anyhow::{Result, anyhow, bail, ensure};

use super::training::Training;
use crate::nearest::did_you_mean;
use crate::network::node::Node;
use crate::network::parameter::{Parameter, Role, is_within, parameters};

/// Checks that the layers exist, and that some layer is left to train.
///
/// # Errors
/// Returns an error with the JSON path of the name that is wrong, and the nearest one.
pub fn check(training: &Training, nodes: &[Node]) -> Result<()> {
    let trainable: Vec<Parameter> = parameters(nodes).into_iter().filter(Parameter::is_trainable).collect();
    let is_frozen = |parameter: &Parameter| training.is_frozen(parameter.layer());
    for (index, layer) in training.freeze.iter().enumerate() {
        find(layer, &trainable).map_err(|reason| anyhow!("training.freeze[{index}]: {reason}"))?;
    }
    for layer in training.rate_scale.keys() {
        find(layer, &trainable).map_err(|reason| anyhow!("training.rate_scale.{layer}: {reason}"))?;
        if trainable.iter().filter(|it| is_within(it.layer(), layer)).all(is_frozen) {
            bail!(
                "training.rate_scale.{layer}: training.freeze lists \"{}\", so these layers are not trained; leave one of the two out",
                training.freeze.join("\", \"")
            );
        }
    }
    ensure!(
        !trainable.iter().all(is_frozen),
        "training.freeze: expected at least one layer to train, but all are frozen; leave out the last one (\"{}\")",
        trainable.last().map_or("", Parameter::layer)
    );
    let is_trained_norm = |parameter: &Parameter| parameter.role == Role::Scale && !is_frozen(parameter);
    ensure!(
        !training.sync_batch_norm || trainable.iter().any(is_trained_norm),
        "training.sync_batch_norm: true cannot act, as this network has no batch norm that is trained; set it to false"
    );
    Ok(())
}

fn find(layer: &str, trainable: &[Parameter]) -> Result<(), String> {
    if trainable.iter().any(|parameter| is_within(parameter.layer(), layer)) {
        return Ok(());
    }
    // Every layer, and every beginning of its name up to a dot.
    let known = trainable.iter().flat_map(|parameter| {
        let name = parameter.layer();
        name.match_indices('.').map(|(end, _)| &name[..end]).chain([name])
    });
    let mut layers: Vec<&str> = Vec::new();
    for parameter in trainable {
        let first = parameter.layer().split('.').next().unwrap_or_default();
        if !layers.contains(&first) {
            layers.push(first);
        }
    }
    Err(format!(
        "expected the name of a layer with weights, or its beginning up to a dot, found \"{layer}\"{}; this network has {}",
        did_you_mean(layer, known),
        layers.join(", ")
    ))
}
