//! The manifest: its wire form, its bounds, and what the sections say of it (SPEC 5).

use mempack_format::CodecSpec;
use mempack_hostile::{Parts, Plan, put, seal_root};

use crate::corpus::{Corpus, Error, edited};
use crate::fields::{Fields, int, string};

type Changes<'a> = &'a [(&'a str, Vec<u8>)];

pub fn add(corpus: &mut Corpus) {
    wire_form(corpus);
    bounds_of_the_shape(corpus);
    bounds_of_the_rest(corpus);
    codecs(corpus);
    lengths(corpus);
    graph(corpus);
    quality(corpus);
    prompts(corpus);
    budget(corpus);
}

fn fields(corpus: &Corpus) -> Fields {
    Fields::of(corpus.whole.get("MANIFEST"))
}

fn with(corpus: &Corpus, changes: Changes<'_>) -> Parts {
    let manifest = fields(corpus).with(changes);
    edited(&corpus.whole, "MANIFEST", |section| *section = manifest)
}

fn refused(corpus: &mut Corpus, name: &'static str, error: Error, changes: Changes<'_>) {
    let file = with(corpus, changes).assemble();
    corpus.open(name, error, file);
}

fn wire_form(corpus: &mut Corpus) {
    const NOT_CANONICAL: &str = "Manifest/NotCanonical";
    const DECODE: &str = "Manifest/Decode";
    let long = |marker: u8, value: u64, bytes: usize| [&[marker], &value.to_le_bytes()[..bytes]].concat();
    refused(corpus, "an int of 3 bytes that needs 1", Error(NOT_CANONICAL, "canonical form"), &[("model.layers", long(251, 4, 2))]);
    refused(corpus, "an int of 5 bytes that needs 1", Error(NOT_CANONICAL, "canonical form"), &[("embedder.dim", long(252, 6, 4))]);
    refused(
        corpus,
        "an int of 9 bytes that needs 5",
        Error(NOT_CANONICAL, "canonical form"),
        &[("counts.text_bytes", long(253, fields(corpus).int("counts.text_bytes"), 8))],
    );
    refused(corpus, "an int that begins with 254", Error(DECODE, "cannot be decoded"), &[("model.layers", vec![254; 17])]);
    refused(corpus, "an int that begins with 255", Error(DECODE, "cannot be decoded"), &[("model.layers", vec![255])]);
    refused(corpus, "an int beyond its field", Error(DECODE, "cannot be decoded"), &[("model.query_heads", int(1 << 32))]);
    refused(corpus, "an option that is 2", Error(DECODE, "cannot be decoded"), &[("model.adapter", vec![2])]);
    refused(corpus, "a string that is not UTF-8", Error(DECODE, "cannot be decoded"), &[("model.name", vec![2, 0xC3, 0x28])]);
    refused(corpus, "a string of 2^62 bytes", Error(DECODE, "cannot be decoded"), &[("generator", int(1 << 62))]);
    refused(
        corpus,
        "a string beyond the section",
        Error(DECODE, "cannot be decoded"),
        &[("codec", [int(5000), b"PQ3x3".to_vec()].concat())],
    );
    refused(corpus, "a list of 2^60 numbers", Error(DECODE, "cannot be decoded"), &[("model.prefix_ids", int(1 << 60))]);
    refused(corpus, "a list longer than its section", Error(DECODE, "cannot be decoded"), &[("model.prefix_ids", int(3000))]);
    let file = edited(&corpus.whole, "MANIFEST", |manifest| manifest.push(0)).assemble();
    corpus.open("a byte behind the manifest", Error(NOT_CANONICAL, "canonical form"), file);
    let file = edited(&corpus.whole, "MANIFEST", |manifest| manifest.truncate(manifest.len() - 1)).assemble();
    corpus.open("a manifest cut short", Error(DECODE, "cannot be decoded"), file);
    let file = edited(&corpus.whole, "MANIFEST", Vec::clear).assemble();
    corpus.open("an empty manifest", Error(DECODE, "cannot be decoded"), file);
    let file = edited(&corpus.whole, "MANIFEST", |manifest| manifest.resize((1 << 20) + 1, 0)).assemble();
    corpus.open("a manifest of more than 1 MiB", Error("Manifest/TooLarge", "1048577 bytes"), file);
}

fn bounds_of_the_shape(corpus: &mut Corpus) {
    let cases: [(&str, &str, u64, &str); 13] = [
        ("no memory layers", "model.shape.layers", 0, "memory layers is 0"),
        ("4097 memory layers", "model.shape.layers", 4097, "memory layers is 4097"),
        ("2^32 - 1 memory layers", "model.shape.layers", 0xFFFF_FFFF, "memory layers is 4294967295"),
        ("no key-value heads", "model.shape.heads", 0, "key-value heads is 0"),
        ("4097 key-value heads", "model.shape.heads", 4097, "key-value heads is 4097"),
        ("no tokens per head", "model.shape.tokens", 0, "tokens per head is 0"),
        ("256 tokens per head", "model.shape.tokens", 256, "tokens per head is 256"),
        ("head dimension 0", "model.shape.head_dim", 0, "head dimension is 0"),
        ("head dimension 1025", "model.shape.head_dim", 1025, "head dimension is 1025"),
        ("more memory layers than layers", "model.layers", 2, "layers of the model is 2"),
        ("4097 layers", "model.layers", 4097, "layers of the model is 4097"),
        ("a first memory layer that overflows", "model.first_memory_layer", 0xFFFF_FFFF, "expected 4294967297 to 4096"),
        ("query heads that no group fits", "model.query_heads", 3, "query heads is 3, expected a multiple of 2"),
    ];
    for (name, field, value, text) in cases {
        refused(corpus, name, Error("Manifest/Field", text), &[(field, int(value))]);
    }
    refused(corpus, "no query heads", Error("Manifest/Field", "query heads is 0"), &[("model.query_heads", int(0))]);
    refused(corpus, "4098 query heads", Error("Manifest/Field", "query heads is 4098"), &[("model.query_heads", int(4098))]);
    let huge = [
        ("model.shape.layers", int(4096)),
        ("model.shape.heads", int(4096)),
        ("model.layers", int(4096)),
        ("model.first_memory_layer", int(0)),
        ("model.query_heads", int(4096)),
    ];
    refused(corpus, "a memory of 2^28 floats and more", Error("Manifest/Field", "floats of a memory's keys is 402653184"), &huge);
}

fn bounds_of_the_rest(corpus: &mut Corpus) {
    let float = |value: f64| vec![("model.rope_base", value.to_le_bytes().to_vec())];
    let field = |text| Error("Manifest/Field", text);
    refused(corpus, "RoPE base NaN", field("RoPE base is NaN"), &float(f64::NAN));
    refused(corpus, "RoPE base infinite", field("RoPE base is inf"), &float(f64::INFINITY));
    refused(corpus, "RoPE base 0", field("RoPE base is 0,"), &float(0.0));
    refused(corpus, "RoPE base below 0", field("RoPE base is -10000"), &float(-10_000.0));
    refused(corpus, "reference length 0", field("reference length is 0"), &[("model.reference_length", int(0))]);
    refused(corpus, "reference length 256", field("reference length is 256"), &[("model.reference_length", int(256))]);
    refused(corpus, "an unknown precision", field("precision is \"f16\""), &[("precision", string("f16"))]);
    refused(corpus, "an unknown metric", field("metric is \"dot\""), &[("embedder.metric", string("dot"))]);
    refused(corpus, "embeddings of no dimensions", field("embedding dimensions is 0"), &[("embedder.dim", int(0))]);
    refused(corpus, "embeddings of 65537 dimensions", field("embedding dimensions is 65537"), &[("embedder.dim", int(65_537))]);
    refused(corpus, "2^32 - 1 references", field("references is 4294967295"), &[("counts.references", int(0xFFFF_FFFF))]);
}

fn codecs(corpus: &mut Corpus) {
    let cases = [
        ("an unknown codec", "ZIP", "no codec is named \"ZIP\""),
        ("a codec without a name", "", "no codec is named \"\""),
        ("a codec of a later version", "OPQ20_80", "no codec is named \"OPQ20_80\""),
        ("a codec of no parts", "PQ0x3", "0 parts"),
        ("a codec of 129 parts", "RQ129x3", "129 parts"),
        ("a codec of 65536 parts", "RQ65536x3", "no codec is named \"RQ65536x3\""),
        ("a codec of 0 bits", "PQ3x0", "0 bits"),
        ("a codec of 15 bits", "PQ3x15", "15 bits"),
        ("a codec of 32 bits, tables of 2^32 rows", "PQ3x32", "32 bits"),
        ("parts that do not divide the dimension", "PQ4x3", "4 parts do not divide"),
    ];
    for (name, codec, text) in cases {
        refused(corpus, name, Error("Manifest/Codec", text), &[("codec", string(codec))]);
    }
    refused(corpus, "a codec in small letters", Error("Manifest/Field", "codec is pq3x3"), &[("codec", string("pq3x3"))]);
    refused(corpus, "a codec with a leading zero", Error("Manifest/Field", "codec is PQ03x3"), &[("codec", string("PQ03x3"))]);
}

fn lengths(corpus: &mut Corpus) {
    let count = |corpus: &Corpus, name: &str| fields(corpus).int(name);
    let cases: [(&str, &str, u64, &str); 10] = [
        ("a document more than its index", "counts.documents", 5, "section DOCINDEX"),
        ("2^32 - 1 documents", "counts.documents", 0xFFFF_FFFF, "34359738368"),
        ("a reference more than records", "counts.references", 31, "section REFS"),
        ("an origin more than records", "counts.origins", count(corpus, "counts.origins") + 1, "section ORIGINS"),
        ("origins whose bytes overflow", "counts.origins", u64::MAX, "counts demand 18446744073709551615"),
        ("a text block more than the index", "counts.text_bytes", count(corpus, "counts.text_bytes") + 65_536, "section TEXTINDX"),
        ("text bytes whose blocks overflow", "counts.text_bytes", u64::MAX, "counts demand 2251799813685256"),
        ("embeddings of another dimension", "embedder.dim", 7, "section EMBED"),
        ("memories of another shape", "model.shape.tokens", 5, "section MEMORIES"),
        ("codes of another length", "codec", 0, "section MEMORIES"),
    ];
    for (name, field, value, text) in cases {
        let value = if field == "codec" { string("PQ6x8") } else { int(value) };
        refused(corpus, name, Error("SectionLength", text), &[(field, value)]);
    }
    let sections = [
        ("a leaf too few", "LEAVES", 32),
        ("half a reference record", "REFS", 32),
        ("an embedding too few", "EMBED", 24),
        ("a memory cut short", "MEMORIES", 1),
    ];
    for (name, tag, bytes) in sections {
        let mut parts = corpus.whole.clone();
        let length = parts.get(tag).len();
        parts.edit(tag).truncate(length - bytes);
        corpus.open(name, Error("SectionLength", tag), parts.assemble());
    }
    let tokens = count(corpus, "counts.tokens") + 1;
    let parts = with(corpus, &[("counts.tokens", int(tokens))]);
    corpus.verify("a token more than the references have", Error("REFS/Value", "tokens of all references"), &parts);
    let text_bytes = count(corpus, "counts.text_bytes") + 1;
    let parts = with(corpus, &[("counts.text_bytes", int(text_bytes))]);
    corpus.touch_as(
        "a byte of text more than there is",
        Error("TEXT/Value", "bytes of a text block"),
        Error("REFS/Value", "bytes of all references' texts"),
        &parts,
    );
}

fn graph(corpus: &mut Corpus) {
    refused(corpus, "graph m 0", Error("Manifest/Field", "graph m is 0"), &[("graph.m", int(0))]);
    refused(corpus, "graph m 257", Error("Manifest/Field", "graph m is 257"), &[("graph.m", int(257))]);
    let none = [("graph", vec![0]), ("graph.m", vec![]), ("graph.ef_construction", vec![])];
    refused(corpus, "a graph without parameters", Error("Manifest/Field", "graph is absent"), &none);
}

/// SPEC 5.1: memories, a byte that says two layers, four shares, an option, nats and tokens.
fn quality(corpus: &mut Corpus) {
    const FIELD: &str = "Quality/Field";
    let keys = 2;
    let nats = keys + 4 * 8 + 1;
    let cases: [(&'static str, Error, usize, Vec<u8>); 8] = [
        ("a codec measured on nothing", Error(FIELD, "memories of the quality is 0"), 0, vec![0]),
        ("a loss that is no number", Error(FIELD, "loss of keys is NaN"), keys, f64::NAN.to_le_bytes().into()),
        ("a loss below nothing", Error(FIELD, "loss of values is -0.5"), keys + 8, (-0.5f64).to_le_bytes().into()),
        ("a loss of minus nothing", Error(FIELD, "loss of keys is -0"), keys + 16, (-0.0f64).to_le_bytes().into()),
        ("a loss without end", Error(FIELD, "loss of values is inf"), keys + 24, f64::INFINITY.to_le_bytes().into()),
        ("a divergence below nothing", Error(FIELD, "divergence is -1"), nats, (-1.0f64).to_le_bytes().into()),
        ("losses of 2^60 layers", Error("Quality/Decode", "cannot be decoded"), 1, int(1 << 60)),
        ("a divergence that is neither there nor not", Error("Quality/Decode", "cannot be decoded"), nats - 1, vec![2]),
    ];
    for (name, error, at, bytes) in cases {
        let file = corpus.with("QUALITY", at, &bytes).assemble();
        corpus.open(name, error, file);
    }
    let layers = edited(&corpus.whole, "QUALITY", |quality| {
        quality[1] = 1;
        quality.drain(keys..keys + 16);
    });
    corpus.open("losses of a layer too few", Error(FIELD, "layers of the quality is 1"), layers.assemble());
    let behind = edited(&corpus.whole, "QUALITY", |quality| quality.push(0));
    corpus.open("a byte behind the quality", Error("Quality/NotCanonical", "canonical form"), behind.assemble());
}

/// SPEC 5.3: a number for each of four heads, of which the largest is the manifest's.
fn budget(corpus: &mut Corpus) {
    const FIELD: &str = "Budget/Field";
    let whole = Parts::of(&Plan::ragged(CodecSpec::pq(3, 3)).bytes());
    let cases: [(&'static str, &'static str, &[u8]); 8] = [
        ("a head budget of three heads", "bytes of the head budget is 3", &[3, 0, 6]),
        ("a head budget of five heads", "bytes of the head budget is 5", &[3, 0, 1, 6, 0]),
        ("no head budget in its section", "bytes of the head budget is 0", &[]),
        ("a head budget below the manifest's tokens", "largest number of the head budget is 5", &[3, 0, 1, 5]),
        ("a head budget above the manifest's tokens", "largest number of the head budget is 7", &[3, 0, 1, 7]),
        ("a head budget of 255 tokens", "largest number of the head budget is 255", &[255, 0, 1, 6]),
        ("a head budget of zeros", "largest number of the head budget is 0", &[0; 4]),
        ("a head budget of equal numbers", "head budget is 6, expected numbers that differ", &[6; 4]),
    ];
    for (name, said, bytes) in cases {
        corpus.open(name, Error(FIELD, said), edited(&whole, "BUDGET", |budget| *budget = bytes.to_vec()).assemble());
    }
    let other = edited(&whole, "BUDGET", |budget| *budget = vec![3, 0, 2, 6]).assemble();
    corpus.open("a head budget of more slots than records have", Error("SectionLength", "section MEMORIES"), other);
    let moved = edited(&whole, "BUDGET", |budget| *budget = vec![0, 3, 1, 6]);
    // As many slots, and a first head of other tokens: positions and codes fit all the same.
    corpus.open("a head budget without its feature", Error("BudgetFeature", "no head budget"), {
        let mut file = moved.assemble();
        put(&mut file, 16, &[0]);
        seal_root(&mut file);
        file
    });
    let without = corpus.header(16, &[2]);
    corpus.open("the feature of a head budget without one", Error("BudgetFeature", "a head budget"), without);
    // Heads of 1 and 6 slots for one of 4 and one of 3: its seventh position begins again.
    let descending = edited(&whole, "BUDGET", |budget| *budget = vec![1, 0, 3, 6]);
    corpus.touch_as(
        "positions that do not ascend within a head of the budget",
        Error("MEMORIES/Codec", "does not ascend"),
        Error("MEMORIES/TooSmall", "position is"),
        &descending,
    );
}

/// SPEC 5.2: two strings, `query: ` and `passage: `, each after a byte with its length.
fn prompts(corpus: &mut Corpus) {
    const FIELD: &str = "Prompts/Field";
    const DECODE: &str = "Prompts/Decode";
    let of = |query: &str, passage: &str| [string(query), string(passage)].concat();
    let long = "x".repeat(1025);
    let cases: [(&'static str, Error, Vec<u8>); 9] = [
        ("two empty prompts", Error(FIELD, "prompts is two empty ones"), of("", "")),
        ("a query prompt of 1025 bytes", Error(FIELD, "bytes of the query prompt is 1025"), of(&long, "")),
        ("a passage prompt of 1025 bytes", Error(FIELD, "bytes of the passage prompt is 1025"), of("", &long)),
        ("a prompt that is not UTF-8", Error(DECODE, "cannot be decoded"), [vec![2, 0xC3, 0x28], string("p")].concat()),
        ("a prompt of 2^60 bytes", Error(DECODE, "cannot be decoded"), int(1 << 60)),
        ("one prompt alone", Error(DECODE, "cannot be decoded"), string("query: ")),
        ("no prompts", Error(DECODE, "cannot be decoded"), vec![]),
        ("a byte behind the prompts", Error("Prompts/NotCanonical", "canonical form"), [of("q", "p"), vec![0]].concat()),
        ("a prompt whose length is not in its shortest form", Error("Prompts/NotCanonical", "canonical form"), vec![251, 1, 0, b'q', 0]),
    ];
    for (name, error, bytes) in cases {
        let file = edited(&corpus.whole, "PROMPTS", |prompts| *prompts = bytes).assemble();
        corpus.open(name, error, file);
    }
}
