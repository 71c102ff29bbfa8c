"""Write smollm-tokens.json: texts of many kinds and their ids by SmolLM2's tokenizer.

    python make_smollm_tokens.py GGUF        needs transformers, gguf, tokenizers

Vocabulary and merges are those that transformers reads from the GGUF file. It does not know the pre-tokenizer `smollm`
and falls back to GPT-2's rule; the digits of the model's own tokenizer are put before that here.
"""
import json
import pathlib
import sys

from tokenizers import pre_tokenizers
from transformers import AutoTokenizer

TEXTS = [
    "", " ", "a", "The quick brown fox jumps over the lazy dog.", "It's we'LL they've I'm don't can't o'clock",
    "1", "12", "2024-05-31", "3.14159 and 1,000,000", "a  12", "a\n\n1. first\n\n2. second", "v1.2.3-rc4", "x2y3", "10mg/5ml q.i.d.", "½ ² ³ Ⅷ ٣٤ 一二三 ①",
    "   leading", "trailing   ", "tab\tand\r\nnewline\n", "\n\n\n", " \n \n ", "a\u00a0b\u3000c\u200bd", "mixed \t \n white  space",
    "def f(x):\n    return {k: v for k, v in x.items() if v != 0}  # done\n", "for (int i = 0; i < 10; ++i) { a[i] <<= 2; }", "SELECT * FROM t WHERE id = 42;",
    "<p class=\"x\">&amp;</p>", "{\"key\": [1, 2.5, null, true]}", "https://example.org/a/b?c=d&e=%20f#g", "user@example.org", "C:\\Users\\x\\file.txt", "$x_{i+1}^2 \\leq \\frac{1}{n}$",
    "Naïve café – Ωμέγα", "Ünïcödé ÀÉÎÕÜ ß æ ø", "e\u0301 and é", "Привет, мир! Это тест.", "שלום עולם", "مرحبا بالعالم ١٢٣", "नमस्ते दुनिया", "こんにちは、世界。カタカナ", "안녕하세요 세계",
    "第四十二条 当事人可以解除合同。", "《中华人民共和国民法典》第1165条规定，行为人因过错侵害他人民事权益造成损害的，应当承担侵权责任。", "数据保护条例（2021年修订）",
    "👍🏽 👨‍👩‍👧 🇫🇷 ☃", "\ue000\ufffd\U0001f600\U00010348", "!!!???...---___***", "“quoted” ‘text’ «guillemets»", "ALLCAPS camelCase snake_case kebab-case",
    "<|im_start|>user\nHi<|im_end|>\n<|endoftext|>", "<|im_start", "supercalifragilisticexpialidocious antidisestablishmentarianism", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "\x00\x01\x7f",
]
gguf = pathlib.Path(sys.argv[1])
tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).backend_tokenizer
tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
cases = [dict(text=text, ids=tokenizer.encode(text, add_special_tokens=False).ids) for text in TEXTS]
out = pathlib.Path(__file__).with_name("smollm-tokens.json")
out.write_text("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")
