//! The exact training state in a file: weights and moments, from which an interrupted run resumes.

use std::collections::BTreeMap;
use std::path::Path;

use tch::{TchError, Tensor};

use super::save::write_tensors;
use super::{AdamW, SaveError, Trainee};

/// An error while reading a training state.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// The file cannot be read, or is not a safetensors file.
    #[error("cannot be read: {reason}")]
    Read {
        /// libtorch's error.
        reason: String,
    },
    /// A tensor is missing, or has another type or shape.
    #[error("{tensor}: expected {expected}, found {found}")]
    Tensor {
        /// Name of the tensor.
        tensor: String,
        /// Type and shape in this run.
        expected: String,
        /// Type and shape in the file.
        found: String,
    },
    /// A failure of libtorch.
    #[error("libtorch: {0}")]
    Torch(#[from] TchError),
}

fn form(x: &Tensor) -> String {
    format!("{:?} {:?}", x.kind(), x.size())
}

impl Trainee {
    /// Writes the f32 masters and the optimizer's moments to a safetensors file, and syncs it.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write_state(&self, optimizer: &AdamW, path: &Path) -> Result<(), SaveError> {
        let mut tensors = Vec::with_capacity(3 * self.parameters.len());
        for (parameter, (first, second)) in self.parameters.iter().zip(&optimizer.moments) {
            let [named_first, named_second] = moments(&parameter.name);
            tensors.push((parameter.name.clone(), parameter.master.shallow_clone()));
            tensors.push((named_first, first.shallow_clone()));
            tensors.push((named_second, second.shallow_clone()));
        }
        write_tensors(path, &tensors)
    }

    /// Restores a state that [`write_state`](Self::write_state) wrote after `steps` steps of the optimizer.
    ///
    /// # Errors
    /// A file that cannot be read, or that holds other weights. Then nothing changes.
    pub fn read_state(&mut self, optimizer: &mut AdamW, steps: u64, path: &Path) -> Result<(), StateError> {
        let _guard = tch::no_grad_guard();
        let read = Tensor::read_safetensors(path).map_err(|error| StateError::Read { reason: error.to_string() })?;
        let mut read: BTreeMap<String, Tensor> = read.into_iter().collect();
        let mut find = |name: &str, like: &Tensor| -> Result<Tensor, StateError> {
            let wrong = |found: String| StateError::Tensor { tensor: name.to_owned(), expected: form(like), found };
            let found = read.remove(name).ok_or_else(|| wrong("nothing".into()))?;
            if found.size() != like.size() || found.kind() != like.kind() {
                return Err(wrong(form(&found)));
            }
            Ok(found.f_to_device(like.device())?)
        };
        let mut found = Vec::with_capacity(self.parameters.len());
        for parameter in &self.parameters {
            let [first, second] = moments(&parameter.name);
            let master = &parameter.master;
            found.push((find(&parameter.name, master)?, (find(&first, master)?, find(&second, master)?)));
        }
        let mut all = Vec::with_capacity(found.len());
        for (parameter, (master, moments)) in self.parameters.iter_mut().zip(found) {
            parameter.master.f_copy_(&master)?;
            parameter.publish()?;
            all.push(moments);
        }
        optimizer.moments = all;
        optimizer.steps = steps;
        Ok(())
    }
}

/// Names in the file of a parameter's first and second moment.
fn moments(parameter: &str) -> [String; 2] {
    [format!("{parameter}#first"), format!("{parameter}#second")]
}
