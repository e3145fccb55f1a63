//! Which device computes. The only file that names a backend.
//!
//! Devices come from `Device::enumerate`, which is empty without a driver.
//! `Device::default()` is never used: it prefers CUDA whenever that is compiled
//! in, and its first operation panics where there is no driver. A GPU that is
//! found has to add two numbers before anything relies on it.

use std::fmt;
use std::str::FromStr;

use burn::tensor::{Device, FloatDType};

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

/// A device that a person may choose, or see why not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferedDevice {
    /// What to ask for.
    pub choice: DeviceChoice,
    /// What to call it: `CPU`, `CUDA 0 (NVIDIA H100 PCIe)`, …
    pub name: String,
    /// Why it cannot be used, where it cannot.
    pub missing: Option<String>,
}

/// Devices that are looked for of each kind.
const MOST_OF_A_KIND: usize = 8;

/// The CPU, and the GPUs of each kind that this program knows: those that compute, and why there is
/// none where there is none. Each GPU that is found has to add two numbers, which may take seconds.
pub fn offered() -> Vec<OfferedDevice> {
    let cpu = OfferedDevice { choice: DeviceChoice::Cpu, name: "CPU".into(), missing: None };
    let mut offered = vec![cpu];
    let kinds = [
        ("CUDA", DeviceChoice::Cuda as fn(usize) -> DeviceChoice),
        ("wgpu", DeviceChoice::Wgpu as fn(usize) -> DeviceChoice),
    ];
    for (kind, choice) in kinds {
        for index in 0..MOST_OF_A_KIND {
            let choice = choice(index);
            let (name, missing) = match choice.try_gpu() {
                Ok(open) => {
                    (open.name.replacen(&choice.to_string(), &format!("{kind} {index}"), 1), None)
                }
                Err(Refusal::Absent(_)) if index > 0 => break,
                Err(refusal) => (format!("{kind} {index}"), Some(refusal.into_reason())),
            };
            let last = missing.is_some();
            offered.push(OfferedDevice { choice, name, missing });
            if last {
                break;
            }
        }
    }
    offered
}

/// A device that is there and answers.
#[derive(Debug, Clone)]
pub struct OpenDevice {
    /// The handle that tensors and modules are made on; never with autodiff.
    pub device: Device,
    /// What to call it: `cpu`, `cuda:0 (NVIDIA H100 PCIe)`, …
    pub name: String,
    /// A plain sentence when this is not the device that was asked for.
    pub notice: Option<String>,
}

impl OpenDevice {
    /// Whether its convolutions gain from bf16. Our kernels for the CPU know f32 alone.
    pub fn computes_bf16(&self) -> bool {
        self.name != CPU && self.device.supports_dtype(FloatDType::BF16)
    }
}

impl DeviceChoice {
    /// Opens the device. A GPU that was asked for and cannot be used is replaced by
    /// the CPU, with a notice that says so.
    pub fn open(self) -> OpenDevice {
        match self {
            Self::Cpu => cpu(None),
            Self::Auto => auto(),
            Self::Cuda(_) | Self::Wgpu(_) => match self.open_exactly() {
                Ok(open) => open,
                Err(error) => cpu(Some(format!("{error}; the CPU is used instead"))),
            },
        }
    }

    /// Opens the device and nothing else.
    ///
    /// # Errors
    /// [`EngineError::Device`] when it is not compiled in, not present, or does not compute.
    pub fn open_exactly(self) -> Result<OpenDevice, EngineError> {
        self.try_gpu().map_err(|refusal| self.refused(refusal.into_reason()))
    }

    fn try_gpu(self) -> Result<OpenDevice, Refusal> {
        match self {
            Self::Auto | Self::Cpu => Ok(self.open()),
            Self::Cuda(index) => gpu::cuda(index),
            Self::Wgpu(index) => gpu::wgpu(index),
        }
    }

    fn refused(self, reason: String) -> EngineError {
        EngineError::Device { wanted: self.to_string(), reason }
    }
}

/// What the CPU is called.
const CPU: &str = "cpu";

fn cpu(notice: Option<String>) -> OpenDevice {
    OpenDevice { device: Device::flex(), name: CPU.into(), notice }
}

/// The first GPU that computes, else the CPU. A GPU that is there and does not
/// compute is worth a notice; that there is none is not.
fn auto() -> OpenDevice {
    let mut notice = None;
    let tries =
        [(DeviceChoice::Cuda(0), gpu::cuda as fn(_) -> _), (DeviceChoice::Wgpu(0), gpu::wgpu)];
    let found = tries.into_iter().find_map(|(choice, open)| match open(0) {
        Ok(open) => Some(open),
        Err(Refusal::Absent(_)) => None,
        Err(Refusal::Broken(reason)) => {
            notice.get_or_insert(choice.refused(reason));
            None
        }
    });
    let open = found.unwrap_or_else(|| cpu(None));
    let notice = notice.map(|error| format!("{error}; {} is used instead", open.name));
    OpenDevice { notice, ..open }
}

/// Why a GPU cannot be used.
#[derive(Debug)]
enum Refusal {
    /// It is not compiled in or not in this machine.
    Absent(String),
    /// It is there and does not compute.
    #[cfg_attr(
        not(any(feature = "cuda", feature = "wgpu")),
        expect(dead_code, reason = "nothing to open")
    )]
    Broken(String),
}

impl Refusal {
    fn into_reason(self) -> String {
        let (Self::Absent(reason) | Self::Broken(reason)) = self;
        reason
    }
}

/// What the GPU features bring; without them every call says how to get it.
mod gpu {
    use super::{OpenDevice, Refusal};

    #[cfg(feature = "cuda")]
    pub fn cuda(index: usize) -> Result<OpenDevice, Refusal> {
        super::probe::open(burn::tensor::DeviceType::Cuda, "cuda", index)
    }

    #[cfg(not(feature = "cuda"))]
    pub fn cuda(_index: usize) -> Result<OpenDevice, Refusal> {
        Err(Refusal::Absent("this program was built without the feature `cuda`".into()))
    }

    #[cfg(feature = "wgpu")]
    pub fn wgpu(index: usize) -> Result<OpenDevice, Refusal> {
        super::probe::open(burn::tensor::DeviceType::Wgpu, "wgpu", index)
    }

    #[cfg(not(feature = "wgpu"))]
    pub fn wgpu(_index: usize) -> Result<OpenDevice, Refusal> {
        Err(Refusal::Absent("this program was built without the feature `wgpu`".into()))
    }
}

/// Finding a GPU and trying it out.
#[cfg(any(feature = "cuda", feature = "wgpu"))]
mod probe {
    use std::panic::{self, AssertUnwindSafe};
    use std::sync::{Arc, Mutex, OnceLock, PoisonError};

    use burn::tensor::{Device, DeviceType, Tensor};

    use super::{OpenDevice, Refusal};

    /// The GPU of that number, once it has computed something.
    pub fn open(kind: DeviceType, prefix: &str, index: usize) -> Result<OpenDevice, Refusal> {
        let found = without_panic(|| Device::enumerate(kind).into_vec())
            .map_err(|reason| Refusal::Broken(format!("the search failed: {reason}")))?;
        // A software rasterizer is slower than the CPU backend.
        let mut found: Vec<Device> =
            found.into_iter().filter(|device| !is_software(device)).collect();
        let count = found.len();
        if index >= count {
            return Err(Refusal::Absent(match count {
                0 => format!("no {prefix} device was found"),
                _ => format!("expected a number below {count}, the {prefix} devices found"),
            }));
        }
        let device = found.swap_remove(index);
        let name = try_out(&device)
            .map_err(|reason| Refusal::Broken(format!("it does not compute: {reason}")))?;
        Ok(OpenDevice { device, name: format!("{prefix}:{index} ({name})"), notice: None })
    }

    /// What the device calls itself, or why it does not compute.
    pub fn try_out(device: &Device) -> Result<String, String> {
        without_panic(|| add_two_numbers(device))?
    }

    #[cfg(feature = "wgpu")]
    pub fn is_software(device: &Device) -> bool {
        use burn::backend::{CubeDevice, DispatchDevice, WgpuDeviceKind};
        match device.as_dispatch() {
            DispatchDevice::Cube(CubeDevice::Wgpu(device)) => device.kind == WgpuDeviceKind::Cpu,
            _ => false,
        }
    }

    #[cfg(not(feature = "wgpu"))]
    fn is_software(_device: &Device) -> bool {
        false
    }

    /// Takes a kernel through the whole of a driver.
    fn add_two_numbers(device: &Device) -> Result<String, String> {
        let name = device.identity().map_or_else(|| "unnamed".into(), |identity| identity.name);
        let sum = Tensor::<1>::from_floats([1.0], device) + Tensor::from_floats([2.0], device);
        let sum = sum.try_into_data().map_err(|error| first_line(&error.to_string()))?;
        match sum.iter::<f32>().next() {
            Some(3.0) => Ok(name),
            other => Err(format!("one plus two gave {other:?} on {name}")),
        }
    }

    /// Runs `work`; a panic becomes the error and prints nothing.
    ///
    /// Drivers are called on threads of their own, and what arrives here of a panic there
    /// may only be that the thread is gone. So the reason is taken from the first panic
    /// anywhere in the meantime.
    pub fn without_panic<T>(work: impl FnOnce() -> T) -> Result<T, String> {
        static HOOK: Mutex<()> = Mutex::new(());
        let _only = HOOK.lock().unwrap_or_else(PoisonError::into_inner);
        let first = Arc::new(OnceLock::new());
        let usual = panic::take_hook();
        panic::set_hook(Box::new({
            let first = Arc::clone(&first);
            move |panic| {
                let _ = first.set(first_line(panic.payload_as_str().unwrap_or("a panic")));
            }
        }));
        let result = panic::catch_unwind(AssertUnwindSafe(work));
        panic::set_hook(usual);
        result.map_err(|_| first.get().cloned().unwrap_or_else(|| "a panic".into()))
    }

    fn first_line(text: &str) -> String {
        text.lines().next().unwrap_or_default().trim().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Tensor;

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
        let open = DeviceChoice::Wgpu(999).open();
        assert_eq!(open.name, "cpu");
        assert!(open.notice.unwrap().contains("the CPU is used instead"));
    }

    #[test]
    fn what_is_offered_can_be_opened_and_what_is_missing_has_a_reason() {
        let offered = offered();
        assert_eq!(offered[0].choice, DeviceChoice::Cpu);
        assert_eq!(offered[0].missing, None);
        // Of each other kind there is one at least, there or with its reason.
        for kind in ["cuda:0", "wgpu:0"] {
            assert!(offered.iter().any(|device| device.choice.to_string() == kind), "{kind}");
        }
        for device in offered {
            match device.missing {
                None => assert!(device.choice.open_exactly().is_ok(), "{}", device.name),
                Some(reason) => assert!(!reason.is_empty(), "{}", device.name),
            }
        }
    }

    #[test]
    fn what_auto_opens_computes() {
        let open = DeviceChoice::Auto.open();
        let sum = Tensor::<1>::from_floats([1.0, 2.0], &open.device).sum();
        assert_eq!(sum.into_scalar::<f32>(), 3.0, "on {}", open.name);
    }

    #[test]
    #[cfg(any(feature = "cuda", feature = "wgpu"))]
    fn a_panic_on_another_thread_gives_the_reason() {
        let result = probe::without_panic(|| {
            let driver = std::thread::spawn(|| panic!("no such library\nsearched: a, b"));
            driver.join().expect("the driver's thread ended");
        });
        assert_eq!(result, Err("no such library".into()));
        assert_eq!(probe::without_panic(|| 3), Ok(3));
    }

    #[test]
    #[cfg(feature = "cuda")]
    fn a_cuda_device_that_is_not_there_gives_a_reason() {
        // Burn makes the handle without asking the driver and panics at its first use.
        assert!(probe::try_out(&Device::cuda(999)).is_err());
    }

    #[test]
    #[cfg(feature = "wgpu")]
    fn a_wgpu_device_that_is_not_there_gives_a_reason() {
        let device = Device::wgpu(burn::tensor::DeviceKind::DiscreteGpu(999));
        assert!(probe::try_out(&device).is_err());
    }

    #[test]
    #[cfg(feature = "wgpu")]
    fn a_software_rasterizer_is_told_from_a_gpu() {
        use burn::tensor::DeviceKind;
        assert!(probe::is_software(&Device::wgpu(DeviceKind::Cpu)));
        assert!(!probe::is_software(&Device::wgpu(DeviceKind::IntegratedGpu(0))));
    }
}
