//! One network's weights as many programs wrap them (`scripts/make_checkpoint_fixtures.py`): file by file, what becomes of
//! it.

mod common;

use std::collections::{BTreeSet, HashSet};
use std::fs;

use common::{Workplace, fixture};
use tch::Device;
use topfive::experiment::Experiment;
use topfive::network::Tensors;
use topfive::network::parameter::parameters;
use topfive::weights::fit::fit;
use topfive::weights::location::{Left, Location};
use topfive::weights::rename::Rename;

/// Reads the weights in a fixture for its network, renamed.
fn read(name: &str, renames: &[Rename]) -> Result<(Tensors, Left), String> {
    let experiment = Experiment::load(&fixture("checkpoints/network.json"), &[]).expect("an experiment");
    let parameters = parameters(experiment.nodes());
    let location = Location::named(&fixture("checkpoints").join(name));
    let read = || {
        let loaded = location.read(&parameters, renames)?;
        let fitted = fit(&parameters, loaded.tensors, &HashSet::new(), &location.file)?;
        Ok((fitted.into_tensors(Device::Cpu)?, loaded.left))
    };
    read().map_err(|error: anyhow::Error| format!("{error:#}"))
}

/// The names of the files in a folder of fixtures.
fn files(folder: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(fixture(folder)).expect("fixtures").map(|entry| entry.expect("an entry"));
    let files = entries.filter(|entry| entry.path().is_file());
    files.map(|entry| entry.file_name().into_string().expect("text")).collect()
}

/// Files from which the network is read, each with the other keys that fit and the tensors that are left out.
const READ: [(&str, &[&str], &[&str]); 50] = [
    ("averaged.pth", &[], &["n_averaged"]),
    ("bfloat16.pth", &[], &[]),
    ("bfloat16.safetensors", &[], &[]),
    ("big-integer.pth", &[], &[]),
    ("bytes.pth", &[], &[]),
    ("channels-last.pth", &[], &[]),
    ("class-names.pth", &[], &[]),
    ("compiled-ddp.pth", &[], &[]),
    ("counted.pth", &[], &[]),
    ("defaultdict.pth", &[], &[]),
    ("distillation.pth", &[], &[]),
    ("double.pth", &[], &[]),
    ("ema-only.pth", &[], &[]),
    ("fsdp.pth", &[], &[]),
    ("half.pth", &[], &[]),
    ("integer-keys.pth", &[], &[]),
    ("legacy-others.pth", &[], &[]),
    ("legacy-protocol4.pth", &[], &[]),
    ("legacy.pth", &[], &[]),
    ("lightning-loss.ckpt", &[], &["criterion.weight", "val_accuracy.tp"]),
    ("lightning-metric.ckpt", &[], &[]),
    ("lightning-namespace.ckpt", &[], &[]),
    ("lightning.ckpt", &[], &[]),
    ("mmpretrain.pth", &[], &[]),
    ("model_ema.pth", &[], &[]),
    ("net.pth", &[], &[]),
    ("numpy-accuracy.pth", &[], &[]),
    ("one-storage.pth", &[], &[]),
    ("optimizer-by-name.pth", &[], &[]),
    ("others.pth", &[], &[]),
    ("parameters.pth", &[], &[]),
    ("params.pth", &[], &[]),
    ("plain-metrics.pth", &[], &["train_accuracy.tp", "normalize.mean", "class_loss.weight"]),
    ("plain.pth", &[], &[]),
    ("plain.safetensors", &[], &[]),
    ("profiled.pth", &[], &["total_ops", "total_params"]),
    ("protocol4.pth", &[], &[]),
    ("protocol5.pth", &[], &[]),
    ("pytorch-examples-alexnet.pth.tar", &[], &[]),
    ("pytorch-examples.pth.tar", &[], &[]),
    ("random.pth", &[], &[]),
    ("set.pth", &[], &[]),
    ("size.pth", &[], &[]),
    ("timm.pth.tar", &["state_dict_ema"], &[]),
    ("torchvision-ema.pth", &["model_ema"], &[]),
    ("torchvision.pth", &[], &[]),
    ("tuple.pth", &[], &[]),
    ("tutorial.tar", &[], &[]),
    ("two-networks.pth", &[], &TWO),
    ("weights-key.pth", &[], &[]),
];

const TWO: [&str; 8] = [
    "model_ema.features.0.weight",
    "model_ema.features.0.bias",
    "model_ema.features.1.weight",
    "model_ema.features.1.bias",
    "model_ema.features.1.running_mean",
    "model_ema.features.1.running_var",
    "model_ema.fc.weight",
    "model_ema.fc.bias",
];

/// Files that are refused, and the words of the reason and the remedy.
const REFUSED: [(&str, &[&str]); 23] = [
    ("another-layer.pth", &["unexpected  projection.weight [3, 3]", "save the weights again without them"]),
    ("answer.pth", &["a text that begins with \"Entry not found\"", "fetch the file itself"]),
    ("archive.zip", &["a zip archive with small/model.pth in it", "unpack it first"]),
    ("arrays.pth", &["\"features.0.weight\" in it is made by numpy", "Save the weights again"]),
    ("compressed.pth.gz", &["a compressed file", "unpack it first"]),
    ("empty.pth", &["a dictionary without tensors by name", "Save the weights again"]),
    ("half-of.pth", &["truncated or corrupt. Fetch or copy it again"]),
    ("half-of.safetensors", &["truncated, corrupt or not a safetensors file", "Fetch or copy it again"]),
    ("infinity.pth", &["found NaN or infinity in 1 of 8 tensors, first in fc.bias", "use an earlier checkpoint"]),
    ("keras.h5", &["an HDF5 file, as Keras writes", "save its tensors as safetensors"]),
    ("list.pth", &["a list without tensors by name", "Save the weights again"]),
    ("missing.pth", &["missing     fc.bias [3]", "1 tensor differs"]),
    ("module-in-dictionary.pt", &["\"model\" in it is made by __main__.Network", "Save the weights again"]),
    ("module.pt", &["a whole object of the class __main__.Network", "Save the weights again"]),
    ("nan.pth", &["found NaN or infinity in 1 of 8 tensors, first in features.0.weight", "use an earlier checkpoint"]),
    ("nan.safetensors", &["found NaN or infinity in 1 of 8 tensors, first in features.0.weight"]),
    ("numpy.pkl", &["a Python pickle that torch.save did not write", "save its tensors with torch.save"]),
    ("page.pth", &["a web page", "fetch the file itself"]),
    ("pointer.safetensors", &["a pointer of Git LFS", "git lfs pull"]),
    ("pupil-and-teacher.pth", &["missing     fc.bias [3]", "unexpected  pupil.fc.bias [3]"]),
    ("script.pt", &["a TorchScript program", "Save the weights again"]),
    ("too-large.pth", &["expected finite 32-bit floats", "first in fc.bias"]),
    ("weights.npz", &["a NumPy archive (.npz)", "Save the weights again"]),
];

#[test]
fn the_network_is_read_however_it_is_wrapped() {
    let (expected, _) = read("plain.safetensors", &[]).expect("the network");
    for (name, others, foreign) in READ {
        let (tensors, left) = read(name, &[]).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(tensors.keys().eq(expected.keys()), "{name}");
        assert!(tensors.iter().all(|(key, tensor)| *tensor == expected[key]), "{name}");
        assert_eq!(
            (left.others.as_slice(), left.foreign.as_slice()),
            (&*strings(others), &*strings(foreign)),
            "{name}"
        );
    }
    let mut listed: BTreeSet<String> = READ.iter().map(|(name, ..)| (*name).to_string()).collect();
    listed.insert("network.json".into());
    assert_eq!(files("checkpoints"), listed);
}

fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_string()).collect()
}

#[test]
fn what_is_not_the_network_is_refused_with_the_reason_and_a_remedy() {
    for (name, words) in REFUSED {
        let error = read(&format!("refused/{name}"), &[]).map(|_| name).expect_err(name);
        assert!(error.contains(name), "{error}");
        words.iter().for_each(|word| assert!(error.contains(word), "no '{word}' in {error}"));
    }
    predict(&Workplace::new(), "/dev/null")
        .fails_saying(&["/dev/null: not a regular file; expected a file of weights"]);
    assert_eq!(files("checkpoints/refused"), REFUSED.iter().map(|(name, _)| (*name).to_string()).collect());
}

#[test]
fn a_rename_tells_which_of_two_networks_is_meant() {
    let rename = "pupil.=".parse().expect("a rename");
    let (tensors, left) = read("refused/pupil-and-teacher.pth", &[rename]).expect("the pupil");
    let (expected, _) = read("plain.safetensors", &[]).expect("the network");
    assert!(tensors.iter().all(|(key, tensor)| *tensor == expected[key]));
    assert!(left.foreign.len() == 8 && left.foreign.iter().all(|name| name.starts_with("teacher.")), "{left:?}");
    let both = fixture("checkpoints/refused/pupil-and-teacher.pth");
    predict(&Workplace::new(), &both.to_string_lossy()).fails_saying(&["add --rename pupil.="]);
}

/// Runs `predict` with the fixtures' network.
fn predict(place: &Workplace, weights: &str) -> common::Ran {
    let image = fixture("decode/rgb.png");
    place.run(&[
        "predict",
        &fixture("checkpoints/network.json").to_string_lossy(),
        &image.to_string_lossy(),
        "--weights",
        weights,
        "--format",
        "jsonl",
    ])
}

#[test]
fn a_key_after_a_colon_chooses_and_a_colon_may_be_part_of_a_name() {
    let place = Workplace::new();
    fs::copy(fixture("checkpoints/timm.pth.tar"), place.path("last.pth")).expect("a copy");
    fs::copy(fixture("checkpoints/timm.pth.tar"), place.path("at 10:30.pth")).expect("a copy");
    let plain = predict(&place, "last.pth").succeeds();
    let said = "last.pth: the \"state_dict\" weights are used; others fit, too: --weights last.pth:state_dict_ema";
    assert!(plain.stderr.contains(said), "{}", plain.stderr);
    let chosen = predict(&place, "last.pth:state_dict").succeeds();
    assert_eq!((chosen.stdout.as_str(), chosen.stderr.as_str()), (plain.stdout.as_str(), ""));
    let average = predict(&place, "last.pth:state_dict_ema").succeeds();
    assert_ne!(average.stdout, plain.stdout);
    average.says(&["left out, as they are not part of the network: n_averaged"]);
    assert_eq!(predict(&place, "at 10:30.pth").succeeds().stdout, plain.stdout);
    assert_eq!(predict(&place, "at 10:30.pth:state_dict").succeeds().stdout, plain.stdout);

    predict(&place, "last.pth:state_dit").fails_saying(&[
        "last.pth",
        "no tensors under the key \"state_dit\" (did you mean \"state_dict\"?)",
        "\"state_dict\" (8 tensors)",
        "\"state_dict_ema\" (9 tensors)",
    ]);
    predict(&place, "nowhere.pth:ema").fails_saying(&["cannot read the weights nowhere.pth:ema"]);
    fs::copy(fixture("checkpoints/plain.safetensors"), place.path("plain.safetensors")).expect("a copy");
    predict(&place, "plain.safetensors:ema").fails_saying(&["a safetensors file has no keys, so leave out \":ema\""]);
}
