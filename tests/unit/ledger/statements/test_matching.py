"""Every line and every topup ends in one class, whatever the order in which they come."""

import random
from collections import Counter
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from services.ledger.statements.classes import Class, findings, to_resolve, totals
from services.ledger.statements.matching import match, strangers
from services.ledger.statements.pairs import NOBODY, How, Matches, Window
from services.ledger.statements.tables import (
    NO_ID,
    NO_PHONE,
    NO_TIME,
    Line,
    Names,
    Ours,
    Sold,
    Theirs,
)
from shared.contracts.states import State

MINUTE = 60_000
WINDOW = Window(30 * MINUTE, 2 * MINUTE)
NOON = 1_795_456_800_000


def uuid(number: int) -> bytes:
    """Return the id of a topup."""
    return number.to_bytes(16, "big")


def line(row: int = 2, topup: int | None = None, **given: Any) -> Line:
    """Return a paid line, of this topup where one is named."""
    known: dict[str, Any] = {
        "amount_minor": 1_000, "currency": "MXN", "phone": 525512345678, "at_ms": NOON,
    }  # fmt: skip
    named = NO_ID if topup is None else uuid(topup)
    return Line(row=row, topup_id=named, reference=named.hex() if topup else "", **known | given)


def sold(topup: int = 1, state: State = State.SUCCEEDED, **given: Any) -> Sold:
    """Return a topup of the books."""
    known: dict[str, Any] = {
        "owed_minor": 1_000, "currency": "MXN", "phone": 525512345678, "accepted_at_ms": NOON,
    }  # fmt: skip
    return Sold(topup_id=uuid(topup), state=state, **known | given)


class Compared:
    """Both sides and what they are to each other."""

    def __init__(self, lines: list[Line], topups: list[Sold]) -> None:
        currencies = Names()
        self.theirs, self.ours = Theirs(currencies), Ours(currencies)
        for each in lines:
            self.theirs.append(each)
        for one in topups:
            self.ours.append(one)
        self.matches: Matches = match(self.theirs, self.ours, WINDOW)
        self.totals = totals(self.theirs, self.ours, self.matches)
        self.found = list(findings(self.theirs, self.ours, self.matches))

    def kinds(self) -> list[Class]:
        return [each.kind for each in self.found]

    def resolves(self, before_ms: int = NOON + 10**9) -> list[tuple[bytes, State]]:
        found = to_resolve(self.theirs, self.ours, self.matches, before_ms=before_ms)
        return [(self.ours.ids[each.topup], to) for each, to in found]


numbers = st.integers(1, 6)
amounts = st.sampled_from([1_000, 1_000, 2_000])
currencies = st.sampled_from(["MXN", "MXN", "USD"])
phones = st.sampled_from([NO_PHONE, 525512345678, 525587654321])
moments = st.integers(-5, 8).map(lambda tens: NOON + tens * 10 * MINUTE)
lines = st.lists(
    st.builds(
        Line,
        row=st.just(0),
        topup_id=st.one_of(st.just(NO_ID), numbers.map(uuid)),
        reference=st.sampled_from(["", "theirs"]),
        transaction=st.one_of(st.just(""), numbers.map("t{}".format)),
        phone=phones,
        amount_minor=amounts,
        currency=currencies,
        at_ms=st.one_of(moments, st.just(NO_TIME)),
        counts=st.sampled_from([True, True, True, False]),
    ),
    max_size=9,
).map(lambda drawn: [replace(each, row=row) for row, each in enumerate(drawn, 2)])
topups = st.lists(
    st.builds(
        Sold,
        topup_id=numbers.map(uuid),
        transaction=st.one_of(st.just(""), numbers.map("t{}".format)),
        phone=phones.filter(bool),
        owed_minor=amounts,
        currency=currencies,
        state=st.sampled_from([State.SUCCEEDED, State.FAILED, State.UNRESOLVED, State.QUEUED]),
        accepted_at_ms=moments,
        counts=st.sampled_from([True, True, True, False]),
    ),
    max_size=6,
    unique_by=lambda each: each.topup_id,
)


@given(lines, topups)
def test_each_is_in_one_class_and_all_adds_up(lines: list[Line], topups: list[Sold]) -> None:
    """Every line of the day is told once, every topup at most once; sums are those of the sides."""
    compared = Compared(lines, topups)
    told = [each.line for each in compared.found if each.line != NOBODY]
    assert sorted(told) == [place for place, each in enumerate(lines) if each.counts]
    paying = [
        each.topup
        for each in compared.found
        if each.topup != NOBODY and each.kind is not Class.PAID_TWICE
    ]
    assert max(Counter(paying).values(), default=1) == 1
    assert compared.totals.adds_up()
    for currency in ("MXN", "USD"):
        theirs = sum(x.amount_minor for x in lines if x.counts and x.currency == currency)
        told_minor = sum(
            each.theirs[currency].amount_minor
            for each in compared.totals.classes.values()
            if currency in each.theirs
        )
        assert told_minor == theirs


@given(lines, topups)
def test_every_expected_topup_is_told(lines: list[Line], topups: list[Sold]) -> None:
    """What was paid or may have been is in a class, unless a line of another day is its."""
    compared = Compared(lines, topups)
    told = {each.topup for each in compared.found}
    for place, topup in enumerate(topups):
        elsewhere = compared.matches.line[place]
        if topup.counts and topup.state in (State.SUCCEEDED, State.UNRESOLVED):
            assert place in told or not lines[elsewhere].counts


@given(lines, topups, st.randoms(use_true_random=False))
def test_the_order_does_not_matter(
    lines: list[Line], topups: list[Sold], chance: random.Random
) -> None:
    """Shuffled files and shuffled books give the same report."""

    def told(lines: list[Line], topups: list[Sold]) -> Counter[Any]:
        compared = Compared(lines, topups)
        return Counter(
            (
                each.kind,
                each.how,
                each.line != NOBODY and replace(lines[each.line], row=0),
                each.topup != NOBODY and topups[each.topup],
            )
            for each in compared.found
        )

    before = told(lines, topups)
    assert told(chance.sample(lines, len(lines)), chance.sample(topups, len(topups))) == before


@given(st.lists(moments, max_size=4), st.lists(moments, max_size=4))
def test_as_many_are_paired_as_can_be(paid: list[int], accepted: list[int]) -> None:
    """No other one-to-one choice by phone, amount and time would pair more."""
    lines = [line(row, at_ms=at_ms) for row, at_ms in enumerate(paid, 2)]
    topups = [sold(number, accepted_at_ms=at_ms) for number, at_ms in enumerate(accepted, 1)]
    compared = Compared(lines, topups)

    def most(lines: list[int], topups: list[int]) -> int:
        if not lines:
            return 0
        rest = most(lines[1:], topups)
        for place, at_ms in enumerate(topups):
            if WINDOW.holds(at_ms, lines[0]):
                rest = max(rest, 1 + most(lines[1:], topups[:place] + topups[place + 1 :]))
        return rest

    paired = compared.kinds().count(Class.MATCHED)
    assert paired == most(paid, accepted)


@pytest.mark.parametrize(
    ("lines", "topups", "kinds"),
    [
        ([line(topup=1)], [sold(1)], [Class.MATCHED]),
        ([], [sold(1)], [Class.OURS_MISSING_THERE]),
        ([], [sold(1, State.FAILED)], []),
        ([line(topup=7)], [], [Class.THEIRS_MISSING_HERE]),
        ([line(topup=1, amount_minor=999)], [sold(1)], [Class.AMOUNT_DIFFERS]),
        ([line(topup=1, currency="USD")], [sold(1)], [Class.AMOUNT_DIFFERS]),
        ([line(topup=1), line(3, topup=1)], [sold(1)], [Class.MATCHED, Class.PAID_TWICE]),
        ([line(topup=1)], [sold(1, State.FAILED)], [Class.PAID_THOUGH_FAILED]),
        ([line(transaction="t")], [sold(1, transaction="t")], [Class.MATCHED]),
        ([line()], [sold(1)], [Class.MATCHED]),
        ([line(at_ms=NOON + 31 * MINUTE)], [sold(1)],
         [Class.THEIRS_MISSING_HERE, Class.OURS_MISSING_THERE]),
        ([line(), line(3)], [sold(1)], [Class.PAID_TWICE, Class.MATCHED]),
        ([line(amount_minor=999)], [sold(1)], [Class.AMOUNT_DIFFERS]),
    ],
)  # fmt: skip
def test_classes(lines: list[Line], topups: list[Sold], kinds: list[Class]) -> None:
    """What a line and a topup are to each other is what anyone would say."""
    assert sorted(Compared(lines, topups).kinds()) == sorted(kinds)


def test_a_line_is_the_sale_and_not_the_attempt_that_failed() -> None:
    """Of two like topups, the one that succeeded has the line."""
    failed, paid = sold(1, State.FAILED), sold(2, accepted_at_ms=NOON + MINUTE)
    compared = Compared([line(at_ms=NOON + 2 * MINUTE)], [failed, paid])
    assert compared.kinds() == [Class.MATCHED]
    assert compared.found[0].topup == 1
    assert compared.found[0].how is How.ONE_OF_SEVERAL


def test_a_line_that_names_another_topup_is_never_taken_for_ours() -> None:
    """An id that nobody here has is a sale that is missing here, however alike it is."""
    compared = Compared([line(topup=9)], [sold(1)])
    assert compared.kinds() == [Class.THEIRS_MISSING_HERE, Class.OURS_MISSING_THERE]


def test_an_id_of_theirs_that_two_topups_have_says_nothing() -> None:
    """Then phone, amount and time decide, where the line has them."""
    both = [sold(1, transaction="t"), sold(2, transaction="t", phone=525587654321)]
    unknown = Compared([line(transaction="t", phone=NO_PHONE)], both)
    assert unknown.kinds().count(Class.THEIRS_MISSING_HERE) == 1
    known = Compared([line(transaction="t", phone=525587654321)], both)
    assert (known.found[0].topup, known.found[0].how) == (1, How.ALONE)


def test_what_is_paid_twice_is_owed_once() -> None:
    """The second line stands on their side alone; what failed is owed not at all."""
    twice = Compared([line(topup=1), line(3, topup=1)], [sold(1)]).totals
    assert (twice.theirs["MXN"].amount_minor, twice.ours["MXN"].amount_minor) == (2_000, 1_000)
    failed = Compared([line(topup=1)], [sold(1, State.FAILED)]).totals
    assert (failed.theirs["MXN"].amount_minor, failed.ours["MXN"].amount_minor) == (1_000, 0)


def test_how_sure_a_pair_is() -> None:
    """An id is sure; phone, amount and time are less, and less still where others fit too."""
    by_time = Compared([line()], [sold(1)]).found[0].how
    untimed = Compared([line(at_ms=NO_TIME)], [sold(1)]).found[0].how
    several = Compared([line()], [sold(1), sold(2)]).found[0].how
    found = [How.REFERENCE, How.TRANSACTION, by_time, untimed, several]
    assert found == sorted(found, reverse=True)
    assert len(set(found)) == 5
    assert all(first > second for first, second in combinations(found, 2))


def test_what_was_sold_before_midnight_and_paid_after_it_is_no_difference() -> None:
    """It is with the line's day, and told as accepted before; the day before leaves it out."""
    paid = Compared([line(topup=1)], [sold(1, counts=False)])
    assert paid.kinds() == [Class.MATCHED]
    assert paid.totals.before["MXN"].count == 1
    before = Compared([line(topup=1, counts=False)], [sold(1)])
    assert before.kinds() == []
    assert before.totals.other_day["MXN"].count == 1


def test_an_unresolved_topup_with_a_line_was_paid() -> None:
    """It is proposed as succeeded, if the line surely is its."""
    assert Compared([line(topup=1)], [sold(1, State.UNRESOLVED)]).resolves() == [
        (uuid(1), State.SUCCEEDED)
    ]
    unsure = [sold(1, State.UNRESOLVED), sold(2, State.UNRESOLVED)]
    assert Compared([line()], unsure).resolves() == []
    either = [sold(1, State.UNRESOLVED), sold(2)]
    assert Compared([line()], either).resolves() == []


def test_no_line_shows_nothing_in_a_statement_with_holes() -> None:
    """Failed is proposed only where the statement has every topup that surely was paid."""
    doubt, paid = sold(1, State.UNRESOLVED), sold(2, phone=525587654321)
    whole = [line(topup=2, phone=525587654321)]
    assert Compared(whole, [doubt, paid]).resolves() == [(uuid(1), State.FAILED)]
    assert Compared([], [doubt, paid]).resolves() == []
    of_that_phone = line(3, topup=9)
    assert Compared([*whole, of_that_phone], [doubt, paid]).resolves() == []
    assert Compared(whole, [doubt, paid]).resolves(before_ms=NOON) == []


def test_strangers_are_ids_that_no_topup_near_the_day_has() -> None:
    """They are looked for on other days before they count as missing here."""
    compared = Compared([line(topup=1), line(3, topup=5), line(4)], [sold(1)])
    assert strangers(compared.theirs, compared.ours) == [uuid(5)]
