//! Codec stages: what a codec is a chain of. Each family of stages has one file.
//!
//! # How to add a family
//!
//! 1. Write its file here. The file holds a `Copy` struct of the family's numbers and its `Family` implementation, and says how the
//!    family is written, which stages it may follow, its bounds, its feature bit, and its code and tables.
//! 2. Register it below: a `mod` line, a `pub use` line and an entry of `families!`.
//! 3. Describe it in section 9 of SPEC.md. A reader of an older minor version must refuse it, so give it a required feature bit.
//! 4. Write the file of the same name in `compiler/src/codec/stages`, which trains and encodes.
//!
//! A family of look-ups, of a trellis or of a linear map needs no decoding code of its own: it names them to the `LayoutBuilder`. A family
//! that computes numbers directly hands its decoding function to `LayoutBuilder::direct`.

mod float;
mod opq;
mod pq;
mod prq;
mod rq;
mod sq8;
mod tcq;

use std::fmt;

use super::layout::LayoutBuilder;
use super::{CodecSpec, MAX_CODE_BITS, MAX_CODE_PARTS, SpecError};

pub use float::{Bf16, F32};
pub use opq::Opq;
pub use pq::{Pq, Residual};
pub use prq::Prq;
pub use rq::Rq;
pub use sq8::Sq8;
pub use tcq::Tcq;

/// Defines [`CodecStage`] over the families, and the list by which names are read.
macro_rules! families {
    ($($family:ident),+) => {
        /// One stage of a codec.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum CodecStage {
            $(
                #[doc = concat!("A stage of the family [`", stringify!($family), "`].")]
                $family($family),
            )+
        }

        impl CodecStage {
            pub(super) fn family(&self) -> &dyn Family {
                match self {
                    $(Self::$family(stage) => stage,)+
                }
            }

            fn name(&self) -> &'static StageName {
                match self {
                    $(Self::$family(_) => &$family::NAME,)+
                }
            }
        }

        $(
            impl $family {
                /// This stage, to make a codec [of](CodecSpec::of).
                pub const fn stage(self) -> CodecStage {
                    CodecStage::$family(self)
                }
            }

            impl From<$family> for CodecStage {
                fn from(stage: $family) -> Self {
                    Self::$family(stage)
                }
            }
        )+

        /// Each family's name, and what makes a stage of the numbers in it.
        const FAMILIES: &[(&StageName, fn(Numbers) -> Option<CodecStage>)] =
            &[$((&$family::NAME, |numbers| $family::from_numbers(numbers).map(CodecStage::$family))),+];
    };
}

families! { F32, Bf16, Sq8, Pq, Rq, Prq, Opq, Residual, Tcq }

/// Most stages of a codec.
pub(super) const MAX_STAGES: usize = 3;
/// Numbers that a stage's name has at most.
const MAX_NUMBERS: usize = 3;

/// The numbers of a stage's name, in its order; those that it does not have are 0.
pub(super) type Numbers = [u16; MAX_NUMBERS];

/// How a stage is written, and where in a chain it may be.
pub(super) struct StageName {
    /// What is written, with names of numbers in angle brackets: `PQ<m>x<bits>`.
    pub(super) pattern: &'static str,
    /// Whether a chain may begin with it.
    pub(super) first: bool,
    /// Words of the stages that it may follow; the word of a stage is its pattern up to the first number.
    pub(super) after: &'static [&'static str],
    /// Whether a chain may end with it.
    pub(super) last: bool,
}

/// What a family of stages declares.
pub(super) trait Family {
    /// The numbers of its name.
    fn numbers(&self) -> Numbers {
        Numbers::default()
    }

    /// Checks the bounds that do not depend on the dimension. `spec` is the codec that errors name.
    fn check(&self, _spec: CodecSpec) -> Result<(), SpecError> {
        Ok(())
    }

    /// Adds its part of the code and of the tables.
    fn lay_out(&self, layout: &mut LayoutBuilder) -> Result<(), SpecError>;

    /// Whether the codec ends with a linear map, whose mean and matrix come before all other tables.
    fn mapped(&self) -> bool {
        false
    }

    /// The feature bits that a pack with this stage requires (SPEC 2): 0 for stages of version 1.0.
    fn required_features(&self) -> u64 {
        0
    }
}

impl CodecStage {
    /// Reads one element of a codec's name, in any case.
    pub(super) fn parse(element: &str) -> Option<Self> {
        FAMILIES.iter().find_map(|(name, stage)| stage(name.read(element)?))
    }
}

impl fmt::Display for CodecStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.name().pattern;
        for number in self.family().numbers() {
            let Some((letters, behind)) = rest.split_once('<') else { break };
            write!(f, "{letters}{number}")?;
            rest = behind.split_once('>').map_or("", |(_, rest)| rest);
        }
        f.write_str(rest)
    }
}

impl StageName {
    /// The pattern up to the first number.
    fn word(&self) -> &'static str {
        self.pattern.split('<').next().unwrap_or_default()
    }

    /// The numbers of an element that fits the pattern.
    fn read(&self, element: &str) -> Option<Numbers> {
        let (mut pattern, mut rest) = (self.pattern, element);
        let mut numbers = [0; MAX_NUMBERS];
        for number in &mut numbers {
            let Some((letters, behind)) = pattern.split_once('<') else { break };
            pattern = behind.split_once('>')?.1;
            rest = strip_letters(rest, letters)?;
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (digits, behind) = rest.split_at_checked(digits)?;
            *number = digits.parse().ok()?;
            rest = behind;
        }
        strip_letters(rest, pattern)?.is_empty().then_some(numbers)
    }
}

/// What is behind some letters, which may be of either case.
fn strip_letters<'a>(text: &'a str, letters: &str) -> Option<&'a str> {
    let (start, rest) = text.split_at_checked(letters.len())?;
    start.eq_ignore_ascii_case(letters).then_some(rest)
}

/// Whether a codec may have these stages in this order.
pub(super) fn is_chain(stages: &[CodecStage]) -> bool {
    let names = || stages.iter().map(|stage| stage.name());
    let follow = names().zip(names().skip(1)).all(|(before, name)| name.after.contains(&before.word()));
    follow && names().next().is_some_and(|name| name.first) && names().next_back().is_some_and(|name| name.last)
}

/// The patterns of all codecs, for errors.
pub(super) fn patterns() -> String {
    let names = || FAMILIES.iter().map(|(name, _)| *name);
    let mut chains: Vec<Vec<&StageName>> = names().filter(|name| name.first).map(|name| vec![name]).collect();
    let mut at = 0;
    while let Some(chain) = chains.get(at).cloned() {
        let word = chain.last().map(|name| name.word()).unwrap_or_default();
        let followers = names().filter(|name| chain.len() < MAX_STAGES && name.after.contains(&word));
        chains.extend(followers.map(|name| [chain.as_slice(), &[name]].concat()).collect::<Vec<_>>());
        at += 1;
    }
    chains.retain(|chain| chain.last().is_some_and(|name| name.last));
    let written = chains.iter().map(|chain| chain.iter().map(|name| name.pattern).collect::<Vec<_>>().join(","));
    written.collect::<Vec<_>>().join(" | ")
}

/// Checks the bounds of parts that each have some bits.
fn check_parts(spec: CodecSpec, parts: u32, bits: u8) -> Result<(), SpecError> {
    if !(1..=u32::from(MAX_CODE_PARTS)).contains(&parts) {
        return Err(SpecError::Parts { spec, found: parts });
    }
    if !(1..=MAX_CODE_BITS).contains(&bits) {
        return Err(SpecError::Bits { spec, found: bits });
    }
    Ok(())
}
