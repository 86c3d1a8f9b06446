"""Which adapters there are, and how each is made of the dispatcher's settings."""

from collections.abc import Callable, Mapping
from typing import Final, Protocol

from services.dispatcher.providers.adapter import Provider
from services.dispatcher.providers.latcom import Latcom, LatcomSettings
from services.dispatcher.providers.sandbox import SandboxLatcom
from shared.contracts.errors import InvalidSettings


class ProviderSettings(Protocol):
    """What the adapters read of the dispatcher's settings."""

    @property
    def environment(self) -> str: ...
    @property
    def latcom_url(self) -> str: ...
    @property
    def latcom_username(self) -> str: ...
    @property
    def latcom_password(self) -> str: ...
    @property
    def latcom_dist_api(self) -> str: ...
    @property
    def latcom_user_uid(self) -> str: ...
    @property
    def latcom_timeout_ms(self) -> int: ...
    @property
    def latcom_token_life_ms(self) -> int: ...
    @property
    def sandbox_dedupes(self) -> bool: ...
    @property
    def sandbox_inquiry(self) -> bool: ...


def providers(settings: ProviderSettings) -> dict[str, Provider]:
    """Return every adapter by its name; none of them has opened anything.

    Raises:
        InvalidSettings: an adapter cannot be made of these.
    """
    return {name: make(settings) for name, make in ADAPTERS.items()}


def latcom(settings: ProviderSettings) -> Provider:
    """Return LATCOM, or the sandbox in its place where it can do more than LATCOM."""
    access = LatcomSettings(
        url=settings.latcom_url,
        username=settings.latcom_username,
        password=settings.latcom_password,
        dist_api=settings.latcom_dist_api,
        user_uid=settings.latcom_user_uid,
        timeout_ms=settings.latcom_timeout_ms,
        token_life_ms=settings.latcom_token_life_ms,
    )
    if not (settings.sandbox_dedupes or settings.sandbox_inquiry):
        return Latcom(access)
    if settings.environment == "production":
        raise InvalidSettings(
            "SANDBOX_DEDUPES and SANDBOX_INQUIRY are not for production; "
            "leave them out, or for example ENVIRONMENT=development"
        )
    return SandboxLatcom(access, dedupes=settings.sandbox_dedupes, inquiry=settings.sandbox_inquiry)


ADAPTERS: Final[Mapping[str, Callable[[ProviderSettings], Provider]]] = {"LATCOM": latcom}
