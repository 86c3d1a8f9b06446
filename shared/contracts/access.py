"""What a provider's lane needs: its address and its logins, by the variables that hold them."""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

import msgspec


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """One provider's variables; the lane exists where `url` and all of `login` are set."""

    url: str
    login: tuple[str, ...]
    more: tuple[str, ...] = ()
    """Further addresses, which have a value of their own."""

    @property
    def variables(self) -> tuple[str, ...]:
        """Return all of them: of these no service but the dispatcher may know."""
        return (self.url, *self.login, *self.more)


ACCESS: Final[Mapping[str, Access]] = {
    "LATCOM": Access(
        url="LATCOM_URL",
        login=("LATCOM_USERNAME", "LATCOM_PASSWORD", "LATCOM_DIST_API", "LATCOM_USER_UID"),
    ),
    "RELOADLY": Access(
        url="RELOADLY_URL",
        login=("RELOADLY_CLIENT_ID", "RELOADLY_CLIENT_SECRET"),
        more=("RELOADLY_AUTH_URL",),
    ),
    "DTONE": Access(
        url="DTONE_URL",
        login=("DTONE_API_KEY", "DTONE_API_SECRET", "DTONE_PRODUCT_ID"),
    ),
}


def set_up(is_set: Callable[[str], bool]) -> list[str]:
    """Return the providers of which anything is set."""
    return [
        provider
        for provider, access in ACCESS.items()
        if any(is_set(name) for name in (access.url, *access.login))
    ]


def missing(is_set: Callable[[str], bool]) -> Iterator[str]:
    """Yield one line for each provider of which only a part is set."""
    for provider in set_up(is_set):
        access = ACCESS[provider]
        names = [name for name in (access.url, *access.login) if not is_set(name)]
        if names:
            example = f"{names[0]}={'https://provider.example' if names[0] == access.url else '…'}"
            yield f"{', '.join(names)} must be set for {provider}; for example {example}"
