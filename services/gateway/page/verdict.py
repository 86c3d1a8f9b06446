"""The first question of a night, answered in a sentence: is money moving, and what is stuck?"""

from collections.abc import Iterable, Sequence
from typing import Final

from services.gateway.page.frames import Flow, LaneLive, Verdict

OLD_S: Final = 60
FEW: Final = 20
POOR_SHARE: Final = 0.8


def verdict(flow: Flow | None, *, books_away: bool) -> Verdict:
    """Return what matters most of all that there is to see."""
    if flow is None:
        return Verdict(
            tone="bad",
            sentence="The streams do not answer.",
            more="Nothing is accepted; what was accepted is safe, and goes on when they are back.",
        )
    stuck = _stuck(flow.lanes)
    if stuck is None and books_away:
        return Verdict(
            tone="warn",
            sentence="The books do not answer.",
            more="Topups are paid all the same, and booked when they are back.",
        )
    return stuck or _moving(flow)


def _stuck(lanes: Sequence[LaneLive]) -> Verdict | None:
    held = [lane for lane in lanes if lane.state == "held"]
    if held:
        sentence = f"{_names(held)} {'are' if held[1:] else 'is'} held."
        return Verdict(tone="warn", sentence=sentence, more="", lane=held[0].provider)
    left = [lane for lane in lanes if not lane.served and lane.waiting + lane.active + lane.delayed]
    if left:
        return Verdict(
            tone="bad",
            sentence=f"Nobody works on {_names(left)}.",
            more="Topups wait there, and no living dispatcher has the provider's access.",
        )
    for lane in lanes:
        if lane.oldest_waiting_seconds >= OLD_S:
            return Verdict(
                tone="warn",
                sentence=f"Topups wait on {lane.provider}.",
                more=f"The oldest has waited for {lane.oldest_waiting_seconds} s: it needs more "
                "dispatchers, or the provider is slow.",
            )
        share = lane.success_share
        if share is not None and share < POOR_SHARE and (lane.ended or 0) >= FEW:
            return Verdict(
                tone="warn",
                sentence=f"{lane.provider} pays too little.",
                more=f"Of {lane.ended} topups of the last minute it paid {int(share * 100)} %.",
            )
    return None


def _moving(flow: Flow) -> Verdict:
    if flow.rates is not None and flow.rates.succeeded > 0:
        return Verdict(
            tone="good",
            sentence="Money is moving.",
            more=f"{flow.rates.succeeded:.1f} topups a second reach their phones.",
        )
    since = "seconds" if any(lane.ended for lane in flow.lanes) else "minute"
    waits = flow.counts.waiting + flow.counts.active + flow.counts.delayed
    more = f"{waits} wait for their turn or their answer." if waits else "Nothing waits."
    return Verdict(
        tone="quiet",
        sentence="All is quiet.",
        more=f"Nothing ended well in the last {since}. {more}",
    )


def _names(lanes: Iterable[LaneLive]) -> str:
    return " and ".join(lane.provider for lane in lanes)
