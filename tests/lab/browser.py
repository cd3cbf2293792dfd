"""The system's Chromium without a screen, kept from the network."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = tuple(
    """
    --headless --no-sandbox --disable-gpu --disable-quic --no-first-run --hide-scrollbars
    --disable-background-networking --disable-component-update --disable-sync --disable-dev-shm-usage
    """.split()
)


def browser() -> str | None:
    """Its path, or None where there is none."""
    return next((path for path in map(shutil.which, NAMES) if path), None)


def ask(page: Path, *flags: str) -> str:
    """Open a page in a fresh profile with more flags; what the browser printed."""
    with tempfile.TemporaryDirectory(prefix="hal9-browser-") as profile:
        command = [str(browser()), *FLAGS, f"--user-data-dir={profile}", *flags, page.resolve().as_uri()]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


def document(page: Path) -> str:
    """The page's tree, as the browser built it."""
    return ask(page, "--dump-dom")


def screenshot(page: Path, picture: Path, width: int = 1000, height: int = 1500) -> None:
    """A picture of the page, PNG."""
    ask(page, f"--screenshot={picture}", f"--window-size={width},{height}")
