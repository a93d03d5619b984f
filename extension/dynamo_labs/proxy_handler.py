"""`<base>/dynamo-labs/api/*` → the backend's `/api/*`, behind Jupyter's own authentication."""

from jupyter_server.base.handlers import APIHandler
from tornado import web
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.iostream import StreamClosedError

from .backend_record import BackendAbsent, read_backend_record
from .unix_client import UnixHTTPClient

_PASSED_ON = ("Accept", "Content-Type", "Last-Event-ID")
_PASSED_BACK = {"content-type": "Content-Type", "retry-after": "Retry-After"}
_DOWN = "The Dynamo Labs backend does not answer. Run `npm run status` in the project folder; `npm start` starts it."


class BackendProxyHandler(APIHandler):
    """
    Streams the answer as it comes, keeps its status, and closes the way to the backend when the browser leaves.
    Not authenticated: 403 as JSON. Writes need Jupyter's XSRF token; other origins are refused (both by APIHandler).
    """

    # An open event stream is not activity: Jupyter may still end an idle server.
    _track_activity = False
    _client: UnixHTTPClient | None = None

    async def prepare(self) -> None:
        await super().prepare()
        # Requests for images or scripts carry no Origin; browsers still say where they come from.
        if self.request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
            raise web.HTTPError(403, "Requests from other origins are refused.")

    @web.authenticated
    async def get(self) -> None:
        await self._pass_on(None)

    @web.authenticated
    async def post(self) -> None:
        await self._pass_on(self.request.body)

    def on_connection_close(self) -> None:
        if self._client is not None:
            self._client.close()
        super().on_connection_close()

    def set_default_headers(self) -> None:
        super().set_default_headers()
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Accel-Buffering", "no")

    async def _pass_on(self, body: bytes | None) -> None:
        try:
            record = read_backend_record()
        except BackendAbsent as error:
            self.log.warning("Dynamo Labs: %s", error)
            return self._fail(502, "BACKEND_DOWN", _DOWN)
        self._client = UnixHTTPClient(record.socket)
        headers = {name: self.request.headers[name] for name in _PASSED_ON if name in self.request.headers}
        headers["Authorization"] = f"Bearer {record.token}"
        # Without it the backend may close before it has read the body, and writing that would fail.
        headers["Connection"] = "keep-alive"
        # Answers come as they are: the browser and the backend are on one machine.
        headers["Accept-Encoding"] = "identity"
        request = HTTPRequest(
            "http://backend" + self._backend_path(),
            method=self.request.method,
            headers=headers,
            body=body,
            connect_timeout=5,
            # Checks and event streams end in their own time; the backend has deadlines.
            request_timeout=0,
            follow_redirects=False,
            header_callback=self._take_header,
            streaming_callback=self._send_on,
        )
        try:
            response = await self._client.fetch(request)
        except (StreamClosedError, HTTPClientError):
            # Either side went away.
            response = None
        except OSError as error:
            self.log.warning("Dynamo Labs: %s: %s", record.socket, error)
            return self._fail(502, "BACKEND_DOWN", _DOWN)
        finally:
            self._client.close()
        browser = self.request.connection.stream
        if self._finished or browser.closed():
            return
        if response is not None and response.code != 599:
            await self.finish(set_content_type=self._headers.get("Content-Type", "application/json"))
        elif not self._headers_written:
            self._fail(502, "BACKEND_DOWN", _DOWN)
        else:
            # Half an answer must not look like a whole one.
            browser.close()

    def _backend_path(self) -> str:
        """The raw path, so that encoded characters stay as they are."""
        prefix = self.settings["base_url"].rstrip("/") + "/dynamo-labs"
        return self.request.uri.removeprefix(prefix)

    def _take_header(self, line: str) -> None:
        if line.startswith("HTTP/"):
            self.set_status(int(line.split()[1]))
            return
        name, _, value = line.partition(":")
        kept = _PASSED_BACK.get(name.strip().lower())
        if kept:
            self.set_header(kept, value.strip())

    async def _send_on(self, chunk: bytes) -> None:
        self.write(chunk)
        await self.flush()

    def _fail(self, status: int, code: str, message: str) -> None:
        self.set_status(status)
        self.finish({"error": {"code": code, "message": message}})
