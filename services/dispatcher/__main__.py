"""`python -m services.dispatcher`: one replica, from the environment, until SIGTERM."""

import os

from services.dispatcher.app import build
from services.dispatcher.settings import DispatcherSettings
from shared.web.replica import main

main("dispatcher", DispatcherSettings, build, os.environ)
