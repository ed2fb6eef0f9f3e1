"""Acting out what an answer suffers on its way: on the connection itself, where HTTP has no word for it."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol

from oms.sandbox.wire import Form, Response

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Peer = tuple[str, int]


class Connections:
    """The open connections by the address of their peer, since ASGI does not hand them out."""

    def __init__(self) -> None:
        self._open: dict[Peer, asyncio.Transport] = {}
        self.protocol_class = self._watched_protocol()

    def _watched_protocol(self) -> type[asyncio.Protocol]:
        open_now = self._open

        class Watched(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
            client: Peer

            def connection_made(self, transport: asyncio.Transport) -> None:
                super().connection_made(transport)
                open_now[self.client] = transport

            def connection_lost(self, exc: Exception | None) -> None:
                open_now.pop(self.client, None)
                super().connection_lost(exc)

        return Watched

    def of(self, scope: Message) -> asyncio.Transport | None:
        """The connection a request came on, None once it is gone."""
        return self._open.get(tuple(scope["client"]))


async def deliver(response: Response, transport: asyncio.Transport | None, receive: Receive, send: Send) -> None:
    """Give the answer to the client the way `response.delivery` says."""
    if response.delivery.form is Form.WHOLE or transport is None:
        await _send_whole(response, send)
        return
    with contextlib.suppress(ConnectionError):
        await _send_damaged(response, transport)
    transport.close()
    # uvicorn must not answer for us: return to it only when it knows that the connection is gone.
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send_whole(response: Response, send: Send) -> None:
    headers = [(name.encode(), value.encode()) for name, value in response.headers]
    if response.status != 204:
        headers.append((b"content-length", str(len(response.body)).encode()))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})


async def _send_damaged(response: Response, transport: asyncio.Transport) -> None:
    delivery = response.delivery
    if delivery.form is Form.DROPPED:
        if delivery.reset:
            _reset(transport)
        return
    raw = _raw_head(response)
    if delivery.form is Form.CUT_HEADERS:
        # After the status line and in the middle of a header: many clients take this for a whole, empty answer.
        transport.write(raw[: raw.index(b"\r\n") + 8])
    elif delivery.form is Form.CUT_BODY:
        transport.write(raw + response.body[: delivery.keep_bytes])
    else:
        for byte in raw + response.body:
            if transport.is_closing():
                return
            transport.write(bytes((byte,)))
            await asyncio.sleep(delivery.pace_ms / 1000)


def _raw_head(response: Response) -> bytes:
    lines = [f"HTTP/1.1 {response.status} {HTTPStatus(response.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in response.headers]
    # The connection ends with this answer: a client that keeps connections must not send its next request on it.
    lines += [f"content-length: {len(response.body)}", "connection: close"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _reset(transport: asyncio.Transport) -> None:
    connection = transport.get_extra_info("socket")
    # Lingering for zero seconds makes the kernel send RST instead of FIN.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
