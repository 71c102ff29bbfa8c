"""The browser, the server that the page comes from, and what tests do with both."""

import contextlib
import json
import os
import threading
import time
import urllib.request

from playwright.sync_api import sync_playwright

import mock

QUESTION = os.environ.get("PAGE_QUESTION", "What does a dredging licence cost?")
# Of a test's step. A real model on a slow machine takes longer than the mock.
TIMEOUT = 120_000 if os.environ.get("PAGE_URL") else 10_000


class Served:
    """Where the page is. `steer` sets up the mock; `sent` has the requests that it got."""

    def __init__(self, url):
        self.url = url

    def steer(self, **changes):
        request = urllib.request.Request(f"{self.url}/mock", json.dumps(changes).encode(), method="PUT")
        urllib.request.urlopen(request, timeout=10).close()

    def _mock(self):
        with urllib.request.urlopen(f"{self.url}/mock", timeout=10) as answer:
            return json.load(answer)

    @property
    def sent(self):
        return self._mock()["requests"]

    @property
    def gone(self):
        return self._mock()["gone"]


@contextlib.contextmanager
def served():
    """The server of `PAGE_URL`, or a mock."""
    url = os.environ.get("PAGE_URL")
    if url:
        yield Served(url.rstrip("/"))
        return
    server = mock.Server()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield Served(server.url)
    finally:
        server.shutdown()
        server.server_close()


@contextlib.contextmanager
def chromium():
    """A headless Chromium. Its sandbox cannot be had by root, as in containers."""
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=os.environ["CHROMIUM"], args=arguments)
        try:
            yield browser
        finally:
            browser.close()


class Page:
    """The page in a tab, and what went wrong in it: errors of scripts, the console and the policy, and requests to elsewhere."""

    def __init__(self, browser, server, **context):
        self.server = server
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 860}, "locale": "en-GB", **context})
        self.tab = self.context.new_page()
        self.tab.set_default_timeout(TIMEOUT)
        self.wrong = []
        self.tab.on("pageerror", lambda error: self.wrong.append(f"script: {error}"))
        self.tab.on("console", self._console)
        self.tab.on("request", self._request)

    def _console(self, message):
        # The browser reports each answer with an error status, and each lost connection, by itself.
        if message.type in ("error", "warning") and not message.text.startswith("Failed to load resource"):
            self.wrong.append(f"console: {message.text}")

    def _request(self, request):
        if not request.url.startswith(self.server.url):
            self.wrong.append(f"a request to elsewhere: {request.url}")

    def open(self, view=""):
        self.tab.goto(self.server.url + "/" + view)
        self.tab.wait_for_selector("html[data-ready]")
        key = os.environ.get("PAGE_KEY")
        if key:
            self.enter_key(key)
        return self

    def enter_key(self, key):
        dialog = self.tab.get_by_role("dialog", name="API key")
        dialog.wait_for()
        dialog.get_by_label("Key", exact=True).fill(key)
        dialog.get_by_role("button", name="Use this key").click()

    def ask(self, question=QUESTION):
        self.tab.get_by_role("textbox", name="Question").fill(question)
        self.tab.get_by_role("button", name="Ask", exact=True).click()

    def finished(self):
        """Waits until nothing is asked any more."""
        self.tab.locator("#stop").wait_for(state="hidden")
        self.tab.locator("[aria-busy=true].answer").first.wait_for(state="detached")

    def turn(self, number=-1):
        turns = self.tab.locator(".turn")
        return turns.last if number == -1 else turns.nth(number)

    def answer(self, side="with"):
        return self.turn().locator(f".answer[data-side={side}]")

    def text(self, side="with"):
        """The answer without its marks."""
        return self.answer(side).locator(".text").evaluate(
            "node => { const copy = node.cloneNode(true); copy.querySelectorAll('.cites').forEach((mark) => mark.remove()); return copy.textContent; }"
        )

    def overflow(self):
        """How many pixels the page is wider than its window."""
        return self.tab.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")

    def run(self, script, *arguments):
        return self.tab.evaluate(script, *arguments)

    def until(self, condition):
        """Waits until an expression of JavaScript holds. (`wait_for_function` of playwright needs `eval`, which the page's policy forbids.)"""
        ends = time.monotonic() + TIMEOUT / 1000
        while not self.tab.evaluate(condition):
            assert time.monotonic() < ends, f"never came true: {condition}"
            self.tab.wait_for_timeout(20)

    def close(self):
        self.context.close()
