"""A base URL taken apart. PURE.

The configuration decides which hosts an environment may have; this only refuses what the transport could not send to
safely: clear text to anything but this machine, credentials inside a URL, a query or fragment.
"""

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from oms.errors import ConfigError

__all__ = ["Host", "parse_base_url"]


@dataclass(frozen=True, slots=True)
class Host:
    """Where requests go. `prefix` is part of every signed path."""

    scheme: str  # https, or http on loopback
    name: str  # host name or address, without brackets
    port: int
    prefix: str  # "/trade-api/v2", without a slash at its end


def parse_base_url(base_url: str) -> Host:
    """`https://host[:port]/prefix` in parts; ConfigError where it is not one that may be sent to."""
    try:
        parts = urlsplit(base_url)
        port = parts.port
    except ValueError:
        raise ConfigError(f"base_url {base_url!r} is not a URL") from None
    name = parts.hostname or ""
    if parts.scheme not in ("https", "http") or not name:
        raise ConfigError(f"base_url {base_url!r} is not an https URL")
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise ConfigError(f"base_url of host {name!r} may hold only scheme, host, port and path")
    if not name.isascii() or any(not 33 <= ord(char) < 127 for char in base_url):
        raise ConfigError(f"base_url {base_url!r} may hold printable ASCII only")
    if parts.scheme == "http" and not _is_loopback(name):
        raise ConfigError(f"base_url {base_url!r} would send signatures in clear text", hint="use https://")
    return Host(parts.scheme, name, port or (443 if parts.scheme == "https" else 80), parts.path.rstrip("/"))


def _is_loopback(name: str) -> bool:
    """A loopback *literal*: a name, even localhost, can be made to point elsewhere."""
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
