//! How the learning rate moves over a run, and what ends a run before its last epoch.

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::field::at;
use crate::range::{positive, within};

/// How the learning rate moves after the warm-up. A share or a factor is one of the learning rate. Epochs are counted
/// from the beginning of the run; a run that is limited to fewer steps or to minutes goes through the whole schedule in
/// them, with its epochs shortened.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Schedule {
    /// No decay.
    Constant {},
    /// Half a cosine, down to `floor` at the end of training. Loshchilov and Hutter, arXiv:1608.03983.
    Cosine {
        /// The share at the end.
        #[serde(default)]
        floor: f64,
    },
    /// Multiplied by a factor at the end of every `every` epochs.
    Step {
        /// Epochs between two steps.
        every: f64,
        /// What the rate is multiplied by.
        factor: f64,
    },
    /// Multiplied by a factor at the end of each of these epochs.
    Milestones {
        /// The epochs.
        at: Vec<f64>,
        /// What the rate is multiplied by.
        factor: f64,
    },
    /// The remaining share of the training, to a power. GoogLeNet's quick solver in Caffe has 0.5; 1 is a straight line.
    Polynomial {
        /// The power.
        #[serde(default = "one")]
        power: f64,
    },
    /// Multiplied by `factor` over each epoch, a little in every step.
    Exponential {
        /// What the rate is multiplied by in an epoch.
        factor: f64,
    },
    /// Up to the learning rate and down again, each along half a cosine, as PyTorch's `OneCycleLR`. Smith and Topin,
    /// arXiv:1708.07120.
    OneCycle {
        /// The share of the training after which the rate is highest.
        #[serde(default = "OneCycle::peak")]
        peak: f64,
        /// The first rate is the highest divided by this.
        #[serde(default = "OneCycle::start_divisor")]
        start_divisor: f64,
        /// The last rate is the first divided by this.
        #[serde(default = "OneCycle::end_divisor")]
        end_divisor: f64,
    },
    /// Multiplied by a factor when the validation top-1 error of the weights themselves stops falling, as PyTorch's
    /// `ReduceLROnPlateau` does: an epoch counts as better if its error is lower by more than a ten-thousandth of it.
    Plateau {
        /// The epochs without a better one after which the next such epoch lowers the rate.
        #[serde(default = "Plateau::patience")]
        patience: u64,
        /// What the rate is multiplied by.
        #[serde(default = "Plateau::factor")]
        factor: f64,
        /// The lowest share.
        #[serde(default)]
        floor: f64,
    },
}

fn one() -> f64 {
    1.0
}

impl Schedule {
    /// Says so if the learning rate never falls in so many epochs, as when a paper's recipe is shortened.
    pub fn unreached(&self, epochs: u64) -> Option<String> {
        let run = epochs as f64;
        let falls = match self {
            Schedule::Step { every, .. } if *every >= run => format!("after {every} epochs"),
            Schedule::Milestones { at, .. } if !at.is_empty() && at.iter().all(|&end| end >= run) => {
                format!("after {} epochs", at.iter().copied().fold(f64::INFINITY, f64::min))
            }
            // The first epoch is the best so far, the one after `patience` others lowers the rate, the next one uses it.
            Schedule::Plateau { patience, .. } if patience + 2 >= epochs => {
                format!("when {} epochs in a row are no better", patience + 1)
            }
            _ => return None,
        };
        let epochs = if epochs == 1 { "one epoch".to_string() } else { format!("{epochs} epochs") };
        Some(format!(
            "training.schedule: the learning rate first falls {falls}, so it stays the same in a run of {epochs}"
        ))
    }
}

/// The defaults of PyTorch's `OneCycleLR`.
struct OneCycle;

impl OneCycle {
    fn peak() -> f64 {
        0.3
    }

    fn start_divisor() -> f64 {
        25.0
    }

    fn end_divisor() -> f64 {
        1e4
    }
}

/// The defaults of PyTorch's `ReduceLROnPlateau`.
struct Plateau;

impl Plateau {
    fn patience() -> u64 {
        10
    }

    fn factor() -> f64 {
        0.1
    }
}

impl Schedule {
    /// # Errors
    /// Returns an error with the JSON path if a number is out of its range.
    pub(super) fn check(&self) -> Result<()> {
        match self {
            Schedule::Constant {} => Ok(()),
            Schedule::Cosine { floor } => at("schedule.cosine.floor", within(*floor, 0.0, 1.0)),
            Schedule::Step { every, factor } => {
                at("schedule.step.every", within(*every, 1e-3, 1e6))?;
                at("schedule.step.factor", within(*factor, 0.0, 10.0))
            }
            Schedule::Milestones { at: epochs, factor } => {
                at(
                    "schedule.milestones.at",
                    within(epochs.len(), 1, 10_000).map_err(|reason| format!("{reason} epochs")),
                )?;
                epochs.iter().try_for_each(|&epoch| at("schedule.milestones.at", within(epoch, 0.0, 1e6)))?;
                at("schedule.milestones.factor", within(*factor, 0.0, 10.0))
            }
            Schedule::Polynomial { power } => at("schedule.polynomial.power", positive(*power, 100.0)),
            Schedule::Exponential { factor } => at("schedule.exponential.factor", positive(*factor, 1.0)),
            Schedule::OneCycle { peak, start_divisor, end_divisor } => {
                at("schedule.one_cycle.peak", within(*peak, 0.0, 1.0))?;
                at("schedule.one_cycle.start_divisor", within(*start_divisor, 1.0, 1e12))?;
                at("schedule.one_cycle.end_divisor", within(*end_divisor, 1.0, 1e12))
            }
            Schedule::Plateau { patience, factor, floor } => {
                at("schedule.plateau.patience", within(*patience, 0, 1_000_000))?;
                at("schedule.plateau.factor", within(*factor, 0.0, 0.9999))?;
                at("schedule.plateau.floor", within(*floor, 0.0, 1.0))
            }
        }
    }
}

/// Ends the run when the validation error has stopped falling.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct EarlyStopping {
    /// The epochs without a lower top-1 error after which the run ends. With averaged weights, the lower error of the
    /// two counts.
    pub patience: u64,
}

impl EarlyStopping {
    /// # Errors
    /// Returns an error with the JSON path if the number is out of its range.
    pub(super) fn check(&self) -> Result<()> {
        at("early_stopping.patience", within(self.patience, 1, 1_000_000))
    }
}
