//! The images of a data set that are worth a look: those that a model is most wrong or least sure about, and those whose
//! labels are probably wrong.

use std::collections::HashMap;

use super::Answer;

/// Positions in a list of answers, the most notable ones first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notable {
    /// Mistakes, those with the most probable predictions.
    pub mistakes: Vec<usize>,
    /// Correct predictions, those with the least probable ones.
    pub hits: Vec<usize>,
    /// Images whose label is probably wrong, the least probable label first, without those among the mistakes.
    ///
    /// They are those off the diagonal of confident learning's confident joint (Northcutt, Jiang, Chuang, arXiv:1911.00068,
    /// section 3.1): the predicted class is not the label, and is at least as probable as it is on average for the images
    /// labelled with it. Only an image's most probable class is compared with its average; the paper also takes a less
    /// probable class that exceeds its own.
    pub labels: Vec<usize>,
}

impl Notable {
    /// At most `count` of each kind; an image that could not be read has no answer.
    pub fn of(answers: &[Option<Answer>], count: usize) -> Self {
        let mut mistakes = ascending(answers, |answer| !answer.is_right(), |answer| -answer.probability);
        let mut hits = ascending(answers, Answer::is_right, |answer| answer.probability);
        mistakes.truncate(count);
        hits.truncate(count);
        let mut labels = mislabelled(answers);
        labels.retain(|place| !mistakes.contains(place));
        labels.truncate(count);
        Notable { mistakes, hits, labels }
    }
}

/// Where the wanted answers are, those with the least keys first, equal ones in the order of the images.
fn ascending(
    answers: &[Option<Answer>],
    is_wanted: impl Fn(&Answer) -> bool,
    key: impl Fn(&Answer) -> f32,
) -> Vec<usize> {
    let wanted = answers.iter().enumerate().filter_map(|(place, answer)| Some((place, answer.filter(&is_wanted)?)));
    let mut found: Vec<(usize, f32)> = wanted.map(|(place, answer)| (place, key(&answer))).collect();
    found.sort_by(|(_, a), (_, b)| a.total_cmp(b));
    found.into_iter().map(|(place, _)| place).collect()
}

/// Images whose label is probably wrong, see [`Notable::labels`].
fn mislabelled(answers: &[Option<Answer>]) -> Vec<usize> {
    let mut own: HashMap<usize, (f64, f64)> = HashMap::new();
    for answer in answers.iter().flatten() {
        let (sum, images) = own.entry(answer.label).or_default();
        (*sum, *images) = (*sum + f64::from(answer.label_probability), *images + 1.0);
    }
    let is_confident = |answer: &Answer| {
        own.get(&answer.prediction).is_some_and(|(sum, images)| f64::from(answer.probability) >= sum / images)
    };
    ascending(answers, |answer| !answer.is_right() && is_confident(answer), |answer| answer.label_probability)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(label: usize, probabilities: [f32; 3]) -> Option<Answer> {
        Some(Answer::of(&probabilities, label))
    }

    #[test]
    fn a_label_is_suspect_if_another_class_is_as_probable_as_for_the_images_that_have_it() {
        let answers = [
            answer(0, [0.9, 0.1, 0.0]),
            answer(0, [0.7, 0.3, 0.0]),
            answer(1, [0.1, 0.6, 0.3]),
            // The images of class 0 have it with (0.9 + 0.7) / 2 = 0.8, so that only the first of these is suspect.
            answer(1, [0.8, 0.1, 0.1]),
            answer(1, [0.75, 0.2, 0.05]),
            // No image is labelled 2, so nothing says how probable it should be.
            answer(1, [0.0, 0.1, 0.9]),
            None,
        ];
        assert_eq!(mislabelled(&answers), [3]);
    }

    #[test]
    fn mistakes_begin_with_the_surest_and_hits_with_the_least_sure() {
        let answers = [
            answer(0, [0.9, 0.1, 0.0]),
            answer(0, [0.4, 0.3, 0.3]),
            None,
            answer(2, [0.5, 0.3, 0.2]),
            answer(2, [0.1, 0.9, 0.0]),
        ];
        let notable = Notable::of(&answers, 12);
        assert_eq!((notable.mistakes, notable.hits), (vec![4, 3], vec![1, 0]));
        assert_eq!(Notable::of(&answers, 1).mistakes, [4]);
    }
}
