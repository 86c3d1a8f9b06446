"""Each user has what the functions that it calls do, or they would stop half-way."""

import re

import pytest

from services.ratelimiter.store import script
from shared.bus import functions
from shared.bus.rights import RIGHTS, configured

CALLED = {
    "gateway": {
        "prepare", "accept", "look", "verified", "resolve", "hold", "release", "discard",
        "redrive", "propose",
    },
    "dispatcher": {
        "prepare", "begin", "finish", "hand_on", "park", "wake", "expire", "bury", "claim", "ask",
        "restore", "resolve", "verified", "look",
    },
    "ledger": {
        "prepare", "look", "verified", "found", "vouch", "hold", "release", "trim", "clear",
        "claim",
    },
}  # fmt: skip
"""Which service calls what; `renew` is for people, with all rights."""
NEVER_REACHED = {"gateway": {"xack"}}
"""What it brings in has no entry yet, and what it settles has none any more."""

DEFINED = re.compile(r"^local function (\w+)\(", re.MULTILINE)
CALL = re.compile(r"redis\.p?call\('(\w+)'(?:, '(\w+)')?")
WITH_SUBCOMMAND = {"XINFO", "XGROUP"}


def bodies() -> dict[str, str]:
    """Return the library's functions by name."""
    text = functions.source().decode()
    starts = [*DEFINED.finditer(text)]
    ends = [one.start() for one in starts[1:]] + [text.index("local function register")]
    found = zip(starts, ends, strict=True)
    return {one[1]: text[one.end() : end] for one, end in found}


def commands_of(name: str, all_bodies: dict[str, str], seen: set[str] | None = None) -> set[str]:
    """Return the commands of a function and of all that it calls, as ACLs name them."""
    seen = set() if seen is None else seen
    seen.add(name)
    body = all_bodies[name]
    found = {
        f"{command}|{sub}".lower() if command in WITH_SUBCOMMAND else command.lower()
        for command, sub in CALL.findall(body)
    }
    for other in all_bodies:
        if other not in seen and re.search(rf"\b{other}\(", body):
            found |= commands_of(other, all_bodies, seen)
    return found


def may(service: str) -> set[str]:
    """Return the commands that a service has on some keys."""
    return {word for one in RIGHTS[service] for word in re.findall(r"\+([\w|]+)", one)}


def has(service: str, command: str) -> bool:
    return command in may(service) or command.partition("|")[0] in may(service)


@pytest.mark.parametrize("service", CALLED)
def test_no_function_stops_half_way(service: str) -> None:
    """Whatever a service's functions do, its user may do."""
    found = bodies()
    assert "xadd" in commands_of("accept", found), "what is called indirectly is seen"
    for name in CALLED[service]:
        needed = commands_of(name, found) - NEVER_REACHED.get(service, set())
        assert not {one for one in needed if not has(service, one)}, f"{name} of the {service}"


def test_the_limits_script_never_stops_half_way() -> None:
    """It is sent by its text, with the same rights."""
    assert {command.lower() for command, _ in CALL.findall(script())} <= may("ratelimiter")


@pytest.mark.parametrize(
    "command",
    ["xack", "xtrim", "xdel", "xreadgroup", "xclaim", "xautoclaim", "xgroup|destroy", "del",
     "eval", "function|load", "acl|setuser", "config|get", "flushall", "keys", "scan", "rename"],
)  # fmt: skip
def test_a_gateway_has_no_right_to_it(command: str) -> None:
    """It brings topups in; it takes nothing away."""
    assert not has("gateway", command)


def test_nobody_may_do_all() -> None:
    """No category, no pattern for everything, no code of one's own but the limits' script."""
    for service, selectors in RIGHTS.items():
        words = " ".join(selectors).replace("(", " ").replace(")", " ").split()
        assert not {"+@all", "allkeys", "~*", "allcommands", "nopass", "&*"} & set(words)
        assert not [word for word in words if word.startswith("+@")]
        assert ("+eval" in words) == (service == "ratelimiter")
        assert not {"+function|load", "+script|load", "+config|set", "+acl|setuser"} & set(words)


def test_the_configuration_holds_no_password() -> None:
    """Only its digest."""
    text = configured({"gateway": "a-password", "ledger": "another-one"})
    assert "password" not in text
    assert "another" not in text
    assert [line.split()[:3] for line in text.splitlines()] == [
        ["user", "topup-gateway", "on"],
        ["user", "topup-ledger", "on"],
    ]
