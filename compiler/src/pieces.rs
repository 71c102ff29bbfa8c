//! A corpus as a trainer wants it: its texts, or its references, with nothing written.

use mempack_format::Document;
use mempack_model::{Model, ReferenceTokens, reference_text};

use crate::corpus::{self, Block, Sink, Source};
use crate::segment::{Piece, Segmenter};
use crate::{BuildError, Input};

/// Cuts a document into references. `begin` hears of it when its first block with words is there, for its title may be a heading
/// in it; a document without words gives nothing.
pub(crate) fn cut_document<D, T: ReferenceTokens + ?Sized>(
    segmenter: &Segmenter<'_, T>,
    mut source: Source<'_>,
    begin: &mut dyn FnMut(&Document) -> Result<D, BuildError>,
    each: &mut dyn FnMut(&D, &Block, Piece) -> Result<(), BuildError>,
) -> Result<Option<D>, BuildError> {
    let mut begun = None;
    while let Some(block) = source.blocks.next()? {
        if !block.text.contains(char::is_alphanumeric) {
            continue;
        }
        let (document, lead) = match &begun {
            Some(begun) => begun,
            None => {
                if let Some(heading) = source.markdown.then(|| corpus::heading(&block.text)).flatten() {
                    source.document.title = heading;
                }
                let lead = segmenter.lead(&source.document.title)?;
                begun.insert((begin(&source.document)?, lead))
            }
        };
        segmenter.cut(&block.text, lead, &mut |piece| each(document, &block, piece))?;
    }
    Ok(begun.map(|(document, _)| document))
}

/// Hears of a reference: its document's id, what the model and the embedder read of it, and its token ids.
type Each<'a> = dyn FnMut(&str, &str, Vec<u32>) -> Result<(), BuildError> + 'a;

/// Cuts a corpus as a build does, and gives out each reference in order: its document's id, what the model and the embedder read of
/// it, and its token ids. Duplicates are given out as often as they occur. Memory: one block of a file.
///
/// # Errors
/// What a build refuses of a corpus or a model, and what `each` returns.
pub fn for_each_reference(model: &Model, inputs: &[Input], each: &mut Each<'_>) -> Result<(), BuildError> {
    struct References<'a> {
        segmenter: Segmenter<'a, Model>,
        each: &'a mut Each<'a>,
    }
    impl Sink for References<'_> {
        fn document(&mut self, source: Source<'_>) -> Result<(), BuildError> {
            let Self { segmenter, each } = self;
            let begin = &mut |document: &Document| Ok(document.id.clone());
            cut_document(segmenter, source, begin, &mut |id, block, piece| {
                each(id, &reference_text(&piece.lead, &block.text[piece.start..piece.end]), piece.ids)
            })?;
            Ok(())
        }

        fn note(&mut self, _: &str) {}
    }
    corpus::read(inputs, &mut std::io::stdin(), &mut References { segmenter: Segmenter::new(model)?, each })
}
