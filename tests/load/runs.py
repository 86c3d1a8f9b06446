"""What every measurement under load begins with: its settings, a folder, and a merchant."""

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import mkdtemp

from tests.chaos.house import House
from tests.chaos.merchant import Merchant
from tests.chaos.run import say
from tests.chaos.settings import WrongSetting, number


def run(name: str, asked: Mapping[str, tuple[str, float]], act: Callable[..., bool]) -> int:
    """Call `act` with a folder and the numbers asked for, each with its usual value and bound.

    Return 0: it held, 1: it did not, 2: told nonsense.
    """
    try:
        numbers = {
            setting: number(setting, os.environ, usual, above=above)
            for setting, (usual, above) in asked.items()
        }
    except WrongSetting as problem:
        sys.stderr.write(f"{problem}\n")
        return 2
    folder = Path(mkdtemp(prefix=f"topup-{name}-")) / "run"
    told = " ".join(f"{setting}={value:g}" for setting, value in numbers.items())
    say(f"{name}: {told}; all of it in {folder}")
    return 0 if act(folder, *numbers.values()) else 1


def merchant_of(house: House, *, connections_max: int = 0) -> Merchant:
    """Return who sells through this house, over any number of connections or at most so many."""
    return Merchant(
        f"http://127.0.0.1:{house.public_port}",
        house.api_keys,
        house.folder / "merchant.log",
        connections_max=connections_max,
    )
