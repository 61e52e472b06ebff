//! Weights in files, and into a network: names, shapes and kinds are compared as a whole before a byte is copied.

pub mod safetensors;
pub mod torch;

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::Read;
use std::path::Path;

use ::safetensors::Dtype;
use anyhow::{Context, Result, bail, ensure};
use tch::{Device, Kind, Tensor};

use crate::nearest::nearest;
use crate::network::Network;

/// A tensor as a file holds it: contiguous little-endian values in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredTensor {
    pub name: String,
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    pub data: Vec<u8>,
}

impl StoredTensor {
    /// Copies a tensor of 32-bit floats off its device.
    ///
    /// # Errors
    /// Where the memory does not suffice.
    pub fn of(name: &str, tensor: &Tensor) -> Result<Self> {
        let tensor = tensor.f_detach()?.f_to_device(Device::Cpu)?.f_contiguous()?;
        let values = tensor.numel();
        let mut data = vec![0; values * 4];
        tensor.f_copy_data_u8(&mut data, values)?;
        let shape = tensor.size().into_iter().map(|side| side as usize).collect();
        Ok(StoredTensor { name: name.to_string(), dtype: Dtype::F32, shape, data })
    }

    /// Copies the values into `target`, which has the same shape.
    ///
    /// # Errors
    /// Where the memory does not suffice.
    pub fn copy_to(&self, target: &Tensor) -> Result<()> {
        let kind = kind(self.dtype).with_context(|| format!("{} holds {:?} values", self.name, self.dtype))?;
        let shape: Vec<i64> = self.shape.iter().map(|&side| side as i64).collect();
        let values = Tensor::f_from_data_size(&self.data, &shape, kind)?;
        tch::no_grad(|| target.shallow_clone().f_copy_(&values)).map(drop)?;
        Ok(())
    }
}

/// The kinds of numbers that weights come in.
fn kind(dtype: Dtype) -> Option<Kind> {
    match dtype {
        Dtype::F64 => Some(Kind::Double),
        Dtype::F32 => Some(Kind::Float),
        Dtype::F16 => Some(Kind::Half),
        Dtype::BF16 => Some(Kind::BFloat16),
        _ => None,
    }
}

/// What a file holds.
pub struct Contents {
    pub tensors: Vec<StoredTensor>,
    /// What topfive wrote beside them; `None` in files of other programs.
    pub note: Option<String>,
}

/// Reads the tensors of a weights file.
///
/// # Errors
/// Where it is damaged or of no known format.
pub fn read(path: &Path) -> Result<Contents> {
    let mut first = Vec::new();
    let file = File::open(path).with_context(|| format!("cannot read the weights {}", path.display()))?;
    file.take(16).read_to_end(&mut first).with_context(|| format!("cannot read the weights {}", path.display()))?;
    ensure!(!first.is_empty(), "{} is empty (0 bytes); it holds no weights", path.display());
    if safetensors::recognises(&first) {
        return safetensors::read(path);
    }
    if torch::recognises(&first) {
        return Ok(Contents { tensors: torch::read(path)?, note: None });
    }
    bail!("{} is not a weights file that topfive reads; expected safetensors or PyTorch's .pth", path.display())
}

/// What becomes of the layers whose outputs are the classes when the file has another number of classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Classifier {
    MustFit,
    /// They keep their starting values: fine-tuning.
    MayStartFresh,
}

/// What wrappers of PyTorch modules (DataParallel, torch.compile, training frameworks) put before every name.
const WRAPPERS: [&str; 3] = ["module.", "_orig_mod.", "model."];

/// PyTorch's count of the batches that a batch norm has seen; no result depends on it.
const UNUSED: &str = ".num_batches_tracked";

/// Copies `tensors`, read from `file`, into the network and gives the names of those that start fresh. Auxiliary heads,
/// which only training uses, may be missing from the file.
///
/// # Errors
/// All tensors that are missing, unexpected, of another shape or kind, with the nearest names; nothing is then copied.
pub fn load(network: &Network, tensors: &[StoredTensor], file: &Path, classifier: Classifier) -> Result<Vec<String>> {
    let wrapping = wrapping(network, tensors);
    let stored: HashMap<&str, &StoredTensor> = tensors
        .iter()
        .map(|tensor| (&tensor.name[wrapping..], tensor))
        .filter(|(name, _)| !name.ends_with(UNUSED))
        .collect();
    let (fresh, faults) = compare(network, &stored, classifier);
    let shown = &faults[..faults.len().min(MOST_FAULTS)];
    let more = faults.len() - shown.len();
    ensure!(
        faults.is_empty(),
        "{} does not hold this network's weights; {} tensors differ:\n  {}{}\nIs it the config that the weights were made with?",
        file.display(),
        faults.len(),
        shown.join("\n  "),
        if more > 0 { format!("\n  and {more} more") } else { String::new() }
    );
    for (parameter, tensor) in network.parameters().iter().filter(|(parameter, _)| !fresh.contains(&parameter.name)) {
        if let Some(stored) = stored.get(parameter.name.as_str()) {
            stored
                .copy_to(tensor)
                .with_context(|| format!("cannot take {} from {}", parameter.name, file.display()))?;
        }
    }
    Ok(fresh)
}

/// How many bytes of every name are wrappers' prefixes.
fn wrapping(network: &Network, tensors: &[StoredTensor]) -> usize {
    let mut length = 0;
    let shared = |length: usize, prefix: &str| tensors.iter().all(|tensor| tensor.name[length..].starts_with(prefix));
    let own = |prefix: &str| network.parameters().iter().any(|(parameter, _)| parameter.name.starts_with(prefix));
    while let Some(prefix) = WRAPPERS.iter().find(|prefix| shared(length, prefix) && !own(prefix)) {
        if tensors.is_empty() {
            break;
        }
        length += prefix.len();
    }
    length
}

/// Faults of one kind past these are told without the nearest name: a hostile file may have any number.
const MOST_HINTS: usize = 50;

/// Faults past these are counted only.
const MOST_FAULTS: usize = 1000;

/// The parameters that start fresh, and all that does not fit.
fn compare(
    network: &Network,
    stored: &HashMap<&str, &StoredTensor>,
    classifier: Classifier,
) -> (Vec<String>, Vec<String>) {
    let known: HashSet<&str> = network.parameters().iter().map(|(parameter, _)| parameter.name.as_str()).collect();
    let (mut fresh, mut faults) = (Vec::new(), Vec::new());
    for (parameter, _) in network.parameters() {
        let name = parameter.name.as_str();
        let expected: Vec<usize> = parameter.shape.iter().map(|&side| side as usize).collect();
        match stored.get(name) {
            // Evaluation does without; training starts them fresh, and says so.
            None if parameter.auxiliary => fresh.push(name.to_string()),
            None => {
                let others = stored.keys().copied().filter(|name| !known.contains(name));
                let near = if faults.len() < MOST_HINTS { hint(name, others) } else { String::new() };
                faults.push(format!("missing     {name} {expected:?}{near}"));
            }
            Some(found) if found.shape == expected && kind(found.dtype).is_some() => {}
            Some(found) if found.shape == expected => {
                faults.push(format!("other kind  {name}: expected floating-point numbers, found {:?}", found.dtype));
            }
            Some(found)
                if classifier == Classifier::MayStartFresh
                    && parameter.per_class
                    && found.shape.get(1..) == expected.get(1..) =>
            {
                fresh.push(name.to_string());
            }
            Some(found) => faults.push(format!("other shape {name}: expected {expected:?}, found {:?}", found.shape)),
        }
    }
    let mut unexpected: Vec<&&str> = stored.keys().filter(|name| !known.contains(*name)).collect();
    unexpected.sort();
    for (count, name) in unexpected.into_iter().enumerate() {
        let near = if count < MOST_HINTS { hint(name, known.iter().copied()) } else { String::new() };
        faults.push(format!("unexpected  {name} {:?}{near}", stored[*name].shape));
    }
    (fresh, faults)
}

fn hint<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> String {
    nearest(name, candidates).map_or(String::new(), |near| format!(" (near: {near})"))
}
