"""`python -m shared.bus migrate`: what the servers of streams and limits need of a deployment."""

import os
import sys

from shared.bus.deploy import main

if sys.argv[1:] != ["migrate"]:
    sys.exit("usage: python -m shared.bus migrate")
main(os.environ)  # noqa: TID251 - a command of its own
