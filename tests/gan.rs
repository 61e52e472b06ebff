//! A generator against a discriminator, through the program itself.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::Workplace;
use image::{Rgb, RgbImage};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use safetensors::SafeTensors;
use serde_json::{Value, json};
use tch::{Device, Kind, Tensor};
use topfive::adversarial::pixels::as_seen;
use topfive::experiment::{Change, Experiment, Gan, builtin};
use topfive::network::{Mode, Network, init};

/// A small experiment: colour images of 8x8.
fn tiny() -> Value {
    let up =
        |channels: i64| json!({ "conv_transpose": { "channels": channels, "kernel": 4, "stride": 2, "padding": 1 } });
    let down = |channels: i64| json!({ "conv": { "channels": channels, "kernel": 4, "stride": 2, "padding": 1 } });
    json!({
        "name": "tiny-gan",
        "latent": { "size": 4 },
        "generator": { "layers": [
            { "conv_transpose": { "channels": 8, "kernel": 2, "bias": false } }, { "batch_norm": {} }, "relu",
            up(8), { "batch_norm": {} }, "relu", up(3), "tanh"
        ] },
        "discriminator": { "layers": [
            down(4), { "leaky_relu": 0.2 }, { "dropout": 0.1 }, down(8), { "leaky_relu": 0.2 },
            { "conv": { "channels": 1, "kernel": 2 } }, "flatten"
        ] },
        "training": { "epochs": 2, "batch_size": 8, "learning_rate": 0.002 }
    })
}

fn place(train: usize) -> Workplace {
    let place = Workplace::with_shapes(train, 1);
    place.write("tiny.json", tiny().to_string());
    place
}

fn arguments<'a>(out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let fixed = ["train", "tiny.json", "--data", "shapes", "--threads", "1", "--workers", "1", "--device", "cpu"];
    [&fixed[..], &["--out", out], more].concat()
}

fn log(place: &Workplace, run: &str) -> Vec<Value> {
    let text = String::from_utf8(place.read(&format!("{run}/log.jsonl"))).expect("text");
    text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

fn refusal(change: impl FnOnce(&mut Value)) -> String {
    let mut experiment = tiny();
    change(&mut experiment);
    format!("{:#}", Gan::from_value(experiment, &[]).expect_err("an experiment that does not work"))
}

#[track_caller]
fn refuses(change: impl FnOnce(&mut Value), words: &[&str]) {
    let error = refusal(change);
    for word in words {
        assert!(error.contains(word), "no '{word}' in: {error}");
    }
}

#[test]
fn every_built_in_generator_makes_images_that_its_discriminator_judges_and_both_reach_all_their_parameters() {
    assert_eq!(builtin::gans().collect::<Vec<_>>(), ["dcgan-64", "dcgan-cifar10", "dcgan-mnist", "gan-mnist"]);
    for name in builtin::gans() {
        let gan = Gan::load(name.as_ref(), &[]).expect("an experiment that works");
        assert_eq!(gan.name, name);
        let [generator, discriminator] = gan.parts().map(|(part, described, nodes)| {
            let tensors = init::tensors(nodes, &described.start, 0, Device::Cpu).expect("tensors");
            let network = Network::for_training(nodes.to_vec(), tensors, Device::Cpu).expect("a network");
            let count: i64 = network.trainable().map(|(_, tensor)| tensor.numel() as i64).sum();
            assert_eq!(described.parameters, Some(count), "{name}: {part}");
            network
        });
        let latents = Tensor::ones([2, gan.latent.size, 1, 1], (Kind::Float, Device::Cpu));
        let images = generator.forward(&latents, Mode::Training).expect("images").values;
        assert_eq!(images.size(), [&[2], gan.image().as_slice()].concat(), "{name}");
        let judged = discriminator.forward(&images, Mode::Training).expect("a judgement").values;
        assert_eq!(judged.size(), [2, 1], "{name}");
        judged.sum(Kind::Float).backward();
        for (parameter, tensor) in generator.trainable().chain(discriminator.trainable()) {
            assert!(tensor.grad().defined(), "{name}: {} has no gradient", parameter.name);
        }
    }
}

#[test]
fn summary_lists_generators_with_their_discriminators_and_shows_the_layers_of_both() {
    let place = Workplace::new();
    let all = place.run(&["summary"]).succeeds().stdout;
    assert!(all.contains(" dcgan-mnist ") && all.contains(" resnet34 "), "{all}");
    let shown = place.run(&["summary", "dcgan-mnist", "--json", "summary.json"]).succeeds().stdout;
    for word in ["conv_transpose", "leaky_relu", "837,504 parameters", "431,872 parameters", "images of 1x28x28"] {
        assert!(shown.contains(word), "no {word} in {shown}");
    }
    let fixture: Value = serde_json::from_str(include_str!("fixtures/gan/steps.json")).expect("JSON");
    let (expected, found) = (&fixture["dcgan-mnist"], place.read_json("summary.json"));
    let parts = ["generator", "discriminator"].map(|part| &found[part]);
    assert_eq!(json!(parts.map(|part| &part["parameters"])), expected["parameters"]);
    let multiply_adds: i64 = parts.iter().filter_map(|part| part["multiply_adds"].as_i64()).sum();
    assert_eq!(json!(multiply_adds), expected["multiply_adds"]);
}

#[test]
fn unknown_keys_and_what_cannot_work_are_refused_with_their_path_and_a_near_name() {
    refuses(|it| it["latent"]["sise"] = 3.into(), &["latent", "sise", "did you mean `size`?"]);
    refuses(|it| it["training"]["mix"] = "mixup".into(), &["training", "unknown field `mix`"]);
    refuses(|it| it["training"]["loss"] = "hindge".into(), &["training.loss", "did you mean `hinge`?"]);
    refuses(
        |it| it["generator"]["layers"][0] = json!({ "convtranspose": {} }),
        &["generator.layers[0]", "`conv_transpose`?"],
    );
    refuses(|it| it["generator"]["layers"][7] = "sigmoid".into(), &["preprocess.range", "expected [0.0, 1.0]"]);
    refuses(
        |it| it["generator"]["layers"][6]["conv_transpose"]["channels"] = 2.into(),
        &["generator.layers", "1 or 3 channels", "2x8x8"],
    );
    refuses(
        |it| it["discriminator"]["layers"][6] = "sigmoid".into(),
        &["discriminator.layers[6].sigmoid", "leave it out"],
    );
    refuses(
        |it| drop(it["discriminator"]["layers"].as_array_mut().expect("a list").pop()),
        &["discriminator.layers", "one value", "1x1x1"],
    );
    refuses(
        |it| it["discriminator"]["layers"][0]["conv"]["kernel"] = 11.into(),
        &["discriminator.layers[0].conv", "11x11"],
    );
    refuses(
        |it| it["training"] = json!({ "loss": "hinge", "label_smoothing": 0.1 }),
        &["training.label_smoothing", "cannot act"],
    );
    refuses(|it| it["training"] = json!({ "schedule": { "plateau": {} } }), &["training.schedule", "classifier"]);
    refuses(
        |it| it["generator"]["layers"][2] = json!({ "reshape": [1, 2, 3] }),
        &["generator.layers[2].reshape", "32", "1x2x3"],
    );
    refuses(
        |it| it["generator"]["layers"][2] = json!({ "maxout": 3 }),
        &["generator.layers[2].maxout", "divisor", "8"],
    );
}

#[test]
fn a_change_withdraws_the_claims_and_the_number_of_classes_follows_the_images() {
    let load = |change: &str| Gan::load("dcgan-mnist".as_ref(), &[Change::Set(change.to_string())]).expect("it works");
    assert!(load("training.epochs=3").parts().iter().all(|(_, part, _)| part.parameters.is_some()));
    let mut gan = load("conditional=true");
    assert!(gan.parts().iter().all(|(_, part, _)| part.parameters.is_none()));
    let channels = |gan: &Gan| [gan.generator(), gan.discriminator()].map(|nodes| nodes[0].input.channels());
    assert_eq!(channels(&gan), [110, 11]);
    gan.set_classes(4).expect("four classes");
    assert_eq!(channels(&gan), [104, 5]);
}

#[test]
fn a_run_leaves_pictures_curves_and_a_checkpoint_of_both_networks_that_generate_makes_images_with() {
    let place = place(6);
    let average = r#"training.average={"ema":{"decay":0.9}}"#;
    let ran = place.run(&arguments("run", &["--set", average])).succeeds();
    assert!(ran.stdout.contains("run/samples/epoch-0002.png"), "{}", ran.stdout);
    let sample = image::open(place.path("run/samples/epoch-0001.png")).expect("a picture");
    // Eight rows of tiles of 56 pixels, two pixels apart.
    assert_eq!((sample.width(), sample.height()), (466, 466));
    assert!(String::from_utf8(place.read("run/curves.svg")).expect("text").contains("what the discriminator outputs"));
    let page = String::from_utf8(place.read("run/report.html")).expect("text");
    assert_eq!(page.matches("data:image/png;base64,").count(), 2, "a picture per epoch");
    let epochs: Vec<Value> = log(&place, "run").into_iter().filter(|line| line["kind"] == "epoch").collect();
    assert_eq!(epochs.len(), 2);
    for key in ["discriminator_loss", "generator_loss", "real", "made", "variety"] {
        assert!(epochs[1][key].as_f64().is_some_and(f64::is_finite), "{key}");
    }
    let bytes = place.read("run/last.safetensors");
    let file = SafeTensors::deserialize(&bytes).expect("a safetensors file");
    let mut names = file.names();
    names.sort_unstable();
    assert!(names.contains(&"generator.0.weight") && names.contains(&"discriminator.0.weight"), "{names:?}");
    assert!(names.iter().all(|name| name.starts_with("generator.") || name.starts_with("discriminator.")));

    place.run(&["generate", "run", "--count", "5", "--out", "made", "--seed", "3", "--device", "cpu"]).succeeds();
    fs::copy(place.path("run/average.safetensors"), place.path("model.safetensors")).expect("a copy");
    place
        .run(&["generate", "model.safetensors", "--count", "9", "--out", "more", "--seed", "3", "--device", "cpu"])
        .succeeds();
    for number in 0..5 {
        let of = |folder: &str| place.read(&format!("{folder}/{number:05}.png"));
        assert!(of("made") == of("more"), "an image depends on its seed and its number alone");
    }
    assert!(place.read("made/00000.png") != place.read("made/00001.png"));
    place
        .run(&["generate", "run", "--count", "6", "--interpolate", "3", "--out", "walk.png", "--device", "cpu"])
        .succeeds();
    assert_eq!(image::open(place.path("walk.png")).expect("a picture").width(), 3 * 58 + 2);
    let near = ["generate", "run", "--count", "2", "--nearest", "shapes", "--out", "near.png", "--json", "near.json"];
    place.run(&near).succeeds();
    let near = place.read_json("near.json");
    let distance = near["nearest"][1]["distance"].as_f64().expect("a distance");
    assert!(near["nearest"][1]["path"].as_str().is_some_and(|path| path.contains("shapes/train/")), "{near}");
    assert!(distance > 0.0 && distance < 1.0, "{distance}");

    place.run(&["generate", "run", "--out", "made"]).fails_saying(&["--out", "not empty"]);
    place
        .run(&["generate", "run", "--out", "grid.jpg"])
        .fails_saying(&["--out grid.jpg", "pictures are written as .png"]);
    place
        .run(&["generate", "run", "--class", "disc", "--out", "a.png"])
        .fails_saying(&["--class disc", "conditional=true"]);
    place
        .run(&["eval", "run", "--data", "shapes"])
        .fails_saying(&["the two-sample test needs 20 images or more of each kind"]);
    place.run(&["eval", "run", "--data", "shapes", "--views", "ten-crop"]).fails_saying(&["--views"]);
    assert!(place.run(&["summary", "run"]).succeeds().stdout.contains("tiny-gan"));
}

/// The tensors of a checkpoint.
fn tensors(place: &Workplace, file: &str) -> BTreeMap<String, Vec<u8>> {
    let bytes = place.read(file);
    let file = SafeTensors::deserialize(&bytes).expect("a safetensors file");
    file.tensors().into_iter().map(|(name, tensor)| (name, tensor.data().to_vec())).collect()
}

#[test]
fn the_best_generator_is_that_of_the_epoch_whose_images_are_closest_to_held_out_ones_and_generate_takes_it() {
    let place = Workplace::with_shapes(6, 3);
    place.write("tiny.json", tiny().to_string());
    place.train("classifier", &["--epochs", "1"]).succeeds();
    for (run, features) in [("untrained", &[][..]), ("trained", &["--features", "classifier"])] {
        let lr = ["--lr", "0.02"];
        let said = place.run(&arguments(run, &[&["--epochs", "5"], &lr[..], features].concat())).succeeds();
        said.says(&["shortest Fréchet distance from 36 held-out images", "best  ("]);
        let epochs: Vec<Value> = log(&place, run).into_iter().filter(|line| line["kind"] == "epoch").collect();
        let distances: Vec<f64> = epochs.iter().map(|line| line["frechet_distance"].as_f64().expect("one")).collect();
        let shortest = distances.iter().copied().fold(f64::INFINITY, f64::min);
        let best = distances.iter().position(|distance| *distance == shortest).expect("the shortest") + 1;
        assert_eq!(epochs.iter().rposition(|line| line["best"] == true), Some(best - 1), "{distances:?}");

        let shorter = format!("{run}-shorter");
        place.run(&arguments(&shorter, &[&["--epochs", &best.to_string()], &lr[..], features].concat())).succeeds();
        let [best, last] = [format!("{run}/best"), format!("{shorter}/last")];
        let [found, expected] = [&best, &last].map(|file| tensors(&place, &format!("{file}.safetensors")));
        assert!(found == expected, "{run}: the networks after the best epoch");
        let made = place.run(&["generate", run, "--count", "4", "--out", &format!("{run}.png"), "--device", "cpu"]);
        assert!(made.succeeds().stdout.contains(&format!("{best}.safetensors")));
        let page = String::from_utf8(place.read(&format!("{run}/report.html"))).expect("text");
        assert!(page.contains("are closest to real ones"));
    }
    let resumed = |more: &[&str]| place.run(&arguments("trained", &[&["--resume", "--epochs", "6"], more].concat()));
    resumed(&[]).fails_saying(&["trained: its best generator was chosen by other features", "restore --features"]);
    resumed(&["--features", "resnet18"]).fails_saying(&["--features", "expected a trained classifier"]);
    resumed(&["--features", "classifier"]).succeeds();
    place
        .train("run", &["--features", "classifier"])
        .fails_saying(&["--features is for generators alone", "is a classifier; leave it out"]);
}

#[test]
fn without_held_out_images_the_best_generator_is_chosen_by_training_images_and_that_is_said() {
    let place = place(4);
    fs::remove_dir_all(place.path("shapes/val")).expect("a folder");
    let ran = place.run(&arguments("run", &["--epochs", "1"])).succeeds();
    ran.says(&["48 training (there are no held-out ones) images"]);
    assert!(place.path("run/best.safetensors").is_file());
    let evaluated = place.run(&["eval", "run", "--data", "shapes", "--device", "cpu", "--threads", "1"]).succeeds();
    evaluated.says(&["compared with those in shapes/train", "an exact copy would look perfect"]);
}

/// Expected by Pillow's `convert("L")`.
#[test]
fn generators_of_grey_images_are_compared_with_grey_images() {
    let colours = [[255, 0, 0], [0, 255, 0], [0, 0, 255], [200, 100, 50], [77, 77, 77]];
    let colours = RgbImage::from_fn(5, 1, |x, _| Rgb(colours[x as usize]));
    let grey: Vec<u8> = as_seen(colours.clone(), 1).pixels().map(|pixel| pixel.0[2]).collect();
    assert_eq!(grey, [76, 150, 29, 124, 77]);
    assert_eq!(as_seen(colours.clone(), 3), colours);
}

#[test]
fn networks_that_are_given_classes_make_images_of_one() {
    let place = place(4);
    place.run(&arguments("run", &["--set", "conditional=true", "--epochs", "1"])).succeeds();
    assert_eq!(place.read_json("run/experiment.json")["classes"], 12);
    place.run(&["generate", "run", "--class", "ring", "--count", "2", "--out", "rings"]).succeeds();
    place.run(&["generate", "run", "--count", "13", "--out", "all"]).succeeds();
    assert!(place.path("rings/ring/00001.png").is_file());
    let classes = fs::read_dir(place.path("all")).expect("a folder").count();
    assert_eq!(classes, 12);
    place.run(&["generate", "run", "--class", "rink", "--out", "a.png"]).fails_saying(&["did you mean \"ring\"?"]);
}

#[test]
fn what_belongs_to_classifiers_is_refused_with_a_sentence() {
    let place = place(2);
    let refused = |more: &[&str], words: &[&str]| drop(place.run(&arguments("run", more)).fails_saying(words));
    refused(&["--find-rate"], &["--find-rate is for classifiers alone", "tiny.json"]);
    refused(&["--weights", "a.safetensors"], &["--weights is for classifiers alone"]);
    refused(&["--val-fraction", "0.1"], &["--val-fraction is for classifiers alone"]);
    refused(&["--input", "32"], &["--input", "the generator's layers"]);
    refused(&["--set", "training.label_smoothing=0.9"], &["training.label_smoothing", "found 0.9"]);
    assert!(!place.path("run").exists());
    let error = Experiment::load("dcgan-mnist".as_ref(), &[]).expect_err("a classifier is expected");
    assert!(format!("{error:#}").contains("describes a generator and a discriminator"));
    place.train("run", &["--epochs", "1"]).succeeds();
    place.run(&["generate", "run", "--out", "a.png"]).fails_saying(&["contains a classifier"]);
}

#[test]
fn made_images_that_are_all_alike_are_noticed_with_what_to_do() {
    let place = place(2);
    // A last layer of tiny weights makes everything grey.
    let start = r#"generator.start={"weights":{"normal":0.000001}}"#;
    let ran = place.run(&arguments("run", &["--set", start, "--lr", "0.0000001", "--epochs", "1"])).succeeds();
    ran.says(&["warning: the made images are nearly all the same", "the generator has collapsed", "training.loss"]);
}

#[test]
fn a_discriminator_that_is_never_wrong_is_noticed_with_what_to_do() {
    let place = place(4);
    let settings = ["--set", "training.discriminator_steps=1000", "--lr", "0.01", "--epochs", "30"];
    place
        .run(&arguments("run", &settings))
        .succeeds()
        .says(&["warning: the discriminator is hardly ever wrong", "training.label_smoothing"]);
}

#[test]
fn a_run_with_other_networks_or_images_is_not_resumed() {
    let place = place(4);
    place.run(&arguments("run", &["--epochs", "1"])).succeeds();
    place.run(&arguments("run", &[])).fails_saying(&["already contains a run", "--resume"]);
    let resumed = |more: &[&str]| place.run(&arguments("run", &[&["--resume"], more].concat()));
    resumed(&["--set", "latent.size=5"]).fails_saying(&["latent.size: 4 then, 5 now"]);
    resumed(&["--set", "training.optimizer=sgd"]).fails_saying(&["training.optimizer"]);
    fs::remove_file(place.path("shapes/train/ring/ring-0001.jpg")).expect("a file");
    resumed(&["--epochs", "2"]).fails_saying(&["the training images are not the ones"]);
}

/// The log without what depends on time, and without the places where it was resumed.
fn timeless_log(place: &Workplace, run: &str) -> Vec<Value> {
    let mut lines = log(place, run);
    lines.retain(|line| line["kind"] != "resume");
    for line in &mut lines {
        let fields = line.as_object_mut().expect("an object");
        ["images_per_second", "waiting_percent", "seconds"].iter().for_each(|key| drop(fields.remove(*key)));
    }
    lines
}

/// Time only chooses the moments: nothing here expects anything of it.
#[cfg(unix)]
#[test]
fn runs_that_are_killed_or_interrupted_are_resumed_to_the_same_weights_pictures_and_log() {
    let place = place(10);
    let experiments: [&[&str]; 2] = [
        &["--set", r#"training.average={"ema":{"decay":0.9}}"#, "--set", "training.label_smoothing=0.1"],
        &["--set", "conditional=true", "--set", "training.loss=wasserstein", "--set", "training.discriminator_steps=2"],
    ];
    let mut random = ChaCha8Rng::seed_from_u64(4);
    for (number, experiment) in experiments.into_iter().enumerate() {
        let settings = [&["--epochs", "3", "--save-every", "7"], experiment].concat();
        let whole = format!("whole-{number}");
        let begun = Instant::now();
        place.run(&arguments(&whole, &settings)).succeeds();
        let mut longest = begun.elapsed();
        let parts = format!("parts-{number}");
        for round in 0.. {
            let is_saved = place.path(&format!("{parts}/last.safetensors")).exists();
            let resume: &[&str] = if is_saved { &["--resume"] } else { &[] };
            let mut command = place.command(&arguments(&parts, &[&settings, resume].concat()));
            let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program runs");
            std::thread::sleep(longest.mul_f64(random.random::<f64>()).max(Duration::from_millis(1)));
            let signal = if round % 2 == 0 { "-KILL" } else { "-TERM" };
            if round < 8 {
                // It fails if the program has ended.
                let mut kill = std::process::Command::new("kill");
                let _ = kill.args([signal, &child.id().to_string()]).stderr(Stdio::null()).status();
            }
            if child.wait().expect("an end").success() {
                break;
            }
            longest = longest.mul_f64(1.1);
        }
        let mut files = vec!["last.safetensors", "experiment.json"];
        files.extend(["samples/epoch-0001.png", "samples/epoch-0002.png", "samples/epoch-0003.png"]);
        files.extend((number == 0).then_some("average.safetensors"));
        for file in files {
            let [whole, parts] = [&whole, &parts].map(|run| place.read(&format!("{run}/{file}")));
            assert!(whole == parts, "{file} of {number}");
        }
        assert_eq!(timeless_log(&place, &whole), timeless_log(&place, &parts));
    }
}
