//! The learning rate against PyTorch's schedulers (`scripts/make_schedule_fixtures.py`), and runs that end early.

mod common;

use common::Workplace;
use serde_json::Value;
use topfive::experiment::{Schedule, Training};
use topfive::training::schedule::{Plateau, rate};

#[test]
fn every_schedule_has_pytorchs_rate_in_every_step() {
    let fixtures: Vec<Value> = serde_json::from_str(include_str!("fixtures/schedules.json")).expect("JSON");
    assert_eq!(fixtures.len(), 15);
    for fixture in fixtures {
        let training: Training = serde_json::from_value(fixture["training"].clone()).expect("a training section");
        let steps_per_epoch = fixture["steps_per_epoch"].as_u64().expect("a number");
        let expected: Vec<f64> = serde_json::from_value(fixture["rates"].clone()).expect("rates");
        assert_eq!(expected.len() as u64, training.epochs * steps_per_epoch);
        let mut plateau = Plateau::default();
        for (step, expected) in expected.into_iter().enumerate() {
            let found = rate(&training, step as f64, steps_per_epoch as f64, plateau.lowered);
            let schedule = &training.schedule;
            assert!(
                (found - expected).abs() <= 1e-9 * training.learning_rate,
                "{schedule:?}, step {step}: {found}, expected {expected}"
            );
            let (epoch, place) = (step as u64 / steps_per_epoch, step as u64 % steps_per_epoch);
            if let (Schedule::Plateau { patience, .. }, true) = (schedule, place == steps_per_epoch - 1) {
                plateau.observe(fixture["errors"][epoch as usize].as_f64().expect("an error"), *patience);
            }
        }
    }
}

#[test]
fn a_schedule_is_a_word_or_an_object_and_its_numbers_have_ranges() {
    let place = Workplace::with_shapes(1, 1);
    let with = |change: &str| place.train("run", &["--set", change]);
    with("training.schedule={\"cosine\":{\"flor\":0.1}}").fails_saying(&[
        "training.schedule.cosine",
        "`flor`",
        "did you mean `floor`?",
    ]);
    with("training.schedule=step").fails_saying(&["training.schedule", "missing field `every`"]);
    with("training.schedule=one_cycl").fails_saying(&["did you mean `one_cycle`?"]);
    with(r#"training.schedule={"one_cycle":{"peak":2}}"#)
        .fails_saying(&["training.schedule.one_cycle.peak: expected a number from 0 to 1, found 2"]);
    with(r#"training.schedule={"plateau":{"factor":1}}"#).fails_saying(&["training.schedule.plateau.factor"]);
    with("training.average.ema.decay=1").fails_saying(&["training.average.ema.decay"]);
    with("training.average.ema.deca=1").fails_saying(&["training.average.ema", "did you mean `decay`?"]);
    with("training.average=polyac").fails_saying(&["training.average", "did you mean `polyak`?"]);
    with("training.early_stopping.patience=0").fails_saying(&["training.early_stopping.patience"]);
    place.train("run", &["--max-steps", "0"]).fails_saying(&["training.max_steps"]);
    place.train("run", &["--max-minutes", "0"]).fails_saying(&["training.max_minutes"]);
    place.train("run", &["--save-every", "10x"]).fails_saying(&["--save-every", "90s"]);
    assert!(!place.path("run").exists());
}

/// Whether the rate is ever below the first, if the validation error never falls.
fn falls(schedule: &Schedule, epochs: u64) -> bool {
    let training = Training { epochs, warmup_epochs: 0.0, schedule: schedule.clone(), ..Training::default() };
    let mut plateau = Plateau::default();
    (0..epochs).any(|epoch| {
        let found = rate(&training, epoch as f64, 1.0, plateau.lowered);
        if let Schedule::Plateau { patience, .. } = schedule {
            plateau.observe(50.0, *patience);
        }
        found < training.learning_rate
    })
}

#[test]
fn a_run_too_short_for_its_schedule_is_told_so() {
    let schedules = [
        r#"{"step":{"every":4,"factor":0.1}}"#,
        r#"{"milestones":{"at":[6,3],"factor":0.1}}"#,
        r#"{"plateau":{"patience":2}}"#,
    ];
    for text in schedules {
        let schedule: Schedule = serde_json::from_str(text).expect("a schedule");
        for epochs in 1..12 {
            assert_eq!(schedule.unreached(epochs).is_none(), falls(&schedule, epochs), "{text}, {epochs} epochs");
        }
    }
    let place = Workplace::with_shapes(1, 1);
    let step = ["--epochs", "1", "--set", r#"training.schedule={"step":{"every":30,"factor":0.1}}"#];
    place.train("run", &step).succeeds().says(&["first falls after 30 epochs", "--set training.schedule=cosine"]);
}

/// The lines of a kind in a run's log.
fn log(place: &Workplace, run: &str, kind: &str) -> Vec<Value> {
    let text = String::from_utf8(place.read(&format!("{run}/log.jsonl"))).expect("text");
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("a line of JSON"));
    lines.filter(|line| line["kind"] == kind).collect()
}

#[test]
fn a_run_of_fewer_steps_than_an_epoch_ends_validated_and_saved_and_goes_through_the_whole_schedule() {
    let place = Workplace::with_shapes(40, 2);
    // 480 images: 60 steps.
    let settings = ["--batch-size", "8", "--set", "training.warmup_epochs=0", "--lr", "0.01"];
    let short = place.train("run", &[&settings[..], &["--max-steps", "20"]].concat()).succeeds();
    short.says(&["ended at step 20: training.max_steps is reached"]);
    let epochs = log(&place, "run", "epoch");
    assert_eq!((epochs.len(), &epochs[0]["step"]), (1, &20.into()));
    assert!((epochs[0]["epoch"].as_f64().expect("a fraction") - 1.0 / 3.0).abs() < 1e-12);
    let rates: Vec<f64> =
        log(&place, "run", "step").iter().map(|line| line["rate"].as_f64().expect("a rate")).collect();
    // A cosine in its steps 9 and 19 of 20.
    let expected = [9.0, 19.0].map(|step: f64| 0.01 * 0.5 * (1.0 + (std::f64::consts::PI * step / 20.0).cos()));
    assert!(rates.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-12), "{rates:?}");
    let eval = place.run(&["eval", "run", "--data", "shapes", "--json", "-"]).succeeds();
    let eval: Value = serde_json::from_str(&eval.stdout).expect("JSON");
    assert_eq!(eval["top1_error"], epochs[0]["top1_error"]);
    // Nothing is left to do, and more steps go on where these ended.
    let before = place.read("run/last.safetensors");
    place.train("run", &[&settings[..], &["--max-steps", "20", "--resume"]].concat()).succeeds();
    assert!(place.read("run/last.safetensors") == before);
    assert_eq!(log(&place, "run", "epoch").len(), 1);
    let more = place.train("run", &[&settings[..], &["--max-steps", "70", "--resume"]].concat()).succeeds();
    more.says(&["training.max_steps: 20 then, 70 now", "at step 20"]);
    let steps: Vec<u64> =
        log(&place, "run", "epoch").iter().map(|line| line["step"].as_u64().expect("a step")).collect();
    assert_eq!(steps, [20, 60, 70]);
}

#[test]
fn a_run_that_is_out_of_time_makes_one_step_and_ends_validated_and_saved() {
    let place = Workplace::with_shapes(4, 2);
    place
        .train("run", &["--max-minutes", "0.000001", "--batch-size", "8"])
        .succeeds()
        .says(&["ended at step 1: training.max_minutes is reached"]);
    assert_eq!(log(&place, "run", "epoch").len(), 1);
    assert!(place.path("run/best.safetensors").exists());
}

#[test]
fn early_stopping_ends_a_run_whose_error_does_not_fall() {
    let place = Workplace::with_shapes(4, 2);
    // A rate this low changes no class.
    let settings = ["--lr", "1e-30", "--epochs", "20", "--set", "training.early_stopping.patience=3"];
    place.train("run", &settings).succeeds().says(&["no lower top-1 error for 3 epochs"]);
    assert_eq!(log(&place, "run", "epoch").len(), 4);
    place.train("run", &[&settings[..], &["--resume"]].concat()).succeeds();
    assert_eq!(log(&place, "run", "epoch").len(), 4);
}

#[test]
fn a_plateau_lowers_the_rate_when_the_validation_error_stops_falling() {
    let place = Workplace::with_shapes(4, 2);
    let plateau = r#"training.schedule={"plateau":{"patience":1,"factor":0.1}}"#;
    let settings =
        ["--lr", "1e-30", "--epochs", "6", "--batch-size", "5", "--set", plateau, "--set", "training.warmup_epochs=0"];
    let ran = place.train("run", &settings).succeeds();
    // The best epoch is the first; of those after it every second one is one too many.
    assert_eq!(ran.stderr.matches("lowers the learning rate").count(), 2, "{}", ran.stderr);
    let rates: Vec<f64> =
        log(&place, "run", "step").iter().map(|line| line["rate"].as_f64().expect("a rate") / 1e-30).collect();
    for (rate, expected) in rates.iter().zip([1.0, 1.0, 1.0, 0.1, 0.1, 0.01]) {
        assert!((rate - expected).abs() < 1e-9, "{rates:?}");
    }
}
