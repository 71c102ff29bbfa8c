"""Pictures of the page: python3 screenshots.py FOLDER (through run.sh --screenshots)."""

import os
import pathlib
import sys

from browser import Page, chromium, served

MOCK = not os.environ.get("PAGE_URL")


def answered(page):
    page.ask()
    page.finished()
    return page


def with_passage(page):
    page.answer().locator(".cite").first.click()
    # The pointer and the focus would show cards of their own.
    page.tab.mouse.move(2, 2)
    page.tab.wait_for_timeout(400)


def top(page):
    page.run("window.scrollTo(0, 0)")
    page.tab.wait_for_timeout(150)


def pictures(browser, server, folder):
    """Takes each picture and gives its file."""

    def take(name, page, whole=False):
        path = folder / f"{name}.png"
        page.tab.screenshot(path=path, full_page=whole)
        page.close()
        if page.wrong:
            raise SystemExit(f"{name}: {page.wrong}")
        return path

    def new(view="", **context):
        return Page(browser, server, device_scale_factor=2, **{"color_scheme": "light", **context}).open(view)

    narrow = {"viewport": {"width": 360, "height": 740}}

    page = answered(new())
    with_passage(page)
    top(page)
    yield take("answer", page)

    page = answered(new(color_scheme="dark"))
    with_passage(page)
    top(page)
    yield take("dark", page)

    page = new("#packs")
    page.tab.locator(".pack").first.wait_for()
    yield take("packs", page)

    page = answered(new(**narrow))
    top(page)
    yield take("narrow", page)

    page = answered(new(**narrow))
    with_passage(page)
    yield take("narrow-passage", page)

    page = new("#packs", color_scheme="dark", **narrow)
    page.tab.locator(".pack").first.wait_for()
    yield take("narrow-packs-dark", page)

    yield take("welcome", new())

    page = answered(new())
    page.answer().locator(".cite").first.hover()
    page.tab.locator(".preview").wait_for()
    yield take("preview", page)

    page = answered(new())
    page.tab.locator("#options summary").click()
    yield take("options", page)

    page = answered(new())
    page.tab.get_by_label("Compare without memories").uncheck()
    page.ask("And who issues it?")
    page.finished()
    yield take("turns", page)

    if not MOCK:
        return
    server.steer(fail=[{"status": 429, "error": {"message": "the queue is full", "code": "queue_full"}, "headers": {"retry-after": "9"}}] * 2)
    page = new()
    page.ask()
    page.finished()
    yield take("busy", page)

    server.steer(hostile=True)
    page = answered(new(**narrow))
    top(page)
    yield take("hostile", page)

    server.steer(hostile=False, key="mp-right")
    page = new()
    page.tab.get_by_role("dialog").wait_for()
    yield take("key", page)


def main():
    folder = pathlib.Path(sys.argv[1])
    with served() as server, chromium() as browser:
        for path in pictures(browser, server, folder):
            print(path)


if __name__ == "__main__":
    main()
