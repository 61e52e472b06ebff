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

/// ` (did you mean "cat"?)`, to be put after the unknown word; empty if no known word is near. Differences that are hard to
/// see are spelled out.
pub fn did_you_mean<'a>(wrong: &str, known: impl Iterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.collect();
    if let Some(same) = known.iter().find(|word| word.trim() == wrong.trim()) {
        return format!(" (did you mean \"{same}\"? The two differ in blanks at their ends)");
    }
    let lowercase = wrong.trim().to_lowercase();
    if let Some(same) = known.iter().find(|word| word.trim().to_lowercase() == lowercase) {
        return format!(" (did you mean \"{same}\"? Upper and lower case differ)");
    }
    nearest(wrong, known.into_iter()).map_or(String::new(), |near| format!(" (did you mean \"{near}\"?)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_that_are_hard_to_see_are_spelled_out() {
        let hint = |wrong: &str| did_you_mean(wrong, ["cat", "GOLDEN"].into_iter());
        assert_eq!(hint("cat "), " (did you mean \"cat\"? The two differ in blanks at their ends)");
        assert_eq!(hint("golden"), " (did you mean \"GOLDEN\"? Upper and lower case differ)");
        assert_eq!(hint("cut"), " (did you mean \"cat\"?)");
        assert_eq!(hint("aeroplane"), "");
    }
}
