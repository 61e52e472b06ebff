//! ImageNet's thousand classes (ILSVRC-2012), sorted by synset id, which is the order of all published weights.

/// One line per class: its synset id, then WordNet's names for it.
const LIST: &str = include_str!("imagenet.txt");

/// The number of classes.
pub const CLASSES: usize = 1000;

/// The synset ids, which name the class folders: `n01440764` and so on.
pub fn synsets() -> Vec<String> {
    entries().map(|(synset, _)| synset.to_string()).collect()
}

/// A readable name for a class: WordNet's names if the class is a synset id, otherwise the class's own name.
pub fn readable(class: &str) -> &str {
    // Few names are looked up, and searching 30 KB takes little time compared with a forward pass.
    entries().find(|&(synset, _)| synset == class).map_or(class, |(_, names)| names)
}

fn entries() -> impl Iterator<Item = (&'static str, &'static str)> {
    LIST.lines().filter_map(|line| line.split_once(' '))
}

#[cfg(test)]
mod tests {
    use super::*;

    // The class lists of torchvision and Caffe agree on these positions.
    #[test]
    fn the_classes_are_in_the_order_of_published_weights() {
        let synsets = synsets();
        assert_eq!(synsets.len(), CLASSES);
        assert!(synsets.is_sorted());
        assert_eq!((synsets[0].as_str(), readable(&synsets[0])), ("n01440764", "tench, Tinca tinca"));
        assert_eq!(readable(&synsets[217]), "English springer, English springer spaniel");
        assert_eq!(readable(&synsets[701]), "parachute, chute");
        assert_eq!(readable(&synsets[999]), "toilet tissue, toilet paper, bathroom tissue");
    }

    #[test]
    fn a_class_that_is_not_a_synset_keeps_its_own_name() {
        assert_eq!(readable("cat"), "cat");
    }
}
