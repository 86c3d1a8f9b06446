"""For how long to look, and from which seed: FUZZ_SECONDS over all targets, FUZZ_SEED."""

import os
from typing import Final

SECONDS: Final = float(os.environ.get("FUZZ_SECONDS") or 6)
SEED: Final = int(os.environ.get("FUZZ_SEED") or 1)
TARGETS: Final = 32
"""About how many share the time."""
EACH_S: Final = SECONDS / TARGETS
