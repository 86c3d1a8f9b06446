"""One engine, one set of images and one compose project for all of these tests."""

import shutil
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.containers.engine import Engine, engine
from tests.containers.images import ROOT, Images, make_all
from tests.containers.project import ComposeStack, Project


@pytest.fixture(scope="session")
def docker_engine() -> Iterator[Engine]:
    """An engine; what was made in it is removed with it."""
    with engine() as found:
        yield found


@pytest.fixture(scope="session")
def images(docker_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Images]:
    """Ours, and those that a registry would bring."""
    folder = tmp_path_factory.mktemp("images")
    yield make_all(docker_engine, folder)
    shutil.rmtree(folder)
    ours = docker_engine.docker("images", "-q", "--filter", "reference=topup-test/*").split()
    docker_engine.run("docker", "rmi", "-f", *dict.fromkeys(ours), check=False)


@pytest.fixture(scope="session")
def project(
    docker_engine: Engine, images: Images, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Project]:
    """`docker compose --profile demo up`, with three gateways and three dispatchers."""
    folder = tmp_path_factory.mktemp("compose") / "deploy"
    shutil.copytree(ROOT / "deploy", folder, ignore=shutil.ignore_patterns("wheels", "secrets"))
    with Project(docker_engine, images, folder) as running:
        yield running


@pytest.fixture
async def stack(project: Project) -> AsyncIterator[ComposeStack]:
    """The project as a merchant and an operator see it."""
    async with ComposeStack(project) as found:
        yield found
