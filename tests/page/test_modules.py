"""The modules that compute: events of a stream, code points, sentences, shares, numbers."""

import json
import random
import re

import pytest

import answers
import mock

pytestmark = pytest.mark.mock


@pytest.fixture
def module(tab):
    page = tab()

    def call(name, script, *arguments):
        return page.run(f"async (given) => {{ const m = await import('/page/{name}.js'); return ({script})(m, ...given); }}", list(arguments))

    return call


def test_events_are_the_same_wherever_the_text_is_cut(module):
    """Against a parser that has the whole text at once."""
    random.seed(20)
    script = "(m, pieces) => { const parser = new m.EventParser(); return pieces.flatMap((piece) => parser.push(piece)); }"
    for _ in range(200):
        text = "".join(random.choice(["data: a", "data:b", "data", "dat", ": c", "event: x", "id: 1", "\n", "\n\n", "\r", "\r\n", "\r\r", "é🦀", "data:  d"]) for _ in range(12))
        expected, data = [], []
        for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n")[:-1]:
            if line == "":
                expected += ["\n".join(data)] if data else []
                data = []
            field, _, value = line.partition(":")
            if field == "data":
                data.append(value.removeprefix(" "))
        cuts = sorted(random.sample(range(len(text) + 1), min(len(text), random.randrange(6))))
        pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)])]
        assert module("sse", script, pieces) == expected, (text, pieces)


def test_code_points_are_those_of_python(module):
    for text in ("", "abc", "a🦀b", "\U0001F469\u200d\U0001F680é", answers.HOSTILE_ANSWER):
        offsets = module("attention", "(m, text) => m.codePointOffsets(text)", text)
        assert offsets == [len(text[:i].encode("utf-16-le")) // 2 for i in range(len(text) + 1)]


@pytest.mark.parametrize(
    "sentences",
    [
        ["One. ", "Two!  ", "Three?"],
        ["See Art. 3 of the act. ", "Dr. Skarn pays under s. 12.\n\n", "Done."],
        ["1. First point.\n", "2. Second point."],
        ["🦀🦀 crab. ", "漢字です。", "次の文。"],
        ["no end"],
        [],
        ["   "],
    ],
)
def test_sentences_cover_the_text(module, sentences):
    text = "".join(sentences)
    found = module("attention", "(m, text) => m.sentencesOf(text).map(({ start, end }) => text.slice(start, end))", text)
    assert found == sentences


def test_shares_of_a_sentence_are_means_over_its_tokens(module):
    text = "🦀 one. Two."
    note = {"type": "url_citation", "url_citation": {"url": "mempack:x"}}
    source = {"pack_id": "p", "similarity": 0.5, "attention": None}
    # The same reference is read by two chunks, at different places.
    notes = [
        {**note, "mempack": {**source, "reference": 1, "chunk": 0, "place": 0}},
        {**note, "mempack": {**source, "reference": 2, "chunk": 0, "place": 1}},
        {**note, "mempack": {**source, "reference": 1, "chunk": 1, "place": 1, "similarity": 0.7}},
    ]
    tokens = [
        {"start": 0, "end": 1, "chunk": 0, "shares": [0.2, 0.4]},
        {"start": 1, "end": 5, "chunk": 0, "shares": [0.4, 0.4]},
        {"start": 5, "end": 6, "chunk": 0, "shares": [0.0, 0.1]},
        {"start": 6, "end": 10, "chunk": 1, "shares": [0.9, 0.5]},  # place 0 of chunk 1 is no passage
        {"start": 10, "end": 11, "chunk": 1, "shares": [0.0, 0.3]},
        {"start": 50, "end": 51, "chunk": 1, "shares": [0.0, "x"]},  # behind the end, and no number
    ]
    found = module(
        "attention",
        """(m, text, notes, tokens) => {
          const { passages, sentences } = m.leanings(text, notes, tokens);
          return {
            passages: passages.map((p) => [p.source.reference, p.number, p.share, p.similarity, p.sentences]),
            sentences: sentences.map((s) => [text.slice(s.start, s.end), s.leans.map((lean) => [lean.passage.source.reference, lean.share])]),
          };
        }""",
        text, notes, tokens,
    )
    rounded = json.loads(json.dumps(found), parse_float=lambda number: round(float(number), 6))
    assert [name for name, _ in rounded["sentences"]] == ["🦀 one. ", "Two."]
    assert rounded["sentences"][0][1] == [[2, 0.3], [1, 0.2]]
    # The token behind the end counts as one of the last sentence, with nothing in it.
    assert rounded["sentences"][1][1] == [[1, round(0.8 / 3, 6)]]
    assert rounded["passages"] == [[1, 1, round(1.4 / 6, 6), 0.7, [0, 1]], [2, 2, 0.15, 0.5, [0]]]


@pytest.mark.parametrize(
    "text, size, expected",
    [
        ("abc", 3, 0), ("abc", 5, 0), ("header\nrow", 3, 7), ("größe\nzeile", 5, 6), ("🦀\nrow", 3, 3),
        ("🦀", 2, 0),  # the span would begin within a character: all is highlighted
        ("abc", 0, 0), ("", 0, 0),
    ],
)
def test_where_the_span_of_a_passage_begins(module, text, size, expected):
    assert module("attention", "(m, text, size) => m.spanStart(text, size)", text, size) == expected


def test_numbers_as_text(module):
    shown = module(
        "format",
        """(m) => [m.size(0), m.size(999), m.size(1500), m.size(5412864), m.size(148250112), m.size(2.5e12), m.size(null), m.percent(0.31),
          m.percent(0.0412), m.percent(0.0028), m.percent(0.00004), m.percent(0), m.percent(null), m.duration(120.4), m.duration(2345), m.duration(61234), m.duration(NaN),
          m.counted(1, "pack"), m.counted(1234, "pack"), m.day(0), m.day(1e20)]""",
    )
    assert shown == [
        "0 bytes", "999 bytes", "1.5 kB", "5.4 MB", "148 MB", "2.5 TB", "?", "31%", "4.1%", "0.28%", "< 0.01%", "0%", "–", "120 ms", "2.35 s", "61.2 s", "–",
        "1 pack", "1,234 packs", "1970-01-01", "–",
    ]


def test_when_to_try_again(module):
    seconds = module(
        "api",
        "(m) => ['3', ' 7 ', '', null, 'soon', 'Thu, 01 Jan 1970 00:01:00 GMT', 'Thu, 01 Jan 1970 00:00:00 GMT', '999999999'].map((h) => m.retrySeconds(h, 30000))",
    )
    assert seconds == [3, 7, None, None, None, 30, 0, 86400]


def test_modules_import_no_circle_and_nothing_is_left_over():
    html = (mock.PAGE / "index.html").read_text()
    used = set(re.findall(r'(?:src|href)="/page/([^"]+)"', html))
    imports = {path.name: re.findall(r'^import .* from "\./([\w.]+)";$', path.read_text(), re.M) for path in mock.PAGE.glob("*.js")}
    for path in mock.PAGE.glob("*.js"):
        assert len(re.findall(r"\bimport\b[^;]*\bfrom\b|\bimport\(", path.read_text())) == len(imports[path.name]), path.name
    waiting = dict(imports)
    while waiting:
        free = [name for name, needs in waiting.items() if not set(needs) & set(waiting)]
        assert free, f"a circle among {sorted(waiting)}"
        for name in free:
            used |= set(waiting.pop(name))
    assert used == {path.name for path in mock.PAGE.iterdir()} - {"index.html"}
