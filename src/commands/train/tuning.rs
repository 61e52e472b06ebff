//! Whether a run fine-tunes trained weights for other classes, and the experiment that it then is.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::initial::Initial;
use super::{all_changes, all_changes_but, differences};
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

    /// Whether a saved run does, beyond what the experiment `own` of the command line brings itself.
    pub fn of_saved(args: &Train, own: &Experiment, saved: &Experiment) -> Option<Self> {
        let count = |it: &Experiment| it.recipes.iter().filter(|name| *name == fine_tune::NAME).count();
        let was_tuned = args.recipes.is_empty() && count(saved) > count(own);
        let keeps_auxiliary = !auxiliary_names(saved.nodes()).is_empty();
        let renews_classifier = fine_tune::renews_classifier(saved);
        let reason = was_tuned.then(|| "this run did before".to_string());
        (was_tuned || is_named(args)).then_some(Tuning { reason, renews_classifier, keeps_auxiliary })
    }

    /// The experiment of the command line with the recipe beneath the command's own changes, for this many training
    /// images; says what it changes.
    ///
    /// # Errors
    /// Returns what is wrong with the changed experiment.
    pub fn apply(&self, args: &Train, images: usize, report: Report) -> Result<Experiment> {
        let mut drafted = Experiment::load(&args.experiment, &all_changes(args, &[fine_tune::recipe()]))?;
        let heads: Vec<String> = auxiliary_names(drafted.nodes()).into_iter().map(str::to_string).collect();
        let leaves_out = !self.keeps_auxiliary && !heads.is_empty();
        if leaves_out {
            let context =
                || format!("without the auxiliary classifiers {}, for which no weights came", heads.join(", "));
            drafted.leave_out_auxiliary().with_context(context)?;
        }
        let recipe = fine_tune::changes(&drafted, images, self.renews_classifier);
        let mut tuned = Experiment::load(&args.experiment, &all_changes(args, &recipe))?;
        if leaves_out {
            tuned.leave_out_auxiliary()?;
        }
        let untuned = Experiment::load(&args.experiment, &all_changes_but(args, fine_tune::NAME))?;
        let changed = differences::between(&untuned, &tuned)?;
        let fields = changed.iter().filter_map(|it| Some((it.path.strip_prefix("training.")?, &it.now)));
        let mut changed: Vec<String> = fields.filter_map(|(field, now)| in_words(field, now)).collect();
        changed.extend(leaves_out.then(|| format!("without the auxiliary classifiers {}", heads.join(", "))));
        let reason = self.reason.as_ref().map_or(String::new(), |reason| format!(", as {reason}"));
        report.note(format!("fine-tuning{reason}: recipe {} ({})", fine_tune::NAME, changed.join(", ")));
        Ok(tuned)
    }
}

/// A changed field of the training; nothing if it only lies below another that is named.
fn in_words(field: &str, now: &Value) -> Option<String> {
    match now {
        Value::Null if field.contains('.') => None,
        Value::Null => Some(format!("no {field}")),
        now => Some(format!("{field} {now}")),
    }
}

/// Whether the command names the recipe.
fn is_named(args: &Train) -> bool {
    args.recipes.iter().any(|recipe| recipe.as_os_str() == fine_tune::NAME)
}
