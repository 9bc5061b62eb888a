"""What README and docs tell people to type: commands and Python blocks, in order."""

import re
import shlex
from dataclasses import dataclass

from places import ROOT

PAGES = ["README.md", "CONTRIBUTING.md", *(str(p.relative_to(ROOT)) for p in sorted((ROOT / "docs").rglob("*.md")))]
_FENCED = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"(?:^    \S.*\n)+", re.MULTILINE)
# How an indented block that is no formula begins.
_PROGRAMS = ("python", "pip", "torchrun", "pytest", "ruff", "navigen", "apt-get", "su ", "mkdocs")


@dataclass(frozen=True, slots=True)
class Command:
    """One command, without what stands behind its `#`."""

    page: str
    text: str

    @property
    def words(self) -> list[str]:
        return shlex.split(self.text)

    def __str__(self) -> str:
        return f"{self.page}: {self.text}"


def typed_commands() -> list[Command]:
    """Every command of every page, the parts of `one && other` on their own; the same one once, on its first page."""
    found: dict[str, Command] = {}
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        blocks = [block for language, block in _FENCED.findall(text) if language in ("bash", "sh")]
        blocks += [block for block in _INDENTED.findall(_FENCED.sub("", text)) if block.lstrip().startswith(_PROGRAMS)]
        for line in "\n".join(blocks).splitlines():
            for part in re.split(r"\s&&\s", re.sub(r"\s+#.*", "", line).strip()):
                if part:
                    found.setdefault(part, Command(page, part))
    return list(found.values())


def python_blocks() -> dict[str, list[str]]:
    """The Python blocks of each page that has some, in order."""
    pages = {}
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        blocks = [block for language, block in _FENCED.findall(text) if language == "python"]
        if blocks:
            pages[page] = blocks
    return pages
