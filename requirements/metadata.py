"""Gives the wheel the same dependencies that the lock files are made from."""

from pathlib import Path

from hatchling.metadata.plugin.interface import MetadataHookInterface


class RequirementsHook(MetadataHookInterface):
    """Read run.in, so that a dependency is named once."""

    def update(self, metadata: dict[str, object]) -> None:
        """Put the names of run.in where a wheel keeps its dependencies."""
        lines = (Path(self.root) / "requirements" / "run.in").read_text().splitlines()
        metadata["dependencies"] = [line for line in lines if line and not line.startswith("#")]
