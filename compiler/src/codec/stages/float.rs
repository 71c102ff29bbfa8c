//! `F32` and `BF16`: no tables.

use std::borrow::Cow;

use mempack_format::stages::{Bf16, F32};

use super::{Coder, Codes, Context, Trained, Training};
use crate::codec::CodecTrainError;

impl Training for F32 {
    fn train(&self, _: Cow<'_, [f32]>, _: &mut Context<'_>) -> Result<Option<Trained>, CodecTrainError> {
        Ok(Trained::plain(F32Coder))
    }

    fn load(&self, _: usize, _: &[u8], _: &mut &[f32]) -> Option<Box<dyn Coder>> {
        Some(Box::new(F32Coder))
    }
}

impl Training for Bf16 {
    fn train(&self, _: Cow<'_, [f32]>, _: &mut Context<'_>) -> Result<Option<Trained>, CodecTrainError> {
        Ok(Trained::plain(Bf16Coder))
    }

    fn load(&self, _: usize, _: &[u8], _: &mut &[f32]) -> Option<Box<dyn Coder>> {
        Some(Box::new(Bf16Coder))
    }
}

struct F32Coder;

impl Coder for F32Coder {
    fn encode(&self, left: &mut [f32], _: usize) -> Codes {
        Codes::Bytes(left.iter().flat_map(|x| x.to_le_bytes()).collect())
    }

    fn into_tables(self: Box<Self>) -> Vec<f32> {
        Vec::new()
    }
}

struct Bf16Coder;

impl Coder for Bf16Coder {
    fn encode(&self, left: &mut [f32], _: usize) -> Codes {
        Codes::Bytes(left.iter().flat_map(|x| half::bf16::from_f32(*x).to_le_bytes()).collect())
    }

    fn into_tables(self: Box<Self>) -> Vec<f32> {
        Vec::new()
    }
}
