//! Several processes train a generator and a discriminator as one process with larger batches does. They are started as
//! launchers start them: by the variables of the environment.
#![cfg(unix)]

mod common;

use common::Workplace;
use common::launch::{ends, run, slurm, start, torchrun};
use safetensors::SafeTensors;
use serde_json::{Value, json};

/// A small experiment without batch norms or dropout: every process sees its images as one process would.
fn plain() -> Value {
    json!({
        "name": "plain",
        "latent": { "size": 4 },
        "generator": { "layers": [
            { "conv_transpose": { "name": "a", "channels": 8, "kernel": 4 } }, "relu",
            { "conv_transpose": { "name": "b", "channels": 3, "kernel": 4, "stride": 2, "padding": 1 } }, "tanh"
        ] },
        "discriminator": { "layers": [
            { "conv": { "name": "a", "channels": 8, "kernel": 4, "stride": 2, "padding": 1 } }, { "leaky_relu": 0.2 },
            { "conv": { "name": "b", "channels": 1, "kernel": 4 } }, "flatten"
        ] },
        // Large enough that updates do not depend on the rounding of small gradients.
        "training": {
            "epochs": 2, "batch_size": 24, "learning_rate": 0.01,
            "optimizer": { "adamw": { "betas": [0.5, 0.999], "epsilon": 0.001 } }
        }
    })
}

/// The same with batch norms in both networks, before which a bias would only follow the rounding of its gradient.
fn normed() -> Value {
    let mut experiment = plain();
    for (part, layer) in [("generator", "conv_transpose"), ("discriminator", "conv")] {
        let layers = &mut experiment[part]["layers"];
        layers[0][layer]["bias"] = json!(false);
        layers.as_array_mut().expect("layers").insert(1, json!({ "batch_norm": { "name": "n" } }));
    }
    experiment["training"]["sync_batch_norm"] = json!(true);
    experiment
}

/// 17 images of each of 12 classes: neither steps nor shares are even.
fn place(experiment: &Value) -> Workplace {
    let place = Workplace::with_shapes(17, 1);
    place.write("gan.json", experiment.to_string());
    place
}

fn train<'a>(out: &'a str, others: &[&'a str]) -> Vec<&'a str> {
    let fixed = ["train", "gan.json", "--data", "shapes", "--device", "cpu", "--threads", "1", "--workers", "1"];
    [&fixed[..], &["--out", out], others].concat()
}

#[track_caller]
fn assert_near(place: &Workplace, file: &str, run: &str, other: &str) {
    let [run, other] = [run, other].map(|run| place.read(&format!("{run}/{file}")));
    let [run, other] = [&run, &other].map(|bytes| SafeTensors::deserialize(bytes).expect("a safetensors file"));
    let values = |data: &[u8]| -> Vec<f32> {
        data.chunks(4).map(|four| f32::from_le_bytes(four.try_into().expect("four"))).collect()
    };
    assert!(run.len() >= 8 && run.len() == other.len());
    for (name, tensor) in run.tensors() {
        let expected = other.tensor(&name).expect("the same names");
        for (found, expected) in values(tensor.data()).into_iter().zip(values(expected.data())) {
            assert!((found - expected).abs() <= 1e-5, "{name}: {found}, expected {expected}");
        }
    }
}

#[test]
fn processes_learn_what_one_with_larger_batches_learns_whatever_the_loss() {
    let place = place(&plain());
    let averaged = ["--set", r#"training.average={"ema":{"decay":0.9}}"#, "--set", "conditional=true"];
    let critic = ["--set", "training.loss=wasserstein", "--set", "training.discriminator_steps=2"];
    for (name, sets) in [("averaged", &averaged), ("critic", &critic)] {
        place.run(&train(name, sets)).succeeds();
        for (variables, count, batch_size) in [(torchrun as common::launch::Variables, 2, "12"), (slurm, 3, "8")] {
            let out = format!("{name}-{count}");
            let arguments = train(&out, &[&sets[..], &["--batch-size", batch_size]].concat());
            let ran = run(&place, variables, count, &arguments);
            ran.says(&[&format!("{count} processes with up to {batch_size} images each"), "epoch 2/2", "Fréchet"]);
            assert_near(&place, "last.safetensors", &out, name);
            if name == "averaged" {
                assert_near(&place, "average.safetensors", &out, name);
            }
        }
    }
}

#[test]
fn batch_norms_over_all_processes_are_those_of_one_with_larger_batches() {
    let place = place(&normed());
    place.run(&train("one", &[])).succeeds();
    run(&place, torchrun, 2, &train("two", &["--batch-size", "12"]));
    assert_near(&place, "last.safetensors", "two", "one");
}

#[test]
fn a_step_in_which_a_process_has_no_images_is_left_out_by_all() {
    let place = Workplace::with_shapes(2, 1);
    place.write("gan.json", plain().to_string());
    place.write("shapes/train/ring/ring-0001.jpg", "no image");
    let ended = ends(start(&place, torchrun, 2, &train("two", &["--batch-size", "1", "--epochs", "1"])));
    assert_eq!((ended[0].status, ended[1].status), (0, 0), "{}{}", ended[0].stderr, ended[1].stderr);
    assert_eq!(ended[0].stderr.matches("ring-0001.jpg").count(), 1, "{}", ended[0].stderr);
}

#[test]
fn a_run_of_several_processes_is_resumed_to_the_weights_of_one_that_was_never_interrupted() {
    let place = place(&plain());
    place.run(&train("whole", &["--epochs", "3"])).succeeds();
    run(&place, torchrun, 2, &train("parts", &["--batch-size", "12", "--epochs", "1"]));
    run(&place, torchrun, 2, &train("parts", &["--batch-size", "12", "--epochs", "3", "--resume"]));
    assert_near(&place, "last.safetensors", "parts", "whole");
}

#[test]
fn what_cannot_act_among_processes_is_refused() {
    let place = place(&plain());
    place
        .run(&train("run", &["--set", "training.sync_batch_norm=true"]))
        .fails_saying(&["training.sync_batch_norm: true cannot act", "neither network has a batch norm"]);
    place.write("gan.json", normed().to_string());
    place
        .run(&train("run", &["--set", "training.loss=wasserstein"]))
        .fails_saying(&["training.sync_batch_norm: cannot act with the loss wasserstein"]);
}
