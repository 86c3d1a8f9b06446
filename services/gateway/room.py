"""How many requests of merchants this gateway answers at once; one more is refused on the spot.

What waits in a gateway waits in here: the batches, the sockets to peers and the streams never hold
more callers than there are places.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from services.gateway import metrics
from services.gateway.refusals import Unavailable


class Room:
    """So many places; who waits for a topup's end needs none meanwhile."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._taken = 0
        metrics.IN_FLIGHT.set_function(lambda: self._taken)

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place.

        Raises:
            Unavailable: all are taken; nothing was done.
        """
        if self._taken >= self._places:
            raise Unavailable(
                "Nothing was accepted: too many requests at once. "
                "Repeat it later, with the same Idempotency-Key"
            )
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1
