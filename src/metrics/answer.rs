//! A model's answer to one labelled image: all that errors, confusions and calibration are counted from.

use super::rank;

/// What a model says about an image whose class is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Answer {
    /// The index of the true class.
    pub label: usize,
    /// The index of the most probable class, the first among equally probable ones.
    pub prediction: usize,
    /// The probability of the most probable class.
    pub probability: f32,
    /// The probability of the true class.
    pub label_probability: f32,
    /// How many classes rank before the true one.
    pub rank: usize,
    /// The number of classes.
    pub classes: usize,
}

impl Answer {
    /// The answer that these class probabilities, at least one, are for an image of the class `label`.
    pub fn of(probabilities: &[f32], label: usize) -> Self {
        let better = |best: usize, other: usize| probabilities[other].total_cmp(&probabilities[best]).is_gt();
        let prediction = (0..probabilities.len()).fold(0, |best, other| if better(best, other) { other } else { best });
        Answer {
            label,
            prediction,
            probability: probabilities[prediction],
            label_probability: probabilities[label],
            rank: rank(probabilities, label),
            classes: probabilities.len(),
        }
    }

    /// Whether the most probable class is the true one.
    pub fn is_right(&self) -> bool {
        self.rank == 0
    }
}
