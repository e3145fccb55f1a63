//! Stands in for `cubecl-llvm` where LLVM cannot be downloaded.
//!
//! It has the items that `cubecl-cuda` 0.11 names and no compiler behind them:
//! asked to compile, it answers with an error that says how to build instead.
//! With the feature `cuda-nvrtc` of `lamina-engine` it is never asked.

use std::fmt;

use cubecl_environment::backtrace::BackTrace;
use cubecl_ir::nvidia::SmArch;
use cubecl_runtime::compiler::{CompilationError, Compiler};
use cubecl_runtime::kernel::{BufferIOAttr, KernelDefinition};

use nvptx::ptx_version::PtxVersion;

/// What kernels are compiled for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LlvmTarget {
    /// The processor.
    #[default]
    Cpu,
    /// NVIDIA's PTX.
    Nvptx,
}

/// Answers every kernel with an error.
#[derive(Clone, Debug, Default)]
pub struct PlironCompiler {
    /// What kernels would be compiled for.
    pub target: LlvmTarget,
}

/// How a kernel would be compiled.
#[derive(Clone, Debug, Default)]
pub struct PlironOptions {
    /// An AMD architecture; this stand-in knows none.
    pub arch: Option<String>,
    /// An NVIDIA architecture.
    pub sm_arch: Option<SmArch>,
    /// The version of PTX.
    pub ptx_version: Option<PtxVersion>,
    /// Whether scalars travel in the kernel's parameters.
    pub grid_constants: bool,
    /// Room for the published crate's other options.
    pub others: (),
}

/// A kernel as PTX; never made here.
#[derive(Clone, Debug)]
pub struct NvptxModule {
    /// PTX that ends in a zero.
    pub ptx: Vec<std::ffi::c_char>,
    /// The kernel's name.
    pub entrypoint: String,
    /// What it was made from.
    pub ir: String,
    /// Shared memory of a launch, in bytes.
    pub shared_memory_size: usize,
    /// What the kernel does with each buffer.
    pub io: Vec<BufferIOAttr>,
}

/// What a compiler returns; never made here.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum PlironArtifact {
    /// PTX.
    NvptxCode(NvptxModule),
}

impl fmt::Display for PlironArtifact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::NvptxCode(module) = self;
        f.write_str(&module.ir)
    }
}

impl Compiler for PlironCompiler {
    type Representation = PlironArtifact;
    type CompilationOptions = PlironOptions;

    fn compile(
        &mut self,
        _kernel: KernelDefinition,
        _options: &PlironOptions,
    ) -> Result<PlironArtifact, CompilationError> {
        Err(CompilationError::Generic {
            reason: "this program was built without LLVM and without the feature `cuda-nvrtc`; \
                     build it with one of them"
                .into(),
            backtrace: BackTrace::capture(),
        })
    }

    fn extension(&self) -> &'static str {
        "ll"
    }

    fn lang_tag(&self) -> &'static str {
        "llvm"
    }
}

/// What concerns PTX.
pub mod nvptx {
    /// The version of PTX that a driver reads.
    pub mod ptx_version {
        use std::fmt;

        /// A version of PTX; no value of it exists, since nothing here writes PTX.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum PtxVersion {}

        impl PtxVersion {
            /// The version for a driver: none.
            pub fn for_driver(_driver: i32) -> Option<Self> {
                None
            }
        }

        impl fmt::Display for PtxVersion {
            fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
                match *self {}
            }
        }
    }
}

/// What the targets have in common.
pub mod shared {
    /// What a device may offer when LLVM compiles for it.
    pub mod lowered_features {
        use cubecl_ir::DeviceProperties;

        /// A target whose features are narrowed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum GpuTarget {
            /// NVIDIA's PTX.
            Nvptx,
        }

        /// Narrows nothing: no kernel is compiled here.
        pub fn restrict_features(_properties: &mut DeviceProperties, _target: GpuTarget) {}
    }
}
