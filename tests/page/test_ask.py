"""Questions, answers, sides, passages, conversations: what every server has to show."""

import re
import urllib.request

import pytest

import answers
from browser import QUESTION


def test_an_answer_comes_with_its_passages_and_figures(tab):
    page = tab()
    page.ask()
    page.finished()
    assert page.text().strip() != ""
    for side in ("with", "without"):
        figures = page.answer(side).locator(".figures").inner_text()
        for name in ("First token", "Total", "Tokens", "Prompt"):
            assert name in figures
    passages = page.turn().locator(".passage")
    assert passages.count() >= 1
    shares = [float(re.sub(r"[^\d.]", "", text)) for text in page.turn().locator(".passage .share").all_inner_texts()]
    assert shares == sorted(shares, reverse=True)
    marks = page.answer().locator(".cite")
    assert marks.count() >= 1
    assert page.answer("without").locator(".cite").count() == 0
    marks.first.click()
    opened = page.tab.locator(".passage[open]")
    assert opened.count() == 1
    assert opened.locator("mark").inner_text().strip() != ""
    assert re.search(r"bytes [\d,]+\W*–\W*[\d,]+", opened.inner_text())


def test_the_packs_are_shown(tab):
    page = tab("#packs")
    page.tab.locator(".pack").first.wait_for()
    text = page.tab.locator("#pack-list").inner_text()
    for name in ("Size", "References", "Documents", "Codec", "Id"):
        assert name in text
    assert re.fullmatch(r"[0-9a-f]{32,128}", page.tab.locator(".pack .digits").first.text_content())


def test_a_conversation_goes_on_and_stops(tab):
    page = tab()
    page.ask()
    page.finished()
    first = page.text()
    page.ask()
    page.until("document.querySelectorAll('.turn').length === 2 && document.querySelector('.turn:last-child .text').textContent !== ''")
    page.tab.keyboard.press("Escape")
    page.finished()
    # A fast server may have been faster than the key.
    assert page.answer().get_attribute("data-state") in ("stopped", "complete")
    assert page.text() != ""
    assert page.tab.locator(".turn").first.locator(".answer[data-side=with] .sentence").first.text_content() in first
    page.tab.get_by_role("button", name="New conversation").click()
    page.ask()
    page.finished()
    # The same question, alone again, at temperature 0.
    assert page.text() == first


def test_the_page_comes_from_its_server_alone(tab, server):
    """Requests to elsewhere fail every test (conftest.py); this one reads the policy that forbids them."""
    page = tab()
    with urllib.request.urlopen(server.url + "/", timeout=30) as answer:
        policy = {name: values for name, *values in (part.split() for part in answer.headers["content-security-policy"].split(";") if part.strip())}
    assert policy["default-src"] == ["'self'"]
    assert not {"'unsafe-inline'", "'unsafe-eval'", "*", "http:", "https:", "data:"} & {value for values in policy.values() for value in values}
    assert page.tab.locator("[style]:not(html, textarea, .bar-fill, .preview), style, script:not([src])").count() == 0


@pytest.mark.mock
def test_an_answer_is_shown_while_it_comes(tab, server):
    server.steer(hold_after=12)
    page = tab()
    page.ask()
    page.until("document.querySelector('.answer[data-state=writing] .text')?.textContent.length > 10")
    early = page.text()
    assert answers.ANSWER.startswith(early) and early != answers.ANSWER
    assert page.answer().get_attribute("aria-busy") == "true"
    server.steer(hold_after=None)
    page.finished()
    assert page.text() == answers.ANSWER
    assert page.text("without") == answers.WITHOUT


@pytest.mark.mock
@pytest.mark.parametrize("pieces", [1, 3, 7])
@pytest.mark.parametrize("return_lines", [False, True])
def test_a_stream_is_read_wherever_it_is_cut(tab, server, pieces, return_lines):
    text = "Ein Übergang — 🦀 kostet 340 tallen. 漢字。"
    server.steer(answer=text, pieces=pieces, return_lines=return_lines, delay=0)
    page = tab()
    page.ask()
    page.finished()
    assert page.text() == text


@pytest.mark.mock
def test_each_sentence_names_what_it_leaned_on(tab):
    page = tab()
    page.ask()
    page.finished()
    sentences = page.answer().locator(".sentence").all_inner_texts()
    assert sentences == [
        "A dredging licence costs 340 tallen a year.",
        "It is issued by the Warden of the Sands at Ystermouth, who may refuse it to anybody with unpaid harbour dues.",
        "Boats under 9 m pay half.",
    ]
    # By attention over all tokens, source 1 is passage 1, as the second sentence is the longest; source 0 is passage 2.
    lists = [group.locator(".cite").all_inner_texts() for group in page.answer().locator(".cites").all()]
    assert lists == [["2"], ["1", "2"], ["3"]]
    assert page.answer().locator(".cite").first.get_attribute("aria-label") == (
        f"Passage 2: {answers.TITLE}, 31% of this sentence’s attention"
    )


@pytest.mark.mock
def test_a_passage_says_where_it_stands_and_highlights_its_bytes(tab):
    page = tab()
    page.ask()
    page.finished()
    page.answer().locator(".cite", has_text="3").click()
    opened = page.tab.locator(".passage[open]")
    source = answers.SOURCES[2]
    assert opened.locator("mark").text_content() == source[4]
    assert opened.locator(".before-span").text_content() == source[3]
    text = opened.inner_text()
    end = source[5] + len(source[4].encode())
    for part in (answers.TABLE, "reg:harbour-dues", f"bytes 188\u2060–\u2060{end}", "legal", "0.431", "jurisdiction", "Korvenna"):
        assert part in text
    page.turn().locator(".passage summary").nth(1).click()
    assert "page 4 · section 12(" in page.turn().locator(".passage").nth(1).inner_text()


@pytest.mark.mock
def test_pointing_at_a_mark_shows_the_passage(tab):
    page = tab()
    page.ask()
    page.finished()
    mark = page.answer().locator(".cite").first
    mark.hover()
    card = page.tab.locator(".preview")
    card.wait_for()
    assert answers.SOURCES[0][4] in card.text_content()
    assert page.answer().locator(".sentence.lit").all_inner_texts() == ["A dredging licence costs 340 tallen a year."]
    page.tab.keyboard.press("Escape")
    card.wait_for(state="hidden")


@pytest.mark.mock
def test_the_comparison_can_be_switched_off(tab, server):
    page = tab()
    page.ask()
    page.finished()
    with_memories, without = sorted(server.sent, key=lambda request: request.get("memories", True), reverse=True)
    assert "memories" not in with_memories and with_memories["citations"] == "tokens"
    assert without["memories"] is False and not {"citations", "k", "packs", "where", "strategy"} & set(without)
    for request in server.sent:
        assert request["stream"] is True and request["stream_options"] == {"include_usage": True}
        assert request["messages"] == [{"role": "user", "content": QUESTION}]
    page.tab.get_by_label("Compare without memories").uncheck()
    page.ask("And then?")
    page.finished()
    assert len(server.sent) == 3
    assert page.turn().locator(".answer").count() == 1


@pytest.mark.mock
def test_turns_are_sent_and_forgotten(tab, server):
    page = tab()
    page.ask("First?")
    page.finished()
    page.ask("Second?")
    page.finished()
    assert re.search(r"\d+ tokens, \d+ cached", page.answer().locator(".figures").inner_text())
    later = server.sent[2:]
    earlier = {"with": answers.ANSWER, "without": answers.WITHOUT}
    for request in later:
        side = "without" if request.get("memories") is False else "with"
        assert request["messages"] == [
            {"role": "user", "content": "First?"},
            {"role": "assistant", "content": earlier[side]},
            {"role": "user", "content": "Second?"},
        ]
    page.tab.get_by_role("button", name="New conversation").click()
    assert page.tab.locator(".turn").count() == 0
    assert page.tab.evaluate("document.activeElement.id") == "question"
    page.ask("Third?")
    page.finished()
    assert [request["messages"] for request in server.sent[4:]] == [[{"role": "user", "content": "Third?"}]] * 2


@pytest.mark.mock
def test_options_become_fields_of_the_request(tab, server):
    page = tab()
    page.tab.locator("#options summary").click()
    page.tab.get_by_role("checkbox", name="medical").uncheck()
    page.tab.get_by_label("Memories per chunk (k)").fill("3")
    page.tab.get_by_label("Maximum tokens").fill("20")
    page.tab.get_by_label("Temperature").fill("0.7")
    page.tab.get_by_label("Seed").fill("42")
    page.tab.get_by_label("Strategy", exact=True).select_option("diverse")
    page.tab.get_by_label("Value of the strategy").fill("0.8")
    page.tab.get_by_label("Only documents where").fill('jurisdiction == "Korvenna"')
    page.tab.get_by_label("Exact search").check()
    page.tab.get_by_label("Rerank").check()
    page.ask()
    page.finished()
    request = next(request for request in server.sent if "memories" not in request)
    expected = {
        "packs": ["legal"], "k": 3, "max_tokens": 20, "temperature": 0.7, "seed": 42, "strategy": "diverse:0.8",
        "where": 'jurisdiction == "Korvenna"', "exact": True, "rerank": True, "model": "SmolLM2-135M-Instruct",
    }
    assert {name: request[name] for name in expected} == expected
    without = next(request for request in server.sent if request.get("memories") is False)
    assert without["max_tokens"] == 20 and without["seed"] == 42 and "packs" not in without
    assert "Cut off" in page.answer().inner_text()
    assert "1 of 2 packs" in page.tab.locator("#options-summary").inner_text()


@pytest.mark.mock
def test_an_option_that_is_no_number_is_not_sent(tab, server):
    page = tab()
    page.tab.locator("#options summary").click()
    page.tab.get_by_label("Seed").fill("1.5")
    page.ask()
    assert "options need a change" in page.tab.locator(".problem").inner_text()
    assert page.tab.get_by_label("Seed").get_attribute("aria-invalid") == "true"
    page.tab.get_by_role("button", name="Show the options").click()
    assert page.tab.evaluate("document.activeElement.id") == "seed"
    assert server.sent == []
    page.tab.get_by_label("Seed").fill("1")
    assert page.tab.get_by_label("Seed").get_attribute("aria-invalid") is None
    page.tab.locator("#options summary").click()
    page.ask()
    page.finished()
    assert page.text() == answers.ANSWER


@pytest.mark.mock
def test_no_pack_chosen_is_said(tab, server):
    page = tab()
    page.tab.locator("#options summary").click()
    page.tab.get_by_role("checkbox", name="medical").uncheck()
    page.tab.get_by_role("checkbox", name="legal").uncheck()
    page.ask()
    assert "No pack is chosen" in page.tab.locator(".problem").inner_text()
    assert server.sent == []


@pytest.mark.mock
def test_what_an_answer_without_attention_shows(tab, server):
    server.steer(attention=False)
    page = tab()
    page.ask()
    page.finished()
    assert page.answer().locator(".cite").count() == 0
    assert page.turn().locator(".passage").count() == 5
    assert "sentences have no marks" in page.turn().inner_text()
    server.steer(annotations=False)
    page.ask()
    page.finished()
    assert "read no passages" in page.turn().inner_text()


@pytest.mark.mock
def test_the_packs_have_loss_and_signatures(tab):
    page = tab("#packs")
    cards = page.tab.locator(".pack")
    cards.first.wait_for()
    legal, medical = cards.all_inner_texts()
    for part in ("legal", "5.4 MB", "412", "165", "PQ8x8", "4.1% of keys and values", "0.0081 nats per token", "signed", "SmolLM2-135M-Instruct", "2026-09-21"):
        assert part in legal
    assert answers.PACKS[0]["id"] in cards.first.text_content()
    assert answers.PACKS[0]["signed_by"][0] in cards.first.text_content()
    for part in ("medical", "148 MB", "11,904", "2,310", "lossless", "not signed"):
        assert part in medical
    assert "2 packs, 12,316 references, 154 MB" in page.tab.locator("#pack-total").inner_text()
