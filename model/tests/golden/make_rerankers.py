"""Two small random cross-encoders, and the scores that their definition gives: tiny-bert-reranker and tiny-xlmr-reranker.

    python make_rerankers.py        needs numpy, safetensors, tokenizers; writes beside itself

The scores are computed here from the definition of BERT (Devlin et al., arXiv 1810.04805) and of the classification heads, in float64, all pairs of a
model as one padded batch with an attention mask. Pairs are encoded and truncated by the tokenizers library.
"""
import json
import math
import pathlib

import numpy as np
from safetensors.numpy import save_file
from tokenizers import Tokenizer

HERE = pathlib.Path(__file__).parent
HIDDEN, LAYERS, HEADS, INNER, POSITIONS, MAX = 32, 2, 4, 64, 130, 96
WORDS = ("the dose of is usual what adult daily twice nutepril gout lease tenant rent river notice may end treat used mg how long who keeps"
         " which document says two three months first month due and not be to in it a").split()
PAIRS = [
    ("What is the usual dose of Nutepril?", "Nutepril is used to treat gout. The usual adult dose is 40 mg twice daily."),
    ("What is the usual dose of Nutepril?", "The tenant may end the lease with two months' notice."),
    ("who", "a"),
    ("", "The rent is due."),
    ("How long?", ""),
    ("What is due?", "The rent is due on the first of the month. " * 12),
    ("the rent is due and the tenant may end it " * 9, "The lease of the river is kept."),
    ("the rent is due and the tenant may end it " * 9, "The lease of the river is kept. " * 11),
    ("naïve 第四十二条 🦀", "UPPER lower, 12345 e-mail@example.org"),
]


def special(names):
    return [dict(id=i, content=n, single_word=False, lstrip=False, rstrip=False, normalized=False, special=True) for i, n in names]


def template(first, pair, ids):
    part = lambda p: ({"Sequence": {"id": p[0], "type_id": p[1]}} if p[0] in "AB" else {"SpecialToken": {"id": p[0], "type_id": p[1]}})
    return dict(type="TemplateProcessing", single=[part(p) for p in first], pair=[part(p) for p in pair],
                special_tokens={n: dict(id=n, ids=[i], tokens=[n]) for n, i in ids.items()})


def bert_tokenizer():
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *".,?!'-@[]/<>", *letters, *("##" + c for c in letters), "四", "条",
              *(w for w in WORDS if len(w) > 1)]
    return dict(version="1.0", truncation=None, padding=None, added_tokens=special(enumerate(tokens[:5])),
                normalizer=dict(type="BertNormalizer", clean_text=True, handle_chinese_chars=True, strip_accents=None, lowercase=True),
                pre_tokenizer=dict(type="BertPreTokenizer"), decoder=dict(type="WordPiece", prefix="##", cleanup=True),
                post_processor=template([("[CLS]", 0), ("A", 0), ("[SEP]", 0)],
                                        [("[CLS]", 0), ("A", 0), ("[SEP]", 0), ("B", 1), ("[SEP]", 1)], {"[CLS]": 2, "[SEP]": 3}),
                model=dict(type="WordPiece", unk_token="[UNK]", continuing_subword_prefix="##", max_input_chars_per_word=100,
                           vocab={t: i for i, t in enumerate(tokens)}))


def xlmr_tokenizer():
    pieces = [("▁" + w, -4.0) for w in WORDS] + [(c, -9.0) for c in "▁.,?!'-@/abcdefghijklmnopqrstuvwxyz0123456789四条"]
    vocab = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *pieces]
    return dict(version="1.0", truncation=None, padding=None, added_tokens=special((i, vocab[i][0]) for i in range(4)),
                normalizer=dict(type="Lowercase"),
                pre_tokenizer=dict(type="Metaspace", replacement="▁", prepend_scheme="always", split=True), decoder=None,
                post_processor=template([("<s>", 0), ("A", 0), ("</s>", 0)],
                                        [("<s>", 0), ("A", 0), ("</s>", 0), ("</s>", 0), ("B", 0), ("</s>", 0)], {"<s>": 0, "</s>": 2}),
                model=dict(type="Unigram", unk_id=3, vocab=vocab, byte_fallback=False))


def weights(rng, vocabulary, types, prefix, heads):
    shapes = {"embeddings.word_embeddings.weight": (vocabulary, HIDDEN), "embeddings.position_embeddings.weight": (POSITIONS, HIDDEN),
              "embeddings.token_type_embeddings.weight": (types, HIDDEN)}
    linear = lambda name, rows, columns: shapes.update({name + ".weight": (rows, columns), name + ".bias": (rows,)})
    norm = lambda name: shapes.update({name + ".LayerNorm.weight": (HIDDEN,), name + ".LayerNorm.bias": (HIDDEN,)})
    norm("embeddings")
    for n in range(LAYERS):
        layer = f"encoder.layer.{n}."
        for part in ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"):
            linear(layer + part, HIDDEN, HIDDEN)
        linear(layer + "intermediate.dense", INNER, HIDDEN)
        linear(layer + "output.dense", HIDDEN, INNER)
        norm(layer + "attention.output")
        norm(layer + "output")
    shapes = {prefix + name: shape for name, shape in shapes.items()}
    linear = lambda name, rows: shapes.update({name + ".weight": (rows, HIDDEN), name + ".bias": (rows,)})
    linear(heads[0], HIDDEN)
    linear(heads[1], 1)
    value = lambda name, shape: (1 + 0.1 * rng.standard_normal(shape) if name.endswith("LayerNorm.weight") else 0.25 * rng.standard_normal(shape))
    return {name: value(name, shape).astype(np.float32) for name, shape in shapes.items()}


def scores(w, prefix, heads, eps, ids, types, first_position):
    """One padded batch: ids and types are lists of lists."""
    t = {name: tensor.astype(np.float64) for name, tensor in w.items()}
    lengths = np.array([len(row) for row in ids])
    width = lengths.max()
    padded = lambda rows: np.array([row + [0] * (width - len(row)) for row in rows])
    mask = np.arange(width)[None, :] < lengths[:, None]
    erf = np.vectorize(math.erf)

    def linear(x, name):
        return x @ t[name + ".weight"].T + t[name + ".bias"]

    def norm(x, name):
        centred = x - x.mean(-1, keepdims=True)
        return centred / np.sqrt((centred ** 2).mean(-1, keepdims=True) + eps) * t[name + ".LayerNorm.weight"] + t[name + ".LayerNorm.bias"]

    p = prefix + "embeddings"
    x = norm(t[p + ".word_embeddings.weight"][padded(ids)] + t[p + ".position_embeddings.weight"][first_position + np.arange(width)]
             + t[p + ".token_type_embeddings.weight"][padded(types)], p)
    for n in range(LAYERS):
        layer = f"{prefix}encoder.layer.{n}."
        split = lambda y: y.reshape(len(ids), width, HEADS, -1).transpose(0, 2, 1, 3)
        q, k, v = (split(linear(x, layer + "attention.self." + part)) for part in ("query", "key", "value"))
        logits = q @ k.transpose(0, 1, 3, 2) / math.sqrt(HIDDEN // HEADS) + np.where(mask, 0, -np.inf)[:, None, None, :]
        shares = np.exp(logits - logits.max(-1, keepdims=True))
        read = (shares / shares.sum(-1, keepdims=True) @ v).transpose(0, 2, 1, 3).reshape(len(ids), width, HIDDEN)
        x = norm(linear(read, layer + "attention.output.dense") + x, layer + "attention.output")
        inner = linear(x, layer + "intermediate.dense")
        x = norm(linear(inner * 0.5 * (1 + erf(inner / math.sqrt(2))), layer + "output.dense") + x, layer + "output")
    return linear(np.tanh(linear(x[:, 0], heads[0])), heads[1])[:, 0]


def write(name, config, tokenizer, types, prefix, heads, eps, first_position, seed):
    folder = HERE / name
    folder.mkdir(exist_ok=True)
    dump = lambda file, value: (folder / file).write_text(json.dumps(value, ensure_ascii=False) + "\n")
    dump("tokenizer.json", tokenizer)
    tok = Tokenizer.from_file(str(folder / "tokenizer.json"))
    vocabulary = tok.get_vocab_size()
    dump("config.json", dict(config, hidden_size=HIDDEN, num_hidden_layers=LAYERS, num_attention_heads=HEADS, intermediate_size=INNER,
                             max_position_embeddings=POSITIONS, type_vocab_size=types, vocab_size=vocabulary, layer_norm_eps=eps,
                             hidden_act="gelu", id2label={"0": "LABEL_0"}, label2id={"LABEL_0": 0}, classifier_dropout=None))
    dump("tokenizer_config.json", dict(model_max_length=MAX))
    w = weights(np.random.default_rng(seed), vocabulary, types, prefix, heads)
    save_file(w, folder / "model.safetensors")
    tok.enable_truncation(MAX, strategy="longest_first")
    tok.encode_special_tokens = True
    encoded = [tok.encode(*pair) for pair in PAIRS]
    ids, kinds = [e.ids for e in encoded], [e.type_ids for e in encoded]
    found = scores(w, prefix, heads, eps, ids, kinds, first_position)
    dump("expected.json", [dict(query=q, text=t, ids=e.ids, score=s) for (q, t), e, s in zip(PAIRS, encoded, found.tolist())])
    print(name, vocabulary, [len(i) for i in ids], found.round(3).tolist())


write("tiny-bert-reranker", dict(architectures=["BertForSequenceClassification"], model_type="bert", pad_token_id=0,
                                 sbert_ce_default_activation_function="torch.nn.modules.linear.Identity"),
      bert_tokenizer(), 2, "bert.", ("bert.pooler.dense", "classifier"), 1e-12, 0, 1)
write("tiny-xlmr-reranker", dict(architectures=["XLMRobertaForSequenceClassification"], model_type="xlm-roberta", pad_token_id=1),
      xlmr_tokenizer(), 1, "roberta.", ("classifier.dense", "classifier.out_proj"), 1e-5, 2, 2)
