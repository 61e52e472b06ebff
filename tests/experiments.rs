//! Experiments by name, recipes, and the flags of single fields; files and runs of earlier versions.

mod common;

use std::fs;

use common::{Workplace, fixture};
use serde_json::{Value, json};
use topfive::experiment::{Change, Experiment, builtin};

fn refusal(text: &str, changes: &[Change]) -> String {
    format!("{:#}", Experiment::parse(text, changes).expect_err("an experiment that does not work"))
}

#[track_caller]
fn says(message: &str, words: &[&str]) {
    for word in words {
        assert!(message.contains(word), "no '{word}' in: {message}");
    }
}

#[test]
fn every_file_of_configs_is_built_in_under_its_name() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("configs");
    let names = |folder: &std::path::Path| {
        let paths = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
        let mut names: Vec<String> = paths
            .filter(|path| path.extension().is_some_and(|ending| ending == "json"))
            .map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    };
    assert_eq!(builtin::experiments().collect::<Vec<_>>(), names(&folder));
    assert_eq!(builtin::gans().collect::<Vec<_>>(), names(&folder.join("gans")));
    assert_eq!(builtin::recipes().collect::<Vec<_>>(), names(&folder.join("recipes")));
    for name in builtin::experiments() {
        assert_eq!(Experiment::load(name.as_ref(), &[]).expect("an experiment").name, name);
    }
}

#[test]
fn built_in_experiments_work_in_an_empty_folder_and_a_near_name_is_offered_for_a_wrong_one() {
    let place = Workplace::new();
    let all = place.run(&["summary"]).succeeds().stdout;
    for name in builtin::experiments() {
        assert!(all.contains(&format!(" {name} ")), "no {name} in {all}");
    }
    assert!(place.run(&["summary", "resnet34"]).succeeds().stdout.contains("21,797,672 parameters"));
    place.run(&["summary", "resnet43"]).fails_saying(&["resnet43", "did you mean \"resnet34\"?"]);
    place.draw_shapes(2, 1);
    let train = |name: &str| place.run(&["train", name, "--data", "shapes", "--epochs", "1"]);
    train("tinny").fails_saying(&["tinny", "did you mean \"tiny\"?", "googlenet-bvlc"]);
    train("tiny").succeeds();
    place.run(&["eval", "runs/tiny-shapes", "--data", "shapes"]).succeeds();
    // The name of a built-in experiment is also a good name for a folder.
    fs::create_dir(place.path("vgg16")).expect("a folder");
    place.run(&["summary", "vgg16"]).succeeds();
}

#[test]
fn a_file_takes_precedence_over_a_built_in_experiment_of_the_same_name() {
    let place = Workplace::new();
    let mut own: Value = serde_json::from_str(builtin::experiment("tiny").expect("tiny")).expect("JSON");
    own["name"] = "my-own".into();
    place.write("tiny", own.to_string());
    assert!(place.run(&["summary", "tiny"]).succeeds().stdout.contains("my-own: 3x32x32 in"));
}

#[test]
fn eval_repeats_the_errors_of_the_last_epoch_whatever_views_the_paper_used() {
    let place = Workplace::with_shapes(8, 4);
    let ten_crop = ["--set", "evaluation.views=ten-crop"];
    place.train("run", &[&["--epochs", "1"], ten_crop.as_slice()].concat()).succeeds();
    let log = String::from_utf8(place.read("run/log.jsonl")).expect("text");
    let epoch: Value = serde_json::from_str(log.lines().last().expect("a line")).expect("JSON");
    let eval = |arguments: &[&str]| -> Value {
        let ran = place.run(&[&["eval", "run", "--data", "shapes", "--json", "-"], arguments].concat()).succeeds();
        serde_json::from_str(&ran.stdout).expect("JSON")
    };
    let center = eval(&[]);
    assert_eq!((&center["views"], &center["top1_error"]), (&json!("center"), &epoch["top1_error"]));
    assert_eq!(center["top5_error"], epoch["top5_error"]);
    let paper = eval(&["--views", "paper"]);
    assert_eq!((&paper["views"], &paper["crops"]), (&json!("ten-crop"), &json!(10)));
    for (arguments, views) in [(&[][..], "center"), (&["--views", "paper"], "ten-crop")] {
        let image = [&["predict", "run", "shapes/val/star/star-0001.jpg", "--json", "-"], arguments].concat();
        let line: Value = serde_json::from_str(&place.run(&image).succeeds().stdout).expect("JSON");
        assert_eq!(line["views"], views);
        let text = place.run(&[&image[..3], arguments].concat()).succeeds().stdout;
        assert!(text.starts_with(&format!("shapes/val/star/star-0001.jpg ({views} view)\n")), "{text}");
    }
}

#[test]
fn published_errors_are_shown_next_to_the_measured_ones() {
    let place = Workplace::with_shapes(2, 2);
    let mut own: Value = serde_json::from_str(builtin::experiment("tiny").expect("tiny")).expect("JSON");
    own["published"] = json!([{ "views": "center", "top1_error": 10.0 }, { "views": "ten-crop", "top1_error": 9.0, "top5_error": 1.5 }]);
    own["network"]["classes"] = 12.into();
    let own = place.write("own.json", own.to_string());
    let own = own.to_str().expect("text");
    place.run(&["train", own, "--data", "shapes", "--out", "run", "--epochs", "1"]).succeeds();
    let arguments = ["eval", "run", "--data", "shapes", "--views", "published", "--json", "result.json"];
    let text = place.run(&arguments).succeeds().stdout;
    let results = place.read_json("result.json");
    let measured = |index: usize, key: &str| results["results"][index][key].as_f64().expect("a number");
    says(
        &text,
        &[
            "published",
            "difference",
            "10.00 / - %",
            "9.00 / 1.50 %",
            &format!("{:+.2} / -", measured(0, "top1_error") - 10.0),
        ],
    );
    says(&text, &[&format!("{:+.2} / {:+.2}", measured(1, "top1_error") - 9.0, measured(1, "top5_error") - 1.5)]);
    assert_eq!(results["results"][1]["published"], json!({ "top1_error": 9.0, "top5_error": 1.5 }));

    place.train("other", &["--epochs", "1"]).succeeds();
    place
        .run(&["eval", "other", "--data", "shapes", "--views", "published"])
        .fails_saying(&["tiny has no published errors", "--views"]);
    place.run(&["predict", "run", "shapes/val", "--views", "published"]).fails_saying(&["predict takes one protocol"]);
}

#[test]
fn recipes_are_laid_over_an_experiment_before_single_fields_are_set() {
    let recipe = |name: &str| Change::Recipe(name.into());
    let set = |change: &str| Change::Set(change.to_string());
    let plain = Experiment::load("resnet34".as_ref(), &[]).expect("an experiment");
    let changes = [recipe("cifar-short"), set("training.epochs=3")];
    let changed = Experiment::load("resnet34".as_ref(), &changes).expect("an experiment");
    assert_eq!((changed.training.epochs, changed.training.weight_decay), (3, 0.0005));
    assert_eq!(changed.training.optimizer, plain.training.optimizer, "what a recipe does not name stays");
    assert_eq!(changed.weights, plain.weights, "the network is the same");
    assert_eq!((&changed.name, &changed.notes), (&plain.name, &plain.notes), "a recipe's name is its own");

    let few = Experiment::load("resnet34".as_ref(), &[recipe("few-images")]).expect("an experiment");
    assert!(few.network().start.zero_residual && few.published.is_empty());
    assert_eq!(few.network().start.weights, plain.network().start.weights);

    let place = Workplace::new();
    let file = place.write("mine.json", r#"{ "training": { "schedule": { "step": { "every": 2, "factor": 0.5 } } } }"#);
    let both = [recipe("small-images"), Change::Recipe(file)];
    let both = Experiment::load("resnet34".as_ref(), &both).expect("an experiment");
    assert_eq!(
        serde_json::to_value(&both.training.schedule).expect("JSON"),
        json!({ "step": { "every": 2.0, "factor": 0.5 } })
    );
    assert_eq!(both.training.label_smoothing, 0.1);
}

#[test]
fn a_recipe_that_does_not_work_is_refused_with_the_nearest_word() {
    let place = Workplace::with_shapes(1, 1);
    place.train("run", &["--recipe", "small-image"]).fails_saying(&["small-image", "did you mean \"small-images\"?"]);
    place.write("wrong.json", r#"{ "training": { "epoch": 3 } }"#);
    place.train("run", &["--recipe", "wrong.json"]).fails_saying(&["training", "epoch", "did you mean `epochs`?"]);
    place.write("list.json", "[1]");
    place.train("run", &["--recipe", "list.json"]).fails_saying(&["list.json", "expected an object"]);
    assert!(!place.path("run").exists());
}

#[test]
fn the_fields_that_people_change_most_have_flags() {
    let place = Workplace::with_shapes(2, 1);
    let flags = ["--epochs", "1", "--lr", "0.25", "--input", "24x40", "--batch-size", "5", "--seed", "9"];
    place.train("run", &[&["--set", "training.epochs=7"], flags.as_slice()].concat()).succeeds();
    let experiment = place.read_json("run/experiment.json");
    assert_eq!(experiment["network"]["input"], json!([3, 24, 40]));
    let training = &experiment["training"];
    assert_eq!(
        (&training["epochs"], &training["learning_rate"], &training["batch_size"], &training["seed"]),
        (&json!(1), &json!(0.25), &json!(5), &json!(9))
    );
    place.train("square", &["--epochs", "1", "--input", "40"]).succeeds();
    assert_eq!(place.read_json("square/experiment.json")["network"]["input"], json!([3, 40, 40]));
    place.train("no", &["--input", "big"]).fails_saying(&["--input", "HEIGHTxWIDTH"]);
}

#[test]
fn optimisers_and_augmentations_that_do_not_exist_are_refused() {
    let with = |change: &str| {
        let error = Experiment::load("tiny".as_ref(), &[Change::Set(change.to_string())]).expect_err("a refusal");
        format!("{error:#}")
    };
    says(&with(r#"training.optimizer={"sdg":{}}"#), &["training.optimizer", "`sdg`", "did you mean `sgd`?"]);
    says(&with("training.optimizer.sgd.nestorov=true"), &["training.optimizer.sgd", "did you mean `nesterov`?"]);
    says(&with("training.optimizer.sgd.momentum=1.5"), &["training.optimizer.sgd.momentum", "found 1.5"]);
    says(&with(r#"training.augment=["mixup"]"#), &["training.augment[0]", "mixup"]);
}

#[test]
fn a_duplicate_key_is_refused() {
    says(&refusal(r#"{ "name": "a", "name": "b" }"#, &[]), &["duplicate key `name`"]);
    let twice =
        r#"{ "name": "a", "network": { "layers": [{ "conv": { "kernel": 3, "channels": 1, "kernel": 5 } }] } }"#;
    says(&refusal(twice, &[]), &["network.layers[0].conv", "duplicate key `kernel`"]);
    says(&refusal("{ \"name\": ", &[]), &["not valid JSON", "line 1"]);
    says(&refusal("{} {}", &[]), &["not valid JSON"]);
}

/// An experiment of these layers, for an input of 3x8x8 and 10 classes.
fn of_layers(layers: Value) -> String {
    json!({ "name": "wrong", "network": { "input": [3, 8, 8], "classes": 10, "layers": layers } }).to_string()
}

#[test]
fn numbers_of_layers_inside_branches_and_rows_are_checked_like_all_others() {
    let branch = |layer: Value| of_layers(json!([{ "branches": { "branches": [layer] } }]));
    let refused = |layer: Value, words: &[&str]| says(&refusal(&branch(layer), &[]), words);
    refused(json!({ "batch_norm": { "momentum": 7 } }), &["branches[0].batch_norm: momentum", "found 7"]);
    refused(
        json!({ "vgg_stage": { "convs": 1_000_000_000_000_000u64, "channels": 4 } }),
        &["branches[0].vgg_stage: convs"],
    );
    refused(
        json!({ "residual_stage": { "name": "a", "blocks": 1_000_000_000u64, "channels": 4 } }),
        &["blocks", "10000"],
    );
    refused(
        json!({ "residual_stage": { "name": "a", "blocks": 1, "channels": 4, "stride": 0 } }),
        &["stride", "found 0"],
    );
    refused(
        json!({ "inception": { "name": "a", "channels": [1, 1, 1, 1, 1, 0] } }),
        &["inception: channels", "found 0"],
    );
    refused(json!({ "sequence": { "layers": [{ "dropout": 1.0 }] } }), &["sequence.layers[0].dropout", "found 1"]);
    let head = json!([{ "auxiliary": { "name": "a", "weight": 1, "layers": [{ "local_response_norm": { "size": 5, "alpha": 1, "beta": 1, "k": 0 } }] } }]);
    says(&refusal(&of_layers(head), &[]), &["auxiliary.layers[0].local_response_norm: k"]);
    let body =
        json!([{ "residual": { "shortcut": "identity", "body": [{ "conv": { "channels": 3, "kernel": 0 } }] } }]);
    says(&refusal(&of_layers(body), &[]), &["residual.body[0].conv: kernel", "found 0"]);
}

#[test]
fn fields_of_earlier_versions_keep_their_meaning() {
    let old = |text: &str| {
        let mut experiment: Value = serde_json::from_str(builtin::experiment("tiny").expect("tiny")).expect("JSON");
        experiment["training"].as_object_mut().expect("an object").shift_remove("optimizer");
        experiment["training"]["momentum"] = 0.75.into();
        Experiment::parse(&experiment.to_string(), &[Change::Set(text.to_string())]).expect("an experiment").training
    };
    assert_eq!(serde_json::to_value(old("training.epochs=1").optimizer).expect("JSON")["sgd"]["momentum"], 0.75);
    let both = serde_json::to_value(old("training.nesterov=true").optimizer).expect("JSON");
    assert_eq!(both, json!({ "sgd": { "momentum": 0.75, "nesterov": true } }));
}

#[test]
fn a_run_of_an_earlier_version_is_evaluated_as_it_was_then_and_can_be_resumed() {
    let place = Workplace::with_shapes(4, 2);
    for file in ["last.safetensors", "state-4.safetensors", "log.jsonl"] {
        place.write(&format!("run/{file}"), fs::read(fixture("earlier").join(file)).expect("a fixture"));
    }
    let log = String::from_utf8(place.read("run/log.jsonl")).expect("text");
    let then: Value = serde_json::from_str(log.lines().last().expect("a line")).expect("JSON");
    let ran = place.run(&["eval", "run", "--data", "shapes", "--json", "-"]).succeeds();
    let now: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!((&now["top1_error"], &now["top5_error"]), (&then["top1_error"], &then["top5_error"]));
    let difference = now["loss"].as_f64().expect("a loss") - then["loss"].as_f64().expect("a loss");
    assert!(difference.abs() < 1e-5, "{difference}");
    let resumed = place.train("run", &["--resume", "--epochs", "3", "--set", "training.schedule=constant"]);
    resumed.succeeds().says(&["resuming after 2 epochs, at step 4", "training.epochs: 2 then, 3 now"]);
}

#[test]
fn completions_name_commands_experiments_protocols_and_recipes() {
    let place = Workplace::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = place.run(&["completions", shell]).succeeds().stdout;
        says(
            &script,
            &["topfive", "predict", "views", "ten-crop", "resnet34", "googlenet-bvlc", "small-images", "published"],
        );
    }
    place.run(&["completions", "tcsh"]).fails_saying(&["tcsh", "bash"]);
}

#[test]
fn a_setting_that_changes_nothing_takes_no_claim_away() {
    let with = |change: &str| Experiment::load("resnet34".as_ref(), &[Change::Set(change.to_string())]).expect("works");
    let same = with("network.input=[3,224,224]");
    assert!(!same.published.is_empty() && same.weights.is_some() && same.network().parameters.is_some());
    let other = with("network.input=[3,256,256]");
    assert!(other.published.is_empty() && other.weights.is_none() && other.network().parameters.is_none());
}

#[test]
fn a_thousand_classes_that_are_not_imagenets_have_no_published_errors() {
    let mut experiment = Experiment::load("resnet34".as_ref(), &[]).expect("an experiment");
    experiment.set_classes(&topfive::imagenet::synsets()).expect("a thousand classes");
    assert!(!experiment.published.is_empty());
    experiment.set_classes(&(0..1000).map(|class| format!("mine-{class}")).collect::<Vec<_>>()).expect("a thousand");
    assert!(experiment.published.is_empty());
}

#[test]
fn files_that_are_not_experiments_are_refused_whatever_is_laid_over_them() {
    let recipe = Change::Recipe("small-images".into());
    for text in ["[1]", "7", "\"name\"", "null"] {
        says(&refusal(text, std::slice::from_ref(&recipe)), &["expected an object"]);
    }
    says(
        &refusal(r#"{ "name": "a", "training": 5 }"#, &[recipe]),
        &["small-images", "training: expected an object, found 5"],
    );
    says(&refusal(r#"{ "network": {} }"#, &[]), &["network: missing field `input`"]);
    let mut tiny: Value = serde_json::from_str(builtin::experiment("tiny").expect("tiny")).expect("JSON");
    for name in ["", "../up", "/x/y", ".hidden"] {
        tiny["name"] = name.into();
        says(&refusal(&tiny.to_string(), &[]), &["name: expected a name without slashes"]);
    }
    let twice = Change::Set(r#"training.optimizer={"sgd":{"momentum":0.5,"momentum":0.6}}"#.to_string());
    says(&refusal(builtin::experiment("tiny").expect("tiny"), &[twice]), &["duplicate key `momentum`"]);
    let nowhere = Change::Set("network.start.zero_residual=true".to_string());
    says(&refusal(builtin::experiment("vgg16").expect("vgg16"), &[nowhere]), &["zero_residual", "found none"]);
}

#[test]
fn a_recipe_changes_one_setting_of_an_optimiser_and_leaves_the_others() {
    let place = Workplace::new();
    let nesterov = place.write("nesterov.json", r#"{ "training": { "optimizer": { "sgd": { "nesterov": true } } } }"#);
    let old = place.write("old.json", r#"{ "training": { "momentum": 0.5 } }"#);
    let both = [Change::Recipe(nesterov), Change::Recipe(old)];
    let training = Experiment::load("resnet34".as_ref(), &both).expect("an experiment").training;
    assert_eq!(
        serde_json::to_value(&training.optimizer).expect("JSON"),
        json!({ "sgd": { "momentum": 0.5, "nesterov": true } })
    );
}
