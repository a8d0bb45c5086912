"""A page in a real Chromium: opened at a width and in a theme, waited for, and listened to."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ARGUMENTS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
SIGHTS = [(390, "light"), (390, "dark"), (1440, "light"), (1440, "dark")]
"""Widths in CSS pixels and themes: a phone and a desk, by day and by night."""
WAIT = """new Promise((resolve, reject) => {
    let frames = 0;
    const look = () => {
        if (CONDITION) resolve();
        else if (++frames > 1200) reject(new Error("never came true: " + NAMED));
        else requestAnimationFrame(look);
    };
    look();
})"""
"""Looks at every frame; gives up after as many as a quiet machine draws in 20 seconds."""
DRAWN = """[...document.querySelectorAll('.plot')].every((div) => div.querySelector('.main-svg') && div._fullData
    && div._fullData.every((trace) => trace.x.length && trace.y.length))"""
OVERFLOW = "document.documentElement.scrollWidth - innerWidth"
PLACES = """(id) => {
    const div = document.getElementById(id), box = div.getBoundingClientRect(), {xaxis, yaxis} = div._fullLayout;
    return div._fullData.flatMap((trace, curve) => Array.from(trace.x).map((x, point) => ({
        curve, point, x: box.x + xaxis._offset + xaxis.d2p(x), y: box.y + yaxis._offset + yaxis.d2p(trace.y[point]),
    })));
}"""
"""Where in the window every point of a figure lies."""


@dataclass
class Visit:
    """A page with everything it complained about and asked for."""

    page: Any
    """Playwright's page."""
    address: str
    """What was opened."""
    complaints: list[str] = field(default_factory=list)
    """Messages of the console, errors and dialogs."""
    requests: list[str] = field(default_factory=list)
    """Every address that was asked for."""

    def wait(self, condition: str) -> None:
        """Waits inside the page, whose content policy forbids Playwright's own way, which is eval."""
        self.page.evaluate(WAIT.replace("CONDITION", condition).replace("NAMED", json.dumps(condition)))

    def y(self, plot: str) -> list[float]:
        """The last trace of a figure."""
        found: list[float] = self.page.evaluate(
            "(id) => Array.from(document.getElementById(id)._fullData.at(-1).y)", plot
        )
        return found

    def x(self, plot: str) -> list[float]:
        """The last trace of a figure."""
        found: list[float] = self.page.evaluate(
            "(id) => Array.from(document.getElementById(id)._fullData.at(-1).x)", plot
        )
        return found

    def hover(self, plot: str, curve: int, point: int) -> str:
        """What the label says that appears where the mouse rests on a point."""
        self.page.locator(f"#{plot}").scroll_into_view_if_needed()
        places = self.page.evaluate(PLACES, plot)
        place = next(each for each in places if (each["curve"], each["point"]) == (curve, point))
        self.page.mouse.move(place["x"], place["y"])
        self.wait(f"document.querySelector('#{plot} .hovertext')")
        return str(self.page.locator(f"#{plot} .hovertext").first.text_content())

    def column(self, table: str, title: str) -> list[str]:
        """What a table shows in one column, from top to bottom."""
        read = """([table, title]) => {
            const heads = [...document.querySelectorAll(`#${table} thead th`)].map((cell) => cell.textContent);
            const column = heads.indexOf(title);
            return [...document.querySelectorAll(`#${table} tbody tr`)].map((row) => row.cells[column].textContent);
        }"""
        found: list[str] = self.page.evaluate(read, [table, title])
        return found

    def is_well(self) -> None:
        """Fits its window, complained of nothing, and asked for nothing but itself."""
        assert self.page.evaluate(OVERFLOW) <= 0
        assert self.complaints == []
        assert {url for url in self.requests if not url.startswith("data:")} == {self.address}


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Skips where there is none."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS.split())
        yield opened
        opened.close()


@contextmanager
def visiting(browser: Any, address: str, width: int, theme: str) -> Iterator[Visit]:
    """A page that is drawn."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme)
    opened = Visit(context.new_page(), address)
    opened.page.on("console", lambda message: opened.complaints.append(message.text))
    opened.page.on("pageerror", lambda error: opened.complaints.append(str(error)))
    opened.page.on("dialog", lambda dialog: (opened.complaints.append("dialog"), dialog.dismiss()))
    opened.page.on("request", lambda request: opened.requests.append(request.url))
    opened.page.goto(address)
    opened.wait(DRAWN)
    yield opened
    context.close()
