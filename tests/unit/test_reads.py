"""Every reader that waits at the streams for ever has a connection of its own."""

from services.dispatcher.app import Dispatcher
from services.dispatcher.settings import DispatcherSettings
from services.gateway.app import Gateway
from services.gateway.settings import GatewaySettings
from services.ledger.app import Ledger
from services.ledger.settings import LedgerSettings
from shared.runtime.clock import SystemClock
from shared.runtime.instance import Instance, identify
from shared.runtime.settings import load

PARTITIONS = 100
ENVIRON = {
    "REDIS_URL": "redis://127.0.0.1:1/0",
    "DATABASE_URL": "postgresql://127.0.0.1:1/none",
    "RATELIMITER_URL": "http://127.0.0.1:1",
    "LEDGER_URL": "http://127.0.0.1:1",
    "PORT": "1",
    "INSTANCE_PORT": "1",
    "STREAM_PARTITIONS": f"{PARTITIONS}",
    "LATCOM_URL": "http://127.0.0.1:1",
    "LATCOM_USERNAME": "u",
    "LATCOM_PASSWORD": "p",
    "LATCOM_DIST_API": "d",
    "LATCOM_USER_UID": "u",
}


def named(service: str) -> Instance:
    """Return one replica's name."""
    return identify(service, {}, started=0.0)


def test_each_partition_that_a_ledger_books_has_one() -> None:
    """It reads all of them at once."""
    ledger = Ledger(load(LedgerSettings, ENVIRON), named("ledger"), SystemClock())
    assert ledger._client.reads.connections_max == PARTITIONS


def test_each_partition_that_a_gateway_tails_has_one_and_its_keys_too() -> None:
    """Merchants may wait in all of them."""
    gateway = Gateway(load(GatewaySettings, ENVIRON), named("gateway"), SystemClock())
    assert gateway._client.reads.connections_max == PARTITIONS + 1


def test_each_lane_of_a_dispatcher_has_one_in_each_partition() -> None:
    """One server is asked for all partitions of a lane together, a cluster for each by itself."""
    settings = load(DispatcherSettings, ENVIRON)
    dispatcher = Dispatcher(settings, named("dispatcher"), SystemClock())
    assert dispatcher._client.reads.connections_max == len(settings.lanes) * PARTITIONS
