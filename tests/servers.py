"""The servers under the tests: containers where Docker answers and has the images, else embedded.

`TEST_SERVERS=containers` or `TEST_SERVERS=embedded` forces it.
"""

import gc
import os
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as TookTooLong
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import docker
import pytest
from docker.errors import DockerException
from testcontainers.core.container import DockerContainer
from testcontainers.core.waiting_utils import wait_for_logs

from ops.embedded import postgres_server, valkey_server

VALKEY_IMAGE = os.environ.get("TEST_VALKEY_IMAGE", "valkey/valkey:9.1")
POSTGRES_IMAGE = os.environ.get("TEST_POSTGRES_IMAGE", "postgres:18")
IMAGES_WITHIN_S = 30


@cache
def kind() -> str:
    """Return `containers` or `embedded`."""
    forced = os.environ.get("TEST_SERVERS")
    if forced in ("containers", "embedded"):
        return forced
    if forced:
        raise pytest.UsageError(f"TEST_SERVERS is {forced!r}; for example TEST_SERVERS=embedded")
    return "containers" if _docker_has_images() else "embedded"


@contextmanager
def valkey(folder: Path) -> Iterator[str]:
    """Yield the URL of a durable Valkey."""
    if kind() == "embedded":
        with valkey_server(folder) as url:
            yield url
        return
    command = "valkey-server --appendonly yes --appendfsync always --save '' "
    container = DockerContainer(VALKEY_IMAGE).with_exposed_ports(6379)
    container.with_command(command + "--hash-max-listpack-value 1024 --stream-node-max-bytes 16384")
    with container:
        wait_for_logs(container, "Ready to accept connections")
        host, port = container.get_container_host_ip(), container.get_exposed_port(6379)
        yield f"redis://{host}:{port}/0"


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """Yield the URL of a PostgreSQL's own database, as its owner."""
    if kind() == "embedded":
        with postgres_server(folder) as url:
            yield url
        return
    container = DockerContainer(POSTGRES_IMAGE).with_exposed_ports(5432)
    container.with_env("POSTGRES_PASSWORD", "test")
    with container:
        wait_for_logs(container, r"(?s)ready to accept connections.*ready to accept connections")
        host, port = container.get_container_host_ip(), container.get_exposed_port(5432)
        yield f"postgresql://postgres:test@{host}:{port}/postgres"


def _docker_has_images() -> bool:
    client = _docker()
    if client is None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()  # the client forgets its socket when nobody answers there
        return False
    pool = ThreadPoolExecutor(1)
    try:
        pool.submit(_pull, client).result(timeout=IMAGES_WITHIN_S)
    except (TookTooLong, DockerException):
        return False
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return True


def _docker() -> docker.DockerClient | None:
    try:
        client = docker.from_env(timeout=2)
        client.ping()
    except DockerException:
        return None
    return client


def _pull(client: docker.DockerClient) -> None:
    for image in (VALKEY_IMAGE, POSTGRES_IMAGE):
        try:
            client.images.get(image)
        except docker.errors.ImageNotFound:
            client.images.pull(image)
