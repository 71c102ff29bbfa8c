//! Weights and moments in a file, exactly: what a run needs to go on as if it had not been broken off.

use std::collections::BTreeMap;
use std::path::Path;

use tch::{TchError, Tensor};

use super::save::write_tensors;
use super::{AdamW, SaveError, Trainee};

/// Why a state was not taken up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// The file cannot be read, or is no safetensors file.
    #[error("cannot be read: {reason}")]
    Read {
        /// What libtorch's reader says.
        reason: String,
    },
    /// A tensor that is missing, or of another form.
    #[error("{tensor}: expected {expected}, found {found}")]
    Tensor {
        /// Its name.
        tensor: String,
        /// Type and shape of this run's.
        expected: String,
        /// Type and shape of the file's.
        found: String,
    },
    /// libtorch reported a failure.
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

    /// Puts a written state in place, of an optimizer that has made `steps` steps.
    ///
    /// # Errors
    /// A file that cannot be read, or that other weights were written to; then nothing has changed.
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

/// Names of a parameter's first and second moment.
fn moments(parameter: &str) -> [String; 2] {
    [format!("{parameter}#first"), format!("{parameter}#second")]
}
