//! ImageNet's thousand classes (ILSVRC-2012), in the order that all published weights share: sorted by synset id.

/// A line a class: its synset id, then WordNet's names for it.
const LIST: &str = include_str!("imagenet.txt");

pub const CLASSES: usize = 1000;

/// The synset ids, which are the names of the class folders: n01440764 and so on.
pub fn synsets() -> Vec<String> {
    entries().map(|(synset, _)| synset.to_string()).collect()
}

/// What people call a class: WordNet's names for a synset id, the class's own name for any other.
pub fn readable(class: &str) -> &str {
    // Few names are asked for, and a search through 30 KB is short beside a forward pass.
    entries().find(|&(synset, _)| synset == class).map_or(class, |(_, names)| names)
}

fn entries() -> impl Iterator<Item = (&'static str, &'static str)> {
    LIST.lines().filter_map(|line| line.split_once(' '))
}

#[cfg(test)]
mod tests {
    use super::*;

    // torchvision's and Caffe's class lists agree on these places.
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
    fn a_class_that_is_no_synset_is_called_by_its_own_name() {
        assert_eq!(readable("cat"), "cat");
    }
}
