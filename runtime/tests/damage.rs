//! Flipped bytes are detected at first access, and reported with section and offset or skipped and counted.

use std::fs;
use std::path::PathBuf;

use mempack_format::{Damage, ReadError, Section, TEXT_BLOCK_BYTES, Tag};
use mempack_runtime::{Hit, MappedPack, MemoryCache, Method, Mounts, OnDamage, Skipped, cite};
use proptest::prelude::*;
use tempfile::TempDir;

mod common;
use common::{Random, SHAPE, World, text, write_pack};

const REFERENCES: u32 = 2000;
const DIM: usize = 16;

struct Written {
    folder: TempDir,
    bytes: Vec<u8>,
    sections: Vec<Section>,
}

/// An undamaged pack with more than one text block.
fn whole() -> &'static Written {
    static WHOLE: std::sync::OnceLock<Written> = std::sync::OnceLock::new();
    WHOLE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("whole.mpk");
        write_pack(&path, &World::scatter(&mut Random(21), REFERENCES, DIM, 0), SHAPE, None);
        let pack = MappedPack::open(&path).unwrap();
        assert!(pack.manifest().counts.text_bytes > TEXT_BLOCK_BYTES, "several blocks");
        Written { bytes: fs::read(&path).unwrap(), sections: pack.sections().to_vec(), folder }
    })
}

impl Written {
    fn section(&self, tag: Tag) -> Section {
        *self.sections.iter().find(|section| section.tag == tag).unwrap()
    }

    /// A copy with bytes flipped.
    fn flipped(&self, name: &str, at: &[u64]) -> (PathBuf, MappedPack) {
        let mut bytes = self.bytes.clone();
        at.iter().for_each(|&at| bytes[at as usize] ^= 0x20);
        let path = self.folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        let pack = MappedPack::open(&path).unwrap();
        (path, pack)
    }
}

fn damage(error: &ReadError) -> &Damage {
    let ReadError::Damaged(damage) = error else { panic!("{error}") };
    damage
}

#[test]
fn a_damaged_text_is_told_or_its_hit_comes_without() {
    let text_section = whole().section(Tag::TEXT);
    let (path, pack) = whole().flipped("text.mpk", &[text_section.offset + 100]);
    let hit = |reference| Hit { reference, similarity: 0.5 };
    let error = pack.describe(&hit(0)).unwrap_err();
    assert_eq!((damage(&error).section, damage(&error).offset), (Tag::TEXT, text_section.offset));
    assert_eq!(pack.describe(&hit(REFERENCES - 1)).unwrap().text, text(REFERENCES - 1), "another block");

    let skipped = Skipped::default();
    let mounts = Mounts::of(pack);
    let mut hits = mounts.packs().nearest(&Random(1).unit(DIM, None, 1.0), REFERENCES as usize, Method::Exact, OnDamage::Fail).unwrap();
    hits.sort_by_key(|hit| hit.reference.number);
    let cited = cite(&hits[0], OnDamage::Skip(&skipped)).unwrap();
    assert_eq!((cited.text_damaged, cited.found.text.as_str(), cited.found.document.as_str()), (true, "", "squares"));
    let cited = cite(&hits[REFERENCES as usize - 1], OnDamage::Skip(&skipped)).unwrap();
    assert_eq!((cited.text_damaged, cited.found.text), (false, text(REFERENCES - 1)));
    cite(&hits[1], OnDamage::Skip(&skipped)).unwrap();
    let parts = skipped.parts();
    assert_eq!((parts.len(), parts[0].section, parts[0].places), (1, Tag::TEXT, 1), "the same block is one place");
    assert_eq!((&parts[0].path, parts[0].id), (&path, mounts.packs().packs()[0].id()));
    let report = parts[0].to_string();
    assert!(report.contains("text.mpk") && report.contains("1 damaged place of section TEXT"), "{report}");
    assert!(cite(&hits[0], OnDamage::Fail).unwrap_err().is_damage());
}

#[test]
fn damaged_memories_are_left_out_and_counted() {
    let (memories, stride) = (whole().section(Tag::MEMORIES), whole().section(Tag::MEMORIES).length / u64::from(REFERENCES));
    let (_, pack) = whole().flipped("memories.mpk", &[3, 8].map(|reference| memories.offset + reference * stride + 40));
    let (cache, skipped) = (MemoryCache::default(), Skipped::default());
    for reference in 0..10 {
        let fetched = cache.fetch_or_skip(&pack, reference, OnDamage::Skip(&skipped)).unwrap();
        assert_eq!(fetched.map(|(memory, _)| memory.keys[0]), (![3, 8].contains(&reference)).then_some(reference as f32));
    }
    let parts = skipped.parts();
    assert_eq!(
        (parts.len(), parts[0].section, parts[0].places, parts[0].first.offset),
        (1, Tag::MEMORIES, 2, memories.offset + 3 * stride)
    );
    let error = cache.fetch_or_skip(&pack, 8, OnDamage::Fail).unwrap_err();
    assert_eq!(damage(&error.source).offset, memories.offset + 8 * stride);
    assert!(!cache.fetch_or_skip(&pack, REFERENCES, OnDamage::Skip(&skipped)).unwrap_err().is_damage(), "the reference does not exist");
}

#[test]
fn what_everything_rests_on_is_never_left_out() {
    for (tag, name) in
        [(Tag::LEAVES, "leaves.mpk"), (Tag::CODEC, "codec.mpk"), (Tag::DOCUMENTS, "documents.mpk"), (Tag::REFERENCES, "references.mpk")]
    {
        let section = whole().section(tag);
        let (_, pack) = whole().flipped(name, &[section.offset + section.length / 2]);
        let skipped = Skipped::default();
        let mounts = Mounts::of(pack);
        let query = Random(3).unit(DIM, None, 1.0);
        let found = mounts.packs().nearest(&query, 1, Method::Exact, OnDamage::Skip(&skipped));
        let error: ReadError = match found {
            Err(error) => match *error.source {
                mempack_runtime::SearchError::Read(error) => error,
                other => panic!("{other}"),
            },
            Ok(hits) => match cite(&hits[0], OnDamage::Skip(&skipped)) {
                Err(error) => *error.source,
                Ok(_) => {
                    *MemoryCache::default().fetch_or_skip(hits[0].reference.pack.pack(), 0, OnDamage::Skip(&skipped)).unwrap_err().source
                }
            },
        };
        assert_eq!((damage(&error).section, damage(&error).offset), (tag, section.offset), "{name}");
        assert!(skipped.parts().is_empty(), "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// For any flips, the result is that of the undamaged pack, or an error.
    #[test]
    fn flips_never_give_a_wrong_hit(flips in proptest::collection::vec(any::<prop::sample::Index>(), 1..20), seed: u64, skip: bool) {
        // After the header page and before the manifest (the last section), because damage there is refused at open.
        let end = whole().section(Tag::MANIFEST).offset - 4096;
        let at: Vec<u64> = flips.iter().map(|index| 4096 + index.index(end as usize) as u64).collect();
        let (path, pack) = whole().flipped(&format!("{seed}.mpk"), &at);
        let truth = MappedPack::open(whole().folder.path().join("whole.mpk")).unwrap();
        let query = Random(seed).unit(DIM, None, 1.0);
        let skipped = Skipped::default();
        let on_damage = if skip { OnDamage::Skip(&skipped) } else { OnDamage::Fail };
        let all = truth.search_exact(&query, REFERENCES as usize).unwrap();
        match Mounts::of(pack).packs().nearest(&query, 20, Method::Exact, on_damage) {
            Err(error) => prop_assert!(error.is_damage(), "{}", error),
            Ok(hits) => for hit in hits {
                let own = hit.clone().map(|reference| reference.number);
                prop_assert!(all.contains(&own));
                match cite(&hit, on_damage) {
                    Err(error) => prop_assert!(error.is_damage(), "{}", error),
                    Ok(cited) if cited.text_damaged => prop_assert!(skip),
                    Ok(cited) => prop_assert_eq!(cited.found, truth.describe(&own).unwrap()),
                }
                match MemoryCache::default().fetch_or_skip(hit.reference.pack.pack(), hit.reference.number, on_damage) {
                    Err(error) => prop_assert!(error.is_damage(), "{}", error),
                    Ok(None) => prop_assert!(skip),
                    Ok(Some((memory, _))) => prop_assert_eq!(memory.keys[0], hit.reference.number as f32),
                }
            },
        }
        fs::remove_file(path).unwrap();
    }
}
