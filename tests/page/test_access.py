"""Keyboard, screen readers, contrast, themes and narrow windows."""

import os

import pytest

import answers

# Contrast of each text of the page with what is painted behind it, as WCAG 2 defines it.
CONTRASTS = """() => {
  const parts = (color) => {
    const [r, g, b, a = 1] = color.match(/[\\d.]+/g).map(Number);
    return { r, g, b, a };
  };
  const over = (top, below) => {
    const mix = (x, y) => x * top.a + y * (1 - top.a);
    return { r: mix(top.r, below.r), g: mix(top.g, below.g), b: mix(top.b, below.b), a: 1 };
  };
  const luminance = ({ r, g, b }) => {
    const linear = (v) => ((v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  };
  const ground = (node) => {
    const own = parts(getComputedStyle(node).backgroundColor);
    if (own.a === 1) return own;
    return over(own, node.parentElement ? ground(node.parentElement) : { r: 255, g: 255, b: 255, a: 1 });
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text = walker.nextNode(); text; text = walker.nextNode()) {
    const node = text.parentElement;
    if (text.data.trim() === "" || !node.checkVisibility() || node.closest(".visually-hidden, .skip, noscript")) continue;
    const behind = ground(node);
    const [light, dark] = [luminance(over(parts(getComputedStyle(node).color), behind)), luminance(behind)].sort((a, b) => b - a);
    found.push([(light + 0.05) / (dark + 0.05), text.data.trim().slice(0, 40), getComputedStyle(node).color, `${behind.r},${behind.g},${behind.b}`]);
  }
  return found;
}"""

# Controls without a name, as far as the names come from text, labels and attributes.
NAMELESS = """() => [...document.querySelectorAll("button, input, select, textarea, a, summary, dialog, [role]")].filter((node) => {
  if (node.id === "status") return false;
  const labelled = (node.getAttribute("aria-labelledby") ?? "").split(" ").map((id) => document.getElementById(id)?.textContent ?? "").join("");
  const labels = [...(node.labels ?? [])].map((label) => label.textContent).join("");
  const own = node.matches("button, a, summary, [role=alert]") ? node.textContent : "";
  return [node.getAttribute("aria-label") ?? "", labelled, labels, own].join("").trim() === "";
}).map((node) => node.outerHTML.slice(0, 120))"""


def full(tab, **context):
    """A page with an answer, an opened passage, options, a problem, and then the packs and the key."""
    page = tab(**context)
    page.ask()
    page.finished()
    page.answer().locator(".cite").first.click()
    page.tab.locator("#options summary").click()
    page.tab.get_by_label("Seed").fill("1.5")
    page.ask("Again?")
    page.tab.locator("#form-problem").locator(".problem").wait_for()
    return page


def states(page):
    yield "ask"
    page.tab.get_by_role("link", name="Packs").click()
    page.tab.locator(".pack").first.wait_for()
    yield "packs"
    page.run("key => sessionStorage.setItem('mempack.key', key)", os.environ.get("PAGE_KEY", "mp-x"))
    page.tab.reload()
    page.tab.get_by_role("button", name="API key").click()
    yield "key"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_text_can_be_read(tab, theme):
    page = full(tab, color_scheme=theme)
    for state in states(page):
        measured = page.run(CONTRASTS)
        assert len(measured) > 20, state
        assert [low for low in measured if low[0] < 4.5] == [], state


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_colour_of_a_pair_has_contrast(tab, theme):
    """The pairs that the style sheets use, also where no test shows them."""
    page = tab(color_scheme=theme)
    pairs = [
        ("--text", "--ground"), ("--text", "--surface"), ("--text", "--raised"), ("--text", "--lit"), ("--text", "--alarm-soft"), ("--muted", "--ground"),
        ("--muted", "--surface"), ("--muted", "--raised"), ("--muted", "--alarm-soft"), ("--accent", "--surface"), ("--on-accent", "--accent"),
        ("--on-accent", "--accent-strong"), ("--accent-strong", "--accent-soft"), ("--on-span", "--span"), ("--alarm", "--surface"),
        ("--alarm", "--alarm-soft"), ("--alarm", "--raised"), ("--good", "--good-soft"),
    ]
    page.run(
        """(pairs) => {
          for (const [front, back] of pairs) {
            const node = document.createElement("p");
            node.textContent = `pair ${front} on ${back}`;
            node.style.color = `var(${front})`;
            node.style.background = `var(${back})`;
            document.querySelector("main").append(node);
          }
        }""",
        pairs,
    )
    measured = [line for line in page.run(CONTRASTS) if line[1].startswith("pair ")]
    assert len(measured) == len(pairs)
    assert [low for low in measured if low[0] < 4.5] == []
    # What shows where a field is: 3 to 1.
    page.run("() => document.querySelectorAll('main > p').forEach((node) => { node.style.color = 'var(--edge)'; node.style.background = 'var(--surface)'; })")
    edges = [line[0] for line in page.run(CONTRASTS) if line[1].startswith("pair ")]
    assert len(edges) == len(pairs) and min(edges) >= 3


def test_every_control_has_a_name(tab):
    page = full(tab)
    for state in states(page):
        assert page.run(NAMELESS) == [], state
        duplicates = page.run("() => { const ids = [...document.querySelectorAll('[id]')].map((node) => node.id); return ids.filter((id, at) => ids.indexOf(id) !== at); }")
        assert duplicates == [], state


@pytest.mark.mock
def test_the_tree_of_a_screen_reader(tab):
    page = tab()
    page.ask()
    page.finished()
    tree = page.tab.locator("body").aria_snapshot()
    for part in (
        "banner:", "navigation \"Views\":", "main:", "heading \"What does a dredging licence cost?\" [level=2]", "region \"With memories\":",
        "region \"Without memories\":", "region \"Passages\":", "textbox \"Question\"", "button \"Ask\"", "link \"Ask\"", "log \"Answer as it comes\"", "status",
    ):
        assert part in tree, part
    assert f"button \"Passage 2: {answers.TITLE}, 31% of this sentence’s attention\"" in tree


@pytest.mark.mock
def test_sentences_are_read_out_as_they_come(tab, server):
    server.steer(hold_after=36)
    page = tab()
    page.ask()
    page.until("document.querySelector('#spoken').textContent.includes('340 tallen a year.')")
    assert page.answer().get_attribute("aria-busy") == "true"
    server.steer(hold_after=None)
    page.finished()
    said = page.tab.locator("#spoken p").all_text_contents()
    assert " ".join(said) == answers.ANSWER
    page.until("document.querySelector('#status').textContent === 'Answer complete. 5 passages.'")


@pytest.mark.mock
def test_all_can_be_done_with_the_keyboard(tab, server):
    page = tab()
    keys = page.tab.keyboard
    focus = "document.activeElement.id || document.activeElement.textContent.trim()"
    assert page.run(focus) == "question"
    keys.type("What does a dredging licence cost?")
    keys.press("Shift+Enter")
    keys.type("Say it.")
    keys.press("Enter")
    page.finished()
    assert server.sent[0]["messages"][0]["content"] == "What does a dredging licence cost?\nSay it."
    # From the field back to the last mark of the answer: passages lie between.
    for _ in range(20):
        keys.press("Shift+Tab")
        if page.run("document.activeElement.className") == "cite":
            break
    assert page.run("document.activeElement.getAttribute('aria-label')").startswith("Passage 3")
    page.tab.locator(".preview").wait_for()
    assert page.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    keys.press("Enter")
    assert page.run("document.activeElement.closest('.passage').open")
    assert "Harbour dues" in page.run("document.activeElement.textContent")
    keys.press("Tab")
    assert page.run(focus) == "Back to the answer"
    keys.press("Enter")
    assert page.run("document.activeElement.getAttribute('aria-label')").startswith("Passage 3")
    keys.press("Enter")
    keys.press("Escape")
    assert page.run("document.activeElement.className") == "cite"
    # The options open, change and close without a mouse.
    page.tab.locator("#options summary").focus()
    keys.press("Enter")
    keys.press("Tab")
    assert page.run("document.activeElement.type") == "checkbox"
    keys.press("Space")
    assert "1 of 2 packs" in page.tab.locator("#options-summary").inner_text()
    keys.press("Escape")
    assert not page.run("document.getElementById('options').open")
    # An answer stops.
    server.steer(hold_after=5)
    page.tab.locator("#question").focus()
    keys.type("Again?")
    keys.press("Enter")
    page.until("document.querySelectorAll('.turn').length === 2")
    keys.press("Escape")
    page.finished()
    server.steer(hold_after=None)
    assert page.answer().get_attribute("data-state") == "stopped"
    # Buttons that vanish hand the focus on.
    keys.type("And again?")
    page.tab.locator("#ask").focus()
    keys.press("Enter")
    assert page.run(focus) == "stop"
    keys.press("Enter")
    page.finished()
    assert page.run(focus) == "question"


@pytest.mark.parametrize("view, start", [("", "question"), ("#packs", "packs-title")])
def test_the_first_stop_leads_past_the_header(tab, view, start):
    page = tab(view)
    page.tab.locator(".brand").click()
    page.tab.keyboard.press("Shift+Tab")
    assert page.run("document.activeElement.id") == "skip"
    assert page.run("document.activeElement.getBoundingClientRect().top") >= 0
    page.tab.keyboard.press("Enter")
    assert page.run("document.activeElement.id") == start


def test_what_has_the_focus_is_in_sight(tab):
    """No bar at the edge of the window covers what the tabulator reaches."""
    page = tab(viewport={"width": 900, "height": 620})
    for question in ("One?", "Two?", "Three?"):
        page.ask(question)
        page.finished()
    page.run("document.querySelector('.cite').focus()")
    covered = []
    for _ in range(25):
        page.tab.wait_for_timeout(30)
        covered += page.run(
            """() => {
              const node = document.activeElement;
              // Behind the last control the focus leaves the page.
              if (node === document.body) return [];
              const at = node.getBoundingClientRect();
              const top = document.elementFromPoint(at.left + at.width / 2, at.top + at.height / 2);
              return top && (node.contains(top) || top.contains(node) || top.closest(".preview")) ? [] : [node.outerHTML.slice(0, 80)];
            }"""
        )
        page.tab.keyboard.press("Tab")
    assert covered == []


def test_themes_follow_the_system_until_chosen(tab):
    page = tab(color_scheme="dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    assert page.run(ground) == "rgb(20, 24, 27)"
    button = page.tab.get_by_role("button", name="Theme")
    button.click()
    assert page.run(ground) == "rgb(247, 246, 243)"
    assert "light" in button.inner_text()
    page.tab.reload()
    assert page.run(ground) == "rgb(247, 246, 243)"
    button.click()
    assert page.run(ground) == "rgb(20, 24, 27)"
    button.click()
    page.tab.emulate_media(color_scheme="light")
    assert page.run(ground) == "rgb(247, 246, 243)"


@pytest.mark.parametrize("width", [320, 360, 768])
def test_narrow_windows_do_not_scroll_sideways(tab, width):
    page = full(tab, viewport={"width": width, "height": 740})
    for state in states(page):
        assert page.overflow() == 0, state
        outside = page.run(
            """() => [...document.querySelectorAll("button, input, select, textarea, summary, a")].filter((node) => {
              const at = node.getBoundingClientRect();
              return node.checkVisibility() && at.width > 1 && !node.matches(".skip") && (at.left < 0 || at.right > innerWidth);
            }).map((node) => node.outerHTML.slice(0, 80))"""
        )
        assert outside == [], state


def test_large_text_fits(tab):
    """As with 200% zoom of a window of 1280 pixels."""
    page = full(tab, viewport={"width": 640, "height": 430}, device_scale_factor=2)
    assert page.overflow() == 0


@pytest.mark.mock
def test_no_motion_where_none_is_wanted(tab, server):
    server.steer(hold_after=5)
    page = tab(reduced_motion="reduce")
    page.ask()
    page.until("document.querySelector('.answer[data-state=writing]') !== null")
    assert page.run("document.getAnimations().length") == 0
    server.steer(hold_after=None)
    page.finished()


def test_forms_work_with_forced_colours(tab):
    page = tab(forced_colors="active")
    page.ask()
    page.finished()
    assert page.run("getComputedStyle(document.querySelector('.cite')).borderStyle") == "solid"


LONG = " ".join(f"Sentence {number} is one of many." for number in range(120))
END = "document.querySelector('.answer .text').getBoundingClientRect().bottom - document.getElementById('composer').getBoundingClientRect().top"


@pytest.mark.mock
def test_the_end_of_a_long_answer_stays_in_sight(tab, server):
    server.steer(answer=LONG, delay=0.004)
    page = tab(viewport={"width": 360, "height": 740})
    page.tab.get_by_label("Compare without memories").uncheck()
    page.ask()
    page.until("document.querySelector('.answer .text')?.textContent.length > 2000")
    assert -60 < page.run(END) <= 0
    # Until the reader looks elsewhere.
    page.tab.mouse.move(180, 300)
    page.tab.mouse.wheel(0, -900)
    page.tab.wait_for_timeout(300)
    before = page.run("[scrollY, document.querySelector('.answer .text').textContent.length]")
    page.tab.wait_for_timeout(300)
    after = page.run("[scrollY, document.querySelector('.answer .text').textContent.length]")
    assert after[0] == before[0] and after[1] > before[1]
    page.finished()
    assert page.run("scrollY") == before[0]


def test_a_question_stands_at_the_top_while_its_answer_comes(tab):
    page = tab(viewport={"width": 360, "height": 740})
    for question in ("One?", "Two?", "Three?"):
        page.ask(question)
        page.finished()
        top = page.turn().locator(".question").bounding_box()["y"]
        assert 0 < top < 150, question
