"""House rules that no linter knows; they only ever get stricter."""

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import services
import shared

ROOT = Path(__file__).parents[2]
PACKAGES = ("services", "shared", "ops", "sandbox")
FILE_LINES_MAX = 300
FUNCTION_LINES_MAX = 40
DRAWERS = {"utils", "util", "helpers", "helper", "manager", "base", "common", "misc"}
LONGER = {
    "shared/bus/topups.lua",  # one library is one file to the server
}


def tracked(*patterns: str) -> list[Path]:
    """Return the files that git knows."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *patterns],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def modules() -> list[Path]:
    """Return all Python modules of the product."""
    return tracked(*(f"{package}/**.py" for package in PACKAGES))


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def lines_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return the lines of code; what its docstring says is not a function's length."""
    first = function.body[1] if ast.get_docstring(function) and function.body[1:] else function
    return (function.end_lineno or 0) - first.lineno + 1


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", modules(), ids=named)
def test_a_module_fits_one_sitting_and_says_what_it_is_for(path: Path) -> None:
    """Short, with a first sentence, in no drawer; each function fits the screen."""
    text = path.read_text()
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "the first line says what the module is for"
    assert path.stem not in DRAWERS
    assert len(text.splitlines()) <= FILE_LINES_MAX or named(path) in LONGER
    for function in functions(tree):
        assert lines_of(function) <= FUNCTION_LINES_MAX, function.name


@pytest.mark.parametrize("path", modules(), ids=named)
def test_public_names_are_told(path: Path) -> None:
    """A public class or function has a docstring, unless its body is a protocol's dots."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.name.startswith("_") or ast.get_docstring(node), node.name


def test_our_packages_are_ours() -> None:
    """`services` and `shared` are general names; nobody else's may stand in front."""
    assert Path(services.__file__ or "").is_relative_to(ROOT)
    assert Path(shared.__file__ or "").is_relative_to(ROOT)


def test_no_host_no_index_no_machine_path() -> None:
    """The repository builds from any index and in any folder."""
    forbidden = re.compile(
        r"pypi\.[a-z]+|python[h]osted|--(?:extra-)?index-url|--find-links|/(?:home|root|work)/[a-z]"
    )
    for path in tracked():
        if path.suffix in {".png", ".svg"} or path == Path(__file__):
            continue
        found = forbidden.search(path.read_text(errors="replace"))
        assert found is None, f"{named(path)}: {found}"


def test_every_requirement_is_pinned_with_hashes() -> None:
    """What is installed is what was looked at."""
    for path in tracked("requirements/*.txt"):
        wanted = re.findall(r"^[a-z][^\n]*(?:\n    --hash=[^\n]*)*", path.read_text(), re.MULTILINE)
        assert wanted
        for requirement in wanted:
            assert "==" in requirement, requirement
            assert "--hash=sha256:" in requirement, requirement


def test_every_dependency_is_explained() -> None:
    """One line each in docs/dependencies.md."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    explained = (ROOT / "docs" / "dependencies.md").read_text()
    extras = project["optional-dependencies"]
    for name in [*project["dependencies"], *extras["local"], *extras["dev"]]:
        assert name.partition("[")[0] in explained, name
