//! How sure errors are: intervals and tests compared with scipy, calibration with torchmetrics
//! (`scripts/make_metric_fixtures.py`).

use serde_json::Value;
use topfive::data::boxes::overlap;
use topfive::geometry::Rect;
use topfive::metrics::{Calibration, Interval, LocalisationTally, mcnemar};

fn cases(part: &str) -> Vec<Value> {
    let fixture: Value = serde_json::from_str(include_str!("fixtures/metrics.json")).expect("JSON");
    fixture[part].as_array().expect("cases").clone()
}

fn whole(value: &Value) -> u64 {
    value.as_u64().expect("a whole number")
}

fn number(value: &Value) -> f64 {
    value.as_f64().expect("a number")
}

#[test]
fn intervals_are_those_of_scipy() {
    for case in cases("intervals") {
        let interval = Interval::wilson(whole(&case["wrong"]), whole(&case["images"]));
        for (own, other) in [(interval.low, &case["low"]), (interval.high, &case["high"])] {
            assert!((own / 100.0 - number(other)).abs() < 1e-9, "{interval:?} {case}");
        }
    }
}

#[test]
fn without_images_an_error_may_be_anything() {
    assert_eq!(Interval::wilson(0, 0), Interval { low: 0.0, high: 100.0 });
}

#[test]
fn mcnemars_test_is_the_binomial_test_of_scipy() {
    for case in cases("tests") {
        let expected = number(&case["probability"]);
        let found = mcnemar(whole(&case["only"][0]), whole(&case["only"][1]));
        // Small probabilities are compared by their digits.
        assert!((found - expected).abs() <= 1e-9 * expected, "{found} {case}");
    }
}

#[test]
fn models_that_are_right_on_the_same_images_cannot_be_told_apart() {
    assert_eq!(mcnemar(0, 0), 1.0);
}

/// The batches of the script.
fn batch(images: usize, classes: usize, sharpness: u64) -> Vec<(Vec<f32>, usize)> {
    let mut state: u64 = 8;
    let mut next = || {
        state = state * 48271 % 2147483647;
        state
    };
    let image = |image: usize| {
        let mut weights: Vec<u64> = (0..classes).map(|_| 1 + next() % 10_007).collect();
        weights[image % classes] *= 1 + image as u64 % 13 * sharpness;
        if image % 10 == 9 {
            weights = (0..classes).map(|index| u64::from(index == image % classes)).collect();
        }
        let state = next();
        let label = if state % 100 < 70 { image % classes } else { (state % classes as u64) as usize };
        let sum: u64 = weights.iter().sum();
        (weights.iter().map(|&weight| (weight as f64 / sum as f64) as f32).collect(), label)
    };
    (0..images).map(image).collect()
}

#[test]
fn calibration_errors_are_those_of_torchmetrics() {
    for case in cases("calibrations") {
        let images = whole(&case["images"]);
        let mut calibration = Calibration::default();
        for (probabilities, label) in
            batch(images as usize, whole(&case["classes"]) as usize, whole(&case["sharpness"]))
        {
            calibration.count(&probabilities, label);
        }
        let error = calibration.error().expect("an error");
        assert!((error - number(&case["error"])).abs() < 1e-6, "{error} {case}");
        assert_eq!(calibration.bins().iter().map(|bin| bin.images).sum::<u64>(), images);
    }
    assert_eq!(Calibration::default().error(), None);
}

#[test]
fn a_bin_holds_the_mean_probability_of_its_images_and_the_fraction_that_is_right() {
    let mut calibration = Calibration::default();
    calibration.count(&[0.85, 0.15], 0);
    calibration.count(&[0.81, 0.19], 1);
    calibration.count(&[0.0, 1.0], 1);
    let bins = calibration.bins();
    let shown: Vec<(u64, f64)> = bins.iter().map(|bin| (bin.images, bin.accuracy)).collect();
    assert_eq!(shown, [(2, 0.5), (1, 1.0)]);
    assert!((bins[0].confidence - 0.83).abs() < 1e-6);
    assert_eq!((bins[0].from, bins[0].to, bins[1].to), (12.0 / 15.0, 13.0 / 15.0, 1.0));
}

/// Four images: the box right, the class wrong, the box of the first guess wrong but that of the third right, and none right.
#[test]
fn a_guess_is_localised_if_its_class_is_right_and_its_box_overlaps_a_true_one_by_half() {
    let mut tally = LocalisationTally::default();
    for guesses in [
        &[(true, 0.5), (false, 0.9)][..],
        &[(false, 0.9), (false, 0.9)],
        &[(true, 0.49), (false, 0.9), (true, 0.7)],
        &[(true, 0.1), (false, 0.9)],
    ] {
        tally.count(guesses, 10);
    }
    let errors = tally.errors().expect("errors");
    assert_eq!((errors.images, errors.top1_error, errors.top5_error), (4, 75.0, Some(50.0)));
    // 20x20 pixels, and the same moved by ten to the right: a third of the union.
    let rect = |x: u32| Rect { x, y: 5, width: 20, height: 20 };
    assert!((overlap(rect(0), rect(10)) - 1.0 / 3.0).abs() < 1e-12);
    assert_eq!((overlap(rect(3), rect(3)), overlap(rect(0), rect(20))), (1.0, 0.0));
}
