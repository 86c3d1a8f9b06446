"""`python -m services.gateway`: one replica, from the environment, until SIGTERM."""

import os

from services.gateway.app import build
from services.gateway.settings import GatewaySettings
from shared.web.replica import main

main("gateway", GatewaySettings, build, os.environ)
