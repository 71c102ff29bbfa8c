//! What a machine computes with, for people: numbers of two machines differ in their last bits where these differ.

use std::fmt;
use std::fs;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tch::Device;

/// The device that a model is on, and what else decides how libtorch computes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// `cpu` or `cuda`.
    pub device: String,
    /// The names of the processor, or of the GPUs; empty if the system does not tell.
    pub processor: String,
    /// Instructions of the processor that libtorch, oneDNN and MKL choose their kernels by.
    pub features: Vec<String>,
    /// The version of libtorch.
    pub libtorch: String,
    /// Environment variables that choose other kernels, `NAME=VALUE`.
    pub settings: Vec<String>,
}

/// Environment variables that choose kernels.
const SETTINGS: [&str; 9] = [
    "ATEN_CPU_CAPABILITY",
    "DNNL_DEFAULT_FPMATH_MODE",
    "DNNL_MAX_CPU_ISA",
    "MKL_CBWR",
    "MKL_DEBUG_CPU_TYPE",
    "MKL_ENABLE_INSTRUCTIONS",
    "NVIDIA_TF32_OVERRIDE",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "ONEDNN_MAX_CPU_ISA",
];

impl Machine {
    /// This machine, for work on `device`.
    pub(crate) fn of(device: Device) -> Self {
        let cuda = matches!(device, Device::Cuda(_));
        let setting = |name: &&str| Some(format!("{name}={}", std::env::var(name).ok()?));
        Self {
            device: if cuda { "cuda" } else { "cpu" }.to_owned(),
            processor: if cuda { gpus() } else { processor() },
            features: features(),
            libtorch: loaded_libtorch().unwrap_or_else(|| LIBTORCH.to_owned()),
            settings: SETTINGS.iter().filter_map(setting).collect(),
        }
    }
}

impl fmt::Display for Machine {
    /// `cpu AMD EPYC (avx2 fma avx512f), libtorch 2.11.0, with ATEN_CPU_CAPABILITY=avx2`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.device)?;
        if !self.processor.is_empty() {
            write!(f, " {}", self.processor)?;
        }
        if !self.features.is_empty() {
            write!(f, " ({})", self.features.join(" "))?;
        }
        write!(f, ", libtorch {}", self.libtorch)?;
        if !self.settings.is_empty() {
            write!(f, ", with {}", self.settings.join(" "))?;
        }
        Ok(())
    }
}

/// The version of the libtorch that this was built with.
const LIBTORCH: &str = match option_env!("MEMPACK_LIBTORCH") {
    Some(version) => version,
    None => "of unknown version",
};

/// The version of the libtorch that is loaded, which stands in its folder.
fn loaded_libtorch() -> Option<String> {
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    let library = maps.lines().find_map(|line| Some(&line[line.find('/')?..]).filter(|path| path.contains("/libtorch_cpu.")))?;
    let folder = PathBuf::from(library).parent()?.parent()?.to_owned();
    if let Ok(version) = fs::read_to_string(folder.join("build-version")) {
        return Some(version.trim().to_owned());
    }
    // As the Python package has it.
    let python = fs::read_to_string(folder.join("version.py")).ok()?;
    let line = python.lines().find(|line| line.starts_with("__version__"))?;
    Some(line.split(['\'', '"']).nth(1)?.to_owned())
}

/// A field of the first processor.
fn cpuinfo(name: &str) -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let fields = text.lines().filter_map(|line| line.split_once(':'));
    fields.map(|(field, value)| (field.trim(), value.trim())).find(|(field, _)| *field == name).map(|(_, value)| value.to_owned())
}

fn processor() -> String {
    cpuinfo("model name").unwrap_or_default()
}

fn features() -> Vec<String> {
    let Some(all) = cpuinfo("flags").or_else(|| cpuinfo("Features")) else { return detected() };
    let counts = |flag: &&str| {
        ["avx", "amx", "sve"].iter().any(|family| flag.starts_with(family))
            || ["fma", "f16c", "asimd", "asimddp", "bf16", "i8mm"].contains(flag)
    };
    all.split_whitespace().filter(counts).map(str::to_owned).collect()
}

/// The features that the standard library finds, where the system does not list them.
fn detected() -> Vec<String> {
    #[cfg(target_arch = "x86_64")]
    {
        let all = [
            ("avx2", is_x86_feature_detected!("avx2")),
            ("fma", is_x86_feature_detected!("fma")),
            ("avx512f", is_x86_feature_detected!("avx512f")),
            ("avx512_bf16", is_x86_feature_detected!("avx512bf16")),
            ("avx512_vnni", is_x86_feature_detected!("avx512vnni")),
        ];
        all.iter().filter(|(_, found)| *found).map(|(name, _)| (*name).to_owned()).collect()
    }
    #[cfg(not(target_arch = "x86_64"))]
    Vec::new()
}

/// The GPUs of the machine, each name once.
fn gpus() -> String {
    let folders = fs::read_dir("/proc/driver/nvidia/gpus").into_iter().flatten().flatten();
    let name = |folder: fs::DirEntry| {
        let text = fs::read_to_string(folder.path().join("information")).ok()?;
        Some(text.lines().find_map(|line| line.strip_prefix("Model:"))?.trim().to_owned())
    };
    let mut names: Vec<String> = folders.filter_map(name).collect();
    names.sort();
    names.dedup();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_says_what_its_numbers_depend_on() {
        let machine = Machine::of(Device::Cpu);
        assert_eq!(machine.device, "cpu");
        // The version of the library that this test is linked with.
        assert!(machine.libtorch.starts_with(|c: char| c.is_ascii_digit()), "{machine:?}");
        #[cfg(target_arch = "x86_64")]
        assert_eq!(machine.features.iter().any(|feature| feature == "avx2"), is_x86_feature_detected!("avx2"));
        let shown = machine.to_string();
        assert!(shown.starts_with("cpu") && shown.contains(&machine.libtorch), "{shown}");
        let set = Machine { settings: vec!["MKL_CBWR=COMPATIBLE".into()], features: Vec::new(), processor: String::new(), ..machine };
        assert!(set.to_string().ends_with(", with MKL_CBWR=COMPATIBLE"), "{set}");
    }
}
