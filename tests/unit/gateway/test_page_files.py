"""The page's own files: small, each told in a sentence, and nothing in them that could be code."""

import re
from importlib.resources import files

import pytest

OURS = sorted(
    (file.name, file.read_text()) for file in (files("services.gateway.page") / "files").iterdir()
)
NAMES = [name for name, _ in OURS]
LINES_MAX = 150
LINE_COLUMNS_MAX = 420


@pytest.mark.parametrize(("name", "text"), OURS, ids=NAMES)
def test_a_file_is_small_and_says_what_it_is_for(name: str, text: str) -> None:
    """Its first line; an icon needs none."""
    assert len(text.splitlines()) <= LINES_MAX
    assert max(map(len, text.splitlines())) <= LINE_COLUMNS_MAX
    first = {".js": r"/\* .+ \*/", ".css": r"/\* .+ \*/", "html": r"<!doctype html>\n<!-- .+ -->"}
    for suffix, opening in first.items():
        if name.endswith(suffix):
            assert re.match(opening, text), "the first line says what the file is for"


@pytest.mark.parametrize(("name", "text"), OURS, ids=NAMES)
def test_nothing_comes_from_another_host(name: str, text: str) -> None:
    """No address but of this gateway; the name of SVG is no address."""
    assert not re.search(
        r"(?<![\w.])https?:|//[a-z]+\.", text.replace("http://www.w3.org/2000/svg", "")
    )
    assert "@import" not in text
    assert "url(" not in text


@pytest.mark.parametrize(("name", "text"), OURS, ids=NAMES)
def test_text_never_becomes_code(name: str, text: str) -> None:
    """What merchants send is put in as text; there is no other way in these files."""
    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(",
                "new Function", "DOMParser", "setHTML", "srcdoc", "javascript:"):  # fmt: skip
        assert way not in text
    assert not re.search(r"<[a-z]+[^>]* (on[a-z]+|style)=", text), "nothing stands inline"


@pytest.mark.parametrize(("name", "text"), OURS, ids=NAMES)
def test_what_a_file_asks_for_is_there(name: str, text: str) -> None:
    """Modules, styles and the names that they take of each other."""
    known = dict(OURS)
    for wanted in re.findall(r"(?:src|href)=\"admin/([^\"]+)\"", text):
        assert wanted in {*NAMES, "chart.js"}
    for taken, module in re.findall(r"import \{([^}]+)\} from \"\./([^\"]+)\"", text):
        for one in taken.split(","):
            assert re.search(
                rf"export (async )?(function|const|class) {re.escape(one.strip())}\b", known[module]
            ) or re.search(rf"export const {re.escape(one.strip())} ", known[module]), one
    html = known["page.html"]
    for place in re.findall(r"\$\(\"([^\"]+)\"\)", text):
        assert f'id="{place}"' in html, f"{name} looks for #{place}"
