//! Which instructions the kernels use.

use std::fmt;
use std::str::FromStr;

#[cfg(target_arch = "x86_64")]
use crate::simd::{Avx2, Avx512};
use crate::simd::{Kernel, Scalar};

/// The environment variable that [`Cpu::from_env`] reads.
pub const PATH_VARIABLE: &str = "MEMPACK_CPU";

/// A set of instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Path {
    /// Plain Rust, on every architecture.
    Scalar,
    /// AVX2, FMA and F16C.
    Avx2,
    /// AVX-512 F, BW, DQ and VL; bf16 and 8-bit products where the machine has them (AVX512_BF16, AVX512_VNNI).
    Avx512,
}

impl Path {
    /// All paths, the slowest first.
    pub const ALL: [Self; 3] = [Self::Scalar, Self::Avx2, Self::Avx512];

    /// The word for it in [`PATH_VARIABLE`].
    pub fn word(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Path {
    type Err = PathError;

    fn from_str(word: &str) -> Result<Self, PathError> {
        Self::ALL.into_iter().find(|path| path.word() == word).ok_or_else(|| PathError::Unknown { found: word.to_owned() })
    }
}

/// A path that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// The variable holds another word.
    #[error("{PATH_VARIABLE}: expected `scalar`, `avx2` or `avx512`, found `{found}`; correct or unset the variable")]
    Unknown {
        /// What it holds.
        found: String,
    },
    /// The processor lacks instructions of the path.
    #[error("{PATH_VARIABLE}: this processor has no `{path}`; unset the variable, or use `{best}`, the fastest that it has")]
    Missing {
        /// The path that was asked for.
        path: Path,
        /// The fastest path of this machine.
        best: Path,
    },
}

/// The kernels of one path, which this processor has.
///
/// Results of two paths differ by rounding. Within a path, a result depends neither on the number of threads nor on the other rows of
/// a batch.
#[derive(Clone, Copy)]
pub struct Cpu(Tokens);

/// Values that exist only on processors with the instructions.
#[derive(Clone, Copy)]
enum Tokens {
    Scalar(Scalar),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
}

impl Cpu {
    /// The fastest path of this processor.
    pub fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if let Some(token) = Avx512::detect() {
                return Self(Tokens::Avx512(token));
            }
            if let Some(token) = Avx2::detect() {
                return Self(Tokens::Avx2(token));
            }
        }
        Self(Tokens::Scalar(Scalar))
    }

    /// The kernels of `path`.
    ///
    /// # Errors
    /// [`PathError::Missing`].
    pub fn of(path: Path) -> Result<Self, PathError> {
        let tokens = match path {
            Path::Scalar => Some(Tokens::Scalar(Scalar)),
            #[cfg(target_arch = "x86_64")]
            Path::Avx2 => Avx2::detect().map(Tokens::Avx2),
            #[cfg(target_arch = "x86_64")]
            Path::Avx512 => Avx512::detect().map(Tokens::Avx512),
            #[cfg(not(target_arch = "x86_64"))]
            Path::Avx2 | Path::Avx512 => None,
        };
        tokens.map(Self).ok_or_else(|| PathError::Missing { path, best: Self::detect().path() })
    }

    /// The path that [`PATH_VARIABLE`] names; the fastest one if it is unset or empty.
    ///
    /// # Errors
    /// An unknown word, or a path that this processor lacks.
    pub fn from_env() -> Result<Self, PathError> {
        match std::env::var_os(PATH_VARIABLE) {
            Some(word) if !word.is_empty() => Self::of(word.to_string_lossy().parse()?),
            _ => Ok(Self::detect()),
        }
    }

    /// The kernels of every path that this processor has, the slowest first.
    pub fn all() -> Vec<Self> {
        Path::ALL.into_iter().filter_map(|path| Self::of(path).ok()).collect()
    }

    /// The path.
    pub fn path(self) -> Path {
        match self.0 {
            Tokens::Scalar(_) => Path::Scalar,
            #[cfg(target_arch = "x86_64")]
            Tokens::Avx2(_) => Path::Avx2,
            #[cfg(target_arch = "x86_64")]
            Tokens::Avx512(_) => Path::Avx512,
        }
    }

    /// Runs `kernel`, compiled for the path.
    #[inline]
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self.0 {
            Tokens::Scalar(token) => token.run(kernel),
            #[cfg(target_arch = "x86_64")]
            Tokens::Avx2(token) => token.run(kernel),
            #[cfg(target_arch = "x86_64")]
            Tokens::Avx512(token) => token.run(kernel),
        }
    }

    /// The token of AVX2, which AVX-512 includes.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn avx2(self) -> Option<Avx2> {
        match self.0 {
            Tokens::Scalar(_) => None,
            Tokens::Avx2(token) => Some(token),
            Tokens::Avx512(token) => Some(token.avx2()),
        }
    }

    /// The token of AVX-512.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn avx512(self) -> Option<Avx512> {
        match self.0 {
            Tokens::Avx512(token) => Some(token),
            _ => None,
        }
    }
}

impl fmt::Debug for Cpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cpu({})", self.path())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_paths_that_are_not_there() {
        for path in Path::ALL {
            assert_eq!(path.word().parse(), Ok(path));
            match Cpu::of(path) {
                Ok(cpu) => assert_eq!(cpu.path(), path),
                Err(error) => assert_eq!(error, PathError::Missing { path, best: Cpu::detect().path() }),
            }
        }
        let unknown = "AVX2".parse::<Path>().unwrap_err();
        assert_eq!(unknown.to_string(), "MEMPACK_CPU: expected `scalar`, `avx2` or `avx512`, found `AVX2`; correct or unset the variable");
        assert_eq!(Cpu::all()[0].path(), Path::Scalar);
        assert_eq!(Cpu::all().last().unwrap().path(), Cpu::detect().path());
    }
}
