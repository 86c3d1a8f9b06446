"""What the terminal shows while everything starts, runs and stops."""

import os
import shlex
import sys
import time
from contextlib import suppress
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from ops.supervisor.demo import Demo
from ops.supervisor.folder import Folder
from ops.supervisor.replica import Replica, Status
from ops.supervisor.tails import telling

_EXAMPLE = '{"phone": "5566374683", "amount": 10, "provider": "LATCOM"}'


class Screen:
    """Plain lines; on a terminal also one line that says what is still awaited."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._begun = time.monotonic()
        self._spinner = console.status("starting …") if console.is_terminal else None
        self._awaited: set[str] = set()
        self._last: dict[str, str] = {}
        self._waits: dict[str, str] = {}

    def say(self, text: str) -> None:
        """Print a line; a terminal that has gone away stops nothing."""
        with suppress(OSError):
            self._console.print(text, highlight=False, soft_wrap=True)

    def begins(self, step: str) -> None:
        """Show that the step is awaited."""
        self._awaited.add(step)
        self._spin()

    def done(self, step: str, count: int = 1) -> None:
        """Show that the step is done."""
        self._awaited.discard(step)
        name = f"{count} {step}s" if count > 1 else step
        self.say(f"  [green]✓[/] {name:<16} {time.monotonic() - self._begun:4.1f} s")
        self._spin()

    def changed(self, replica: Replica) -> None:
        """Tell of a replica that does not start, and of one that died and is back."""
        row = replica.row()
        before, self._last[row.id] = self._last.get(row.id), row.state
        if replica.refusal is not None:
            return  # the start ends with these very words
        if replica.waits_for is not None and before == Status.STARTING:
            if replica.waits_for != self._waits.get(row.id):
                self.say(f"  [yellow]![/] {row.id} waits: {escape(replica.waits_for)}")
            self._waits[row.id] = replica.waits_for
        elif row.state is Status.BACKING_OFF and row.restarts.bit_count() == 1:  # ever more seldom
            words = escape(telling(row.last_lines))
            self.say(f"  [yellow]![/] {row.id} does not start, trying again: {words}")
        elif row.state is Status.STARTING and before == Status.READY:
            self.say(f"  [yellow]![/] {row.id} died; starting it again")
        elif row.state is Status.READY and row.restarts:
            self.say(f"  [green]✓[/] {row.id} is back")

    def stop_waiting(self) -> None:
        """Remove the line that says what is awaited."""
        if self._spinner is not None:
            with suppress(OSError):
                self._spinner.stop()
            self._spinner = None

    def ready(self, demo: Demo, folder: Folder, *, sandboxed: bool) -> None:
        """Say where everything is and what to type next."""
        self.stop_waiting()
        took = time.monotonic() - self._begun
        self.say(f"\n[bold green]Ready[/] in {took:.1f} s: [bold]{demo.url}[/]\n")
        if not sandboxed:
            self.say("  [yellow]A provider is named: topups are paid out for real.[/]\n")
        with suppress(OSError):
            self._console.print(_next(demo, folder), markup=False, highlight=False, soft_wrap=True)

    def _spin(self) -> None:
        if self._spinner is not None and self._awaited:
            self._spinner.update(f"starting: {', '.join(sorted(self._awaited))}")
            self._spinner.start()


def _next(demo: Demo, folder: Folder) -> str:
    keys, command = _short(folder.demo), _short(Path(sys.executable).with_name("topup"))
    return f"""\
  health   curl -s {demo.url}/health
  a topup  . {keys}
           curl -s $TOPUP_URL/api/enviadespensa/topup -H "x-api-key: $TOPUP_API_KEY" \\
             -H "x-customer-id: $TOPUP_CUSTOMER_ID" -H 'content-type: application/json' \\
             -d '{_EXAMPLE}'
  queue    curl -s $TOPUP_URL/api/admin/queue-stats -H "x-admin-key: $TOPUP_ADMIN_KEY"
  page     {demo.url}/admin (the key is TOPUP_ADMIN_KEY in {keys})
  replicas {command} ps
           {command} scale dispatcher=5
  logs     {command} logs dispatcher --follow
  stop     Ctrl-C: finishes what is in flight first
"""


def _short(path: Path) -> str:
    """Return the path as one would type it here."""
    below = os.path.relpath(path)
    return shlex.quote(str(path) if below.startswith("..") else below)
