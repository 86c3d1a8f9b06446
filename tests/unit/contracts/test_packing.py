"""Evidence in memory: smaller, and the same again, whatever the provider wrote."""

import contextlib
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contracts.events import Evidence, encode
from shared.contracts.packing import TEXT_BYTES_MAX, pack, unpack

USUAL = encode(
    Evidence(
        provider_reference="d94a3d991c21c190",
        raw={
            "status": "Success",
            "transId": "d94a3d991c21c190",
            "venTransid": "Vd94a3d991c21c190",
            "vendorResponseCode": "0",
            "vendorResponseMsg": "Transaction successful",
            "distTransid": "01a20d92-b3d9-7c5d-8611-14512f9861fd",
        },
        by="dispatcher-1#a03f2df3d1f84c89",
        attempt=1,
    )
)
OLD = (
    "01b590310e80300c03ffc21ea94e5ba89f5312e5ff4fa008268ac4c496c1917d77395b9ca5672761"
    "0a03d3adf163fdfcf5a0790ffc41a7c9a9b28f32d9acbab41510940a0d8e3b7ca2ef29877a6447b4"
    "628da78d03"
)


def test_the_usual_answer_takes_a_third() -> None:
    """The dictionary knows what providers say."""
    assert len(pack(USUAL)) * 3 < len(USUAL)


def test_what_was_packed_once_can_be_read_for_ever() -> None:
    """These bytes lie in somebody's memory: another dictionary needs another mark."""
    assert unpack(bytes.fromhex(OLD)) == USUAL


@given(st.text().map(str.encode) | st.binary().map(lambda raw: b"[" + raw))
def test_all_evidence_comes_back(text: bytes) -> None:
    """Packed or not, it is what it was, and never longer."""
    assert unpack(pack(text)) == text
    assert text.startswith(b"\x01") or len(pack(text)) <= len(text)


@given(st.binary())
def test_other_bytes_are_refused_by_name(raw: bytes) -> None:
    """Whatever anyone wrote there: a text, or a ValueError and nothing else."""
    with contextlib.suppress(ValueError):
        assert isinstance(unpack(b"\x01" + raw), bytes)


def test_a_bomb_is_not_blown_up() -> None:
    """A few bytes that would be a gigabyte are refused."""
    machine = zlib.compressobj(wbits=-11)
    bomb = machine.compress(b" " * (TEXT_BYTES_MAX + 1)) + machine.flush()
    with pytest.raises(ValueError, match="not whole"):
        unpack(b"\x01" + bomb)
