"""Every rule of docs/protocol-functions.md that the search can switch off: the table of what for.

`caught` is a world in which its absence does harm, as small as serves. A rule that has a net under
it does no harm alone: `also_off` names the net.
"""

from typing import Final

import msgspec

from tests.model.lanes import Terms
from tests.model.world import Provider


class Rule(msgspec.Struct, frozen=True):
    """One rule; its name is the switch."""

    name: str
    section: str
    says: str
    caught: Provider | Terms
    also_off: tuple[str, ...] = ()

    @property
    def off(self) -> frozenset[str]:
        """The rules to be missing."""
        return frozenset({self.name, *self.also_off})

    @property
    def where(self) -> str:
        """The kind of provider, for people."""
        if isinstance(self.caught, Terms):
            return "one lane"
        more = (", replicated" if self.caught.replicated else "") + (
            ", two lanes" if self.caught.auto else ""
        )
        return self.caught.kind + more


NEITHER: Final = Provider("neither")
INQUIRY: Final = Provider("inquiry", few_faults=True)
DEDUPES: Final = Provider("dedupes", few_faults=True)
BOTH: Final = Provider("dedupes+inquiry", few_faults=True, window=4)
EVERYTHING: Final = Provider("inquiry")
AUTO: Final = Provider("neither", few_faults=True, auto=True)
AUTO_INQUIRY: Final = Provider("inquiry", few_faults=True, auto=True, deaths=1, holds=1)
LANE: Final = Terms()
REPLICATED: Final = Provider("neither", replicated=True, few_faults=True)
REPLICATED_NEITHER: Final = Provider("neither", replicated=True)

_TABLE: Final = (
    # the three sentences, and the bound on a pause
    ("positive_from_anyone", "1", "a delivered counts at once, with any nonce", NEITHER),
    ("takeover_is_doubt", "1", "a send whose owner is replaced is in doubt", NEITHER),
    ("unknown_is_doubt", "1", "a send without an answer is in doubt", INQUIRY),
    ("unresolved_is_doubt", "1", "a send given up without an answer is in doubt", NEITHER),
    ("doubt_never_sends_afresh", "1", "what is in doubt is never sent afresh", NEITHER),
    ("doubt_never_expires", "1", "what is in doubt never expires", EVERYTHING),
    ("no_byte_before_begin", "1", "no byte before begin was answered `send`", NEITHER),
    ("half_of_the_lease", "1", "no byte once half of the lease is gone", INQUIRY),
    ("right_counts_from_before_begin", "1", "the lease counts from before begin is sent", INQUIRY),
    ("look_before_write", "2", "the clock is looked at directly before the write", INQUIRY),
    ("look_again_after_401", "2", "and again before the second write after a 401", EVERYTHING),
    ("stall_timer", "2", "who is stopped for longer than STALL dies", INQUIRY),
    ("stall_within_half", "2", "connect + STALL fit in half of the lease", INQUIRY),
    ("flight_is_bounded", "2", "TCP_USER_TIMEOUT bounds what is under way", INQUIRY),
    ("quarantine_after_lease", "1", "the quarantine counts from the end of the lease", INQUIRY),
    ("quarantine_outlasts_the_flight", "1", "it outlasts TCP_USER_TIMEOUT", INQUIRY),
    ("quarantine_outlasts_invisibility", "1", "and then the provider's visible_after", INQUIRY),
    # accept and begin
    ("accept_once", "5", "an id is accepted once", NEITHER),
    ("lost_never_sends", "5", "no record: never send", NEITHER),
    (
        "closed_never_begins",
        "5",
        "a closed topup never begins again",
        NEITHER,
        ("only_the_carrier_begins",),
    ),
    ("begin_knows_its_nonce", "5", "a repeated begin is given its answer again", NEITHER),
    ("only_the_carrier_begins", "5", "only the entry in the record begins", NEITHER),
    ("busy", "5", "a live attempt is left alone", NEITHER),
    ("neither_waits_for_the_lease", "5", "where nobody can ask, silence is not enough", NEITHER),
    ("two_doubts_are_many", "4", "two sends in doubt are `many`", DEDUPES),
    ("quarantine_is_the_latest", "4", "the quarantine is the latest of all doubts'", BOTH),
    ("send_again_within_window", "5", "sent again only within the dedupe window", DEDUPES),
    ("window_outlasts_the_lease", "5", "which outlasts the lease", DEDUPES),
    ("window_outlasts_the_flight", "5", "and what is under way after it", DEDUPES),
    ("window_from_first_send", "4", "the window counts from the first send", DEDUPES),
    # finish
    ("final_stays", "5", "a final state stays", DEDUPES),
    ("finish_knows_its_nonce", "5", "a negative needs the nonce of the attempt", DEDUPES),
    ("late_no_is_the_only_doubt", "5", "a late no counts for the only send in doubt", DEDUPES),
    ("late_no_while_no_send", "5", "and not while another send is at work", DEDUPES),
    ("refusal_in_doubt_is_unresolved", "5", "a refusal says nothing of older doubts", DEDUPES),
    ("early_negative_waits", "5", "an inquiry's negative waits for the quarantine", BOTH),
    # park, wake, resolve, bury
    ("park_knows_its_nonce", "5", "park needs the nonce of the attempt", INQUIRY),
    ("only_final_clears", "5", "only after the quarantine `not found` ends a doubt", INQUIRY),
    ("final_not_found_clears", "5", "and then it does", INQUIRY),
    ("park_acknowledges", "5", "park acknowledges the entry", INQUIRY),
    ("wake_looks_again", "5", "wake takes only what waits and is due", INQUIRY),
    ("active_never_expires", "5", "an attempt at work never expires", NEITHER),
    ("only_unresolved_is_resolved", "5", "people settle what is unresolved only", NEITHER),
    ("resolved_failed_after_quarantine", "5", "as failed: asked after the quarantine", NEITHER),
    ("buried_in_doubt_is_unresolved", "5", "what is buried in doubt is unresolved", NEITHER),
    # claim and trim
    ("claim", "5", "the entries of the dead are claimed", NEITHER),
    ("lost_in_hand_comes_back", "5", "what is lost in a living process is taken back", NEITHER),
    ("only_the_empty_are_forgotten", "5", "a consumer goes once nothing is pending", NEITHER),
    ("trim_keeps_pending", "5", "trim keeps what is pending or unread", NEITHER),
    # from lane to lane
    ("doubt_never_moves", "5a", "what was ever in doubt stays on its lane", AUTO_INQUIRY),
    ("moved_is_acknowledged", "5a", "moving acknowledges the old entry", AUTO),
    ("moved_is_carried", "5a", "and writes the new one, in one step", AUTO),
    # the lane's state
    ("held_never_begins", "5", "nothing begins on a held lane", LANE),
    ("one_probe_at_a_time", "5", "after a hold one topup tries the lane", LANE),
    ("a_lost_probe_is_followed", "5", "for a lease, then another one may", LANE),
    ("only_the_probe_speaks", "5", "only the probe's answer opens the lane or holds it", LANE),
    ("a_hold_outlasts_answers", "5", "what people hold no answer changes", LANE),
    ("unasked_says_nothing", "5", "an attempt that asked nothing says nothing of it", LANE),
    ("an_answer_ends_the_row", "5", "any answer begins the count of failures anew", LANE),
    # the dispatcher
    ("not_sent_is_no_byte_written", "9", "not sent: no byte was given to the kernel", NEITHER),
    ("broken_task_is_unknown", "9", "a task that breaks off parks `unknown`", NEITHER),
    ("client_never_resends", "9", "the HTTP client never resends", NEITHER),
    ("answer_is_kept", "9", "an answer is kept until its step is answered", NEITHER),
    # with replicas
    ("accept_durable_before_202", "6", "accept is durable before the 202", REPLICATED_NEITHER),
    ("replay_waits_too", "6", "a replayed accept too", REPLICATED_NEITHER),
    (
        "begin_durable_before_send",
        "6",
        "begin is durable before the first byte",
        REPLICATED_NEITHER,
    ),
    (
        "reconnected_is_not_durable",
        "6",
        "after a reconnect begin is not durable",
        REPLICATED_NEITHER,
    ),
    ("repeat_until_durable", "6", "finish and park are repeated until durable", REPLICATED),
    ("ledger_reads_what_is_durable", "6", "the ledger commits what is durable", REPLICATED),
)

RULES: Final = tuple(Rule(*row) for row in _TABLE)

WORLDS: Final = {
    "neither, every fault": NEITHER,
    "inquiry, every fault": EVERYTHING,
    "inquiry, no resend": Provider("inquiry", resend=False),
    "dedupes": DEDUPES,
    "dedupes, refusals cover": Provider("dedupes", covers=True, few_faults=True),
    "dedupes+inquiry": BOTH,
    "dedupes+inquiry, no resend": Provider(
        "dedupes+inquiry", resend=False, few_faults=True, window=4
    ),
    "dedupes+inquiry, refusals cover": Provider(
        "dedupes+inquiry", covers=True, few_faults=True, window=4
    ),
    "dedupes+inquiry, refusals cover, no resend": Provider(
        "dedupes+inquiry", covers=True, resend=False, few_faults=True, window=4
    ),
    "neither, two lanes": AUTO,
    "inquiry, two lanes, one death, one hold": AUTO_INQUIRY,
    "one lane, its breaker, three topups": LANE,
    "neither, replicated": Provider("neither", replicated=True, few_faults=True),
}
"""The worlds in which nothing may be found with all rules on."""
