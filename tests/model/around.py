"""What is around the dispatchers: provider, timers, people, the clock and the replica."""

from collections.abc import Callable, Iterator

from tests.model.events import FAULT, HELP, RARE, Now, Step, conclude, die, write
from tests.model.functions import CLOSED, FINAL
from tests.model.world import FUTURE, OWNERS, STALL, Book, World


def provider(world: World, now: Now) -> Iterator[Step]:
    """Yield what may become of each request on the wire."""
    for request in sorted(set(world.wire)):
        nonce = request[0]
        waiting = [n for n in OWNERS if (o := world.owners[n]).phase == "sent" and o.nonce == nonce]
        for said, verdict, book in _answers(world, nonce):
            w = now()
            w.wire.remove(request)
            w.note(nonce, book(w.book_of(nonce), w))
            for name in waiting if verdict else []:
                conclude(w, name, verdict)
            yield f"the provider gets {nonce or 'an old request'}: {said}", HELP, w
            if waiting and verdict:
                w = now()
                w.wire.remove(request)
                w.note(nonce, book(w.book_of(nonce), w))
                yield f"the provider gets {nonce}: {said}; the answer is late or lost", FAULT, w
        w = now()
        w.wire.remove(request)
        yield f"the request {nonce} never arrives", RARE, w
        for name in waiting:
            w = now()
            w.wire.remove(request)
            looks_again = world.keeps("look_again_after_401")
            w.owners[name].phase = "may" if looks_again else "looked"
            w.owners[name].stall_until = w.server.now + STALL
            yield f"the provider wants {name} to log in first", RARE, w


def _answers(world: World, nonce: str) -> Iterator[tuple[str, str, Callable[[Book, World], Book]]]:
    """Yield what the provider may make of a request: its words, the verdict, its book after it."""
    book, now = world.book_of(nonce), world.server.now
    window = world.provider.window if "dedupes" in world.provider.kind else 0
    knows = bool(book.paid) and now < book.paid_at + window
    if knows:
        yield "it has paid that, delivered", "finish:succeeded", lambda book, _: book
    elif not (world.provider.covers and book.refused):
        yield "it pays, delivered", "finish:succeeded", _pay
    if not (world.provider.covers and knows):
        yield (
            "refused",
            "finish:failed",
            lambda book, _: Book(book.paid, book.paid_at, refused=True),
        )
    if not (world.provider.covers and (knows or book.refused)):
        yield "busy, later", "park:no", lambda book, _: book


def _pay(book: Book, w: World) -> Book:
    return Book(book.paid + 1, w.server.now, refused=book.refused)


# -- everybody else --------------------------------------------------------------------------------


def upkeep(world: World, now: Now) -> Iterator[Step]:
    """Yield what the timers do."""
    server, record = world.server, world.record
    is_due = server.due is not None and server.due <= server.now
    if is_due:
        w = write(now)
        reply = w.server.wake(w.fresh_entry(), w.onward())
        yield f"somebody wakes what is due: {reply.word}", HELP, w
    if world.listed:
        w = write(now)
        w.listed = False
        reply = w.server.wake(w.fresh_entry(), w.onward())
        yield f"somebody wakes what it once read as due: {reply.word}", HELP, w
    if is_due and not world.keeps("wake_looks_again") and not world.listed:
        w = now()
        w.listed = True
        yield "another one reads it as due", HELP, w
    passed = record is not None and server.now > record.deliver_before
    if record is not None and record.state not in CLOSED and (passed or server.held):
        w = write(now)
        reply = w.server.expire(w.onward())
        yield f"somebody looks whether it has expired: {reply.word}", HELP, w
    for entry in server.entries:
        if not world.keeps("trim_keeps_pending"):
            w = write(now)
            del w.server.entries[entry]
            yield f"{entry} is trimmed", HELP, w
        elif not world.keeps("only_the_empty_are_forgotten") and server.entries[entry]:
            w = write(now)
            del w.server.entries[entry]
            yield f"a silent consumer is forgotten, with {entry} pending", HELP, w


def people(world: World, now: Now) -> Iterator[Step]:
    """Yield what merchants and operators do, and the end of a record."""
    record = world.record
    if not world.keeps("accept_once") and record is not None:
        w = write(now)
        w.server.accept(w.fresh("e"), FUTURE)
        yield "the merchant repeats its request", HELP, w
    if record is not None and record.state in FINAL:
        w = write(now)
        w.server.forget_record()
        yield "the record's window is over", RARE, w
    yield from _hold(world, now)
    resolvable = record is not None and (
        record.state == "unresolved"
        or (not world.keeps("only_unresolved_is_resolved") and record.state not in CLOSED)
    )
    if not resolvable or record is None:
        return
    w = now()
    late = w.server.now >= record.quarantine_until
    w.operator = "paid" if w.shows else ("late_no" if late else "early_no")
    if w.operator != world.operator:
        yield f"an operator asks the provider: {w.operator}", HELP, w
    if world.operator:
        w = write(now)
        to = "succeeded" if w.operator == "paid" else "failed"
        asked_at = w.server.now + FUTURE if w.operator == "late_no" else -FUTURE
        reply = w.server.resolve(to, asked_at)
        w.operator = ""
        yield f"an operator resolves it as {to}: {reply.word}", HELP, w


def _hold(world: World, now: Now) -> Iterator[Step]:
    """An operator holds the first lane, or opens it."""
    record, may = world.record, not world.provider.holds or world.left[1] > 0
    if not world.provider.auto or record is None or record.state in CLOSED:
        return
    if may or world.server.held:
        w = now()
        w.server.held = not w.server.held
        w.left = (w.left[0], w.left[1] - (w.server.held and w.provider.holds > 0))
        how, fault = ("holds", FAULT) if w.server.held else ("opens", HELP)
        yield f"an operator {how} the first lane", fault, w


def time(world: World, now: Now) -> Iterator[Step]:
    """Yield a tick, and the deadline."""
    w = now()
    server = w.server
    stalled = [n for n, o in w.owners.items() if o.phase == "looked" and o.stall_until <= 0]
    if world.keeps("stall_timer") and not world.provider.unbounded_pause:
        for name in stalled:
            die(w, name)
    w.wire = [(nonce, until) for nonce, until in w.wire if until > server.now]
    server.now += 1
    yield "time passes" + "".join(f"; {n} was stopped too long, and dies" for n in stalled), HELP, w
    record = world.record
    if record is not None and record.state not in CLOSED and record.deliver_before > 0:
        w = now()
        assert w.record is not None, "it was there"
        w.record.deliver_before = -1
        yield "the deadline passes", RARE, w


# -- with replicas ---------------------------------------------------------------------------------


def replica(world: World, now: Now) -> Iterator[Step]:
    """Yield what only happens with a replica that may be promoted."""
    yield from _promises(world, now)
    if world.replica is not None:
        w = now()
        w.replica = None
        yield "the replica catches up", HELP, w
        w = now()
        w.restore(world.replica)
        w.replica, w.failed_over = None, True
        if w.operator == "late_no":
            w.operator = "early_no"  # older than whatever is put in doubt from now on
        for owner in w.owners.values():
            if owner.phase == "begin":
                owner.reply, owner.again = "", owner.again or bool(owner.reply)
            if owner.phase == "kept":
                owner.phase = "end"
        yield "the replica is promoted: what it had not is undone", FAULT, w
    told = world.server.told[-1] if world.server.told else ""
    if told != world.ledger and (
        world.replica is None or not world.keeps("ledger_reads_what_is_durable")
    ):
        w = now()
        w.ledger = told
        yield f"the ledger commits: {told or 'nothing'}", HELP, w


def _promises(world: World, now: Now) -> Iterator[Step]:
    """The gateway accepts, and says 202 once that is durable."""
    if world.promised:
        return
    if world.record is None and not world.server.told:
        w = write(now)
        w.server.accept(w.fresh("e"), FUTURE)
        yield "the gateway accepts", HELP, w
        return
    replayed = not world.keeps("replay_waits_too")
    if world.replica is None or replayed or not world.keeps("accept_durable_before_202"):
        w = now()
        w.promised = True
        yield "the gateway answers 202", HELP, w
