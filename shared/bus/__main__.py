"""`python -m shared.bus load`: put the stream functions on the server."""

import sys

from shared.bus.functions import main

if sys.argv[1:] != ["load"]:
    sys.exit("usage: python -m shared.bus load")
main()
