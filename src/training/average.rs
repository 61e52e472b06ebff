//! The average of a network's weights over many steps: a network of its own, that learns nothing itself.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Result, ensure};
use tch::{TchError, Tensor, no_grad};

use crate::experiment;
use crate::network::{Network, Tensors};
use crate::weights::StoredTensor;

/// An average, see [`experiment::Average`].
#[derive(Debug)]
pub struct Average {
    kind: experiment::Average,
    network: Network,
    /// Each tensor of the network in training, running statistics too, with its average.
    pairs: Vec<(Tensor, Tensor)>,
    /// The steps that the average is over.
    pub updates: u64,
}

impl Average {
    /// The average of `network` before its first step.
    ///
    /// # Errors
    /// Returns an error if the device is out of memory: an average takes as much as the weights.
    pub fn new(kind: &experiment::Average, network: &Network) -> Result<Self> {
        let (mut pairs, mut tensors) = (Vec::new(), Tensors::new());
        for (parameter, tensor) in network.parameters() {
            let weights = tensor.f_detach()?;
            let average = weights.f_empty_like()?;
            average.shallow_clone().f_copy_(&weights)?;
            tensors.insert(parameter.name, average.shallow_clone());
            pairs.push((weights, average));
        }
        let network = Network::new(network.nodes().to_vec(), tensors, network.device())?;
        Ok(Average { kind: kind.clone(), network, pairs, updates: 0 })
    }

    /// Takes the weights after a step into the average. `share` of the run had passed before that step.
    ///
    /// # Errors
    /// Returns an error if the device is out of memory.
    pub fn update(&mut self, share: f64) -> Result<(), TchError> {
        let n = self.updates as f64;
        // average += rest * (weights - average)
        let rest = match self.kind {
            experiment::Average::Ema { decay } => 1.0 - decay.min((1.0 + n) / (10.0 + n)),
            experiment::Average::Polyak { from } if share < from => {
                // A run that was made longer may have been beyond this point.
                self.updates = 0;
                return Ok(());
            }
            experiment::Average::Polyak { .. } => 1.0 / (n + 1.0),
        };
        no_grad(|| self.pairs.iter_mut().try_for_each(|(weights, average)| average.f_lerp_(weights, rest).map(drop)))?;
        self.updates += 1;
        Ok(())
    }

    /// The network with the averaged weights; `None` before the first update.
    pub fn network(&self) -> Option<&Network> {
        (self.updates > 0).then_some(&self.network)
    }

    /// The averaged tensors for a state, before the first update too: what they begin with is not what the network holds
    /// when the run is resumed. A name is the kind of the average, a dot, and the name of the parameter:
    /// `ema.fc.weight`.
    pub fn state(&self) -> impl Iterator<Item = (String, &Tensor)> {
        self.network.parameters().map(|(it, tensor)| (self.key(&it.name), tensor))
    }

    /// Goes on with the average of `updates` steps that a state has stored. A state with none, or one of another kind,
    /// changes nothing; returns whether there was one.
    ///
    /// # Errors
    /// Returns an error if a tensor has a different shape.
    pub fn restore(&mut self, stored: &mut HashMap<String, StoredTensor>, updates: u64, path: &Path) -> Result<bool> {
        let mut found = Vec::new();
        for (parameter, tensor) in self.network.parameters() {
            let name = self.key(&parameter.name);
            let Some(stored) = stored.remove(&name) else { return Ok(false) };
            let values = stored.into_tensor(tensor.device())?;
            let (expected, size) = (tensor.size(), values.size());
            ensure!(size == expected, "{}: {name}: expected {expected:?}, found {size:?}", path.display());
            found.push(values);
        }
        for ((_, average), values) in self.pairs.iter_mut().zip(&found) {
            average.f_copy_(values)?;
        }
        self.updates = updates;
        Ok(true)
    }

    fn key(&self, parameter: &str) -> String {
        let kind = match self.kind {
            experiment::Average::Ema { .. } => "ema",
            experiment::Average::Polyak { .. } => "polyak",
        };
        format!("{kind}.{parameter}")
    }
}
