"""The runbook as data: its sections, and the commands that stand in them."""

import re
from pathlib import Path
from typing import NamedTuple

PATH = Path(__file__).parents[1] / "docs" / "runbook.md"


class Section(NamedTuple):
    """One symptom: the commands to look, and those to do."""

    title: str
    text: str
    look: list[str]
    do: list[str]


def anchor_of(title: str) -> str:
    """Return what a link to a heading ends with."""
    return re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-")


def sections() -> dict[str, Section]:
    """Return each section by its anchor."""
    _, *parts = re.split(r"^## ", PATH.read_text(), flags=re.MULTILINE)
    found = {}
    for part in parts:
        title, _, text = part.partition("\n")
        look, _, do = text.partition("**Do**")
        found[anchor_of(title)] = Section(title, text, _commands(look), _commands(do))
    return found


def _commands(text: str) -> list[str]:
    blocks = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line]
