"""`make chaos`: attack what runs, and print a verdict; the exit status says it too."""

import os
import sys
from pathlib import Path
from tempfile import mkdtemp

import uvloop
from rich.console import Console

from tests.chaos.run import Run, say
from tests.chaos.settings import WrongSetting, read
from tests.chaos.verdict import print_verdict


def main() -> int:
    """Run once; return 0 where everything held, 1 where not, 2 where it was told nonsense."""
    try:
        settings = read(os.environ)
    except WrongSetting as problem:
        sys.stderr.write(f"{problem}\n")
        return 2
    folder = Path(mkdtemp(prefix="topup-chaos-")) / "run"
    say(
        f"SEED={settings.seed}: {settings.topups} topups in {settings.length_s / 60:g} minutes, "
        f"a fault each {settings.each_s:g} s, provider: {settings.provider}; all of it in {folder}"
    )
    told = uvloop.run(Run(settings, folder).tell())
    return 0 if print_verdict(told, Console()) else 1


if __name__ == "__main__":
    sys.exit(main())
