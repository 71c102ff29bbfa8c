"""What goes wrong: keys, limits, lost connections, servers that send harm."""

import pytest

import answers

pytestmark = pytest.mark.mock


def test_a_key_is_asked_for_and_kept_in_the_tab(tab, server):
    server.steer(key="mp-right")
    page = tab()
    page.enter_key("mp-wrong")
    page.tab.locator("#key-refused").wait_for()
    page.enter_key("mp-right")
    page.tab.locator("#key-dialog").wait_for(state="hidden")
    page.until("document.querySelector('#served').textContent.includes('2 packs')")
    page.ask()
    page.finished()
    assert page.text() == answers.ANSWER
    stored = page.run("JSON.stringify([Object.values(localStorage), document.cookie, Object.values(sessionStorage)])")
    assert stored == '[[],"",["mp-right"]]'
    page.tab.reload()
    page.until("document.querySelector('#served').textContent.includes('2 packs')")
    page.tab.get_by_role("button", name="API key").click()
    page.tab.get_by_role("button", name="Forget the key").click()
    assert page.run("sessionStorage.length") == 0


def test_a_key_that_is_not_given_leaves_a_way_to_give_it(tab, server):
    server.steer(key="mp-right")
    page = tab()
    page.tab.get_by_role("dialog").wait_for()
    page.tab.keyboard.press("Escape")
    page.ask()
    page.tab.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    problem = page.tab.locator("#form-problem").locator(".problem")
    assert "A key is needed" in problem.inner_text() and "status 401" in problem.inner_text()
    problem.get_by_role("button", name="Enter a key").click()
    page.enter_key("mp-right")
    page.until("document.querySelector('.answer[data-side=with]')?.dataset.state === 'complete'")
    assert page.text() == answers.ANSWER


def test_a_key_that_was_revoked_is_replaced(tab, server):
    server.steer(key="mp-old")
    page = tab()
    page.enter_key("mp-old")
    page.until("document.querySelector('#served').textContent.includes('2 packs')")
    server.steer(key="mp-new")
    page.ask()
    page.tab.locator("#key-refused").wait_for()
    page.tab.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    page.finished()
    problem = page.answer().locator(".problem")
    assert "A key is needed" in problem.inner_text()
    problem.get_by_role("button", name="Enter a key").click()
    page.enter_key("mp-new")
    page.until("document.querySelector('.answer[data-side=with]').dataset.state === 'complete'")
    assert page.text() == answers.ANSWER


def test_one_key_serves_both_answers(tab, server):
    """The second refusal comes when the key was already entered: it is not asked for again."""
    server.steer(fail=[{"status": 401}, {"status": 401, "wait": 1.5}])
    page = tab()
    page.ask()
    page.enter_key("mp-right")
    page.finished()
    assert page.text() == answers.ANSWER and page.text("without") == answers.WITHOUT
    assert len(server.sent) == 4


def test_a_key_that_is_no_header_is_not_taken(tab, server):
    server.steer(key="mp-right")
    page = tab()
    page.enter_key("schlüssel ☃")
    assert "characters of ASCII" in page.tab.locator("#key-refused").inner_text()
    page.enter_key("mp-right")
    page.tab.locator("#key-dialog").wait_for(state="hidden")


def test_a_busy_server_is_asked_again_after_its_time(tab, server):
    busy = {"message": "the queue is full", "type": "rate_limit_error", "param": None, "code": "queue_full"}
    server.steer(fail=[{"status": 429, "error": busy, "headers": {"retry-after": "2"}}])
    page = tab()
    page.tab.get_by_label("Compare without memories").uncheck()
    page.ask()
    problem = page.answer().locator(".problem")
    problem.wait_for()
    text = problem.inner_text()
    assert "Too many requests" in text and "the queue is full" in text and "queue_full" in text and "2 seconds" in text
    again = problem.get_by_role("button")
    assert again.is_disabled()
    page.until("!document.querySelector('.problem button').disabled")
    again.click()
    page.finished()
    assert page.text() == answers.ANSWER
    assert page.answer().locator(".problem").count() == 0
    assert page.turn().locator(".passage").count() == 5


@pytest.mark.parametrize("trouble, part", [("break_after", "connection was lost"), ("garbage_after", "not JSON"), ("error_after", "damaged at byte 4096")])
def test_a_stream_that_breaks_keeps_what_came(tab, server, trouble, part):
    server.steer(**{trouble: 8})
    page = tab()
    page.tab.get_by_label("Compare without memories").uncheck()
    page.ask()
    problem = page.answer().locator(".problem")
    problem.wait_for()
    assert part in problem.inner_text()
    assert page.text() == "A dredging licence costs 340 tallen a year"
    assert page.turn().locator(".passage").count() == 0
    server.steer(**{trouble: None})
    problem.get_by_role("button", name="Try again").click()
    page.until("document.querySelector('.answer').dataset.state === 'complete'")
    assert page.text() == answers.ANSWER


def test_one_side_may_fail_and_the_other_answer(tab, server):
    server.steer(fail=[{"status": 500, "error": {"message": "no memory left", "type": "server_error"}}])
    page = tab()
    page.ask()
    page.finished()
    states = {page.answer(side).get_attribute("data-state") for side in ("with", "without")}
    assert states == {"failed", "complete"}


@pytest.mark.parametrize(
    "failure, part",
    [
        ({"status": 503, "error": {"message": "not ready"}}, "The server is not ready"),
        ({"status": 403, "error": {"message": "not your pack"}}, "Enter another key"),
        ({"status": 400, "error": {"message": "too many", "code": "context_length_exceeded"}}, "begin a new conversation"),
        ({"status": 502, "body": "<html><script>window.harmed = 1</script>", "kind": "text/html"}, "status 502"),
        ({"status": 200, "body": "{}"}, "no stream of events"),
        ({"status": 500, "error": 7}, "The server failed"),
    ],
)
def test_errors_say_what_to_do(tab, server, failure, part):
    server.steer(fail=[failure])
    page = tab()
    page.tab.get_by_label("Compare without memories").uncheck()
    page.ask()
    problem = page.answer().locator(".problem")
    problem.wait_for()
    assert part in problem.inner_text()
    assert problem.get_by_role("button").count() >= 1
    assert page.run("window.harmed") is None


def test_a_refused_option_is_shown_at_its_field(tab):
    page = tab()
    page.tab.locator("#options summary").click()
    page.tab.get_by_label("Only documents where").fill('jurisdiction == "Kor')
    page.tab.locator("#options summary").click()
    page.ask()
    page.answer().locator(".problem").get_by_role("button", name="Show the options").click()
    assert page.tab.evaluate("document.activeElement.id") == "where"
    assert "not closed, at character 17" in page.tab.locator("#where-error").inner_text()
    page.tab.get_by_label("Only documents where").fill("")
    page.tab.locator("#options summary").click()
    page.answer().get_by_role("button", name="Try again").click()
    page.until("document.querySelector('.answer[data-side=with]').dataset.state === 'complete'")
    assert page.text() == answers.ANSWER


def test_an_answer_can_be_stopped(tab, server):
    server.steer(delay=0.1)
    page = tab()
    page.ask()
    page.until("document.querySelector('.text').textContent.length > 10")
    page.tab.get_by_role("button", name="Stop").click()
    page.finished()
    partial = page.text()
    assert answers.ANSWER.startswith(partial) and partial not in ("", answers.ANSWER)
    assert page.answer().get_attribute("data-state") == "stopped"
    page.tab.wait_for_timeout(400)
    assert page.text() == partial
    assert server.gone == 2
    server.steer(delay=0)
    page.ask("Go on?")
    page.finished()
    request = next(request for request in server.sent[2:] if "memories" not in request)
    assert request["messages"][1] == {"role": "assistant", "content": partial}


def test_a_new_conversation_ends_what_runs(tab, server):
    server.steer(delay=0.1)
    page = tab()
    page.ask()
    page.until("document.querySelector('.text').textContent.length > 10")
    page.tab.get_by_role("button", name="New conversation").click()
    page.tab.wait_for_timeout(400)
    assert page.tab.locator(".turn").count() == 0
    assert server.gone == 2
    server.steer(delay=0)
    page.ask("Anew?")
    page.finished()
    assert page.text() == answers.ANSWER
    assert server.sent[-1]["messages"] == [{"role": "user", "content": "Anew?"}]


def test_no_server_is_said(tab):
    page = tab()
    page.context.set_offline(True)
    page.ask()
    page.finished()
    assert "No connection" in page.answer().locator(".problem").inner_text()
    page.context.set_offline(False)
    page.answer().get_by_role("button", name="Try again").click()
    page.until("document.querySelector('.answer[data-side=with]').dataset.state === 'complete'")
    assert page.text() == answers.ANSWER


def test_packs_that_cannot_be_listed_are_asked_for_again(tab, server):
    server.steer(fail_packs=[{"status": 500, "error": {"message": "the folder is gone"}}])
    page = tab("#packs")
    problem = page.tab.locator("#pack-list").locator(".problem")
    problem.wait_for()
    assert "the folder is gone" in problem.inner_text()
    problem.get_by_role("button", name="Try again").click()
    page.tab.locator(".pack").first.wait_for()


@pytest.mark.parametrize("width", [1280, 360])
def test_harm_stays_text(tab, server, width):
    server.steer(hostile=True)
    page = tab(viewport={"width": width, "height": 800})
    page.ask("<script>window.harmed = 10</script>" + answers.LONG_WORD)
    page.finished()
    assert page.text() == answers.HOSTILE_ANSWER
    for entry in page.turn().locator(".passage summary").all():
        entry.click()
    opened = page.turn().locator(".passage[open]")
    assert opened.count() == 2
    assert [mark.text_content() for mark in opened.locator("mark").all()] == [source[4] for source in answers.HOSTILE_SOURCES]
    assert page.overflow() == 0
    # Positions count code points: the last sentence, after crabs outside the first plane, leans on the second passage alone.
    last = page.answer().locator(".cites").last.locator(".cite")
    assert last.all_inner_texts() == ["2"]
    assert page.answer().locator(".sentence").last.inner_text().startswith("🦀🦀 Crabs")
    page.answer().locator(".cite").first.hover()
    page.tab.locator(".preview").wait_for()
    assert page.overflow() == 0
    page.tab.locator("#options summary").click()
    assert page.overflow() == 0
    page.tab.get_by_role("link", name="Packs").click()
    page.tab.locator(".pack").first.wait_for()
    assert page.overflow() == 0
    assert page.run("window.harmed") is None
    for name in ("script:not([src])", "img", "iframe", "a[href^=javascript]", "[onerror]", "[onmouseover]"):
        assert page.tab.locator(name).count() == 0, name


def test_the_direction_of_a_text_ends_with_it(tab, server):
    """What a right-to-left override turns around is the sentence that has it, not the next one."""
    text = f"First {answers.OVERRIDE}turned. Second stays."
    server.steer(answer=text)
    page = tab()
    page.ask()
    page.finished()
    left = page.answer().locator(".sentence").last.evaluate(
        """node => [...'Second'].map((_, at) => {
            const range = document.createRange();
            range.setStart(node.firstChild, at);
            range.setEnd(node.firstChild, at + 1);
            return range.getBoundingClientRect().left;
        })"""
    )
    assert left == sorted(left)
