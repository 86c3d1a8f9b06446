"""The compose project as a test sees it: brought up, driven over HTTP, taken down to nothing."""

import json
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import aiohttp

from ops.ports import free_port
from tests.containers.engine import Engine, compose_command
from tests.containers.images import Images
from tests.system.stack import Stack, until

NAME = "topuptest"


class Project:
    """deploy/compose.yaml in a copy of the folder, with images that are there."""

    def __init__(self, engine: Engine, images: Images, folder: Path) -> None:
        self.engine = engine
        self.name = NAME
        self.images = images
        self.folder = folder
        self.port = free_port()
        self._compose = [*compose_command(), "-p", NAME, "-f", str(folder / "compose.yaml")]

    def __enter__(self) -> Self:
        """Bring it up; returns when all is started, and the tasks are done."""
        scale = ["--scale", "dispatcher=3", "--scale", "gateway=3"]
        try:
            self.compose("--profile", "demo", "up", "-d", "--no-build", *scale)
        except BaseException:
            self._down()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Take it down: containers, networks and volumes."""
        self._down()

    def compose(self, *words: str, check: bool = True, **environ: str) -> str:
        """Return what `docker compose …` printed."""
        told = {**self.images.environ(), "TOPUP_PORT": str(self.port), **environ}
        done = self.engine.run(*self._compose, *words, check=check, environ=told)
        return done.stdout

    def containers(self, service: str) -> list[str]:
        """Return the ids of those that run."""
        label = f"label=com.docker.compose.service={service}"
        ours = f"label=com.docker.compose.project={NAME}"
        return self.engine.docker("ps", "-q", "--filter", label, "--filter", ours).split()

    def inspect(self, container: str) -> dict[str, Any]:
        """Return what the engine knows of it."""
        found: dict[str, Any] = json.loads(self.engine.docker("inspect", container))[0]
        return found

    def address(self, container: str) -> str:
        """Return where this machine reaches it."""
        networks = self.inspect(container)["NetworkSettings"]["Networks"].values()
        return next(str(network["IPAddress"]) for network in networks if network["IPAddress"])

    def _down(self) -> None:
        profiles = ("--profile", "demo", "--profile", "operate", "--profile", "observe")
        self.compose(*profiles, "down", "-v", "--remove-orphans", "-t", "20", check=False)


class _Place:
    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port = folder, port


class ComposeStack(Stack):
    """The project's merchant, and its sandbox's book."""

    def __init__(self, project: Project) -> None:
        super().__init__(_Place(project.folder / "secrets", project.port))
        self.project = project

    async def __aenter__(self) -> Self:
        """Wait for the load balancer: it starts last, and then sees its first gateway."""
        await until(self._answers, within_s=60, each_s=0.2)
        return await super().__aenter__()

    async def _answers(self) -> bool:
        try:
            return (await self.get("/health"))[0] == 200
        except (OSError, aiohttp.ClientError):
            return False

    @cached_property
    def provider(self) -> str:
        """The sandbox's own address, whose certificate is good for its name alone."""
        (sandbox,) = self.project.containers("sandbox")
        return f"https://{self.project.address(sandbox)}:8443"

    def _connector(self) -> aiohttp.TCPConnector:
        return aiohttp.TCPConnector(limit=0, force_close=True, ssl=False)
