"""Where an installed wheel keeps its files; looked up without running any of its code."""

from importlib.util import find_spec
from pathlib import Path

from ops.errors import CommandFailed


def wheel_folder(package: str, *, instead: str) -> Path:
    """Return the folder of the package; `instead` says how to go without it."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise CommandFailed(f"the package {package} is not installed: {instead}")
    return Path(spec.origin).parent
