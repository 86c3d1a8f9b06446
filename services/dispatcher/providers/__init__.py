"""Which adapters there are, and how each is made of the dispatcher's settings."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from services.dispatcher.providers.adapter import Provider
from services.dispatcher.providers.dtone import Dtone, DtoneSettings
from services.dispatcher.providers.latcom import Latcom, LatcomSettings
from services.dispatcher.providers.reloadly import Reloadly, ReloadlySettings
from services.dispatcher.providers.sandbox import SandboxLatcom
from shared.contracts.errors import InvalidSettings


class ProviderSettings(Protocol):
    """What the adapters read of the dispatcher's settings."""

    @property
    def environment(self) -> str: ...
    @property
    def lanes(self) -> Sequence[str]: ...
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
    def reloadly_url(self) -> str: ...
    @property
    def reloadly_auth_url(self) -> str: ...
    @property
    def reloadly_client_id(self) -> str: ...
    @property
    def reloadly_client_secret(self) -> str: ...
    @property
    def reloadly_timeout_ms(self) -> int: ...
    @property
    def dtone_url(self) -> str: ...
    @property
    def dtone_api_key(self) -> str: ...
    @property
    def dtone_api_secret(self) -> str: ...
    @property
    def dtone_product_id(self) -> int | None: ...
    @property
    def dtone_timeout_ms(self) -> int: ...
    @property
    def sandbox_dedupes(self) -> bool: ...
    @property
    def sandbox_inquiry(self) -> bool: ...


def providers(settings: ProviderSettings) -> dict[str, Provider]:
    """Return the adapter of each lane by its name; none of them has opened anything.

    Raises:
        InvalidSettings: an adapter cannot be made of these.
    """
    return {name: ADAPTERS[name](settings) for name in settings.lanes}


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


def reloadly(settings: ProviderSettings) -> Provider:
    """Return Reloadly."""
    return Reloadly(
        ReloadlySettings(
            url=settings.reloadly_url,
            auth_url=settings.reloadly_auth_url,
            client_id=settings.reloadly_client_id,
            client_secret=settings.reloadly_client_secret,
            timeout_ms=settings.reloadly_timeout_ms,
        )
    )


def dtone(settings: ProviderSettings) -> Provider:
    """Return DT One."""
    return Dtone(
        DtoneSettings(
            url=settings.dtone_url,
            api_key=settings.dtone_api_key,
            api_secret=settings.dtone_api_secret,
            product_id=settings.dtone_product_id or 0,  # without it there is no such lane
            timeout_ms=settings.dtone_timeout_ms,
        )
    )


ADAPTERS: Final[Mapping[str, Callable[[ProviderSettings], Provider]]] = {
    "LATCOM": latcom,
    "RELOADLY": reloadly,
    "DTONE": dtone,
}
