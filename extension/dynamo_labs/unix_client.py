"""tornado's HTTP client over a Unix socket, with a connection that can be cut at any time."""

import socket
from contextlib import suppress

from tornado.iostream import IOStream
from tornado.simple_httpclient import SimpleAsyncHTTPClient


class UnixHTTPClient:
    """One client for one request. `close()` cuts the connection, also between two chunks of a long answer."""

    def __init__(self, socket_path: str) -> None:
        self._socket_path = socket_path
        self._stream: IOStream | None = None
        self._closed = False
        self._http = SimpleAsyncHTTPClient(force_instance=True)
        self._http.tcp_client = self

    async def fetch(self, request):
        return await self._http.fetch(request, raise_error=False)

    async def connect(self, *_args, max_buffer_size=None, **_kwargs) -> IOStream:
        """Called by tornado in place of TCPClient.connect; host and port mean nothing here."""
        self._stream = IOStream(socket.socket(socket.AF_UNIX), max_buffer_size=max_buffer_size)
        await self._stream.connect(self._socket_path)
        if self._closed:
            self._stream.close()
        return self._stream

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._stream is not None:
            self._stream.close()
        with suppress(OSError):
            self._http.close()
