"""Where a provider is: credentials travel there, so never in the open."""

from ipaddress import ip_address

from yarl import URL

from shared.contracts.errors import InvalidSettings


def provider_url(text: str, variable: str) -> URL:
    """Return the address that the variable holds.

    Raises:
        InvalidSettings: not a URL, or plain http to another machine.
    """
    example = f"for example {variable}=https://provider.example"
    try:
        url = URL(text)
        (url.host or "").encode("idna")  # what name resolution does, and would fail at each time
    except ValueError:
        raise InvalidSettings(f"{variable} is not a URL; {example}") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise InvalidSettings(f"{variable} is not an http or https URL; {example}")
    if url.user or url.password or url.query_string or url.fragment:
        raise InvalidSettings(f"{variable} has more than a host and a path; {example}")
    if url.scheme == "http" and not is_loopback(url):
        raise InvalidSettings(f"{variable} is plain http to another machine; {example}")
    return url


def is_loopback(url: URL) -> bool:
    """Tell whether the URL stays on this machine."""
    host = url.host or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
