//! Whether a run fine-tunes trained weights for other classes, and the experiment that it then is.

use anyhow::Result;

use super::initial::Initial;
use super::{all_changes, differences};
use crate::cli::Train;
use crate::experiment::{Experiment, fine_tune};
use crate::network::classifier::auxiliary_names;
use crate::report::Report;

/// How a run fine-tunes.
#[derive(Clone, Debug)]
pub struct Tuning {
    /// Why, as a part of a sentence; `None` if the command says so itself.
    reason: Option<String>,
    /// Whether the auxiliary classifiers are trained, too.
    keeps_auxiliary: bool,
}

impl Tuning {
    /// Whether a new run fine-tunes: if its weights are for other classes than its data, or the recipe is named.
    pub fn of_new(args: &Train, own: &Experiment, initial: Option<&Initial>, classes: &[String]) -> Option<Self> {
        let keeps_auxiliary = initial.is_none_or(|initial| initial.has_auxiliary(own));
        if is_named(args) {
            return Some(Tuning { reason: None, keeps_auxiliary });
        }
        let initial = initial.filter(|initial| args.recipes.is_empty() && !initial.is_partial())?;
        let reason = format!("the {} classes of the data are not {initial}", classes.len());
        (!initial.is_for(classes)).then_some(Tuning { reason: Some(reason), keeps_auxiliary })
    }

    /// Whether a saved run does.
    pub fn of_saved(args: &Train, saved: &Experiment) -> Option<Self> {
        let was_tuned = args.recipes.is_empty() && saved.recipes.iter().any(|name| name == fine_tune::NAME);
        let keeps_auxiliary = !auxiliary_names(saved.nodes()).is_empty();
        let reason = was_tuned.then(|| "the run was started so".to_string());
        (was_tuned || is_named(args)).then_some(Tuning { reason, keeps_auxiliary })
    }

    /// The experiment `own` of the command line with the recipe beneath the command's own changes, for this many training
    /// images; says what it changes.
    ///
    /// # Errors
    /// Returns what is wrong with the changed experiment.
    pub fn apply(&self, args: &Train, own: &Experiment, images: usize, report: Report) -> Result<Experiment> {
        let recipe = fine_tune::changes(own, images);
        let mut tuned = Experiment::load(&args.experiment, &all_changes(args, &recipe))?;
        let heads = auxiliary_names(tuned.nodes()).join(", ");
        let leaves_out = !self.keeps_auxiliary && !heads.is_empty();
        if leaves_out {
            let scales = &mut tuned.training.rate_scale;
            scales.retain(|layer, _| !heads.split(", ").any(|head| layer.starts_with(&format!("{head}."))));
            tuned.leave_out_auxiliary()?;
        }
        if let Some(reason) = &self.reason {
            let changed = differences::between(own, &tuned)?;
            let fields = changed.iter().filter_map(|it| Some((it.path.strip_prefix("training.")?, &it.now)));
            let mut changed: Vec<String> = fields.map(|(field, now)| format!("{field} {now}")).collect();
            changed.extend(leaves_out.then(|| format!("without the auxiliary classifiers {heads}")));
            report.note(format!(
                "fine-tuning, as {reason}: recipe {} ({}); the classifier starts fresh",
                fine_tune::NAME,
                changed.join(", ")
            ));
        }
        Ok(tuned)
    }
}

/// Whether the command names the recipe.
fn is_named(args: &Train) -> bool {
    args.recipes.iter().any(|recipe| recipe.as_os_str() == fine_tune::NAME)
}
