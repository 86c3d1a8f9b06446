"""What is believed of a provider's answer, and what of it may be kept."""

import json
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from services.dispatcher.providers.masking import mask
from services.dispatcher.providers.reading import read

_anything = msgspec.json.Decoder(Any)
_names = st.text('ab:"\\', max_size=2)
_leaves = (
    st.none()
    | st.integers(-9, 9)
    | _names
    | st.floats(allow_nan=False, allow_infinity=False, width=16)
)
_pairs: st.SearchStrategy[Any] = st.recursive(
    _leaves,
    lambda inner: (
        st.lists(inner, max_size=2) | st.lists(st.tuples(_names, inner), max_size=3).map(tuple)
    ),
    max_leaves=6,
)
"""JSON whose objects are tuples of pairs: as such they may hold a name twice."""


def _written(said: Any, space: str) -> str:
    if isinstance(said, tuple):
        pairs = (f"{json.dumps(name)}{space}:{space}{_written(one, space)}" for name, one in said)
        return "{" + ",".join(pairs) + "}"
    if isinstance(said, list):
        return "[" + ",".join(_written(one, space) for one in said) + "]"
    return json.dumps(said)


def _says_twice(said: Any) -> bool:
    if isinstance(said, tuple):
        names = [name for name, _ in said]
        return len(set(names)) < len(names) or any(_says_twice(one) for _, one in said)
    return isinstance(said, list) and any(_says_twice(one) for one in said)


@given(_pairs, st.sampled_from(["", " ", "\n\t"]))
def test_an_answer_that_says_a_thing_twice_says_nothing(said: Any, space: str) -> None:
    """At whatever depth, however it is written; and every other one is read."""
    found = read(_anything, _written([said], space).encode())
    assert (found is None) is _says_twice(said)
    found = read(_anything, _written((("a", said),), space).encode())
    assert (found is None) is _says_twice(said)


@given(
    st.lists(st.sampled_from(["", " ", "-", ".", "(", ") ", "--"]), min_size=9, max_size=9),
    st.text('0123456789 x"+-éx', max_size=6),
    st.text('0123456789 x"+-éx', max_size=6),
)
def test_a_phone_is_hidden_however_it_is_spaced(gaps: list[str], before: str, after: str) -> None:
    national = "5563748291"
    spaced = "".join(a + b for a, b in zip(national, [*gaps, ""], strict=True))
    shown = mask(f"{before}x{spaced}x{after}", phone=f"+52{national}", secrets=())
    assert spaced not in shown
    assert "********91" in shown


@given(st.sampled_from(["Bearer abc.def", "bEARER  a-b", "eyJhbG.eyJz.c2ln"]), st.text(max_size=9))
def test_a_token_is_hidden_wherever_it_stands(token: str, text: str) -> None:
    shown = mask(f"{text} {token} {text}", phone="+525563748291", secrets=())
    assert token not in shown
    assert "***" in shown
