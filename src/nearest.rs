//! Suggestions for mistyped words.

/// Words longer than this, in bytes, get no suggestion.
const LONGEST: usize = 256;

/// The word of `known` that is nearest to `wrong`, if one is near: at most a third of its letters differ.
pub fn nearest<'a>(wrong: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let most = |word: &str| word.chars().count().max(3) / 3;
    known
        // A difference in length is a difference in letters: most words need no closer look.
        .filter(|word| word.len().max(wrong.len()) <= LONGEST)
        .filter(|word| word.chars().count().abs_diff(wrong.chars().count()) <= most(word))
        .map(|word| (strsim::damerau_levenshtein(wrong, word), word))
        .filter(|&(distance, word)| distance <= most(word))
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, word)| word)
}

/// ` (did you mean "cat"?)`, to be put after the unknown word; empty if no known word is near.
pub fn did_you_mean<'a>(wrong: &str, known: impl Iterator<Item = &'a str>) -> String {
    nearest(wrong, known).map_or(String::new(), |near| format!(" (did you mean \"{near}\"?)"))
}
