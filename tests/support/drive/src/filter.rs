//! Filters of strangers.

use std::sync::{Arc, OnceLock};

use mempack_format::CodecSpec;
use mempack_hostile::Plan;
use mempack_runtime::{Expression, MappedPack, Mounts, SelectError};
use tempfile::TempDir;

/// A pack whose documents have fields of every kind.
fn described() -> &'static (TempDir, Arc<MappedPack>) {
    static PACK: OnceLock<(TempDir, Arc<MappedPack>)> = OnceLock::new();
    PACK.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("described.mpk");
        Plan::described(CodecSpec::F32).write(&path).expect("the plan is written");
        let pack = MappedPack::open(&path).expect("a pack");
        (folder, Arc::new(pack))
    })
}

/// Parses a text as a filter and puts it on a pack. What parses admits some of the documents or says what does not fit; what does not parse says where.
/// A filter joined with another admits no more than either.
pub fn filter(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let refused = |error: &mempack_runtime::FilterError| {
        assert!(error.at >= 1 && error.at <= text.chars().count().max(text.len()) + 1, "{error}");
        assert!(error.to_string().len() > 20, "{error:?} does not say what is wrong");
    };
    let expression = match Expression::parse(text) {
        Ok(expression) => expression,
        Err(error) => return refused(&error),
    };
    assert_eq!(Expression::parse(text).as_ref(), Ok(&expression), "the same text is another filter");
    let packs = Mounts::of(Arc::clone(&described().1)).packs();
    let selected = match packs.selecting(&expression) {
        Ok(selected) => selected,
        Err(SelectError::Names(error) | SelectError::Pack { source: error, .. }) => return refused(&error),
        Err(error) => panic!("a whole pack cannot be filtered: {error}"),
    };
    let count = |packs: &mempack_runtime::PackSet| packs.packs().iter().map(|mounted| mounted.documents()).sum::<u32>();
    let all = count(&packs);
    assert!(count(&selected) <= all);
    let everything = Expression::parse("true || false").expect("a filter");
    assert_eq!(count(&selected.selecting(&everything).expect("a filter that fits")), count(&selected), "a filter was widened");
    let both = packs.selecting(&expression.clone().and(everything)).expect("both fit");
    assert_eq!(both.packs(), selected.packs());
}
