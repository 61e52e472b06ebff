//! Signs that a run goes wrong, seen while it runs.

use crate::experiment::gan::AdversarialLoss;

use super::step::Played;

/// A discriminator whose loss is above the lowest one by less is hardly ever wrong.
const SURE: f64 = 0.02;
/// Made images that differ less hardly differ: digits of MNIST differ by 0.18, photographs by 0.25.
const ALIKE: f64 = 0.02;

/// What is wrong after an epoch with these means, and with how much the made images differ: sentences with what to do,
/// without their full stops.
pub fn signs(loss: AdversarialLoss, smoothing: f64, means: &Played, variety: f64) -> Vec<String> {
    let mut signs = Vec::new();
    if lowest(loss, smoothing).is_some_and(|lowest| means.discriminator_loss < lowest + SURE) {
        signs.push(format!(
            "the discriminator is hardly ever wrong (its loss was {:.4} over the epoch), so the generator learns little from it. If that lasts, start a new run with {}",
            means.discriminator_loss,
            if smoothing > 0.0 || !loss.has_target() { "a lower training.learning_rate" } else { "training.label_smoothing=0.1, or a lower training.learning_rate" }
        ));
    }
    if variety < ALIKE {
        signs.push(format!(
            "the made images are nearly all the same (their pixels deviate by {:.1} % of the range): the generator has collapsed. Continue from an earlier run, or start a new one with a lower training.learning_rate, another training.loss (hinge, wasserstein), or training.discriminator_steps=2",
            100.0 * variety
        ));
    }
    signs
}

/// The loss of a discriminator that is never wrong; `None` if there is no lowest one. With labels smoothed by s it is the
/// entropy of a target of 1 - s.
fn lowest(loss: AdversarialLoss, smoothing: f64) -> Option<f64> {
    match loss {
        AdversarialLoss::Wasserstein { .. } => None,
        _ if loss.is_of_probabilities() && smoothing > 0.0 => {
            let target = 1.0 - smoothing;
            Some(-target * target.ln() - smoothing * smoothing.ln())
        }
        _ => Some(0.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(loss: AdversarialLoss, smoothing: f64, discriminator_loss: f64) -> Vec<String> {
        signs(loss, smoothing, &Played { discriminator_loss, ..Played::default() }, 0.2)
    }

    // The entropy of 0.9 and 0.1 is 0.3251 nats.
    #[test]
    fn a_discriminator_that_is_never_wrong_is_noticed_with_smoothed_labels_too() {
        let [plain, hinge] = [AdversarialLoss::NonSaturating {}, AdversarialLoss::Hinge {}];
        assert_eq!(said(plain, 0.1, 0.34).len(), 1);
        assert!(said(plain, 0.1, 0.36).is_empty() && said(plain, 0.0, 0.03).is_empty());
        assert!(said(AdversarialLoss::Wasserstein { gradient_penalty: 10.0 }, 0.0, -3.0).is_empty());
        assert!(said(plain, 0.0, 0.01)[0].contains("training.label_smoothing=0.1"));
        // These cannot be helped by that.
        assert!(!said(plain, 0.1, 0.33)[0].contains("label_smoothing"));
        assert!(!said(hinge, 0.0, 0.01)[0].contains("label_smoothing"));
    }
}
