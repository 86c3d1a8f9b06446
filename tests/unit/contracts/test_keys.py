"""The form of an API key: what a scanner may rely on, and what stays unknown."""

import math
import re
from hashlib import sha256

from hypothesis import assume, given
from hypothesis import strategies as st

from shared.contracts.keys import (
    PATTERN,
    draw_key,
    hash_of,
    id_of,
    is_well_formed,
    sealed,
    shown_of,
)

LETTERS_AND_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
drawn = st.builds(
    lambda body: sealed(f"topup_{body}"),
    st.text(LETTERS_AND_DIGITS, min_size=33, max_size=33),
)


def test_a_drawn_key_is_found_by_the_published_pattern() -> None:
    """In the middle of a file, at its word boundaries, and whole."""
    key = draw_key()
    assert re.findall(rf"\b{PATTERN}\b", f'API_KEY="{key}"\n') == [key]
    assert is_well_formed(key)


def test_no_two_draws_are_alike() -> None:
    """Neither in what is shown nor in what is not."""
    keys = {draw_key() for _ in range(1_000)}
    assert len(keys) == len({shown_of(key) for key in keys}) == 1_000


def test_what_is_never_shown_has_160_bits() -> None:
    """Whoever reads all that we keep and print still has to guess them."""
    key = draw_key()
    random = key.removeprefix("topup_")[:-6]
    unknown = len(random) - len(shown_of(key).removeprefix("topup_"))
    assert unknown * math.log2(len(LETTERS_AND_DIGITS)) >= 160


def test_the_checksum_is_the_documented_one() -> None:
    """CRC-32 of all before it, in base 62 with digits first, padded to six."""
    body = "topup_" + "A" * 33
    crc = 0xFFFFFFFF
    for byte in body.encode():
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xEDB88320 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    checksum = sealed(body).removeprefix(body)
    value = 0
    for digit in checksum:
        value = value * 62 + LETTERS_AND_DIGITS.index(digit)
    assert (value, len(checksum)) == (crc, 6)


@given(drawn, st.data())
def test_one_wrong_character_is_noticed(key: str, data: st.DataObject) -> None:
    """A mistyped key is told from an unknown one without asking anybody."""
    assert is_well_formed(key)
    place = data.draw(st.integers(0, len(key) - 1))
    other = data.draw(st.characters())
    assume(other != key[place])
    assert not is_well_formed(key[:place] + other + key[place + 1 :])


@given(drawn, st.integers(0, 43))
def test_two_neighbours_in_the_wrong_order_are_noticed(key: str, place: int) -> None:
    """The other mistake that fingers make."""
    first, second = key[place], key[place + 1]
    assume(first != second)
    assert not is_well_formed(key[:place] + second + first + key[place + 2 :])


@given(st.text())
def test_no_other_text_is_a_key(text: str) -> None:
    """Whatever it is, it is looked at without an error."""
    assert not is_well_formed(text)


def test_an_id_is_no_part_of_the_key() -> None:
    """It is made from the hash, so that who has a key can name it with common tools."""
    key = draw_key()
    assert id_of(hash_of(key)) == sha256(key.encode()).hexdigest()[:12]
