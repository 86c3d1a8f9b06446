"""What several replicas say on one output comes out in whole lines."""

import asyncio
import os

from ops.supervisor.outlet import Voice


async def test_lines_of_two_never_mix() -> None:
    """Not even where one of them stops in the middle of a line."""
    heard: list[bytes] = []
    one, other = Voice(heard.append), Voice(heard.append)
    os.write(one.target, b'{"event": "begin')
    await asyncio.sleep(0)
    os.write(other.target, b'{"event": "other"}\n')
    assert other.last_lines(5, since=0) == ['{"event": "other"}']
    os.write(one.target, b's"}\n{"event": "goes on"}\n{"event": "no end')
    assert one.last_lines(1, since=0) == ['{"event": "goes on"}']
    one.close()
    other.close()
    lines = b"".join(heard).splitlines()
    assert lines == [
        b'{"event": "other"}',
        b'{"event": "begins"}',
        b'{"event": "goes on"}',
        b'{"event": "no end',
    ]


async def test_the_words_of_the_life_before_are_not_those_of_this_one() -> None:
    """Why it does not start now is not why it died then."""
    voice = Voice(lambda _lines: None)
    voice.begin()
    os.write(voice.target, b"on fire\n")
    assert voice.last_lines(5, since=0) == ["on fire"]
    voice.begin()
    assert voice.last_lines(5, since=0) == []
    voice.close()


async def test_a_line_without_an_end_takes_no_endless_room() -> None:
    """It is passed on in pieces."""
    heard: list[bytes] = []
    voice = Voice(heard.append)
    for _ in range(40):
        os.write(voice.target, b"x" * 32_768)
        voice.last_lines(1, since=0)
    assert len(heard) == 1
    voice.close()
    assert b"".join(heard).replace(b"\n", b"") == b"x" * 40 * 32_768
