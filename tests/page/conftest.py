"""Fixtures: one browser and one server for all tests, a new tab for each."""

import os

import pytest

from browser import Page, chromium, served


@pytest.fixture(scope="session")
def browser():
    with chromium() as started:
        yield started


@pytest.fixture(scope="session")
def running():
    with served() as server:
        yield server


@pytest.fixture
def server(running):
    if not os.environ.get("PAGE_URL"):
        running.steer(reset=True)
    return running


@pytest.fixture
def tab(browser, server):
    """Opens the page with settings of a browser's context. After the test, nothing has gone wrong in any tab."""
    opened = []

    def new(view="", **context):
        page = Page(browser, server, **context)
        opened.append(page)
        return page.open(view)

    yield new
    wrong = [line for page in opened for line in page.wrong]
    for page in opened:
        page.close()
    assert wrong == []
