"""How many connections a process may hold: as many as it wants, if the kernel lets it."""

import resource
from typing import Final

import structlog

SPARE: Final = 512
"""Descriptors for everything else: servers, peers, files, who looks at the instance listener."""

log = structlog.get_logger()


def room_for(connections: int) -> int:
    """Raise the limit on open files as far as it is needed and allowed; return how many fit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + SPARE
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    fit = connections if soft == resource.RLIM_INFINITY else min(connections, soft - SPARE)
    if fit < connections:
        log.warning("connections_bounded", wanted=connections, fit=fit, open_files_max=soft)
    return fit
