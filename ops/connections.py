"""Where the servers are: as the environment says, else those of what runs in the data folder."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from ops.errors import CommandFailed
from ops.supervisor.folder import data_folder
from ops.supervisor.plan import given
from ops.supervisor.takeover import is_held, read_state
from shared.contracts.access import ACCESS
from shared.runtime.addresses import problem_of

_PROVIDERS: Final = tuple(name for access in ACCESS.values() for name in (access.url, *access.more))
_EXAMPLES: Final = {
    "REDIS_URL": "redis://127.0.0.1:6379/0",
    "LIMITER_REDIS_URL": "redis://127.0.0.1:6380/0",
    "DATABASE_URL": "postgresql://user:password@127.0.0.1:5432/topup",
    **dict.fromkeys(_PROVIDERS, "https://provider.example"),
}
_SCHEMES: Final = {
    "REDIS_URL": ("redis", "rediss", "redis+cluster", "rediss+cluster"),
    "LIMITER_REDIS_URL": ("redis", "rediss"),
    "DATABASE_URL": ("postgresql", "postgres"),
    **dict.fromkeys(_PROVIDERS, ("https", "http")),
}


def check_addresses(environ: Mapping[str, str]) -> None:
    """Refuse an address that cannot be one, without repeating the secrets in it."""
    for name, schemes in _SCHEMES.items():
        address = setting(name, environ)
        if address is not None and address.partition("://")[0] not in schemes:
            raise CommandFailed(
                f"{name} does not begin with {schemes[0]}://; for example {name}={_EXAMPLES[name]}",
                status=2,
            )
        wrong = problem_of(address or "")
        if wrong is not None:
            raise CommandFailed(f"{name} {wrong}; for example {name}={_EXAMPLES[name]}", status=2)


def environment_here(environ: Mapping[str, str], *, needed: Sequence[str]) -> dict[str, str]:
    """Return the environment with the addresses of what runs here; raises when one is missing."""
    folder = data_folder(environ)
    state = read_state(folder) if is_held(folder) else None
    known = {**(state.environment if state else {}), **environ}
    for name in needed:
        if not given(name, known):
            raise CommandFailed(
                f"{name} is not set and nothing runs here: start it with `make run`, "
                f"or set it, for example {name}={_EXAMPLES[name]}"
            )
    return known


def setting(name: str, environ: Mapping[str, str]) -> str | None:
    """Return the variable, or what the file of NAME_FILE holds."""
    value, file = environ.get(name), environ.get(f"{name}_FILE")
    if value or not file:
        return value or None
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except OSError as error:
        problem = error.strerror or type(error).__name__
    except UnicodeDecodeError:
        problem = "not UTF-8 text"
    raise CommandFailed(f"{name}_FILE={file} cannot be read: {problem}", status=2)
