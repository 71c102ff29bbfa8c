//! Devices, precisions and threads.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::OnceLock;

use tch::{Device, Kind};

use crate::LoadError;

/// The type of weights and activations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// 32-bit floats, the reference precision.
    #[default]
    F32,
    /// bfloat16, with f32 where tokens are selected.
    Bf16,
    /// As `Bf16`, with 8-bit weights (in blocks of 32 with a scale) where answers are decoded, on the CPU. Memories that are written and
    /// likelihoods of given texts are those of `Bf16`; no file names this precision.
    Int8,
}

impl Precision {
    pub(crate) fn kind(self) -> Kind {
        match self {
            Self::F32 => Kind::Float,
            Self::Bf16 | Self::Int8 => Kind::BFloat16,
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
        })
    }
}

/// A word that is no [`Precision`].
#[derive(Debug, thiserror::Error)]
#[error("unknown precision `{found}`: expected `f32` or `bf16`")]
pub struct UnknownPrecision {
    /// The word.
    pub found: String,
}

/// `f32` or `bf16`: what models compute in.
impl FromStr for Precision {
    type Err = UnknownPrecision;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "f32" => Ok(Self::F32),
            "bf16" => Ok(Self::Bf16),
            _ => Err(UnknownPrecision { found: word.to_owned() }),
        }
    }
}

/// The device a model is put on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The first CUDA device if libtorch finds one, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// A CUDA device by number.
    Cuda(usize),
}

impl FromStr for DeviceChoice {
    type Err = UnknownDevice;

    fn from_str(word: &str) -> Result<Self, UnknownDevice> {
        let unknown = || UnknownDevice { found: word.to_owned() };
        match word {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            _ => word.strip_prefix("cuda:").and_then(|number| number.parse().ok()).map(Self::Cuda).ok_or_else(unknown),
        }
    }
}

/// A word that is no [`DeviceChoice`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown device {found:?}: expected auto, cpu, cuda or cuda:N")]
pub struct UnknownDevice {
    /// The word.
    pub found: String,
}

impl DeviceChoice {
    pub(crate) fn resolve(self) -> Result<Device, LoadError> {
        match self {
            Self::Cpu => Ok(Device::Cpu),
            Self::Auto => Ok(if cuda_available() { Device::Cuda(0) } else { Device::Cpu }),
            Self::Cuda(number) => {
                let found = if cuda_available() { tch::Cuda::device_count() } else { 0 };
                if (number as i64) < found {
                    Ok(Device::Cuda(number))
                } else {
                    Err(LoadError::Device { wanted: format!("cuda:{number}"), found: format!("{found} CUDA devices") })
                }
            }
        }
    }
}

/// Options for loading a model or an embedder.
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    /// The type of weights and activations.
    pub precision: Precision,
    /// The device.
    pub device: DeviceChoice,
    /// The folder of an adapter's base model. By default, the base model that the adapter's configuration names is searched for. With a
    /// reading adapter on an adapter, it is the base of the latter.
    pub base: Option<PathBuf>,
    /// A JSON file that replaces the folder's `memory` block. With a reading adapter, its fields replace the writer's one by one.
    pub memory: Option<PathBuf>,
}

/// Sets how many threads one libtorch operation of this thread may use.
///
/// With one thread, results do not depend on the machine's load or its number of cores. The setting applies to the calling thread and to
/// threads started after it.
pub fn set_threads(intra_op: usize) {
    tch::set_num_threads(i32::try_from(intra_op.max(1)).unwrap_or(i32::MAX));
}

/// Threads for one operation.
pub fn threads() -> usize {
    usize::try_from(tch::get_num_threads()).unwrap_or(1)
}

/// Whether libtorch finds a CUDA device.
///
/// The program is not linked with libtorch's CUDA library. It is loaded by name, once, so that one binary runs on machines with and
/// without it.
pub fn cuda_available() -> bool {
    static LOADED: OnceLock<bool> = OnceLock::new();
    *LOADED.get_or_init(|| load_cuda_library() && tch::Cuda::is_available())
}

#[cfg(unix)]
fn load_cuda_library() -> bool {
    use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
    // SAFETY: the library's initializers register operators with libtorch, which is loaded already. Nothing is called through the handle,
    // which is never closed.
    match unsafe { Library::open(Some("libtorch_cuda.so"), RTLD_NOW | RTLD_GLOBAL) } {
        Ok(library) => {
            std::mem::forget(library);
            true
        }
        Err(_) => false,
    }
}

#[cfg(not(unix))]
fn load_cuda_library() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn precision_words() {
        for precision in [Precision::F32, Precision::Bf16] {
            assert_eq!(precision.to_string().parse::<Precision>().unwrap(), precision);
        }
        assert!("fp8".parse::<Precision>().unwrap_err().to_string().contains("fp8"));
    }

    #[test]
    fn a_missing_device_is_refused() {
        let error = DeviceChoice::Cuda(4096).resolve().unwrap_err().to_string();
        assert!(error.contains("cuda:4096"), "{error}");
        assert_eq!(DeviceChoice::Cpu.resolve().unwrap(), Device::Cpu);
    }
}
