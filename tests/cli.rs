//! The command line: results, and the errors that a user meets.

mod common;

use std::fs;
use std::process::Command;

use common::{Ran, Workplace, config};
use serde_json::Value;

/// A workplace with a data set and a model trained on it for a moment.
fn trained() -> Workplace {
    let place = Workplace::with_shapes(4, 2);
    place.train("run", &["--set", "training.epochs=1"]).succeeds();
    place
}

/// Runs a script of bash in which `$topfive` is the program.
#[cfg(unix)]
fn bash(place: &Workplace, script: &str) -> Ran {
    let program = env!("CARGO_BIN_EXE_topfive");
    let mut bash = Command::new("bash");
    bash.args(["-c", script]).env("topfive", program).current_dir(place.path(""));
    Ran::of(bash.output().expect("bash runs"))
}

#[test]
fn help_names_all_commands_and_every_option_explains_itself() {
    let place = Workplace::new();
    let help = place.run(&["--help"]).succeeds().stdout;
    for command in ["train", "eval", "predict", "generate", "summary", "shapes", "doctor", "completions"] {
        assert!(help.contains(command), "{help}");
        let own = place.run(&[command, "--help"]).succeeds().stdout;
        let options: Vec<&str> = own.lines().filter(|line| line.trim_start().starts_with("--")).collect();
        assert!(command == "completions" || !options.is_empty(), "{own}");
        for line in options {
            assert!(line.trim().contains("  ") || own.contains(&format!("{line}\n          ")), "unexplained: {line}");
        }
    }
    assert_eq!(place.run(&["trian"]).status, 2);
}

#[test]
fn doctor_names_libtorch_and_the_devices() {
    let place = Workplace::new();
    let text = place.run(&["doctor"]).succeeds().stdout;
    for word in ["libtorch   2.11.0", "libtorch_cpu", "cores", "CUDA"] {
        assert!(text.contains(word), "no '{word}' in {text}");
    }
    let json: Value = serde_json::from_str(&place.run(&["doctor", "--json", "-"]).succeeds().stdout).expect("JSON");
    assert_eq!(json["libtorch"], "2.11.0");
}

#[test]
fn shapes_draws_jpeg_files_the_same_for_the_same_seed() {
    let place = Workplace::new();
    for (dir, seed) in [("a", "1"), ("b", "1"), ("c", "2")] {
        place.run(&["shapes", dir, "--train", "2", "--val", "1", "--seed", seed, "--size", "32"]).succeeds();
    }
    let star = |dir: &str| place.read(&format!("{dir}/train/star/star-0001.jpg"));
    assert!(star("a") == star("b") && star("a") != star("c"));
    assert_eq!(star("a")[..3], [0xFF, 0xD8, 0xFF]);
    place.run(&["shapes", "a"]).fails_saying(&["a", "not empty"]);
}

#[test]
fn missing_and_empty_data_folders_show_the_tree_that_was_expected() {
    let place = Workplace::new();
    let train = |data: &str| place.run(&["train", &config("tiny"), "--data", data, "--out", "run"]);
    train("nowhere").fails_saying(&["nowhere", "train/cat/1.jpg", "val/dog/4.jpg", "topfive shapes"]);
    fs::create_dir_all(place.path("empty/train")).expect("a folder");
    fs::create_dir_all(place.path("empty/val")).expect("a folder");
    train("empty").fails_saying(&["empty/train", "no class folders", "cat/1.jpg"]);
    fs::create_dir_all(place.path("empty/train/cat")).expect("a folder");
    train("empty").fails_saying(&["empty/train/cat", "no images"]);
    assert!(!place.path("run").exists());
}

#[test]
fn predict_prints_text_json_lines_and_csv() {
    let place = trained();
    let image = "shapes/val/star/star-0001.jpg";
    let text = place.run(&["predict", "run", image, "--top", "2"]).succeeds().stdout;
    assert_eq!((text.lines().count(), text.matches(" %  ").count()), (3, 2), "{text}");
    let json: Value =
        serde_json::from_str(&place.run(&["predict", "run", image, "--json", "-"]).succeeds().stdout).expect("JSON");
    let predictions = json["predictions"].as_array().expect("predictions");
    let probabilities: Vec<f64> = predictions.iter().filter_map(|guess| guess["probability"].as_f64()).collect();
    assert_eq!(probabilities.len(), 5);
    assert!(probabilities.is_sorted_by(|a, b| a >= b) && probabilities.iter().sum::<f64>() <= 1.0 + 1e-6);
    let csv = place.run(&["predict", "run", image, "--format", "csv", "--top", "1"]).succeeds().stdout;
    assert!(csv.starts_with("path,rank,class,name,probability,error,views\nshapes/val/star/star-0001.jpg,1,"), "{csv}");
}

#[test]
fn bad_images_are_reported_and_the_rest_are_classified() {
    let place = trained();
    let whole = place.read("shapes/val/star/star-0001.jpg");
    place.write("new/a-cut.jpg", &whole[..whole.len() - 100]);
    place.write("new/b-empty.jpg", "");
    place.write("new/c-text.jpg", "not an image");
    place.write("new/d-good.jpg", &whole);
    let ran = place.run(&["predict", "run", "new", "missing.jpg", "--format", "jsonl"]);
    assert_eq!(ran.status, 1);
    let lines: Vec<Value> = ran.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let names: Vec<bool> = lines.iter().map(|line| line["error"].is_string()).collect();
    assert_eq!(names, [true, true, true, false, true]);
    ran.says(&[
        "new/a-cut.jpg",
        "truncated",
        "new/b-empty.jpg",
        "0 bytes",
        "new/c-text.jpg",
        "not an image",
        "missing.jpg",
    ]);
}

#[test]
fn a_typo_in_a_config_is_refused_with_its_path_and_the_nearest_word() {
    let place = Workplace::with_shapes(1, 1);
    let with = |change: &str| place.train("run", &["--set", change]);
    with("training.epoch=5").fails_saying(&["training", "epoch", "did you mean `epochs`?"]);
    with("training.epochs=many").fails_saying(&["training.epochs", "many"]);
    with("training.learning_rate=-1").fails_saying(&["training.learning_rate", "found -1"]);
    with("training.schedule=cosin").fails_saying(&["did you mean `cosine`?"]);
    with("evaluation.views=eleven-crop").fails_saying(&[
        "evaluation.views",
        "eleven-crop",
        "ten-crop",
        "googlenet-144",
    ]);
    with("network.layers[99]=relu").fails_saying(&["network.layers", "99"]);
    with("nothing").fails_saying(&["cannot set nothing", "expected KEY=VALUE"]);
    let broken = place.write("broken.json", "{ \"name\": ");
    place.run(&["summary", broken.to_str().expect("text")]).fails_saying(&["broken.json", "line 1"]);
    assert!(!place.path("run").exists());
}

#[test]
fn files_that_are_not_checkpoints_of_this_network_are_refused() {
    let place = trained();
    let whole = place.read("run/best.safetensors");
    let eval = |model: &str| place.run(&["eval", model, "--data", "shapes"]);
    place.write("cut.safetensors", &whole[..whole.len() / 2]);
    eval("cut.safetensors").fails_saying(&["cut.safetensors", "truncated"]);
    place.write("photo.safetensors", place.read("shapes/val/star/star-0001.jpg"));
    eval("photo.safetensors").fails_saying(&["photo.safetensors: not a weights file"]);
    place.write("zero.safetensors", "");
    eval("zero.safetensors").fails_saying(&["zero.safetensors", "0 bytes"]);
    eval("nowhere.safetensors").fails_saying(&["nowhere.safetensors", "expected a checkpoint"]);
    place.run(&["summary", "nowhere.json"]).fails_saying(&["nowhere.json", "expected a checkpoint"]);
    eval("shapes").fails_saying(&["shapes", "best.safetensors"]);
    eval(&config("tiny")).fails_saying(&["no published weights", "--weights"]);
    let other = ["eval", &config("resnet34"), "--weights", "run/best.safetensors", "--data", "shapes"];
    place.run(&other).fails_saying(&[
        "not the weights of this network",
        "missing",
        "layer1.2.conv1.weight",
        "unexpected",
        "features.0.weight",
    ]);
}

#[test]
fn a_config_with_the_weights_of_a_checkpoint_evaluates_as_the_checkpoint() {
    let place = trained();
    let result = |arguments: &[&str]| {
        let ran = place.run(&[&["eval", "--data", "shapes", "--json", "-"], arguments].concat()).succeeds();
        let json: Value = serde_json::from_str(&ran.stdout).expect("JSON");
        (json["loss"].clone(), json["top1_error"].clone())
    };
    assert_eq!(result(&["run"]), result(&[&config("tiny"), "--weights", "run/best.safetensors"]));
}

#[test]
fn an_eval_folder_of_some_classes_is_matched_by_name_and_an_unknown_class_is_named() {
    let place = trained();
    fs::create_dir_all(place.path("some")).expect("a folder");
    for class in ["star", "ring"] {
        fs::rename(place.path(&format!("shapes/val/{class}")), place.path(&format!("some/{class}"))).expect("a move");
    }
    let json: Value =
        serde_json::from_str(&place.run(&["eval", "run", "--data", "some", "--json", "-"]).succeeds().stdout)
            .expect("JSON");
    assert_eq!(json["images"], 4);
    fs::rename(place.path("some/star"), place.path("some/stars")).expect("a move");
    place
        .run(&["eval", "run", "--data", "some"])
        .fails_saying(&["some/stars: not one of the model's classes (did you mean \"star\"?)"]);
}

#[test]
fn a_run_folder_that_is_not_empty_is_left_unchanged() {
    let place = trained();
    let before = place.read("run/last.safetensors");
    place.train("run", &[]).fails_saying(&["run: already contains a run", "--resume", "--out"]);
    assert!(place.read("run/last.safetensors") == before);
    place.write("other/notes.txt", "mine");
    place.train("other", &[]).fails_saying(&["other: already contains other files"]);
    assert_eq!(fs::read_dir(place.path("other")).expect("a folder").count(), 1);
}

#[test]
fn a_missing_device_is_refused_with_a_remedy() {
    let place = trained();
    place.run(&["eval", "run", "--data", "shapes", "--device", "gpu"]).fails_saying(&["--device gpu", "cuda:N"]);
    place.run(&["eval", "run", "--data", "shapes", "--device", "cuda:99"]).fails_saying(&["--device cuda:99"]);
    if !tch::Cuda::is_available() {
        place.run(&["eval", "run", "--data", "shapes", "--device", "cuda"]).fails_saying(&[
            "--device cuda: no usable GPU",
            "Use cpu or auto",
            "doctor",
        ]);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_batch_that_does_not_fit_is_refused_with_a_smaller_one() {
    let place = Workplace::with_shapes(6, 1);
    // 6 GB of addresses for everything; the activations of this batch alone need more.
    let config = config("vgg16");
    let script = format!(
        "ulimit -v 6000000; exec $topfive train {config} --data shapes --out run --batch-size 72 --device cpu --threads 1 --workers 1 --set network.input=[3,224,224]"
    );
    bash(&place, &script).fails_saying(&["--batch-size 36", "a batch of 72 images does not fit in main memory"]);
}

#[test]
fn json_is_written_in_addition_to_text_and_an_unwritable_file_is_reported() {
    let place = trained();
    let ran = place.run(&["eval", "run", "--data", "shapes", "--json", "result.json"]).succeeds();
    assert!(ran.stdout.contains("top-1 error"), "{}", ran.stdout);
    let json = place.read_json("result.json");
    for key in [
        "network",
        "weights",
        "views",
        "images",
        "top1_error",
        "top5_error",
        "loss",
        "bad_images",
        "seconds",
        "images_per_second",
    ] {
        assert!(!json[key].is_null(), "{key}");
    }
    place
        .run(&["eval", "run", "--data", "shapes", "--json", "no/such/result.json"])
        .fails_saying(&["cannot write no/such/result.json", "the folder no/such does not exist"]);
}

#[test]
fn quiet_prints_only_the_result() {
    let place = trained();
    let ran = place.run(&["eval", "run", "--data", "shapes", "--quiet"]).succeeds();
    assert_eq!((ran.stdout.lines().count(), ran.stderr.as_str()), (1, ""));
}

#[cfg(unix)]
#[test]
fn a_file_name_that_is_not_utf8_works_like_any_other() {
    use std::os::unix::ffi::OsStrExt;
    let place = trained();
    let name = std::ffi::OsStr::from_bytes(b"caf\xe9.jpg");
    fs::copy(place.path("shapes/val/star/star-0001.jpg"), place.path("").join(name)).expect("a copy");
    for format in ["text", "jsonl", "csv"] {
        let output =
            place.command(&["predict", "run", "--format", format]).arg(name).output().expect("the program runs");
        assert!(Ran::of(output).succeeds().stdout.contains("caf"));
    }
}

#[test]
fn an_image_too_thin_to_resize_is_reported_and_the_rest_are_classified() {
    let place = trained();
    image::RgbImage::new(1, 400_000).save(place.path("thin.png")).expect("an image");
    let ran = place.run(&["predict", "run", "thin.png", "shapes/val/star/star-0001.jpg", "--format", "jsonl"]);
    assert_eq!((ran.status, ran.stdout.lines().count()), (1, 2));
    ran.says(&["thin.png: the image is 1x400000, so thin"]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_result_that_cannot_be_written_is_an_error() {
    let place = trained();
    for arguments in [["predict", "run", "shapes/val/star"].as_slice(), &["summary", "run"], &["doctor"]] {
        let full = fs::File::options().write(true).open("/dev/full").expect("a device that is full");
        let output = place.command(arguments).stdout(full).output().expect("the program runs");
        Ran::of(output).fails_saying(&["cannot write the result"]);
    }
}

#[test]
fn numbers_far_out_of_range_are_refused_before_any_work() {
    let place = Workplace::with_shapes(1, 1);
    let refuse = |change: &str, word: &str| place.train("run", &["--set", change]).fails_saying(&[word]);
    refuse("training.epochs=1000000000000000000", "training.epochs");
    refuse("network.start.weights={\"normal\":-0.1}", "network.start.weights: normal");
    refuse("network.layers[2].residual_stage.blocks=1000000000000000000", "network.layers[2].residual_stage: blocks");
    refuse(r#"training.optimizer={"sgd":{"momentum":0,"nesterov":true}}"#, "nesterov: true needs a momentum above 0");
    refuse("training.clip=norm", r#"training.clip.norm: expected a value, as in { "norm": VALUE }"#);
    refuse(
        r#"training.augment=["auto_augment"]"#,
        r#"training.augment[0]: expected a value, as in { "auto_augment": VALUE }"#,
    );
    refuse("network.layers[1].local_response_norm.k=0", "network.layers[1].local_response_norm: k");
    refuse("network.layers[6].auxiliary.weight=-1", "network.layers[6].auxiliary: weight");
}

#[cfg(unix)]
#[test]
fn a_reader_that_goes_away_ends_the_work_quietly() {
    let place = trained();
    place.add_thousands_of_images();
    for format in ["text", "jsonl", "csv"] {
        let script = format!(
            "$topfive predict run shapes/val --format {format} --json all.jsonl --quiet | head -1; exit ${{PIPESTATUS[0]}}"
        );
        let ran = bash(&place, &script).succeeds();
        assert_eq!((ran.stdout.lines().count(), ran.stderr.as_str()), (1, ""), "{format}");
        // A file of all images would mean that they were all classified, for nobody.
        assert!(place.names().iter().all(|name| name != "all.jsonl" && !name.starts_with(".topfive-")), "{format}");
    }
    let commands =
        ["predict run shapes/val --quiet --json -", "summary", "summary --json - 2> table", "completions zsh"];
    for command in commands {
        let ran = bash(&place, &format!("$topfive {command} | head -c 1; exit ${{PIPESTATUS[0]}}")).succeeds();
        assert_eq!(ran.stdout.len(), 1, "{command}");
        assert!(!ran.stderr.contains("error") && !ran.stderr.contains("Broken pipe"), "{command}: {}", ran.stderr);
    }
}

#[cfg(unix)]
#[test]
fn the_files_of_a_finished_eval_are_written_even_if_nobody_reads_its_text() {
    let place = trained();
    for (json, table) in [("r.json", "m.csv"), ("-", "n.csv")] {
        let eval = format!("$topfive eval run --data shapes --json {json} --confusion {table}");
        bash(&place, &format!("{eval} | true; exit ${{PIPESTATUS[0]}}")).succeeds();
        assert!(place.path(table).is_file(), "{table}");
    }
    assert_eq!(place.read_json("r.json")["images"], 24);
}

#[cfg(target_os = "linux")]
#[test]
fn a_standard_error_that_cannot_be_written_to_changes_nothing() {
    let place = trained();
    for stderr in ["2>&-", "2>/dev/full"] {
        let run = |command: &str| bash(&place, &format!("$topfive {command} {stderr}"));
        assert_eq!(run("predict run missing.jpg shapes/val/star").status, 1, "{stderr}");
        assert_eq!(run("summary --json -").status, 0, "{stderr}");
        assert_eq!(run("eval nowhere --data shapes").status, 2, "{stderr}");
    }
}

#[test]
fn completions_for_zsh_and_fish_offer_names_and_files() {
    let place = Workplace::new();
    let script = |shell: &str| place.run(&["completions", shell]).succeeds().stdout;
    let zsh = script("zsh");
    assert!(zsh.starts_with("#compdef topfive\n\n_topfive_names_or_files() {"), "{zsh}");
    for names in ["alexnet ", "cifar-short few-images ", "published"] {
        assert!(zsh.contains(&format!(": _topfive_names_or_files {names}")), "no '{names}' in {zsh}");
    }
    assert!(!zsh.contains(":(alexnet"), "names without files in {zsh}");

    let fish = script("fish");
    let of = |command: &str, word: &str| -> Vec<&str> {
        let using = format!("using_subcommand {command}\"");
        fish.lines().filter(|line| line.contains(&using) && line.contains(word)).collect()
    };
    for command in ["train", "eval", "predict", "summary"] {
        assert_eq!(of(command, "-a \"alexnet ").len(), 1, "{command}: {fish}");
    }
    for option in [of("train", "-l recipe "), of("train", "-l weights "), of("eval", "-l weights ")] {
        assert!(option.len() == 1 && option[0].contains(" -r -a ") && !option[0].contains(" -f "), "{option:?}");
    }
}
