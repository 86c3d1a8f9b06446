"""A dispatcher, step by step: section 9, with what may go wrong between any two of its steps."""

from collections.abc import Iterator

from tests.model.events import FAULT, HELP, RARE, Now, Step, conclude, die, write
from tests.model.functions import Reply
from tests.model.world import FLIGHT, FORMER, FUTURE, OWNERS, RIGHT, STALL, Owner, World

WIRE_MAX = 2
GOES_ON = ("finish:failed", "park:no", "park:not_sent")
ATTEMPT = ("send", "inquire", "inquire_final")


def _idle(world: World, name: str, owner: Owner, now: Now) -> Iterator[Step]:
    for entry, holder in world.server.entries.items():
        how, fault = _how(world, name, entry, holder)
        if how:
            w = write(now)
            w.server.claim(name, entry)
            w.owners[name] = Owner(phase="held", entry=entry)
            yield f"{name} {how} {entry}", fault, w
            if holder != name:
                w = write(now)
                w.server.claim(name, entry)
                yield f"{name} {how} {entry}; the answer is lost", RARE, w


def _how(world: World, name: str, entry: str, holder: str) -> tuple[str, int]:
    """Say how an idle owner comes by a delivery, if it does."""
    if not holder:
        return "reads", HELP
    if holder == FORMER:
        return ("claims from the dead" if world.keeps("claim") else ""), HELP
    if holder == name:
        return ("takes back" if world.keeps("lost_in_hand_comes_back") else ""), HELP
    if world.owners[holder].entry == entry:
        return ("claims from the silent" if world.keeps("claim") else ""), FAULT
    return ("sweeps up" if world.keeps("lost_in_hand_comes_back") else ""), HELP


def _held(world: World, name: str, owner: Owner, now: Now) -> Iterator[Step]:
    w = now()
    w.owners[name] = Owner(
        phase="begin", entry=owner.entry, nonce=_nonce(w, owner), right_until=w.server.now + RIGHT
    )
    yield f"{name} asks to begin with {w.owners[name].nonce}, its right counted from now", HELP, w
    w = write(now)
    reply = w.server.bury(owner.entry)
    w.owners[name] = Owner()
    yield f"{name} cannot handle {owner.entry} and buries it: {reply.word}", RARE, w
    if not world.keeps("no_byte_before_begin"):
        w = now()
        w.owners[name] = Owner(phase="may", entry=owner.entry, nonce=_nonce(w, owner), mode="send")
        yield f"{name} goes on to send before it begins", HELP, w


def _nonce(w: World, owner: Owner) -> str:
    """Return a new one, that tells the lane."""
    return w.fresh("m" if owner.entry[0] == "f" else "n")


def _begin(world: World, name: str, owner: Owner, now: Now) -> Iterator[Step]:
    if owner.reply:
        yield from _reply_comes(world, name, owner, now)
        return
    record = world.record
    others_attempt = record is not None and record.state == "active" and record.owner != name
    alive = others_attempt and record is not None and record.owner != FORMER
    for silent in (False, True) if alive else (others_attempt,):
        w = write(now)
        reply = _call_begin(w, name, owner, silent=silent)
        what = f"{name} begins ({owner.nonce})" + (", the other silent" if alive and silent else "")
        if reply.word in ("expired", "unresolved"):
            lost = write(now)
            _call_begin(lost, name, owner, silent=silent)
            yield f"{what}: {reply.word}; the reply is lost", RARE, lost
        after = w.owners[name]
        if reply.word in ATTEMPT:
            after.reply = reply.word
        elif reply.word in ("busy", "held"):
            w.owners[name] = Owner(phase="held", entry=owner.entry)
        else:
            w.owners[name] = Owner()
        yield f"{what}: {reply.word}", FAULT if alive and silent else HELP, w


def _call_begin(w: World, name: str, owner: Owner, *, silent: bool) -> Reply:
    """Let the server handle begin, and look whether it gave up what is in good hands."""
    before = w.record and (w.record.nonce, w.record.state, w.record.lease_until, w.record.mode)
    w.server.silent = (FORMER, *([n for n in OWNERS if n != name] if silent else []))
    reply = w.server.begin(name, owner.entry, owner.nonce, w.onward())
    if reply.word == "unresolved" and before and before[1] == "active" and before[3] == "send":
        if before[0] == owner.nonce:
            w.wrong = "its own attempt given up, with nothing sent"
        elif before[2] > w.server.now and w.provider.kind == "neither":
            w.wrong = "given up while its sender was at work"
    return reply


def _reply_comes(world: World, name: str, owner: Owner, now: Now) -> Iterator[Step]:
    """The reply of begin is on its way: it comes, in time or late, or is lost."""
    w = now()
    w.owners[name].reply, w.owners[name].again = "", w.provider.replicated
    yield f"the reply of begin to {name} is lost", RARE, w
    durable = world.replica is None or not world.keeps("begin_durable_before_send")
    nothing_written = owner.again and not world.keeps("reconnected_is_not_durable")
    if world.provider.replicated and owner.again and world.keeps("reconnected_is_not_durable"):
        w = now()
        conclude(w, name, "park:not_sent")
        yield f"{name} hears from another connection: not durable, nothing sent", HELP, w
    elif durable or nothing_written:
        w = now()
        after = w.owners[name]
        after.phase = "may" if owner.reply == "send" else "ask"
        after.mode, after.reply, after.again = owner.reply, "", False
        if not world.keeps("right_counts_from_before_begin"):
            after.right_until = w.server.now + RIGHT
        yield f"{name} hears: {owner.reply}", HELP, w


def _may(world: World, name: str, owner: Owner, now: Now) -> Iterator[Step]:
    half = RIGHT if world.keeps("half_of_the_lease") else 0
    until = owner.right_until if half else owner.right_until + RIGHT
    w = now()
    if w.server.now <= until or not world.keeps("look_before_write"):
        w.owners[name].phase = "looked"
        w.owners[name].stall_until = w.server.now + (
            STALL if world.keeps("stall_within_half") else 2 * STALL
        )
        yield f"{name} is connected and looks at its clock: it may send", HELP, w
    else:
        conclude(w, name, "park:not_sent")
        yield f"{name} looks at its clock: too late to send", HELP, w
    w = now()
    conclude(w, name, "park:not_sent")
    yield f"{name} cannot connect", RARE, w


def _looked(world: World, name: str, owner: Owner, now: Now) -> Iterator[Step]:
    if len(world.wire) >= WIRE_MAX:
        return
    w = now()
    w.owners[name].phase, w.owners[name].mode = "sent", ""
    until = w.server.now + (FLIGHT if world.keeps("flight_is_bounded") else FUTURE)
    w.wire += [(owner.nonce, until)] * (1 if world.keeps("client_never_resends") else 2)
    yield f"{name} writes the request ({owner.nonce})", HELP, w
    if world.keeps("broken_task_is_unknown"):
        return
    w = now()
    w.wire.append((owner.nonce, until))
    conclude(w, name, "park:not_sent")
    yield f"{name} writes the request and breaks off with an exception", RARE, w


def _sent(world: World, name: str, owner: Owner, now: Now) -> Iterator[Step]:
    w = now()
    conclude(w, name, _unknown(world))
    under_way = any(nonce == owner.nonce for nonce, _ in world.wire)
    yield f"{name} hears nothing in time", FAULT if under_way else HELP, w


def _unknown(world: World) -> str:
    if not world.keeps("not_sent_is_no_byte_written"):
        return "park:not_sent"
    return "finish:unresolved" if world.provider.kind == "neither" else "park:unknown"


def _ask(world: World, name: str, owner: Owner, now: Now) -> Iterator[Step]:
    answers = []
    book = world.book_of(owner.nonce)
    if book.paid:
        answers.append(("delivered", "finish:succeeded"))
    if not world.shows and book.refused:
        answers.append(("refused", "finish:failed"))
    elif not world.shows:
        gives_up = owner.mode == "inquire_final" and not world.provider.resend
        answers.append(("never heard of it", "finish:unresolved" if gives_up else "park:not_found"))
    for said, verdict in answers:
        w = now()
        conclude(w, name, verdict)
        yield f"{name} inquires ({owner.mode}): {said}", HELP, w
    w = now()
    conclude(w, name, "park:unknown")
    yield f"{name} inquires and hears nothing", RARE, w


def _end(world: World, name: str, owner: Owner, now: Now) -> Iterator[Step]:
    if world.provider.auto and owner.answer in GOES_ON and not owner.again:
        yield from _hand_on(world, name, owner, now)
        return
    what, _, how = owner.answer.partition(":")
    w = write(now)
    reply = (
        w.server.finish(owner.nonce, how) if what == "finish" else w.server.park(owner.nonce, how)
    )
    said = f"{name} {what} {how} ({owner.nonce}): {reply.word}"
    if reply.word == "not_yet":
        w.owners[name].answer = "park:not_found"
    elif world.provider.replicated and world.keeps("repeat_until_durable"):
        w.owners[name].phase = "kept"
    else:
        _let_go(w, name)
    yield said, HELP, w
    w = write(now)
    if what == "finish":
        w.server.finish(owner.nonce, how)
    else:
        w.server.park(owner.nonce, how)
    yield f"{said}; the reply is lost", RARE, w
    if not world.keeps("answer_is_kept"):
        w = now()
        _let_go(w, name)
        yield f"{name} cannot reach the server and forgets: {what} {how}", FAULT, w


def _hand_on(world: World, name: str, owner: Owner, now: Now) -> Iterator[Step]:
    """After a no of its own, another lane may have it; else it ends here as ever."""
    why = "refused" if owner.answer == "finish:failed" else "no"
    w = write(now)
    reply = w.server.hand_on(owner.nonce, w.onward(), why)
    if reply.word == "moved":
        w.owners[name] = Owner()
    else:
        w.owners[name].again = True
    yield f"{name} hands on ({owner.nonce}): {reply.word}", HELP, w
    w = write(now)
    w.server.hand_on(owner.nonce, w.onward(), why)
    yield f"{name} hands on ({owner.nonce}): {reply.word}; the reply is lost", RARE, w


def _kept(world: World, name: str, owner: Owner, now: Now) -> Iterator[Step]:
    """With replicas, an answer is forgotten once its step is durable."""
    if world.replica is None:
        w = now()
        _let_go(w, name)
        yield f"{name} hears that its step is durable", HELP, w


def _let_go(w: World, name: str) -> None:
    told = w.server.told[-1] if w.server.told else ""
    if w.owners[name].answer == "finish:succeeded" and told != "succeeded":
        w.wrong = "delivered was heard, and not told"
    elif w.owners[name].answer == "finish:succeeded":
        w.heard = w.provider.replicated
    w.owners[name] = Owner()


PHASES = {
    "idle": _idle, "held": _held, "begin": _begin, "may": _may, "looked": _looked, "sent": _sent,
    "ask": _ask, "end": _end, "kept": _kept,
}  # fmt: skip


def death(world: World, name: str, owner: Owner, now: Now) -> Iterator[Step]:
    """Yield how a process or a task of it may be lost."""
    if world.provider.deaths and not world.left[0]:
        return
    pending = name in world.server.entries.values()
    if owner.phase != "idle" or pending:
        w = now()
        die(w, name)
        w.left = (max(w.left[0] - 1, 0), w.left[1])
        yield f"{name} is killed; its successor has another name", FAULT, w
    if owner.phase not in ("idle", "end", "kept"):
        w = now()
        w.owners[name] = Owner()
        if owner.phase in ("held", "begin"):
            yield f"{name} loses hold of {owner.entry}", RARE, w
