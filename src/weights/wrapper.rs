//! Wrappers: words that programs put into the names of a network's tensors, such as `module.` before all of them.

use std::collections::{HashMap, HashSet};

use crate::network::parameter::Parameter;

/// What DataParallel and its like, torch.compile, FSDP, checkpointing of activations and Opacus put before the names of the
/// module that they wrap, be it the network or a part of it: pytorch/examples wraps AlexNet's `features` alone.
const ANYWHERE: [&str; 5] = ["module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_module"];
/// What trainers call the whole network, before all names.
const WHOLE: [&str; 3] = ["model", "net", "network"];
/// What MMPretrain calls the parts of a network.
const PARTS: [&str; 2] = ["backbone", "head"];

/// A file whose wrappers clash more often than this is a hostile one, and none of them is recognised.
const MOST_CLASHES: usize = 16;

/// A wrapper's word, and what stands before it in a name: `features.` and `module` of `features.module.0.weight`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Wrapper {
    before: String,
    word: &'static str,
}

/// A network's own names.
#[derive(Debug)]
pub struct Own<'a> {
    /// Its parameters, by their names.
    pub parameters: HashMap<&'a str, &'a Parameter>,
    /// All beginnings of the names, with their dots.
    beginnings: HashSet<&'a str>,
}

impl<'a> Own<'a> {
    /// The names of a network with these parameters.
    pub fn of(parameters: &'a [Parameter]) -> Self {
        let by_name: HashMap<&str, &Parameter> = parameters.iter().map(|it| (it.name.as_str(), it)).collect();
        let beginnings =
            by_name.keys().flat_map(|name| name.match_indices('.').map(|(dot, _)| &name[..=dot])).collect();
        Own { parameters: by_name, beginnings }
    }

    fn has(&self, wrapper: &Wrapper) -> bool {
        self.beginnings.contains(format!("{}{}.", wrapper.before, wrapper.word).as_str())
    }
}

/// The wrappers of a file's tensors.
#[derive(Debug)]
pub struct Wrappers<'a> {
    own: &'a Own<'a>,
    /// With the number of tensors that become the network's without the word.
    found: HashMap<Wrapper, usize>,
}

impl<'a> Wrappers<'a> {
    /// The wrappers of tensors that are called `names`: words without which most of the names that have them become names
    /// of the network's parameters, or which all names have. What the network itself uses as a name is not a wrapper.
    pub fn of(own: &'a Own, names: &[String]) -> Self {
        let mut counts: HashMap<Wrapper, (usize, usize)> = HashMap::new();
        for name in names {
            let mut wrappers = Vec::new();
            let bare = without(name, |wrapper| {
                let is_foreign = !own.has(&wrapper);
                wrappers.extend(is_foreign.then_some(wrapper));
                is_foreign
            });
            for wrapper in wrappers {
                let (count, hits) = counts.entry(wrapper).or_default();
                *count += 1;
                *hits += usize::from(own.parameters.contains_key(bare.as_str()));
            }
        }
        let is_one = |(count, hits): (usize, usize)| 2 * hits > count || count == names.len();
        let found = counts.into_iter().filter(|(_, counts)| is_one(*counts));
        let mut wrappers = Wrappers { own, found: found.map(|(wrapper, (_, hits))| (wrapper, hits)).collect() };
        wrappers.keep_names_apart(names);
        wrappers
    }

    /// Gives up the words without which two tensors would have one name: of two networks in a file, the one with more of
    /// the tensors, or else the first, is unwrapped.
    fn keep_names_apart(&mut self, names: &[String]) {
        for _ in 0..MOST_CLASHES {
            let mut seen: HashMap<String, &String> = HashMap::new();
            // The later name first, so that its wrappers are given up if both have as many tensors.
            let clash = names.iter().find_map(|name| seen.insert(self.unwrap(name), name).map(|first| [name, first]));
            let used = clash.into_iter().flatten().flat_map(|name| self.used(name));
            let Some(least) = used.min_by_key(|wrapper| self.found[wrapper]) else { return };
            self.found.remove(&least);
        }
        self.found.clear();
    }

    /// A name without the wrappers' words.
    pub fn unwrap(&self, name: &str) -> String {
        without(name, |wrapper| self.found.contains_key(&wrapper))
    }

    /// The wrappers of a name.
    fn used(&self, name: &str) -> Vec<Wrapper> {
        let mut used = Vec::new();
        without(name, |wrapper| {
            let is_one = self.found.contains_key(&wrapper);
            used.extend(is_one.then_some(wrapper));
            is_one
        });
        used
    }

    /// Whether the whole network is wrapped, so that what lies outside of the wrapper belongs to something else.
    pub fn wrap_the_whole(&self) -> bool {
        self.found.keys().any(|wrapper| wrapper.before.is_empty() && !PARTS.contains(&wrapper.word))
    }

    /// Whether a tensor of this name lies outside of all wrappers, in none of the network's own modules.
    pub fn is_outside(&self, name: &str) -> bool {
        let module = name.split_inclusive('.').next().unwrap_or_default();
        self.used(name).is_empty() && !self.own.beginnings.contains(module)
    }
}

/// A longer name, in bytes, is a hostile file's, and is left as it is: the time goes with the square of its length.
const LONGEST: usize = 1024;

/// A name without the words that `drops` tells to be wrappers'.
fn without(name: &str, mut drops: impl FnMut(Wrapper) -> bool) -> String {
    if name.len() > LONGEST {
        return name.to_string();
    }
    let mut bare = String::with_capacity(name.len());
    for part in name.split_inclusive('.') {
        let outer = WHOLE.iter().chain(&PARTS).filter(|_| bare.is_empty());
        let word = ANYWHERE.iter().chain(outer).find(|word| part.strip_suffix('.') == Some(**word));
        if !word.is_some_and(|word| drops(Wrapper { before: bare.clone(), word })) {
            bare += part;
        }
    }
    bare
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::Experiment;
    use crate::network::parameter::parameters;

    fn network(experiment: &str) -> (Vec<Parameter>, Vec<String>) {
        let experiment = Experiment::load(experiment.as_ref(), &[]).expect("an experiment");
        let parameters = parameters(experiment.nodes());
        let names = parameters.iter().map(|parameter| parameter.name.clone()).collect();
        (parameters, names)
    }

    #[track_caller]
    fn unwraps(experiment: &str, wrap: impl Fn(&str) -> String) {
        let (parameters, names) = network(experiment);
        let wrapped: Vec<String> = names.iter().map(|name| wrap(name)).collect();
        let own = Own::of(&parameters);
        let wrappers = Wrappers::of(&own, &wrapped);
        assert_eq!(wrapped.iter().map(|name| wrappers.unwrap(name)).collect::<Vec<_>>(), names);
    }

    #[test]
    fn words_of_wrappers_are_taken_out_wherever_they_stand() {
        for prefix in ["", "module.", "_orig_mod.", "model.", "net.", "module._orig_mod.", "model.backbone.module."] {
            unwraps("resnet18", |name| format!("{prefix}{name}"));
        }
        unwraps("alexnet-owt", |name| match name.strip_prefix("features.") {
            Some(rest) => format!("features.module.{rest}"),
            None => name.to_string(),
        });
        unwraps("resnet18", |name| format!("{}.{name}", if name.starts_with("fc.") { "head" } else { "backbone" }));
    }

    #[test]
    fn of_two_networks_in_a_file_one_is_unwrapped() {
        let (parameters, names) = network("resnet18");
        let two: Vec<String> =
            ["model.", "net."].iter().flat_map(|it| names.iter().map(move |name| format!("{it}{name}"))).collect();
        let own = Own::of(&parameters);
        let wrappers = Wrappers::of(&own, &two);
        assert_eq!(
            (wrappers.unwrap("model.fc.bias"), wrappers.unwrap("net.fc.bias")),
            ("fc.bias".into(), "net.fc.bias".into())
        );
        assert!(wrappers.is_outside("net.fc.bias") && !wrappers.is_outside("model.fc.bias"));
    }

    #[test]
    fn a_word_that_few_names_have_or_the_network_itself_is_left() {
        let (parameters, mut names) = network("resnet18");
        names.push("net.other.weight".into());
        assert_eq!(Wrappers::of(&Own::of(&parameters), &names).unwrap("net.other.weight"), "net.other.weight");
        let named: Vec<Parameter> =
            parameters.into_iter().map(|it| Parameter { name: format!("head.{}", it.name), ..it }).collect();
        let names: Vec<String> = named.iter().map(|it| format!("module.{}", it.name)).collect();
        assert_eq!(Wrappers::of(&Own::of(&named), &names).unwrap("module.head.fc.bias"), "head.fc.bias");
    }

    #[test]
    fn a_hostile_name_is_left_as_it_is() {
        let (parameters, mut names) = network("resnet18");
        let long = "a.module.".repeat(100_000) + "weight";
        names.push(long.clone());
        assert_eq!(Wrappers::of(&Own::of(&parameters), &names).unwrap(&long), long);
    }
}
