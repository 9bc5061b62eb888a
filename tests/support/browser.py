"""A page in a real browser, on a screen and on a telephone."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WIDTHS = (1280, 390)
_FLAGS = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
_FLAGS += " --disable-component-update --disable-sync --enable-logging=stderr --virtual-time-budget=4000"


def look_at(page: str, folder: Path, probe: str) -> list[Any]:
    """Load a page at each of `WIDTHS`, and fail if it asks the network for anything or writes to the console.

    Args:
        page: HTML. folder: for files of the browser.
        probe: a JavaScript function of the loaded document, whose JSON is returned.
    """
    assert not re.search(r"""(?:src|href|url\()\s*=?\s*["']?(?!data:)(?:https?:)?//""", page)
    # Frames, because a headless window cannot be as narrow as a telephone.
    frames = "".join(
        f'<iframe style="width: {width}px; height: 900px" srcdoc="{html.escape(page)}"></iframe>' for width in WIDTHS
    )
    script = f"""<pre id="probe"></pre><script>
      addEventListener("load", () => setTimeout(() => {{
        const pages = [...document.querySelectorAll("iframe")].map(frame => frame.contentDocument);
        document.getElementById("probe").textContent = JSON.stringify(pages.map({probe}));
      }}, 1000));</script>"""
    wrapper = folder / "probe.html"
    wrapper.write_text(f"<!doctype html><meta charset='utf-8'><body>{frames}{script}</body>")
    done = subprocess.run(
        [CHROMIUM, *_FLAGS.split(), f"--user-data-dir={folder / 'profile'}", "--dump-dom", wrapper.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert ":CONSOLE" not in done.stderr, done.stderr
    return json.loads(html.unescape(re.search(r'<pre id="probe">(.*?)</pre>', done.stdout, re.DOTALL).group(1)))
