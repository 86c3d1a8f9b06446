"""What each service may do at Valkey: a user of its own, with the commands and the keys it needs.

A function runs with the rights of who calls it, and stops half-way at a command that its caller
may not use. So a user has every command of the functions it calls (a test reads them out of the
library), and may call any function: what keeps the services apart are the commands inside. What
could empty or overwrite a stream (SET, PEXPIRE) is allowed only on keys that it is meant for.
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import Final

_CALLS: Final = "(~topup:{*}:* +fcall)"
_TRIALS: Final = "(~topup:{*}:trials +setrange +incr)"
_ENDS: Final = "(~topup:{*}:key:* ~topup:{*}:record:* +pexpire +persist)"
_KEYS: Final = "(~topup:{*}:key:* +set)"
_LANE: Final = (
    "(~topup:{*}:requests:* +xreadgroup +xack +xclaim +xautoclaim +xpending +xinfo|consumers "
    "+xgroup|delconsumer)"
)
_LIMITS: Final = (
    "~topup:{limits}:* +ping +select +time +client|setinfo +client|setname +eval +evalsha "
    "+zadd +zcard +zremrangebyscore +pexpire +lindex +llen +lpop +rpop +rpush"
)


def _rights(commands: str, both: str, *, reads: str = "", writes: str = "") -> str:
    """Return a selector: commands, and the keys of each partition that they may be used on."""
    keys = [f"~topup:{{*}}:{name}" for name in both.split()]
    keys += [f"%R~topup:{{*}}:{name}" for name in reads.split()]
    keys += [f"%W~topup:{{*}}:{name}" for name in writes.split()]
    return " ".join([*keys, *(f"+{command}" for command in commands.split())])


_ALL: Final = "ping select time waitaof function|list cluster|slots client|setinfo client|setname"
RIGHTS: Final[Mapping[str, tuple[str, ...]]] = {
    "gateway": (
        _rights(
            f"{_ALL} exists get hget hgetall hmget zscore xread xrange xrevrange xpending "
            "xinfo|groups hset hsetnx hdel hincrby zadd zrem xadd xgroup|create",
            "record:* key:* counters meta requests:* outcomes acts lanes waiting alive instances "
            "dead:done",
            reads="dead",
        ),
        "(%R~topup:keys +xread)",
        _KEYS, _ENDS, _CALLS, _TRIALS,
    ),
    "dispatcher": (
        _rights(
            f"{_ALL} exists get hget hgetall hmget zscore zcard zrangebyscore xrange xinfo|groups "
            "hset hdel hincrby zadd zrem xadd xgroup|create",
            "record:* key:* counters requests:* waiting alive lanes instances limbo:*",
            reads="meta",
            writes="outcomes acts dead",
        ),
        _LANE,
        "(~topup:{*}:meta +hsetnx)",
        "(~topup:{*}:alive +zremrangebyscore)",
        _KEYS, _ENDS, _CALLS, _TRIALS,
    ),
    "ledger": (
        _rights(
            f"{_ALL} info multi exec exists hget hgetall hmget hkeys zscore zrange xrange "
            "xrevrange xpending xinfo hset hsetnx hdel zadd zrem zremrangebyscore xreadgroup xack "
            "xclaim xautoclaim xtrim xgroup|create xgroup|delconsumer",
            "requests:* outcomes acts lanes alive instances meta limbo:* dead:done",
            reads="record:* counters waiting dead",
        ),
        "(%R~topup:keys +xrevrange)",
        "(%W~topup:{*}:acts %W~topup:{*}:dead +xadd)",
        "(~topup:{*}:dead +xdel)",
        _CALLS, _TRIALS,
    ),
    "ratelimiter": (
        _LIMITS, _TRIALS,
    ),
}  # fmt: skip
"""By service; the first is what the user has, each other one a selector beside it."""


def user_of(service: str) -> str:
    """Name the service's user."""
    return f"topup-{service}"


def configured(passwords: Mapping[str, str]) -> str:
    """Return the lines of a server's configuration that make users, by service and password."""
    return "".join(
        f"user {user_of(service)} {' '.join(rules(service, password))}\n"
        for service, password in passwords.items()
    )


LATER: Final = ("+waitaof", "+client|setinfo")
"""What Redis 7.0 does not know yet, and nobody uses there."""


def rules(service: str, password: str) -> list[str]:
    """Return what ACL SETUSER takes; the server is told the password's digest only."""
    own, *selectors = RIGHTS[service]
    return ["on", f"#{sha256(password.encode()).hexdigest()}", *own.split(), *selectors]
