//! Fine-tuning trained weights for other classes, through the program itself.

mod common;

use std::fs;

use common::{Ran, Workplace, config};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView, serialize};
use serde_json::Value;

/// A workplace with a tiny network trained on `shapes`, and three of their classes in `few`.
fn trained() -> Workplace {
    let place = Workplace::with_shapes(4, 2);
    place.train("run", &["--epochs", "1"]).succeeds();
    for class in ["star", "ring", "disc"] {
        copy(&place, &format!("shapes/train/{class}"), &format!("few/train/{class}"));
        copy(&place, &format!("shapes/val/{class}"), &format!("few/val/{class}"));
    }
    place
}

fn copy(place: &Workplace, from: &str, to: &str) {
    for entry in fs::read_dir(place.path(from)).expect("a folder") {
        let name = entry.expect("an entry").file_name().into_string().expect("a name");
        place.write(&format!("{to}/{name}"), place.read(&format!("{from}/{name}")));
    }
}

fn tune(place: &Workplace, data: &str, out: &str, arguments: &[&str]) -> Ran {
    let fixed = ["train", &config("tiny"), "--data", data, "--weights", "run/best.safetensors", "--out", out];
    place.run(&[&fixed, arguments].concat())
}

/// A tensor's bytes, as another reader of safetensors sees them.
fn tensor(place: &Workplace, file: &str, name: &str) -> Vec<u8> {
    let bytes = place.read(file);
    let file = SafeTensors::deserialize(&bytes).expect("a safetensors file");
    file.tensor(name).expect("a tensor").data().to_vec()
}

/// Saves a checkpoint's tensors without its note, as other programs do, those that `name` gives a name.
fn export(place: &Workplace, file: &str, out: &str, name: impl Fn(&str) -> Option<String>) {
    let bytes = place.read(file);
    let file = SafeTensors::deserialize(&bytes).expect("a safetensors file");
    let views = file.iter().filter_map(|(old, view)| {
        let view = TensorView::new(Dtype::F32, view.shape().to_vec(), view.data()).expect("a tensor");
        Some((name(old)?, view))
    });
    place.write(out, serialize(views.collect::<Vec<_>>(), None).expect("a file"));
}

#[test]
fn weights_for_other_classes_take_the_recipe_and_say_what_it_changes() {
    let place = trained();
    tune(&place, "few", "tuned", &["--epochs", "1"]).succeeds().says(&[
        "fine-tuning, as the 3 classes of the data are not the 12 classes of run/best.safetensors: recipe fine-tune",
        "batch_size 8",
        "learning_rate 0.003",
        "rate_scale.fc 10",
        "newly initialised",
    ]);
    let experiment = place.read_json("tuned/experiment.json");
    assert_eq!(experiment["recipes"], serde_json::json!(["fine-tune"]));
    assert_eq!(experiment["training"]["epochs"], 1, "flags win");
    // The auxiliary classifier has no layer but the last, so that no weights of its own came.
    assert_eq!(experiment["training"]["rate_scale"], serde_json::json!({ "fc": 10.0 }));
    let eval = place.run(&["eval", "tuned", "--data", "few", "--json", "-"]).succeeds();
    let eval: Value = serde_json::from_str(&eval.stdout).expect("JSON");
    assert_eq!(eval["images"], 6);
}

#[test]
fn a_tuned_run_is_resumed_with_or_without_its_weights() {
    let place = trained();
    tune(&place, "few", "whole", &["--epochs", "2"]).succeeds();
    tune(&place, "few", "tuned", &["--epochs", "2", "--set", "training.schedule=constant"]).succeeds();
    let resumed = tune(&place, "few", "tuned", &["--epochs", "3", "--set", "training.schedule=constant", "--resume"]);
    resumed.succeeds().says(&[
        "--weights is ignored",
        "fine-tuning, as this run did before",
        "resuming after 2 epochs",
    ]);
    fs::remove_file(place.path("run/best.safetensors")).expect("removed");
    let fixed = ["train", &config("tiny"), "--data", "few", "--out", "tuned", "--resume"];
    let settings = ["--epochs", "4", "--set", "training.schedule=constant"];
    place.run(&[&fixed[..], &settings].concat()).succeeds().says(&["resuming after 3 epochs"]);
}

#[test]
fn the_same_command_resumes_the_same_run_whatever_its_recipe_came_from() {
    let place = trained();
    let resumed_unchanged = |arguments: &[&str]| {
        place.run(&[arguments, &["--max-steps", "1"]].concat()).succeeds();
        let resumed = place.run(&[arguments, &["--max-steps", "1", "--resume"]].concat()).succeeds();
        assert!(!resumed.stderr.contains("changed since the run was saved"), "{}", resumed.stderr);
    };
    // The classifier is kept, and one layer has a rate of its own.
    let tiny = config("tiny");
    let fixed = ["train", &tiny, "--data", "shapes", "--weights", "run/best.safetensors", "--recipe", "fine-tune"];
    resumed_unchanged(&[&fixed[..], &["--set", "training.rate_scale.layer1=0.1", "--out", "scaled"]].concat());
    // The experiment of a tuned run, changed by hand, trains from nothing.
    tune(&place, "few", "tuned", &["--epochs", "1"]).succeeds();
    let mut own = place.read_json("tuned/experiment.json");
    own["training"]["learning_rate"] = 0.02.into();
    place.write("own.json", own.to_string());
    resumed_unchanged(&["train", "own.json", "--data", "few", "--out", "own"]);
}

#[test]
fn what_fine_tuning_changes_is_said_whoever_asked_for_it() {
    let place = trained();
    let mut averaged: Value = serde_json::from_str(include_str!("../configs/tiny.json")).expect("JSON");
    averaged["training"]["average"] = "polyak".into();
    averaged["training"]["augment"] = serde_json::json!(["lighting"]);
    place.write("averaged.json", averaged.to_string());
    let tune = |out: &str, more: &[&str]| {
        let fixed = ["train", "averaged.json", "--data", "few", "--weights", "run/best.safetensors", "--epochs", "1"];
        place.run(&[&fixed[..], &["--out", out], more].concat()).succeeds().says(&["no average", "augment []"]);
    };
    tune("automatic", &[]);
    tune("named", &["--recipe", "fine-tune"]);
}

#[test]
fn the_same_classes_in_another_order_keep_their_classifier() {
    let place = trained();
    let (kind, rows) = (Dtype::F32, 12);
    let bytes = place.read("run/best.safetensors");
    let file = SafeTensors::deserialize(&bytes).expect("a safetensors file");
    let reversed: Vec<(String, Vec<usize>, Vec<u8>)> = file
        .iter()
        .map(|(name, view)| {
            let mut data = view.data().to_vec();
            if view.shape()[0] == rows && (name.starts_with("fc.") || name.starts_with("aux.")) {
                data = view.data().chunks(view.data().len() / rows).rev().flatten().copied().collect();
            }
            (name.to_string(), view.shape().to_vec(), data)
        })
        .collect();
    let views = reversed
        .iter()
        .map(|(name, shape, data)| (name.clone(), TensorView::new(kind, shape.clone(), data).expect("a tensor")));
    place.write("reversed.safetensors", serialize(views, None).expect("a file"));
    let folders = fs::read_dir(place.path("shapes/train")).expect("a folder").map(|entry| entry.expect("an entry"));
    let mut names: Vec<String> = folders.map(|it| it.file_name().into_string().expect("a name")).collect();
    names.sort_by(|one, other| other.cmp(one));
    place.write("reversed.txt", names.join("\n"));
    let weights = ["--weights", "reversed.safetensors", "--classes", "reversed.txt", "--lr", "1e-12", "--epochs", "1"];
    place.train("kept", &weights).succeeds().says(&["is for these classes, in another order: its classifier is kept"]);
    let values = |file: &str| -> Vec<f32> {
        let bytes = tensor(&place, file, "fc.weight");
        bytes.chunks_exact(4).map(|value| f32::from_le_bytes(value.try_into().expect("4 bytes"))).collect()
    };
    let pairs = values("run/best.safetensors").into_iter().zip(values("kept/best.safetensors"));
    assert!(pairs.map(|(before, after)| (before - after).abs()).fold(0.0, f32::max) < 1e-6);
}

#[test]
fn a_new_classifier_cannot_be_frozen() {
    let place = trained();
    let frozen = ["--set", r#"training.freeze=["fc"]"#];
    tune(&place, "few", "frozen", &frozen).fails_saying(&["training.freeze: fc.", "random initial values"]);
    assert!(!place.path("frozen").exists());
}

#[test]
fn the_same_classes_go_on_with_their_classifier_and_the_experiments_own_recipe() {
    let place = trained();
    let ran = tune(&place, "shapes", "further", &["--epochs", "1", "--lr", "1e-9"]).succeeds();
    ran.says(&["run/best.safetensors is for these classes: its classifier is kept"]);
    assert!(!contains(&place, "further/experiment.json", "recipes"));
    let [before, after] = ["run", "further"].map(|run| tensor(&place, &format!("{run}/best.safetensors"), "fc.weight"));
    let values = |bytes: &[u8]| -> Vec<f32> {
        bytes.chunks_exact(4).map(|value| f32::from_le_bytes(value.try_into().expect("4 bytes"))).collect()
    };
    let moved = values(&before).iter().zip(values(&after)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(moved < 1e-5, "{moved}");
}

fn contains(place: &Workplace, file: &str, word: &str) -> bool {
    String::from_utf8(place.read(file)).expect("text").contains(word)
}

#[test]
fn as_many_other_classes_do_not_keep_the_classifier() {
    let place = trained();
    for split in ["train", "val"] {
        fs::rename(place.path(&format!("shapes/{split}/star")), place.path(&format!("shapes/{split}/comet")))
            .expect("a move");
    }
    let ran = tune(&place, "shapes", "other", &["--epochs", "1", "--lr", "1e-9"]).succeeds();
    ran.says(&[
        "the 12 classes of the data are not the 12 classes of run/best.safetensors",
        "newly initialised",
        "fc.weight",
    ]);
    let [before, after] = ["run", "other"].map(|run| tensor(&place, &format!("{run}/best.safetensors"), "fc.weight"));
    assert!(before != after);
}

#[test]
fn weights_that_name_no_classes_keep_their_classifier_if_a_list_names_those_of_the_data() {
    let place = trained();
    export(&place, "run/best.safetensors", "plain.safetensors", |name| Some(name.to_string()));
    let mut names: Vec<String> = fs::read_dir(place.path("shapes/train"))
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
        .collect();
    names.sort();
    place.write("names.txt", names.join("\n"));
    place.write("few.txt", "disc\nring\nstar\n");
    let train = |out: &str, more: &[&str]| {
        let fixed = ["train", &config("tiny"), "--data", "shapes", "--weights", "plain.safetensors", "--out", out];
        place.run(&[&fixed[..], &["--epochs", "1"], more].concat())
    };
    train("fresh", &[])
        .succeeds()
        .says(&["which names none (if they are, --classes FILE keeps its classifier)", "newly initialised"]);
    let kept = train("kept", &["--classes", "names.txt"]).succeeds();
    kept.says(&["plain.safetensors is for these classes: its classifier is kept"]);
    train("wrong", &["--classes", "few.txt"])
        .fails_saying(&["the weights are for 12 classes, but the list has 3 names"]);
}

#[test]
fn a_named_recipe_takes_the_place_of_fine_tune() {
    let place = trained();
    let ran = tune(&place, "few", "own", &["--epochs", "1", "--recipe", "few-images"]).succeeds();
    assert!(!ran.stderr.contains("fine-tuning"), "{}", ran.stderr);
    let training = &place.read_json("own/experiment.json")["training"];
    assert_eq!((&training["learning_rate"], &training["warmup_epochs"]), (&0.05.into(), &1.0.into()));
}

#[test]
fn auxiliary_classifiers_without_weights_are_left_out() {
    let place = trained();
    let head = r#"{ "auxiliary": { "name": "aux", "weight": 0.3, "layers": [{ "conv": { "name": "conv", "channels": 4, "kernel": 1 } }, "global_average_pool", { "linear": { "name": "fc", "features": "classes" } }] } }"#;
    let layers = format!(
        r#"[{{ "conv": {{ "channels": 4, "kernel": 3 }} }}, {head}, {{ "conv": {{ "channels": 4, "kernel": 3 }} }}, "global_average_pool", {{ "linear": {{ "features": "classes" }} }}]"#
    );
    let experiment = format!(
        r#"{{ "name": "own", "network": {{ "input": [3, 16, 16], "classes": 12, "layers": {layers} }}, "training": {{ "learning_rate": 0.01 }} }}"#
    );
    place.write("own.json", experiment);
    place.run(&["train", "own.json", "--data", "shapes", "--out", "heads", "--epochs", "1"]).succeeds();
    export(&place, "heads/last.safetensors", "headless.safetensors", |name| {
        (!name.starts_with("aux.")).then(|| name.to_string())
    });
    export(&place, "heads/last.safetensors", "whole.safetensors", |name| Some(name.to_string()));
    let tune = |weights: &str, out: &str| {
        let fixed = ["train", "own.json", "--data", "few", "--weights", weights, "--out", out, "--epochs", "1"];
        place.run(&fixed).succeeds()
    };
    tune("headless.safetensors", "out").says(&["without the auxiliary classifiers aux", "which names none"]);
    let out = place.read("out/last.safetensors");
    let names: Vec<String> =
        SafeTensors::deserialize(&out).expect("a file").iter().map(|(name, _)| name.to_string()).collect();
    // The layers after the head are named by their position, and keep it.
    assert!(names.contains(&"2.weight".to_string()) && names.contains(&"4.weight".to_string()), "{names:?}");
    assert!(names.iter().all(|name| !name.starts_with("aux.")), "{names:?}");
    place
        .run(&["train", "own.json", "--data", "few", "--out", "out", "--epochs", "2", "--resume"])
        .succeeds()
        .says(&["resuming after 1 epoch,"]);

    tune("whole.safetensors", "with").says(&["rate_scale", "aux.fc"]);
    assert_eq!(tensor(&place, "with/last.safetensors", "aux.conv.bias").len(), 16);
}

#[test]
fn renamed_tensors_are_found_and_the_error_shows_which_renames_would_do() {
    let place = trained();
    export(&place, "run/best.safetensors", "trunk.safetensors", |name| Some(format!("trunk.{name}")));
    export(&place, "run/best.safetensors", "linear.safetensors", |name| match name.strip_prefix("fc.") {
        Some(rest) => Some(format!("linear.{rest}")),
        None => Some(name.to_string()),
    });
    let eval = |arguments: &[&str]| {
        let fixed = ["eval", &config("tiny"), "--set", "network.classes=12", "--data", "shapes", "--json", "-"];
        place.run(&[&fixed, arguments].concat())
    };
    let expected = place.run(&["eval", "run", "--data", "shapes", "--json", "-"]).succeeds();
    let loss = |ran: Ran| serde_json::from_str::<Value>(&ran.succeeds().stdout).expect("JSON")["loss"].clone();
    let expected = loss(expected);
    for (file, rename) in [("trunk", "trunk.="), ("linear", "linear=fc")] {
        let file = format!("{file}.safetensors");
        eval(&["--weights", &file]).fails_saying(&["pair up by shape", &format!("add --rename {rename}")]);
        assert_eq!(loss(eval(&["--weights", &file, "--rename", rename])), expected);
    }
    let weights = ["--weights", "linear.safetensors"];
    eval(&[&weights[..], &["--rename", "lineal=fc"]].concat())
        .fails_saying(&["cannot rename lineal=fc", "did you mean \"linear\"?"]);
    eval(&[&weights[..], &["--rename", "linear=conv2"]].concat())
        .fails_saying(&["two tensors would be called conv2.bias"]);
    place.run(&["predict", "run", "shapes/val", "--rename", "a=b"]).fails_saying(&["need no renaming"]);

    // Training takes them, too, and a file without a classifier.
    let train = |weights: &str, out: &str, arguments: &[&str]| {
        let fixed = ["train", &config("tiny"), "--data", "few", "--weights", weights, "--out", out, "--epochs", "1"];
        place.run(&[&fixed, arguments].concat())
    };
    train("linear.safetensors", "a", &[]).fails_saying(&["add --rename linear=fc"]);
    train("linear.safetensors", "b", &["--rename", "linear=fc"]).succeeds();
    export(&place, "run/best.safetensors", "cut.safetensors", |name| {
        (!name.starts_with("fc.")).then(|| name.to_string())
    });
    train("cut.safetensors", "c", &[]).succeeds().says(&["newly initialised", "fc.weight"]);
    // Self-supervised training leaves an encoder without any classifier.
    export(&place, "run/best.safetensors", "encoder.safetensors", |name| {
        (!name.starts_with("fc.") && !name.starts_with("aux.")).then(|| format!("encoder.{name}"))
    });
    train("encoder.safetensors", "d", &[]).fails_saying(&["add --rename encoder.="]);
    train("encoder.safetensors", "d", &["--rename", "encoder.="]).succeeds();
}

#[test]
fn a_part_of_a_shallower_network_is_taken_by_request() {
    let place = trained();
    let deeper = |weights: &[&str]| {
        // One block more in the first stage, and a wider classifier's input elsewhere.
        let blocks = "network.layers[2].residual_stage.blocks=2";
        let fixed = ["train", &config("tiny"), "--data", "shapes", "--out", "deep", "--epochs", "1", "--set", blocks];
        place.run(&[&fixed, weights].concat())
    };
    deeper(&["--weights", "run/best.safetensors"]).fails_saying(&["missing     layer1.1.conv1.weight"]);
    deeper(&["--weights", "run/best.safetensors", "--partial"])
        .succeeds()
        .says(&["taken: conv1.conv, conv1.bn, layer1.0.conv1", "newly initialised: layer1.1.conv1.weight"]);
    assert!(!contains(&place, "deep/experiment.json", "fine-tune"), "the experiment's own recipe");
    let others = ["train", &config("tiny"), "--data", "few", "--weights", "run/best.safetensors", "--partial"];
    let ran = place.run(&[&others[..], &["--out", "others", "--epochs", "1"]].concat()).succeeds();
    assert!(!ran.stderr.contains("have another name or shape"), "{}", ran.stderr);
    let none = ["train", "nin", "--data", "shapes", "--weights", "run/best.safetensors", "--partial", "--out", "none"];
    place.run(&none).fails_saying(&["none of its", "tensors can be taken", "rename them"]);
    place.run(&["train", "nin", "--data", "shapes", "--partial"]).fails_saying(&["--weights"]);
}
