"""A headless browser that looks at pages of the dashboard and of reports, where there is one."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
WIDTH, HEIGHT = 1400, 1000


class NoBrowserError(Exception):
    """There is no browser; the message says how to get one."""


@contextmanager
def browser_page(height: int = HEIGHT) -> Iterator[Any]:
    """A page (`playwright.sync_api.Page`) of a headless Chromium.

    Raises `NoBrowserError` where Playwright or the browser is missing.
    """
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError as error:
        raise NoBrowserError("Playwright is missing: pip install playwright") from error
    installed = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    with sync_playwright() as playwright:
        try:  # its own browser where none is installed
            browser = playwright.chromium.launch(
                executable_path=installed, args=["--no-sandbox"], chromium_sandbox=False
            )
        except Error as error:
            raise NoBrowserError(
                "no Chromium was found: apt-get install chromium, or playwright install chromium"
            ) from error
        try:
            yield browser.new_page(viewport={"width": WIDTH, "height": height})
        finally:
            browser.close()
