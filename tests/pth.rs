//! PyTorch's `.pth` files, compared with what PyTorch itself reads from them (`scripts/make_pth_fixtures.py`).

use std::fs;
use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};
use topfive::weights::{StoredTensor, torch};

const READABLE: [&str; 6] = [
    "state.zip.pth",
    "state.legacy.pth",
    "checkpoint.zip.pth",
    "checkpoint.legacy.pth",
    "protocol4.zip.pth",
    "without_crc.zip.pth",
];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/pth").join(name)
}

fn bytes(name: &str) -> Vec<u8> {
    fs::read(fixture(name)).expect("a fixture")
}

/// Reads these bytes as a file; returns an error in one line.
fn read(bytes: &[u8]) -> Result<Vec<StoredTensor>, String> {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    fs::write(file.path(), bytes).expect("room for a small file");
    torch::read(file.path()).map_err(|error| format!("{error:#}"))
}

/// The error of reading a fixture, in one line.
fn error_of(name: &str) -> String {
    torch::read(&fixture(name)).map(|_| ()).map_err(|error| format!("{error:#}")).expect_err("an error")
}

#[test]
fn every_format_yields_the_same_bytes_as_pytorch() {
    let expected = bytes("expected.safetensors");
    let expected = SafeTensors::deserialize(&expected).expect("a safetensors file");
    for name in READABLE {
        let tensors = torch::read(&fixture(name)).expect(name);
        assert_eq!(tensors.len(), expected.len(), "{name}");
        for tensor in tensors {
            let view = expected.tensor(&tensor.name).expect("an expected name");
            assert_eq!((tensor.dtype, tensor.shape.as_slice()), (view.dtype(), view.shape()), "{name} {}", tensor.name);
            assert_eq!(tensor.data, view.data(), "{name} {}", tensor.name);
        }
    }
}

#[test]
fn tensors_keep_the_order_of_the_file() {
    for name in READABLE {
        let tensors = torch::read(&fixture(name)).expect(name);
        let first: Vec<&str> = tensors.iter().take(3).map(|tensor| tensor.name.as_str()).collect();
        assert_eq!(first, ["module.transposed", "module.channels_last", "module.all"], "{name}");
    }
}

#[test]
fn a_parameter_that_python_2_saved_from_a_gpu_is_read() {
    let tensors = torch::read(&fixture("python2.legacy.pth")).expect("a state dictionary");
    let data = [1.5f32, -2.5].map(f32::to_le_bytes).concat();
    assert_eq!(tensors, [StoredTensor { name: "x".into(), dtype: Dtype::F32, shape: vec![2], data }]);
}

#[test]
fn files_are_recognised_by_their_first_bytes() {
    for name in READABLE {
        assert!(torch::recognises(&bytes(name)[..16]), "{name}");
    }
    assert!(!torch::recognises(&bytes("expected.safetensors")));
    // A safetensors header of 640 bytes starts like a pickle of protocol 2.
    assert!(!torch::recognises(b"\x80\x02\0\0\0\0\0\0{\"x\""));
    assert!(!torch::recognises(b""));
}

#[test]
fn a_file_truncated_anywhere_is_an_error() {
    for name in ["state.zip.pth", "state.legacy.pth"] {
        let whole = bytes(name);
        for length in 0..whole.len() {
            assert!(read(&whole[..length]).is_err(), "{name} truncated to {length} of {} bytes", whole.len());
        }
    }
}

/// Copies of the bytes with one bit flipped, one copy per byte. Flipping each of the eight bits takes eight times as
/// long and finds no more.
fn flipped(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    (0..bytes.len()).map(|place| {
        let mut flipped = bytes.to_vec();
        flipped[place] ^= 1 << (place % 8);
        flipped
    })
}

#[test]
fn a_flipped_bit_in_a_zip_file_never_changes_a_tensor() {
    let whole = bytes("state.zip.pth");
    let tensors = read(&whole).expect("a state dictionary");
    for (place, flipped) in flipped(&whole).enumerate() {
        // Padding, dates and descriptors are not read, so some flips are not errors.
        if let Ok(read) = read(&flipped) {
            assert!(read == tensors, "byte {place} went unnoticed");
        }
    }
}

#[test]
fn a_flipped_bit_without_a_crc_never_panics() {
    for name in ["state.legacy.pth", "checkpoint.legacy.pth", "without_crc.zip.pth"] {
        for flipped in flipped(&bytes(name)) {
            let _ = read(&flipped);
        }
    }
}

#[test]
fn a_corrupt_entry_is_named_and_the_remedy_given() {
    let mut corrupt = bytes("state.zip.pth");
    let value = corrupt.windows(4).position(|window| window == 23f32.to_le_bytes()).expect("the value 23");
    corrupt[value] ^= 1;
    let error = read(&corrupt).expect_err("an error");
    assert!(error.contains(": truncated or corrupt. Fetch or copy it again: "), "{error}");
    assert!(error.contains("tensor module.all: entry state.zip/data/2: Invalid checksum"), "{error}");
}

#[test]
fn a_hostile_pickle_is_refused_by_name_and_not_run() {
    for name in ["hostile.zip.pth", "hostile.legacy.pth"] {
        let error = error_of(name);
        assert!(
            error.contains(name) && error.contains("asks for posix.system, which a state dictionary does not need")
        );
        assert!(
            error.contains("nothing in it was run. Save the weights again with torch.save(model.state_dict(), ...)"),
            "{error}"
        );
        assert!(!Path::new("hostile-was-run").exists());
    }
}

#[test]
fn intact_files_are_refused_for_what_they_contain() {
    for (name, reason) in [
        ("expanded.zip.pth", "up to x claim 4398046511104 bytes, expected at most 4 times the file's"),
        ("not_only_tensors.zip.pth", "entry epoch is a number, expected a tensor"),
        ("same_name_twice.zip.pth", "it has two tensors named x"),
        ("big_endian.zip.pth", "its values are big-endian"),
        ("deflated.zip.pth", "is compressed, which torch.save never does"),
    ] {
        let error = error_of(name);
        assert!(
            error.contains(reason) && error.contains("Save the weights again") && !error.contains("corrupt"),
            "{error}"
        );
    }
}

#[test]
fn endless_and_malformed_pickles_are_refused() {
    let legacy = bytes("state.legacy.pth");
    // After the magic number, the protocol and the system, where the pickle of the state dictionary would start.
    let head = &legacy[..137];
    let nested = [b"\x80\x02)".as_slice(), &[0x85; 2 << 20]].concat();
    let marks = vec![b'('; 2 << 20];
    let list_in_itself = b"\x80\x02]q\0h\0a.".to_vec();
    let long_string = b"\x80\x02X\xff\xff\xff\xff".to_vec();
    let empty_stack = b"\x80\x02R.".to_vec();
    for pickle in [nested, marks, list_in_itself, long_string, empty_stack] {
        let error = read(&[head, &pickle].concat()).expect_err("an error");
        assert!(error.contains("pickle") || error.contains("expected"), "{error}");
    }
}
