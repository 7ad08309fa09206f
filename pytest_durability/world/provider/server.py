"""The slow way in proves the quick ones: real sockets on 127.0.0.1, for programs in any language and for real resets.

Rule: it never sleeps and never outlives the provider; a broken stream is broken by the system (a reset by SO_LINGER, a
silent peer by silence), so a stalled answer ends by the client's own timeout.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
from _thread import allocate_lock
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, BinaryIO

from pytest_durability.world.provider.exchange import Exchange

if TYPE_CHECKING:
    from pytest_durability.world.provider.provider import Provider

_LIMIT = 64 * 1024 * 1024
_RESET = struct.pack("ii", 1, 0)
_REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 409: "Conflict", 429: "Too Many Requests"}


class Server:
    """Serves a provider on a free port of 127.0.0.1 until `close`; each connection has a thread of its own."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._process = os.getpid()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._port = self._listener.getsockname()[1]
        self._connections: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._lock = allocate_lock()
        self._closed = False
        self._start(self._accept)

    @property
    def url(self) -> str:
        """Where it listens; no slash at the end."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def foreign(self) -> bool:
        """Whether it was started by a parent process, whose threads are not here."""
        return self._process != os.getpid()

    def close(self) -> None:
        """Close everything, and wait for the threads; in a forked child, only let go of what the parent serves."""
        if self.foreign:
            for inherited in (self._listener, *self._connections):
                inherited.close()
            return
        with self._lock:
            self._closed = True
            connections = list(self._connections)
        _shut(self._listener)
        for connection in connections:
            _shut(connection)
        for thread in self._threads:
            thread.join()

    def _start(self, target: Callable[..., None], *args: Any) -> None:
        thread = threading.Thread(target=target, args=args, name="durability-provider", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with self._listener:
            while True:
                try:
                    connection, _ = self._listener.accept()
                except OSError:  # shut: the only way this ends
                    return
                with self._lock:
                    if self._closed:
                        connection.close()
                        return
                    self._connections.add(connection)
                self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        """Answer the requests of one connection until it ends or is broken."""
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        reader = connection.makefile("rb")
        try:
            # A client that hangs up is no failure of the server, and everything it was sent is noted already.
            with contextlib.suppress(OSError, ValueError):
                while self._answer(connection, _Incoming(reader)):
                    pass
        finally:
            with self._lock:
                self._connections.discard(connection)
            with contextlib.suppress(OSError):
                reader.close()
            connection.close()

    def _answer(self, connection: socket.socket, incoming: _Incoming) -> bool:
        """Answer one request; false if the connection is over."""
        if not incoming.read(connection):
            return False
        exchange = self._provider.receive(incoming.method, incoming.path, incoming.headers, incoming.body)
        if not exchange.answer.position.answered:
            exchange.finish()
            return _broken(connection, exchange.breaks)
        try:
            connection.sendall(_head(exchange))
            for part in exchange.parts():
                connection.sendall(b"%x\r\n%b\r\n" % (len(part), part))
        except OSError:
            exchange.leave()
            raise
        if exchange.breaks not in ("", "eof"):
            return _broken(connection, exchange.breaks)
        connection.sendall(b"0\r\n\r\n")
        return incoming.headers.get("connection", "").lower() != "close"


class _Incoming:
    """One HTTP/1.1 request, read from a connection."""

    def __init__(self, reader: BinaryIO) -> None:
        self._reader = reader
        self.method = self.path = ""
        self.headers: dict[str, str] = {}
        self.body = b""

    def read(self, connection: socket.socket) -> bool:
        """Read it; false if the client has hung up.

        Raises:
            ValueError: it is no HTTP/1.1 request.
        """
        line = self._line()
        if not line:
            return False
        self.method, self.path, _ = line.split(" ", 2)
        while line := self._line():
            name, _, value = line.partition(":")
            self.headers[name.strip().lower()] = value.strip()
        if self.headers.get("expect", "").lower() == "100-continue":
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        if self.headers.get("transfer-encoding", "").lower() == "chunked":
            self.body = self._chunks()
        else:
            self.body = self._exactly(int(self.headers.get("content-length", "0")))
        return True

    def _line(self) -> str:
        return self._reader.readline(_LIMIT).decode("latin-1").rstrip("\r\n")

    def _exactly(self, size: int) -> bytes:
        if not 0 <= size <= _LIMIT:
            raise ValueError(f"a body of {size} bytes")
        return self._reader.read(size)

    def _chunks(self) -> bytes:
        chunks = []
        while size := int(self._line().partition(";")[0], 16):
            chunks.append(self._exactly(size))
            self._line()
        while self._line():
            pass
        return b"".join(chunks)


def _head(exchange: Exchange) -> bytes:
    answer = exchange.answer
    headers: Mapping[str, str] = {**answer.headers, "transfer-encoding": "chunked"}
    lines = [
        f"HTTP/1.1 {answer.status} {_REASONS.get(answer.status, 'Status')}",
        *(f"{name}: {headers[name]}" for name in headers),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _broken(connection: socket.socket, how: str) -> bool:
    """Break a connection: by a reset, by closing it in the middle, or by saying nothing until the client gives up."""
    if how == "reset":
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    elif how in ("timeout", "stall"):
        while connection.recv(65536):
            pass
    return False


def _shut(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
