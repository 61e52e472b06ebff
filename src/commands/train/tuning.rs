//! Whether a run fine-tunes trained weights for other classes, and the experiment that it then is.

use anyhow::{Result, ensure};

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
    /// Whether the classifier starts fresh.
    renews_classifier: bool,
    /// Whether the auxiliary classifiers are trained, too.
    keeps_auxiliary: bool,
}

impl Tuning {
    /// Whether a new run fine-tunes: if its weights are for other classes than its data, or the recipe is named.
    ///
    /// # Errors
    /// Returns an error if the recipe is named without weights.
    pub fn of_new(
        args: &Train,
        own: &Experiment,
        initial: Option<&Initial>,
        classes: &[String],
    ) -> Result<Option<Self>> {
        let Some(initial) = initial else {
            ensure!(
                !is_named(args),
                "--recipe {}: expected trained weights to tune, found none; add --weights FILE or --weights published, or leave the recipe out",
                fine_tune::NAME
            );
            return Ok(None);
        };
        let renews_classifier = !initial.is_for(classes);
        let tuning = |reason| Tuning { reason, renews_classifier, keeps_auxiliary: initial.has_auxiliary(own) };
        if is_named(args) {
            return Ok(Some(tuning(None)));
        }
        let is_automatic = renews_classifier && args.recipes.is_empty() && !initial.is_partial();
        let reason = || format!("the {} classes of the data are not {initial}", classes.len());
        Ok(is_automatic.then(|| tuning(Some(reason()))))
    }

    /// Whether a saved run does.
    pub fn of_saved(args: &Train, saved: &Experiment) -> Option<Self> {
        let was_tuned = args.recipes.is_empty() && saved.recipes.iter().any(|name| name == fine_tune::NAME);
        let keeps_auxiliary = !auxiliary_names(saved.nodes()).is_empty();
        let renews_classifier = !saved.training.rate_scale.is_empty();
        let reason = was_tuned.then(|| "this run did before".to_string());
        (was_tuned || is_named(args)).then_some(Tuning { reason, renews_classifier, keeps_auxiliary })
    }

    /// The experiment `own` of the command line with the recipe beneath the command's own changes, for this many training
    /// images; says what it changes.
    ///
    /// # Errors
    /// Returns what is wrong with the changed experiment.
    pub fn apply(&self, args: &Train, own: &Experiment, images: usize, report: Report) -> Result<Experiment> {
        let mut drafted = Experiment::load(&args.experiment, &all_changes(args, &[fine_tune::recipe()]))?;
        let heads: Vec<String> = auxiliary_names(drafted.nodes()).into_iter().map(str::to_string).collect();
        let leaves_out = !self.keeps_auxiliary && !heads.is_empty();
        if leaves_out {
            drafted.leave_out_auxiliary()?;
        }
        let recipe = fine_tune::changes(&drafted, images, self.renews_classifier);
        let mut tuned = Experiment::load(&args.experiment, &all_changes(args, &recipe))?;
        if leaves_out {
            tuned.leave_out_auxiliary()?;
        }
        let changed = differences::between(own, &tuned)?;
        let fields = changed.iter().filter_map(|it| Some((it.path.strip_prefix("training.")?, &it.now)));
        let fields = fields.filter(|(_, now)| !now.is_null());
        let mut changed: Vec<String> = fields.map(|(field, now)| format!("{field} {now}")).collect();
        changed.extend(leaves_out.then(|| format!("without the auxiliary classifiers {}", heads.join(", "))));
        let reason = self.reason.as_ref().map_or(String::new(), |reason| format!(", as {reason}"));
        report.note(format!("fine-tuning{reason}: recipe {} ({})", fine_tune::NAME, changed.join(", ")));
        Ok(tuned)
    }
}

/// Whether the command names the recipe.
fn is_named(args: &Train) -> bool {
    args.recipes.iter().any(|recipe| recipe.as_os_str() == fine_tune::NAME)
}
