//! How much of a corpus the tokenizers of embedder and model do not know: a corpus in a language that they were not made for.

use mempack_model::{ComputeError, Embedder, Model, UnknownText};

use crate::BuildError;
use crate::context::BuildContext;

/// A share of unknown characters above this is worth a warning: names, symbols and quotations stay below it.
const WARN: f64 = 0.05;
/// Above this, searching or reading the corpus makes no sense.
const REFUSE: f64 = 0.30;
/// So many passages are counted, and after them one in [`STEP`].
const ALL: u64 = 1_000;
const STEP: u64 = 16;

/// Counts the characters of passages that are in unknown tokens.
#[derive(Default)]
pub(crate) struct UnknownCount {
    seen: u64,
    embedder: UnknownText,
    model: UnknownText,
}

impl UnknownCount {
    /// Counts the text of a passage, unless it is left out to save time.
    pub fn push(&mut self, model: &Model, embedder: &Embedder, text: &str) -> Result<(), ComputeError> {
        self.seen += 1;
        if self.seen <= ALL || self.seen.is_multiple_of(STEP) {
            self.embedder += embedder.unknown(&[text])?;
            self.model += model.tokenizer().unknown(text)?;
        }
        Ok(())
    }

    /// Warns of a share above 5%, and refuses one above 30% unless the options allow any language.
    pub fn check(&self, context: &BuildContext<'_>) -> Result<(), BuildError> {
        let parties = [
            ("embedder", &context.embedder.identity().name, self.embedder.share()),
            ("model", &context.model.identity().name, self.model.share()),
        ];
        for (party, name, share) in parties {
            if share > REFUSE && !context.options.any_language {
                return Err(BuildError::UnknownText { party, name: name.clone(), share });
            }
            if share > WARN {
                context.progress.note(&format!(
                    "warning: the {party} {name} does not know {:.0}% of the characters of the corpus; another {party} that knows its \
                     language would find and read more",
                    100.0 * share
                ));
            }
        }
        Ok(())
    }
}
