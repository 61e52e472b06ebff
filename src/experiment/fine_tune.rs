//! What the recipe `fine-tune` sets by the network and the number of images: pure.

use std::collections::BTreeSet;

use super::{Change, Experiment, OptimizerSpec, Scale};
use crate::network::classifier::class_parameters;
use crate::network::node::{Node, Op};
use crate::network::parameter::parameters;

/// The recipe's name.
pub const NAME: &str = "fine-tune";

/// How much faster the classifier learns than the rest: it starts from random values.
const CLASSIFIER_SCALE: f64 = 10.0;

/// The recipe.
pub fn recipe() -> Change {
    Change::Recipe(NAME.into())
}

/// The changes that make an experiment one of fine-tuning on `images` images: the recipe, and on top of it what it cannot
/// know. Everything can be changed afterwards. `drafted` is the experiment with the recipe alone and all that is changed
/// afterwards; `renews_classifier` says that the classifier starts from random values.
pub fn changes(drafted: &Experiment, images: usize, renews_classifier: bool) -> Vec<Change> {
    let set = |field: &str, value: String| Change::Set(format!("training.{field}={value}"));
    let is_scaled = |layer: &String| renews_classifier && !drafted.training.is_frozen(layer);
    let scaled = classifiers(drafted.nodes()).into_iter().filter(is_scaled);
    let scales = serde_json::Value::Object(scaled.map(|name| (name, CLASSIFIER_SCALE.into())).collect());
    vec![
        recipe(),
        // Two digits are easier to read, and to type.
        set("learning_rate", format!("{:.1e}", learning_rate(drafted, images))),
        set("rate_scale", scales.to_string()),
        set("batch_size", batch_size(images).to_string()),
        set("epochs", epochs(images).to_string()),
    ]
}

/// Whether the classifier of an experiment of fine-tuning started from random values.
pub fn renews_classifier(tuned: &Experiment) -> bool {
    let scale = |layer: &String| tuned.training.rate_scale.get(layer);
    classifiers(tuned.nodes()).iter().any(|layer| scale(layer) == Some(&CLASSIFIER_SCALE))
}

/// The classifier, and the auxiliary ones that there are, by their layers' names.
fn classifiers(nodes: &[Node]) -> BTreeSet<String> {
    let names = class_parameters(nodes);
    let own = parameters(nodes).into_iter().filter(|parameter| names.contains(&parameter.name));
    own.map(|parameter| parameter.layer().to_string()).collect()
}

/// The learning rate that trained weights bear. That of SGD with momentum: batch norms make layers indifferent to the scale of
/// their weights, and so tolerant of large steps. Without them, the inputs' size counts: values of -128..128 make the
/// gradients of the first layers as much larger, and their weights as much smaller, as those of -2..2. The fewer images
/// there are, the less should the weights forget of those that they come from.
fn learning_rate(experiment: &Experiment, images: usize) -> f64 {
    let rate = match (has_batch_norm(experiment.nodes()), experiment.preprocess.scale) {
        // The others divide a gradient by its own size, so that neither counts.
        _ if !matches!(experiment.training.optimizer, OptimizerSpec::Sgd(_)) => 1e-4,
        (true, _) => 0.01,
        (false, Scale::Unit) => 0.002,
        (false, Scale::Byte) => 0.001,
    };
    let share = (images as f64 / 1000.0).sqrt().clamp(0.3, 1.0);
    rate * share
}

fn has_batch_norm(nodes: &[Node]) -> bool {
    nodes.iter().any(|node| matches!(node.op, Op::BatchNorm { .. }) || node.inner().into_iter().any(has_batch_norm))
}

/// Images per step: few images make small batches, so that an epoch still has several steps.
fn batch_size(images: usize) -> usize {
    match images {
        0..64 => 8,
        64..512 => 16,
        _ => 32,
    }
}

/// Passes over the images: 20 for a hundred, 10 for a thousand, 5 for ten thousand; at least 100 steps, and at most 20,000
/// unless one epoch has more.
fn epochs(images: usize) -> u64 {
    let steps = images.div_ceil(batch_size(images)).max(1) as f64;
    let wanted = 80.0 / (images.max(1) as f64).powf(0.3);
    wanted.clamp(100.0 / steps, (20_000.0 / steps).max(100.0 / steps)).round().max(1.0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(name: &str, images: usize) -> String {
        let experiment = Experiment::load(name.as_ref(), &[]).expect("an experiment");
        let changes = changes(&experiment, images, true);
        let tuned = Experiment::load(name.as_ref(), &changes).expect("an experiment that can be tuned");
        let training = tuned.training;
        let scales: Vec<String> = training.rate_scale.iter().map(|(name, scale)| format!("{name} {scale}")).collect();
        format!("{} {} {}: {}", training.epochs, training.batch_size, training.learning_rate, scales.join(", "))
    }

    #[test]
    fn rates_suit_the_network_and_epochs_the_number_of_images() {
        assert_eq!(fields("googlenet-bvlc", 100), "20 16 0.00032: aux1.fc2 10, aux2.fc2 10, fc 10");
        assert_eq!(fields("vgg16", 1000), "10 32 0.002: classifier.6 10");
        assert_eq!(fields("resnet50", 10_000), "5 32 0.01: fc 10");
    }

    #[test]
    fn epochs_are_bounded_in_steps_both_ways() {
        for images in [1, 2, 10, 63, 64, 500, 5000, 200_000, 1_281_167] {
            let steps = epochs(images) * images.div_ceil(batch_size(images)) as u64;
            assert!((95..45_000).contains(&steps), "{images} images: {steps} steps");
        }
        assert_eq!(epochs(1_281_167), 1);
    }

    #[test]
    fn the_classifier_of_every_built_in_network_learns_ten_times_as_fast() {
        for name in crate::experiment::builtin::experiments() {
            let fields = fields(name, 300);
            let (_, scales) = fields.split_once(": ").expect("rate scales");
            assert!(scales.split(", ").all(|scale| scale.ends_with(" 10")), "{name}: {scales}");
        }
    }
}
