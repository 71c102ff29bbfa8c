"""What the mock server answers: passages, an answer, and which token leaned on which passage."""

import re

TITLE = "Tidal Lands Act 1987, section 12: Dredging licences"
TABLE = "Harbour dues of Ystermouth"

PACKS = [
    {
        "name": "legal",
        "id": "9f2c1e7ab04d5563c8e0f17d2b6a94e35d07c1f8826be94a13d5f0679c2e8b41",
        "bytes": 5_412_864,
        "references": 412,
        "documents": 165,
        "codec": "PQ8x8",
        "model": "SmolLM2-135M-Instruct",
        "created": 1_790_000_000,
        "quality": {"memory_error": 0.0412, "divergence": 0.0081},
        "signed_by": ["3b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da29"],
        "fields": ["jurisdiction", "date"],
    },
    {
        "name": "medical",
        "id": "41d8e0c97f6b25a3e1940b7c5d82f6a90c3be57d164f8a2099d37b5e6c01fa8d",
        "bytes": 148_250_112,
        "references": 11_904,
        "documents": 2_310,
        "codec": "F32",
        "model": "SmolLM2-135M-Instruct",
        "created": None,
        "quality": None,
        "signed_by": [],
        "fields": ["speciality"],
    },
]

ANSWER = (
    "A dredging licence costs 340 tallen a year. It is issued by the Warden of the Sands at Ystermouth, "
    "who may refuse it to anybody with unpaid harbour dues. Boats under 9 m pay half."
)
WITHOUT = "A dredging licence usually costs between 100 and 500 dollars, depending on the state. Ask your local authority."

# (reference, title, document, lead before the span, text of the span, first byte, page, section, pack, similarity)
SOURCES = [
    (
        31, TITLE, "act:tidal-lands-1987:s12", "",
        "Nobody may dredge below the lowest tide without a licence of the Warden of the Sands. The licence costs 340 tallen for each year "
        "and is issued at Ystermouth between the first and the last Tuesday of March.",
        0, 4, "12(1)", "legal", 0.612,
    ),
    (
        32, TITLE, "act:tidal-lands-1987:s12", "",
        "The Warden of the Sands may refuse a licence to a person who owes harbour dues — whatever their amount — until they are paid.",
        212, 4, "12(2)", "legal", 0.548,
    ),
    (
        77, TABLE, "reg:harbour-dues", "Class of boat | Share of the fee\n--------------|------------------\n",
        "under 9 m | half\n9 m to 20 m | whole\nover 20 m | twice",
        188, None, None, "legal", 0.431,
    ),
    (
        140, "In re Skarn Oyster Company, no. 44 of 1991", "decision:skarn-oyster", "",
        "The court holds that a licence under section 12 is personal and ends with the death of its holder.",
        1040, None, None, "legal", 0.397,
    ),
    (
        9, "Velmorine (oral anticonvulsant)", "drug:velmorine", "",
        "Velmorine is cleared almost entirely by the kidneys, with an elimination half-life of 41 hours.",
        610, 2, "Dosing", "medical", 0.208,
    ),
]

# Shares of attention of each sentence of ANSWER for the five sources.
LEANS = [
    [0.31, 0.04, 0.01, 0.02, 0.001],
    [0.12, 0.28, 0.02, 0.03, 0.001],
    [0.02, 0.01, 0.36, 0.01, 0.002],
]


def pack_of(name):
    return next(pack for pack in PACKS if pack["name"] == name)


def annotation(source, place, length, attention):
    reference, title, document, lead, text, start, page, section, pack, similarity = source
    end = start + len(text.encode())
    pack_id = pack_of(pack)["id"]
    return {
        "type": "url_citation",
        "url_citation": {
            "url": f"mempack:{pack_id}/{document}#bytes={start}-{end}",
            "title": title,
            "start_index": 0,
            "end_index": length,
        },
        "mempack": {
            "pack": pack, "pack_id": pack_id, "document": document, "title": title, "reference": reference,
            "start": start, "end": end, "page": page, "section": section, "chunk": 0, "place": place,
            "text": lead + text, "similarity": similarity, "attention": attention,
            "metadata": {"jurisdiction": "Korvenna"} if pack == "legal" else {},
        },
    }


def tokens_of(text):
    """Pieces like those of a tokenizer: words with the blank before them, and marks."""
    return re.findall(r"\s*\w+|\s*[^\w\s]|\s+", text)


def sentence_numbers(text, tokens):
    """The sentence of each token, sentences ending with a full stop that a blank or the end follows."""
    ends = [m.end() for m in re.finditer(r"[.!?。](?=\s|$)", text)] or [len(text)]
    numbers, at = [], 0
    for token in tokens:
        at += len(token)
        numbers.append(next((i for i, end in enumerate(ends) if at <= end), len(ends) - 1))
    return numbers


def cited(text=ANSWER, sources=None, leans=None):
    """Pieces, annotations and attention of an answer: sentence i leans on sources as `leans[i]` says, a little more with each token."""
    sources = SOURCES if sources is None else sources
    leans = LEANS if leans is None else leans
    tokens = tokens_of(text)
    attention, at, sums = [], 0, [0.0] * len(sources)
    for token, sentence in zip(tokens, sentence_numbers(text, tokens)):
        shares = leans[min(sentence, len(leans) - 1)][: len(sources)]
        sums = [a + b for a, b in zip(sums, shares)]
        attention.append({"text": token, "start": at, "end": at + len(token), "chunk": 0, "shares": shares})
        at += len(token)
    annotations = [annotation(s, i, len(text), sums[i] / len(tokens)) for i, s in enumerate(sources)]
    return tokens, annotations, attention


# What a server could send to harm the page.
OVERRIDE = "\u202e"
LONG_WORD = "Donaudampfschifffahrt" * 40
HOSTILE_ANSWER = (
    f"<script>window.harmed = 1</script><img src=x onerror=\"window.harmed = 2\"> is not run. {OVERRIDE}This sentence is turned around. "
    f"{LONG_WORD} is long. 🦀🦀 Crabs \U0001F469\u200d\U0001F680 come last."
)
HOSTILE_SOURCES = [
    (
        1, f"<b onmouseover=\"window.harmed = 3\">{OVERRIDE}title</b>", f"<a href=\"javascript:window.harmed=4\">{LONG_WORD}</a>", "",
        f"</blockquote><script>window.harmed = 5</script>{OVERRIDE}{LONG_WORD}\u0000\u200f",
        5, None, "<svg onload=\"window.harmed = 6\">", "legal", 0.5,
    ),
    (2, "", "javascript:window.harmed=7", "", "🦀 crab \U0001F469\u200d\U0001F680", 0, None, None, "medical", 0.4),
]
HOSTILE_LEANS = [[0.3, 0.0], [0.3, 0.0], [0.3, 0.1], [0.0, 0.4]]
HOSTILE_PACKS = [
    {
        **PACKS[0], "name": f"<img src=x onerror=\"window.harmed = 8\">{OVERRIDE}", "codec": "<script>window.harmed = 9</script>",
        "model": LONG_WORD, "fields": [LONG_WORD, "</dd>"], "signed_by": [LONG_WORD], "id": LONG_WORD,
    }
]
