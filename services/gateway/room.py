"""How many requests of merchants this gateway answers at once; one more is refused on the spot.

What waits in a gateway waits in here: the batches, the sockets to peers and the streams never hold
more callers than there are places.
"""

from services.gateway import metrics
from services.gateway.refusals import Unavailable


class Room:
    """So many places: `with` holds one; who waits for a topup's end needs none meanwhile.

    Raises:
        Unavailable: all are taken; nothing was done.
    """

    def __init__(self, places: int) -> None:
        self._places = places
        self._taken = 0
        metrics.IN_FLIGHT.set_function(lambda: self._taken)

    def __enter__(self) -> None:
        """Hold a place."""
        if self._taken >= self._places:
            raise Unavailable(
                "Nothing was accepted: too many requests at once. "
                "Repeat it later, with the same Idempotency-Key"
            )
        self._taken += 1

    def __exit__(self, *_: object) -> None:
        """Give it back."""
        self._taken -= 1
