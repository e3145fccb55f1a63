//! Which device computes. The only file that names a backend.
//!
//! Devices come from `Device::enumerate`, which is empty without a driver.
//! `Device::default()` is never used: it prefers CUDA whenever that is compiled
//! in, and its first operation panics where there is no driver.

use std::fmt;
use std::str::FromStr;

use burn::tensor::Device;

use crate::error::EngineError;

/// The device that the user asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeviceChoice {
    /// The first GPU that is compiled in and present, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// A CUDA GPU, by its number.
    Cuda(usize),
    /// A GPU through wgpu (Vulkan, Metal, DirectX), by its number.
    Wgpu(usize),
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, index) = text.split_once(':').unwrap_or((text, "0"));
        let index = index.parse().map_err(|_| {
            format!("expected a device number after the colon, found {index:?} in {text:?}")
        })?;
        match kind {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(index)),
            "wgpu" => Ok(Self::Wgpu(index)),
            _ => Err(format!("expected auto, cpu, cuda[:N] or wgpu[:N], found {text:?}")),
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
            Self::Wgpu(index) => write!(f, "wgpu:{index}"),
        }
    }
}

/// A device that is there and answers.
#[derive(Debug, Clone)]
pub struct OpenDevice {
    /// The handle that tensors and modules are made on; never with autodiff.
    pub device: Device,
    /// What to call it: `cpu`, `cuda:0`, …
    pub name: String,
    /// A plain sentence when this is not the device that was asked for.
    pub notice: Option<String>,
}

impl DeviceChoice {
    /// Opens the device. A GPU that was asked for and is not there is replaced by
    /// the CPU, with a notice that says so.
    pub fn open(self) -> OpenDevice {
        match self {
            Self::Cpu => cpu(None),
            Self::Auto => gpu::first().unwrap_or_else(|| cpu(None)),
            Self::Cuda(_) | Self::Wgpu(_) => match self.open_exactly() {
                Ok(open) => open,
                Err(error) => cpu(Some(format!("{error}; the CPU is used instead"))),
            },
        }
    }

    /// Opens the device and nothing else.
    ///
    /// # Errors
    /// [`EngineError::Device`] when it is not compiled in or not present.
    pub fn open_exactly(self) -> Result<OpenDevice, EngineError> {
        match self {
            Self::Auto | Self::Cpu => return Ok(self.open()),
            Self::Cuda(index) => gpu::cuda(index),
            Self::Wgpu(index) => gpu::wgpu(index),
        }
        .map_err(|reason| EngineError::Device { wanted: self.to_string(), reason })
    }
}

fn cpu(notice: Option<String>) -> OpenDevice {
    OpenDevice { device: Device::flex(), name: "cpu".into(), notice }
}

/// What the GPU features bring; without them every call says how to get it.
mod gpu {
    use super::OpenDevice;

    /// The first GPU that is compiled in and present.
    pub fn first() -> Option<OpenDevice> {
        cuda(0).or_else(|_| wgpu(0)).ok()
    }

    #[cfg(feature = "cuda")]
    pub fn cuda(index: usize) -> Result<OpenDevice, String> {
        let found = burn::tensor::Device::enumerate(burn::tensor::DeviceType::Cuda).into_vec();
        pick(found, index, "CUDA", "cuda")
    }

    #[cfg(not(feature = "cuda"))]
    pub fn cuda(_index: usize) -> Result<OpenDevice, String> {
        Err("this program was built without the feature `cuda`".into())
    }

    #[cfg(feature = "wgpu")]
    pub fn wgpu(index: usize) -> Result<OpenDevice, String> {
        let found = burn::tensor::Device::enumerate(burn::tensor::DeviceType::Wgpu).into_vec();
        // A software rasterizer is slower than the CPU backend.
        let found = found.into_iter().filter(|device| !is_software(device)).collect();
        pick(found, index, "wgpu", "wgpu")
    }

    #[cfg(not(feature = "wgpu"))]
    pub fn wgpu(_index: usize) -> Result<OpenDevice, String> {
        Err("this program was built without the feature `wgpu`".into())
    }

    #[cfg(feature = "wgpu")]
    fn is_software(device: &burn::tensor::Device) -> bool {
        let text = format!("{device:?}").to_lowercase();
        text.contains("cpu") || text.contains("llvmpipe") || text.contains("lavapipe")
    }

    #[cfg(any(feature = "cuda", feature = "wgpu"))]
    fn pick(
        found: Vec<burn::tensor::Device>,
        index: usize,
        kind: &str,
        prefix: &str,
    ) -> Result<OpenDevice, String> {
        let count = found.len();
        let device = found.into_iter().nth(index).ok_or_else(|| match count {
            0 => format!("no {kind} device was found"),
            _ => format!("expected a number below {count}, the {kind} devices that were found"),
        })?;
        Ok(OpenDevice { device, name: format!("{prefix}:{index}"), notice: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_reads_as_it_is_written() {
        for text in ["auto", "cpu", "cuda:0", "cuda:3", "wgpu:1"] {
            assert_eq!(text.parse::<DeviceChoice>().unwrap().to_string(), text);
        }
        assert_eq!("cuda".parse(), Ok(DeviceChoice::Cuda(0)));
    }

    #[test]
    fn an_unknown_device_is_refused_by_name() {
        let message = "gpu".parse::<DeviceChoice>().unwrap_err();
        assert_eq!(message, r#"expected auto, cpu, cuda[:N] or wgpu[:N], found "gpu""#);
        assert!("cuda:x".parse::<DeviceChoice>().is_err());
    }

    #[test]
    fn a_missing_gpu_falls_back_with_a_notice() {
        // No machine has a thousand GPUs, so this holds with and without the features.
        let open = DeviceChoice::Cuda(999).open();
        assert_eq!(open.name, "cpu");
        assert!(open.notice.unwrap().contains("the CPU is used instead"));
        assert!(DeviceChoice::Cuda(999).open_exactly().is_err());
    }
}
