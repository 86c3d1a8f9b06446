"""`python -m services.ledger`: one replica until SIGTERM; or `migrate`, or `seed-demo`."""

import os
import sys

from services.ledger.app import build
from services.ledger.commands import run
from services.ledger.settings import LedgerSettings
from shared.web.replica import main

if sys.argv[1:]:
    run(" ".join(sys.argv[1:]), os.environ)
else:
    main("ledger", LedgerSettings, build, os.environ)
