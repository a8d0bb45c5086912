"""How large a page is and how long it takes to be drawn: from navigation to the last figure, in a real Chromium.

Processor time is that of the page's main thread, which other work on the machine does not lengthen.

    python tests/benchmarks/page_speed.py runs/my-study/report.html --repeats 5
"""

import argparse
import os
import shutil
import statistics
from pathlib import Path

from playwright.sync_api import sync_playwright

DRAWN = """new Promise((resolve) => {
    const drawn = (div) => div.querySelector('.main-svg');
    const look = () => [...document.querySelectorAll('.plot')].every(drawn)
        ? resolve(performance.now()) : requestAnimationFrame(look);
    look();
})"""
"""Milliseconds since the navigation began."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--width", type=int, default=1440)
    arguments = parser.parse_args()
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    seconds, busy = [], []
    with sync_playwright() as playwright:
        for _ in range(arguments.repeats):
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
            page = browser.new_page(viewport={"width": arguments.width, "height": 900})
            session = page.context.new_cdp_session(page)
            session.send("Performance.enable", {"timeDomain": "threadTicks"})
            page.goto(arguments.page.resolve().as_uri(), wait_until="commit")
            seconds.append(page.evaluate(DRAWN) / 1000)
            metrics = {each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]}
            busy.append(metrics["TaskDuration"])
            plots = page.locator(".plot").count()
            browser.close()
    print(f"{arguments.page.stat().st_size / 1e6:.2f} MB, {plots} figures, {arguments.width} px")
    for what, values in (("drawn in", seconds), ("processor time", busy)):
        print(f"{what} {statistics.median(values):.2f} s [{min(values):.2f}, {max(values):.2f}] of {len(values)}")
    print("load", *(f"{load:.1f}" for load in os.getloadavg()))


if __name__ == "__main__":
    main()
