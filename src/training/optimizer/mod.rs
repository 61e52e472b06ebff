//! Optimisers. Their state is tensors by name, so that a checkpoint can store any of them.

mod adamw;
mod clip;
mod rmsprop;
mod sgd;
mod treatment;

use tch::{Device, Kind, TchError, Tensor, no_grad};

use crate::experiment::{Clip, OptimizerSpec, Training};
use crate::network::Network;
pub use sgd::BUFFER;
use treatment::{Scalars, Treatment, treatments};

/// An optimiser with its state for each trainable parameter.
#[derive(Debug)]
pub struct Optimizer {
    rule: OptimizerSpec,
    clip: Option<Clip>,
    device: Device,
    /// The updates so far, as PyTorch keeps them; only for a rule that needs their number.
    steps: Option<(String, Tensor)>,
    slots: Vec<Slot>,
}

/// What is kept for one parameter.
#[derive(Debug)]
struct Slot {
    treatment: Treatment,
    /// By name: the rule's buffers in its order.
    buffers: Vec<(String, Tensor)>,
}

/// A weight, its gradient and its buffers, or the same stretch of each.
struct Values {
    weight: Tensor,
    /// May be overwritten.
    gradient: Tensor,
    buffers: Vec<Tensor>,
}

/// What all weights of an update share.
struct Update {
    rate: f64,
    /// The number of this update, from 1.
    step: f64,
    scalars: Scalars,
}

/// Values of a stretch: few enough that all passes over it but the first find it in the cache, and the same for any
/// number of threads.
const STRETCH: i64 = 1 << 17;

impl Optimizer {
    /// The optimiser of an experiment, in its initial state, with buffers of zeros.
    ///
    /// # Errors
    /// Returns an error if the device is out of memory: each kind of buffer takes as much as the parameters.
    pub fn new(training: &Training, network: &Network) -> Result<Self, TchError> {
        let kinds = match &training.optimizer {
            OptimizerSpec::Sgd(_) => vec![BUFFER],
            OptimizerSpec::Adamw(_) => adamw::BUFFERS.to_vec(),
            OptimizerSpec::Rmsprop(rmsprop) => rmsprop::buffers(rmsprop),
        };
        let slot = |(name, weight): (String, &Tensor), treatment| {
            let zeros = |kind: &&str| Ok((format!("{kind}{name}"), weight.f_zeros_like()?.f_detach()?));
            Ok(Slot { treatment, buffers: kinds.iter().map(zeros).collect::<Result<_, TchError>>()? })
        };
        let weights = network.trainable().map(|(parameter, weight)| (parameter.name, weight));
        let slots = weights.zip(treatments(training, network)).map(|(weight, treatment)| slot(weight, treatment));
        let steps = match training.optimizer {
            OptimizerSpec::Adamw(_) => {
                Some(("step".to_string(), Tensor::f_zeros([0i64; 0], (Kind::Float, Device::Cpu))?))
            }
            OptimizerSpec::Sgd(_) | OptimizerSpec::Rmsprop(_) => None,
        };
        Ok(Optimizer {
            rule: training.optimizer.clone(),
            clip: training.clip,
            device: network.device(),
            steps,
            slots: slots.collect::<Result<_, TchError>>()?,
        })
    }

    /// Cuts the gradients, and moves each of the `weights`, in the order of [`Network::trainable`], along its own; one
    /// without a gradient stays. For large networks this is bound by memory bandwidth, so a processor takes each weight in
    /// stretches, and nothing is copied.
    ///
    /// # Errors
    /// Returns an error if the device is out of memory.
    pub fn step(&mut self, weights: &[Tensor], mut gradients: Vec<Tensor>, rate: f64) -> Result<(), TchError> {
        no_grad(|| {
            if let Some(clip) = self.clip {
                clip::clip(clip, &mut gradients)?;
            }
            let step = match &mut self.steps {
                Some((_, steps)) => steps.f_add_scalar_(1.0)?.f_double_value(&[])?,
                None => 1.0,
            };
            let mut update = Update { rate, step, scalars: Scalars::on(self.device) };
            for ((weight, slot), gradient) in weights.iter().zip(&self.slots).zip(gradients) {
                if gradient.defined() {
                    let buffers = slot.buffers.iter().map(|(_, buffer)| buffer.shallow_clone()).collect();
                    let values = Values { weight: weight.shallow_clone(), gradient, buffers };
                    values.in_stretches(|stretch| self.rule.update(stretch, slot.treatment, &mut update))?;
                }
            }
            Ok(())
        })
    }

    /// The state. A tensor's name is its kind, a dot, and the name of its parameter: `momentum_buffer.fc.weight`.
    pub fn state(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        let buffers = self.slots.iter().flat_map(|slot| &slot.buffers);
        self.steps.iter().chain(buffers).map(|(name, tensor)| (name.as_str(), tensor))
    }
}

/// Gradients in the order in which their weights lie in memory. With the channels last, those of convolutions come in another
/// one, in which sums over processes and updates take several times as long.
///
/// # Errors
/// Returns an error if the device is out of memory.
pub fn in_order(gradients: Vec<Tensor>, weights: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
    let in_order = |(gradient, weight): (Tensor, &Tensor)| {
        let is_plain = gradient.defined() && weight.is_contiguous();
        if is_plain { gradient.f_contiguous() } else { Ok(gradient) }
    };
    gradients.into_iter().zip(weights).map(in_order).collect()
}

impl OptimizerSpec {
    fn update(&self, values: Values, treatment: Treatment, update: &mut Update) -> Result<(), TchError> {
        match self {
            OptimizerSpec::Sgd(sgd) => sgd::update(sgd, values, treatment, update),
            OptimizerSpec::Adamw(adamw) => adamw::update(adamw, values, treatment, update),
            OptimizerSpec::Rmsprop(rmsprop) => rmsprop::update(rmsprop, values, treatment, update),
        }
    }
}

impl Values {
    /// Calls `work` on one stretch after another; on a GPU, or if the values do not lie in one order, on everything.
    fn in_stretches(self, mut work: impl FnMut(Values) -> Result<(), TchError>) -> Result<(), TchError> {
        if self.weight.device() != Device::Cpu {
            return work(self);
        }
        let Values { weight, gradient, buffers } = &self;
        let count = weight.numel() as i64;
        let is_plain = |tensor: &Tensor| tensor.is_contiguous();
        if count <= STRETCH || ![weight, gradient].into_iter().chain(buffers).all(is_plain) {
            return work(self);
        }
        let flat = |tensor: &Tensor| tensor.f_view(-1i64);
        let (weight, gradient) = (flat(weight)?, flat(gradient)?);
        let buffers = buffers.iter().map(flat).collect::<Result<Vec<_>, TchError>>()?;
        for start in (0..count).step_by(STRETCH as usize) {
            let stretch = |tensor: &Tensor| tensor.f_narrow(0, start, STRETCH.min(count - start));
            work(Values {
                weight: stretch(&weight)?,
                gradient: stretch(&gradient)?,
                buffers: buffers.iter().map(stretch).collect::<Result<_, TchError>>()?,
            })?;
        }
        Ok(())
    }
}

impl Update {
    fn scalar(&mut self, value: f64) -> Result<Tensor, TchError> {
        self.scalars.get(value)
    }
}
