"""`python -m services.ratelimiter`: one replica, from the environment, until SIGTERM."""

import os

from services.ratelimiter.app import build
from services.ratelimiter.settings import RatelimiterSettings
from shared.web.replica import main

main("ratelimiter", RatelimiterSettings, build, os.environ)
