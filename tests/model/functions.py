"""The functions of docs/protocol-functions.md, section 5, for one topup: what a server would do.

Times are whole numbers of one clock, `now`. A rule that is switched off is missing from `off`'s
complement: `self.keeps("...")` tells whether the rule of that name (see `rules`) is kept.
"""

from collections.abc import Collection
from typing import Final

import msgspec

FINAL: Final = ("succeeded", "failed")
CLOSED: Final = (*FINAL, "unresolved")
MANY: Final = "many"
DEFINITE_NO: Final = ("no", "not_sent", "hold")
NEVER: Final = -1_000_000
"""No send yet: a `first_send_at` that is long past."""


class Terms(msgspec.Struct, frozen=True):
    """What a provider is, and the lengths that follow from it."""

    kind: str
    lease: int
    quarantine: int
    dedupe_window: int
    covers: bool = False
    recheck: int = 0
    """How much later one looks again at what is due behind a held lane."""
    edge: int = 0
    """0 where time is exact. 1 in whole ticks: a deadline that is reached may also be just past."""


class Record(msgspec.Struct):
    """Section 4. Entries, owners and nonces are names; '' is none."""

    state: str = "queued"
    entry: str = ""
    owner: str = ""
    nonce: str = ""
    mode: str = ""
    lease_until: int = 0
    attempt: int = 0
    first_send_at: int = NEVER
    doubt: str = ""
    quarantine_until: int = 0
    deliver_before: int = 0
    seq: int = 0
    lane: str = "1"
    route: str = ""
    """The lane that may have it after this one."""
    tried: bool = False
    """An attempt was begun on this lane."""
    since: int = 0
    """The attempts that were begun on others."""


class Reply(msgspec.Struct, frozen=True):
    """A reply's first word, and the number that comes with it."""

    word: str
    number: int = 0


class Server:
    """Valkey, as far as one topup is concerned."""

    def __init__(self, terms: Terms, off: Collection[str] = ()) -> None:
        self.terms = terms
        self.off = off
        self.now = 0
        self.record: Record | None = None
        self.entries: dict[str, str] = {}
        """Lane entry -> the consumer it is pending for; '' is not delivered yet."""
        self.due: int | None = None
        """The place in `waiting`."""
        self.told: tuple[str, ...] = ()
        """The outcomes published."""
        self.held = False
        """The first lane, by an operator."""
        self.silent: Collection[str] = ()
        """The owners whose last beat is old."""

    def keeps(self, rule: str) -> bool:
        """Tell whether the rule holds."""
        return rule not in self.off

    # -- accept ----------------------------------------------------------------------------------

    def accept(self, entry: str, deliver_before: int, *, route: str = "") -> Reply:
        """Record and lane entry, once for an id."""
        if self.record is not None and self.keeps("accept_once"):
            return Reply("replayed")
        self.entries[entry] = ""
        self.record = Record(entry=entry, deliver_before=deliver_before, route=route)
        return Reply("accepted")

    # -- begin -----------------------------------------------------------------------------------

    def begin(  # noqa: C901 - as it stands in section 5, line by line
        self, owner: str, entry: str, nonce: str, onward: str = ""
    ) -> Reply:
        """Write an attempt down, or say why there is none; `onward` is another lane's entry."""
        r = self.record
        if r is None and not self.keeps("lost_never_sends"):
            r = self.record = Record(entry=entry, deliver_before=self.now)
        turned_away = self._turned_away(r, entry, nonce)
        if turned_away is not None:
            return turned_away
        assert r is not None, "who has no record is turned away"
        r.lease_until = min(r.lease_until, self.now + self.terms.lease)  # the clock went back
        if r.state == "active":
            if self._is_busy(r, owner):
                return Reply("busy", r.lease_until - self.now)
            if r.mode == "send" and self.keeps("takeover_is_doubt"):
                begun_lost = r.lease_until if self.keeps("quarantine_after_lease") else self.now
                self._suspect(r, begun_lost)
        if self._expire_if_due(r):
            return Reply("expired")
        mode = self._next_mode(r)
        if not mode:
            self._settle(r, "unresolved")
            return Reply("unresolved")
        if self._is_held(r):
            return Reply("moved" if self._move_on(r, onward) else "held")
        self._write_attempt(r, owner, nonce, mode)
        return Reply(mode, self.terms.lease)

    def _turned_away(self, r: Record | None, entry: str, nonce: str) -> Reply | None:
        """Return the reply to whoever may not begin here."""
        if r is None:
            self._acknowledge(entry)
            return Reply("lost")
        if r.state in CLOSED and self.keeps("closed_never_begins"):
            self._acknowledge(entry)
            return Reply("settled")
        if r.state == "active" and r.nonce == nonce and self.keeps("begin_knows_its_nonce"):
            return Reply(r.mode, max(r.lease_until - self.now, 0))
        if entry != r.entry and self.keeps("only_the_carrier_begins"):
            self._acknowledge(entry)
            return Reply("duplicate")
        return None

    def _is_busy(self, r: Record, owner: str) -> bool:
        """A live attempt of somebody else is left alone."""
        silent = r.owner != owner and r.owner in self.silent
        harmless = r.mode != "send" or self.terms.kind != "neither"
        if not self.keeps("neither_waits_for_the_lease"):
            harmless = True
        if not self.keeps("busy"):
            return False
        return r.lease_until > self.now and not (silent and harmless)

    def _expire_if_due(self, r: Record) -> bool:
        if self.now <= r.deliver_before or (r.doubt and self.keeps("doubt_never_expires")):
            return False
        self._settle(r, "failed")
        return True

    def _next_mode(self, r: Record) -> str:
        """Say what a topup in this doubt may do next; '' is nothing."""
        if not r.doubt or not self.keeps("doubt_never_sends_afresh"):
            return "send"
        passed = self.now + self.terms.edge > r.quarantine_until
        inquire = "inquire_final" if passed else "inquire"
        if "dedupes" in self.terms.kind:
            lasting = self.terms.lease if self.keeps("window_outlasts_the_lease") else 0
            if not self.keeps("send_again_within_window") or (
                self.now + lasting < r.first_send_at + self.terms.dedupe_window
            ):
                return "send"
        return inquire if "inquiry" in self.terms.kind else ""

    def _write_attempt(self, r: Record, owner: str, nonce: str, mode: str) -> None:
        r.owner, r.nonce, r.mode = owner, nonce, mode
        r.lease_until = self.now + self.terms.lease
        r.attempt += 1
        r.tried = True
        if mode == "send" and (
            r.first_send_at == NEVER or not self.keeps("window_from_first_send")
        ):
            r.first_send_at = self.now
        r.state = "active"

    # -- finish ----------------------------------------------------------------------------------

    def finish(self, nonce: str, to: str, *, lane: str = "") -> Reply:
        """End an attempt with what the provider said; `lane` is the one it was made on."""
        r = self.record
        if r is None:
            return Reply("lost")
        settled, word = self._decide(r, nonce, to)
        elsewhere = lane not in ("", r.lane)
        if r.state in FINAL and elsewhere and to == "succeeded":
            word = "contradiction"  # whoever was told to go on has paid after all
        if settled:
            own = r.nonce == nonce and r.mode == "send"
            if own and to == "unresolved" and self.keeps("unresolved_is_doubt"):
                self._suspect(r, self.now)
            self._settle(r, settled, acknowledges=not elsewhere)
            r.lane = lane or r.lane
        return Reply(word)

    def _decide(self, r: Record, nonce: str, to: str) -> tuple[str, str]:
        """Return the state to settle in, '' for none, and the reply."""
        if r.state in FINAL and self.keeps("final_stays"):
            if to == "succeeded" and r.state == "failed":
                return "", "contradiction"
            return "", "ok" if r.nonce == nonce else "settled"
        if to == "succeeded" and self.keeps("positive_from_anyone"):
            return to, "ok"
        if self._speaks_late(r, nonce, to):
            return to, "ok"
        if r.state == "unresolved" and r.nonce == nonce:
            return "", "ok"
        if (r.state != "active" or r.nonce != nonce) and self.keeps("finish_knows_its_nonce"):
            return "", "fenced"
        return self._decide_own(r, to)

    def _speaks_late(self, r: Record, nonce: str, to: str) -> bool:
        """Tell whether this is the definite no of the only send in doubt."""
        only = r.doubt == nonce or (bool(r.doubt) and not self.keeps("late_no_is_the_only_doubt"))
        alone = r.mode != "send" or r.nonce == nonce or not self.keeps("late_no_while_no_send")
        return to == "failed" and only and alone

    def _decide_own(self, r: Record, to: str) -> tuple[str, str]:
        if to == "failed" and r.mode == "send" and r.doubt and not self.terms.covers:
            if self.keeps("refusal_in_doubt_is_unresolved"):
                return "unresolved", "ok"
        elif to == "failed" and r.mode == "inquire" and self.keeps("early_negative_waits"):
            return "", "not_yet"
        return to, "ok"

    # -- park and wake ---------------------------------------------------------------------------

    def park(  # noqa: C901, PLR0912 - as it stands in section 5, line by line
        self, nonce: str, why: str, delay: int = 0
    ) -> Reply:
        """End an attempt that will be tried again, or asked about, later."""
        r = self.record
        if r is None:
            return Reply("lost")
        if (r.state != "active" or r.nonce != nonce) and self.keeps("park_knows_its_nonce"):
            return Reply("ok" if r.state == "waiting" and r.nonce == nonce else "fenced")
        if r.state in CLOSED:
            return Reply("fenced")
        due = self.now + delay
        if r.mode == "send" and why not in DEFINITE_NO:
            if self.keeps("unknown_is_doubt"):
                self._suspect(r, self.now)
        elif why == "not_found":
            if r.mode == "inquire_final" or not self.keeps("only_final_clears"):
                if self.keeps("final_not_found_clears"):
                    r.doubt, r.quarantine_until = "", 0
            else:
                due = max(due, r.quarantine_until)
        if self.keeps("park_acknowledges"):
            self._acknowledge(r.entry)
        r.entry = r.owner = r.mode = ""
        r.lease_until = 0
        self.due = due
        r.state = "waiting"
        return Reply("ok", due - self.now)

    # -- from lane to lane ------------------------------------------------------------------------

    def hand_on(
        self, nonce: str, onward: str, why: str = "refused", *, lane: str = "", tries: int = 0
    ) -> Reply:
        """End an attempt with a definite no, for another lane to have the topup."""
        r = self.record
        if r is None:
            return Reply("kept")
        if lane not in ("", r.lane) and r.nonce == nonce and r.state not in FINAL:
            return Reply("moved")
        own = r.state == "active" and r.nonce == nonce and r.mode == "send"
        enough = why in ("refused", "hold") or r.attempt - r.since >= tries
        goes = own and enough and self._move_on(r, onward, anyway=why == "refused")
        return Reply("moved" if goes else "kept")

    def _is_held(self, r: Record) -> bool:
        return self.held and r.lane == "1"

    def _move_on(self, r: Record, entry: str, *, anyway: bool = False) -> bool:
        """Give it to the next lane, carrier and all; `anyway`: also to a held one."""
        if not r.route or (r.doubt and self.keeps("doubt_never_moves")):
            return False
        if self.held and r.route == "1" and not anyway:
            return False
        if self.entries.get(r.entry) == "":  # not delivered yet: it stays, and is turned away
            self.entries[f"s{r.entry}"] = self.entries.pop(r.entry)
        elif self.keeps("moved_is_acknowledged"):
            self._acknowledge(r.entry)
        former, self.due = r.lane, None
        if self.keeps("moved_is_carried"):
            self.entries[entry] = ""
            r.entry = entry
        r.owner = r.mode = ""
        r.lease_until, r.first_send_at = 0, NEVER
        r.lane, r.route, r.tried = r.route, "" if r.tried else former, False
        r.since = r.attempt
        r.state = "queued"
        return True

    def wake(self, entry: str, onward: str = "") -> Reply:
        """Put what is due back on its lane; behind a held lane it only expires."""
        r = self.record
        is_due = r is not None and r.state == "waiting"
        is_due = is_due and self.due is not None and self.due <= self.now
        if r is None or r.state in CLOSED or (not is_due and self.keeps("wake_looks_again")):
            return Reply("no")
        if self._is_held(r):
            if self._expire_if_due(r):
                return Reply("expired")
            if self._move_on(r, onward):
                return Reply("moved")
            self.due = self.now + self.terms.recheck
            return Reply("held")
        self.due = None
        self.entries[entry] = ""
        r.entry = entry
        r.state = "queued"
        return Reply("woken")

    def expire(self, onward: str = "") -> Reply:
        """Fail what nobody reads once its deadline is past, or let another lane have it."""
        r = self.record
        if r is None or r.state in CLOSED:
            return Reply("closed")
        if r.state == "active" and self.keeps("active_never_expires"):
            return Reply("kept" if r.doubt else "open")
        if self._expire_if_due(r):
            return Reply("expired")
        if r.state == "queued" and self._is_held(r) and self._move_on(r, onward):
            return Reply("moved")
        return Reply("kept" if r.doubt else "open")

    # -- people ----------------------------------------------------------------------------------

    def resolve(self, to: str, asked_at: int) -> Reply:
        """Take an unresolved topup to its end, on evidence."""
        r = self.record
        if r is None:
            return Reply("lost")
        if r.state != "unresolved" and (
            self.keeps("only_unresolved_is_resolved") or r.state in FINAL
        ):
            return Reply(r.state)
        early = asked_at + self.terms.edge <= r.quarantine_until
        if to == "failed" and early and self.keeps("resolved_failed_after_quarantine"):
            return Reply("too_soon", r.quarantine_until)
        self._settle(r, to)
        return Reply("ok")

    def bury(self, entry: str) -> Reply:
        """End what code cannot handle; the record never stays open."""
        r = self.record
        self._acknowledge(entry)
        if r is None:
            return Reply("lost")
        if r.state in CLOSED:
            return Reply("settled")
        if entry != r.entry:
            return Reply("duplicate")
        sending = r.state == "active" and r.mode == "send"
        if sending:
            self._suspect(r, r.lease_until)
        doubtful = bool(r.doubt) and self.keeps("buried_in_doubt_is_unresolved")
        to = "unresolved" if doubtful else "failed"
        self._settle(r, to)
        return Reply(to)

    # -- upkeep ----------------------------------------------------------------------------------

    def claim(self, owner: str, entry: str) -> None:
        """Take over a delivery of somebody silent."""
        self.entries[entry] = owner

    def forget_record(self) -> None:
        """The window after the end is over: the record expires."""
        self.record = None

    # -- what they share -------------------------------------------------------------------------

    def _suspect(self, r: Record, lost_at: int) -> None:
        """Put the send of `r.nonce` in doubt, once."""
        if r.doubt and r.doubt != r.nonce and self.keeps("two_doubts_are_many"):
            r.doubt = MANY
        else:
            r.doubt = r.nonce
        if self.keeps("doubt_never_moves"):
            r.route = ""
        until = lost_at + self.terms.quarantine
        keeps_latest = self.keeps("quarantine_is_the_latest")
        r.quarantine_until = max(r.quarantine_until, until) if keeps_latest else until

    def _settle(self, r: Record, to: str, *, acknowledges: bool = True) -> None:
        r.seq += 1
        self.told = (*self.told, to)
        if acknowledges:
            self._acknowledge(r.entry)
        self.due = None
        r.entry = r.owner = r.mode = ""
        r.lease_until = 0
        r.state = to

    def _acknowledge(self, entry: str) -> None:
        """XACK: an entry that is not delivered yet stays, and will find its topup closed."""
        if self.entries.get(entry):
            del self.entries[entry]
