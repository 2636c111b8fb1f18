"""`normbt app` as a process of its own, tiny reward models for it, and a real browser that visits it."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from normbt_lab.backbones import load_tokenizer, resolve_backbone
from normbt_lab.model import build_reward_model, save_reward_model
from normbt_lab.state import STATE_FILE, NormBTState

CHROMIUM = shutil.which("chromium")
IS_BROWSER_REQUIRED = os.environ.get("NORMBT_REQUIRE_BROWSER") == "1"
SCREENSHOTS = Path(__file__).parent.parent / "runs" / "screenshots"

needs_browser = pytest.mark.skipif(CHROMIUM is None and not IS_BROWSER_REQUIRED, reason="no chromium")
"""For tests in a browser: skipped without one, unless NORMBT_REQUIRE_BROWSER=1 asks for them; then they fail."""


def tiny_reward_models(root: Path) -> dict[str, str]:
    """Folders of three: *bt*, *plain* without a running mean, and *broken*, which cannot be loaded."""
    backbone = resolve_backbone("tiny-random")
    tokenizer = load_tokenizer(backbone)
    for seed, name in enumerate(("bt", "plain")):
        model = build_reward_model(backbone, "head", seed=seed)
        with torch.no_grad():
            model.score.weight.mul_(10)  # rewards far enough apart to tell pairs apart
        settings = {"weighting": "uniform", "ema_beta": 0.9}
        sample = [([20, 21, 22], [20, 21, 24])]
        save_reward_model(model, tokenizer, root / name, NormBTState(1.5, 3, settings=settings), sample)
    (root / "plain" / STATE_FILE).unlink()
    (root / "broken").mkdir()
    (root / "broken" / "config.json").write_text("{")
    return {name: str(root / name) for name in ("bt", "plain", "broken")}


@contextlib.contextmanager
def serving(*arguments: str, folder: Path | None = None) -> Iterator[str]:
    """Address of `normbt app` with these arguments, until the block ends.

    Args:
        arguments: What follows `normbt app`.
        folder: Where it runs.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "normbt_lab.cli", "app", "--port", str(port), *arguments]
    server = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield _when_up(f"http://127.0.0.1:{port}", server)
    finally:
        server.terminate()
        server.wait(timeout=20)


def _when_up(url: str, server: subprocess.Popen) -> str:
    end = time.monotonic() + 300  # seconds: generous, for machines that do other work meanwhile
    while time.monotonic() < end:
        assert server.poll() is None, "the server stopped by itself"
        with contextlib.suppress(OSError), urllib.request.urlopen(url):
            return url
        time.sleep(0.1)
    raise AssertionError(f"no answer from {url} within five minutes")


@contextlib.contextmanager
def visiting(address: str, width: int = 1280, mode: str = "light") -> Iterator[Any]:
    """The page in Chromium; what its console says besides information fails the test at the end of the block.

    Args:
        address: Where it is, with query or fragment.
        width: Width of the window in pixels.
        mode: ``light`` or ``dark``.
    """
    from playwright.sync_api import sync_playwright

    assert CHROMIUM, "NORMBT_REQUIRE_BROWSER=1 asks for the tests in a browser, and there is no chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = browser.new_context(
            color_scheme=mode, viewport={"width": width, "height": 900}, reduced_motion="reduce", accept_downloads=True
        )
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        page = context.new_page()
        page.set_default_timeout(300_000)
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
        page.goto(address)
        try:
            yield page
        finally:
            browser.close()
        assert problems == []


def screenshot(page: Any, name: str) -> None:
    """A picture of the whole page under runs/screenshots, for a person to look at."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)
