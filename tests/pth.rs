//! PyTorch's `.pth` files, compared with what PyTorch itself reads from them (`scripts/make_pth_fixtures.py`).

use std::fs;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};
use topfive::weights::StoredTensor;
use topfive::weights::torch::{self, TorchFile};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

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
    read_file(file.path())
}

/// Reads a file; returns an error in one line.
fn read_file(path: &Path) -> Result<Vec<StoredTensor>, String> {
    TorchFile::open(path).and_then(TorchFile::tensors).map_err(|error| format!("{error:#}"))
}

/// The error of reading a fixture, in one line.
fn error_of(name: &str) -> String {
    read_file(&fixture(name)).map(|_| ()).expect_err("an error")
}

#[test]
fn every_format_yields_the_same_bytes_as_pytorch() {
    let expected = bytes("expected.safetensors");
    let expected = SafeTensors::deserialize(&expected).expect("a safetensors file");
    for name in READABLE {
        let tensors = read_file(&fixture(name)).expect(name);
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
        let tensors = read_file(&fixture(name)).expect(name);
        let first: Vec<&str> = tensors.iter().take(3).map(|tensor| tensor.name.as_str()).collect();
        assert_eq!(first, ["module.transposed", "module.channels_last", "module.all"], "{name}");
    }
}

#[test]
fn a_parameter_that_python_2_saved_from_a_gpu_is_read() {
    let tensors = read_file(&fixture("python2.legacy.pth")).expect("a state dictionary");
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
fn what_a_pickle_would_call_is_never_run() {
    for name in ["hostile.zip.pth", "hostile.legacy.pth"] {
        let tensors = read_file(&fixture(name)).expect(name);
        assert_eq!(tensors.iter().map(|tensor| tensor.name.as_str()).collect::<Vec<_>>(), ["x"], "{name}");
    }
    let error = error_of("hostile_root.zip.pth");
    assert!(error.contains("hostile_root.zip.pth") && error.contains("posix.system"), "{error}");
    assert!(
        error.contains("nothing in it was run. Save the weights again with torch.save(model.state_dict(), ...)"),
        "{error}"
    );
    assert!(!Path::new("hostile-was-run").exists());
}

#[test]
fn a_checkpoint_is_read_for_its_network_however_a_trainer_wrapped_it() {
    for name in [
        "pytorch-examples.pth",
        "torchvision.pth",
        "torchvision.legacy.pth",
        "timm.pth",
        "tutorial.pth",
        "lightning.pth",
        "net.pth",
        "odd-values.pth",
        "protocol5.pth",
        "protocol4.legacy.pth",
        "another-word.pth",
        "tuple.pth",
        "with-attributes.pth",
    ] {
        let first = &bytes(&format!("trainers/{name}"))[..16];
        assert!(torch::recognises(first), "{name}");
        let tensors = read_file(&fixture("trainers").join(name)).expect(name);
        let values = |data: &[f32]| data.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
        let found: Vec<(&str, &[usize], &[u8])> =
            tensors.iter().map(|it| (it.name.as_str(), it.shape.as_slice(), it.data.as_slice())).collect();
        let (weight, bias) = (values(&[1.0, 2.0]), values(&[3.0]));
        let expected: [(&str, &[usize], &[u8]); 2] = [("fc.weight", &[1, 2], &weight), ("fc.bias", &[1], &bias)];
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn a_file_without_a_state_dictionary_says_what_it_is() {
    for (name, reason) in [
        ("module.pt", "it holds a whole object of the class __main__.Network, whose code would have to be run"),
        ("script.pt", "it is a TorchScript program"),
        ("names.pth", "it holds a list without tensors by name"),
        ("empty.pth", "it holds a dictionary without tensors by name"),
        ("weights.npz", "it is a NumPy archive (.npz)"),
    ] {
        let error = error_of(&format!("trainers/refused/{name}"));
        assert!(error.contains(reason) && error.contains("Save the weights again"), "{error}");
    }
}

#[test]
fn a_name_of_any_length_before_the_entries_is_no_damage() {
    let packed = bytes("trainers/names.bin");
    let (mut rest, mut letters) = (packed.as_slice(), 0);
    while let Some((length, after)) = rest.split_first_chunk() {
        let (file, after) = after.split_at(u32::from_le_bytes(*length) as usize);
        (rest, letters) = (after, letters + 1);
        let tensors = read(file).unwrap_or_else(|error| panic!("{letters} letters: {error}"));
        assert_eq!(tensors[0].data, (letters as f32).to_le_bytes(), "{letters} letters");
    }
    assert_eq!(letters, 60);
}

/// A file in which a block of zeros becomes a hole.
struct Sparse(fs::File);

impl Write for Sparse {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() < 4096 || bytes.iter().fold(0, |all, byte| all | byte) != 0 {
            return self.0.write(bytes);
        }
        self.0.seek_relative(bytes.len() as i64)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Seek for Sparse {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.0.seek(to)
    }
}

#[test]
fn an_archive_above_4_gb_is_read_without_its_size_in_memory() {
    let small = fs::File::open(fixture("trainers/tutorial.pth")).expect("a fixture");
    let mut small = ZipArchive::new(small).expect("an archive");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("large.pth");
    let mut large = ZipWriter::new(Sparse(fs::File::create(&path).expect("a file")));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    // An optimiser's storage, which nobody asks for, lies before everything else.
    large.start_file("tutorial/data/999", stored.large_file(true)).expect("an entry");
    let zeros = vec![0; 1 << 22];
    (0..1025).for_each(|_| large.write_all(&zeros).expect("a hole"));
    for index in 0..small.len() {
        let mut entry = small.by_index(index).expect("an entry");
        let name = entry.name().expect("a name").into_owned();
        large.start_file(name, stored).expect("an entry");
        io::copy(&mut entry, &mut large).expect("a copy");
    }
    large.finish().expect("an archive");
    assert!(fs::metadata(&path).expect("a file").len() > 4 << 30);
    let names: Vec<String> = read_file(&path).expect("tensors").into_iter().map(|tensor| tensor.name).collect();
    assert_eq!(names, ["fc.weight", "fc.bias"]);
}

#[test]
fn intact_files_are_refused_for_what_they_contain() {
    for (name, reason) in [
        ("expanded.zip.pth", "up to x claim 4398046511104 bytes, expected at most 4 times the file's"),
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
