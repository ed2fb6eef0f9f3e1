"""Who is told of what happens to orders: the settings under [hooks]. PURE.

The webhook's address may be a secret (many services put a token into its path): it is never shown whole.
"""

import json
import re
from dataclasses import dataclass, field

from oms.config.hosts import loopback_literal
from oms.config.values import BadValue, looks_secret, text

EVENTS = ("in_doubt", "parked", "break", "halt", "refused", "filled")

# No user, no fragment, no escapes of our own making: nothing that two parsers could read differently.
_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9a-f:.]+\]|[0-9a-zA-Z.-]+)(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<target>(?:/[!$%&'()*+,./0-9:;=@A-Z_a-z~-]*)?(?:\?[!$%&'()*+,./0-9:;=?@A-Z_a-z~-]*)?)"
)
_EXPECTED_URL = "https://host/path, or http:// to a loopback address such as http://127.0.0.1:8080/hook"
_EXPECTED_COMMAND = 'a list such as ["notify.sh", "--verbose"]: a program and its arguments, no shell'
_EXPECTED_EVENTS = f"a list of {', '.join(EVENTS)}"


@dataclass(frozen=True, slots=True)
class HooksConfig:
    """Who is told, and of what; nobody where both are empty."""

    on_event: tuple[str, ...] = ()  # a program and its arguments
    webhook: str = field(default="", repr=False)
    events: tuple[str, ...] = EVENTS

    @property
    def is_silent(self) -> bool:
        """Whether nobody is told anything."""
        return not (self.on_event or self.webhook) or not self.events


def command(value: object, is_text: bool) -> tuple[str, ...]:
    """A program with its arguments; [] is none."""
    words = _words(value, is_text, _EXPECTED_COMMAND)
    if words and not words[0]:
        raise BadValue(_EXPECTED_COMMAND)
    return words


def events(value: object, is_text: bool) -> tuple[str, ...]:
    """Kinds of events, in our order."""
    given = value.replace(" ", "").split(",") if is_text and isinstance(value, str) and "[" not in value else value
    words = _words(given, is_text and given is value, _EXPECTED_EVENTS)
    if not set(words) <= set(EVENTS):
        raise BadValue(_EXPECTED_EVENTS)
    return tuple(word for word in EVENTS if word in words)


def webhook(value: object, is_text: bool) -> str:
    """An address; "" is none."""
    given = text(value, is_text)
    match = _URL.fullmatch(given)
    if given and (match is None or not 1 <= int(match["port"] or 443) <= 65535):
        raise BadValue(_EXPECTED_URL)
    if match is None:
        return ""
    if match["scheme"] == "http" and loopback_literal(match["host"].lower()) is None:
        raise BadValue(_EXPECTED_URL)
    return given


def shown(value: object) -> str:
    """One of these settings for `oms config show`."""
    if isinstance(value, tuple):
        words = json.dumps(list(value))
        return "(not shown: it looks like a secret)" if looks_secret(words) else words
    match = _URL.fullmatch(str(value))
    return f"{match['scheme']}://{match['host']}/****" if match is not None else ""


def _words(value: object, is_text: bool, expected: str) -> tuple[str, ...]:
    if is_text and isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            raise BadValue(expected) from None
    if not isinstance(value, list) or not all(isinstance(word, str) and "\0" not in word for word in value):
        raise BadValue(expected)
    return tuple(value)
