//! `TCQ`: a trellis code in a basis of its own.
//!
//! The basis has two parts. Before any stage is trained, keys are turned into a space in which errors that matter alike are equally long
//! ([`sensitivity`]). What the stages before the trellis leave is then coded along its principal axes.

mod allotment;
mod search;
mod sensitivity;
mod trellis;

use std::borrow::Cow;

use mempack_format::stages::Tcq;

use super::{Basis, Coder, Codes, Context, Trained, Training};
use crate::codec::{CodecTrainError, linear};
use trellis::Trellis;

impl Training for Tcq {
    fn rows(&self) -> Option<usize> {
        Some(1 << self.window)
    }

    fn uses_sensitivity(&self) -> bool {
        true
    }

    fn basis(&self, _: &[f32], context: &mut Context<'_>) -> Result<Option<Basis>, CodecTrainError> {
        Ok(Some(sensitivity::basis(context.sensitivity, context.group, context.dim)))
    }

    fn train(&self, left: Cow<'_, [f32]>, context: &mut Context<'_>) -> Result<Option<Trained>, CodecTrainError> {
        let dim = context.dim;
        let axes = linear::principal_axes(&left, dim);
        let turned = linear::multiply(&left, &linear::rows(&axes), dim);
        let (variances, numbers) = (linear::variances(&turned, dim), (self.bytes, self.window));
        let trellis = Trellis::train(&turned, &variances, numbers, context.threads, context.random, context.stop)?;
        Ok(Some(Trained { coder: Box::new(trellis), turn: Some(axes) }))
    }

    fn load(&self, dim: usize, allotment: &[u8], tables: &mut &[f32]) -> Option<Box<dyn Coder>> {
        let (ours, rest) = tables.split_at(dim << self.window);
        *tables = rest;
        Some(Box::new(Trellis::new(allotment, self.window, ours)))
    }
}

impl Coder for Trellis {
    fn encode(&self, left: &mut [f32], _: usize) -> Codes {
        Codes::Bytes(Trellis::encode(self, left))
    }

    fn into_tables(self: Box<Self>) -> Vec<f32> {
        Trellis::into_tables(*self).collect()
    }

    fn allotment(&self) -> Vec<u8> {
        Trellis::allotment(self)
    }
}
