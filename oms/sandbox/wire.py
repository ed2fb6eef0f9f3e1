"""What comes in and what goes out: requests, responses, and how a response is carried to the client.

A response says by its `Delivery` what the network does to it, so that a fault is decided inside the
exchange and only acted out by the shell (or, without HTTP, read by a simulation).
"""

from collections.abc import Mapping
from enum import Enum

import msgspec

PREFIX = "/trade-api/v2"


class Request(msgspec.Struct, frozen=True):
    """One HTTP request: `path` as on the request line (percent-encoded, with the prefix, without the query)."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = {}  # names in lower case
    body: bytes = b""

    def first(self, name: str) -> str | None:
        """The first non-empty value of a query parameter (an empty one means: not given)."""
        return next((value for key, value in self.query if key == name and value), None)

    def every(self, name: str) -> list[str]:
        """All values of a query parameter, repeated or comma-separated."""
        return [part for key, value in self.query if key == name for part in value.split(",") if part]


class Form(Enum):
    """How the answer travels."""

    WHOLE = "whole"
    DROPPED = "dropped"  # the connection ends without a byte of an answer
    CUT_HEADERS = "cut_headers"  # the connection ends within the headers, after the status line
    CUT_BODY = "cut_body"  # the headers promise more than arrives
    TRICKLED = "trickled"  # one byte at a time


class Delivery(msgspec.Struct, frozen=True):
    """The way to the client: `wait_ms` passes first, then the answer travels as `form` says."""

    form: Form = Form.WHOLE
    wait_ms: int = 0
    keep_bytes: int = 0  # CUT_BODY: this much of the body arrives
    pace_ms: int = 0  # TRICKLED: time between two bytes
    reset: bool = False  # DROPPED: by RST instead of FIN


WHOLE = Delivery()


class Response(msgspec.Struct, frozen=True):
    """One HTTP response and its delivery."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    delivery: Delivery = WHOLE


_encode = msgspec.json.Encoder().encode


def json_response(status: int, document: object) -> Response:
    """A JSON answer."""
    return Response(status, _encode(document), (("content-type", "application/json"),))
