//! Which of a file's dictionaries is read.

use std::cmp::Reverse;

use anyhow::{Context, Result};

use super::dictionary::{Dictionary, PLAIN};
use crate::nearest::did_you_mean;
use crate::weights::rename::Named;

/// A dictionary chosen, and what else there was to choose.
#[derive(Clone, Debug)]
pub struct Choice {
    pub(super) index: usize,
    /// Its key.
    pub key: String,
    /// The keys of other dictionaries that fit, though they may fit less well.
    pub others: Vec<String>,
}

/// Words for averages of weights.
const AVERAGES: [&str; 4] = ["ema", "swa", "average", "shadow"];

/// Words for what an optimiser keeps of each weight, under the weights' names.
const OPTIMISER: [&str; 4] = ["optim", "momentum", "exp_avg", "grad"];

fn has_one(key: &str, words: &[&str]) -> bool {
    words.iter().any(|word| key.to_lowercase().contains(word))
}

/// How likely a dictionary is the one that is wanted, by its key alone, 0 for the likeliest: a plain name, the root,
/// another name, an average, an optimiser's state.
fn rank(dictionary: &Dictionary) -> usize {
    let key = &dictionary.key;
    match PLAIN.iter().position(|word| Some(*word) == key.rsplit('.').next()) {
        _ if has_one(key, &OPTIMISER) => PLAIN.len() + 3,
        _ if has_one(key, &AVERAGES) => PLAIN.len() + 2,
        Some(place) => place,
        None if key.is_empty() => PLAIN.len(),
        None => PLAIN.len() + 1,
    }
}

/// The index of the dictionary that most probably holds a network. Those with less than half as many tensors as another
/// do not count: they are part of an optimiser or a log.
pub fn likeliest(dictionaries: &[Dictionary]) -> Option<usize> {
    let most = dictionaries.iter().map(|dictionary| dictionary.tensors.len()).max()?;
    let candidates = dictionaries.iter().enumerate().filter(|(_, it)| 2 * it.tensors.len() >= most);
    candidates.min_by_key(|(_, dictionary)| rank(dictionary)).map(|(index, _)| index)
}

/// The dictionary with the highest score, among several of them the likeliest; [`likeliest`] if none has any.
pub fn fitting(dictionaries: &[Dictionary], score: impl Fn(&[Named]) -> usize) -> Option<Choice> {
    let scores: Vec<usize> = dictionaries.iter().map(|dictionary| score(&dictionary.named())).collect();
    let best = scores.iter().copied().max().unwrap_or(0);
    let index = if best == 0 {
        likeliest(dictionaries)?
    } else {
        (0..scores.len()).max_by_key(|&index| (scores[index], Reverse(rank(&dictionaries[index])), Reverse(index)))?
    };
    let is_optimisers = |other: usize| has_one(&dictionaries[other].key, &OPTIMISER);
    let fits = |other: &usize| *other != index && best > 0 && 2 * scores[*other] >= best && !is_optimisers(*other);
    let others = (0..scores.len()).filter(fits).map(|other| dictionaries[other].key.clone()).collect();
    Some(Choice { index, key: dictionaries[index].key.clone(), others })
}

/// The most keys that an error lists.
const MOST_LISTED: usize = 10;

/// The dictionary with this key.
///
/// # Errors
/// Returns an error if there is none, with the keys that there are, the largest dictionaries first.
pub fn named(dictionaries: &[Dictionary], key: &str) -> Result<Choice> {
    let index = dictionaries.iter().position(|dictionary| dictionary.key == key);
    let index = index.with_context(|| {
        let near = did_you_mean(key, dictionaries.iter().map(|dictionary| dictionary.key.as_str()));
        let mut sorted: Vec<&Dictionary> = dictionaries.iter().collect();
        sorted.sort_by_key(|dictionary| Reverse(dictionary.tensors.len()));
        let shown = sorted.iter().take(MOST_LISTED).map(|it| format!("\"{}\" ({} tensors)", it.key, it.tensors.len()));
        let shown: Vec<String> = shown.collect();
        let more = dictionaries.len() - shown.len();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("no tensors under the key \"{key}\"{near}; the keys are {}{more}", shown.join(", "))
    })?;
    Ok(Choice { index, key: key.to_string(), others: Vec::new() })
}
