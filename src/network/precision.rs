//! The floating-point numbers that convolutions and linear layers compute with.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tch::{Device, Kind};

/// The numbers that convolutions and linear layers compute with. Weights in training, batch norms that are not folded into
/// convolutions, losses and logits are in 32 bits whatever it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// 32 bits.
    #[default]
    F32,
    /// 32 bits, but convolutions (not linear layers) round their factors to 10 bits of precision, as PyTorch lets GPUs do by
    /// default. GPU only.
    Tf32,
    /// bfloat16: the range of 32-bit floats with 8 bits of precision.
    Bf16,
    /// 16 bits with a smaller range, in which training scales the loss: Micikevicius et al., arXiv:1710.03740. GPU only.
    F16,
}

impl Precision {
    /// All of them.
    pub const ALL: [Precision; 4] = [Precision::F32, Precision::Tf32, Precision::Bf16, Precision::F16];

    /// The kind of tensors.
    pub fn kind(self) -> Kind {
        match self {
            Precision::F32 | Precision::Tf32 => Kind::Float,
            Precision::Bf16 => Kind::BFloat16,
            Precision::F16 => Kind::Half,
        }
    }

    /// Its word in JSON and on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Precision::F32 => "f32",
            Precision::Tf32 => "tf32",
            Precision::Bf16 => "bf16",
            Precision::F16 => "f16",
        }
    }

    /// Whether the device computes with such numbers.
    pub fn runs_on(self, device: Device) -> bool {
        device != Device::Cpu || matches!(self, Precision::F32 | Precision::Bf16)
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Precision {
    type Err = UnknownPrecision;

    fn from_str(word: &str) -> Result<Self, UnknownPrecision> {
        Precision::ALL.into_iter().find(|precision| precision.word() == word).ok_or(UnknownPrecision)
    }
}

/// A word that is not a precision's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownPrecision;

impl fmt::Display for UnknownPrecision {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "expected {}", Precision::ALL.map(Precision::word).join(", "))
    }
}

impl std::error::Error for UnknownPrecision {}
