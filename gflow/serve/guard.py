"""Who may ask: this machine's own browser, with the token that was printed at the start."""

from base64 import b64encode
from hashlib import sha256
from secrets import compare_digest, token_urlsafe
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

NAMES = ("127.0.0.1", "localhost")
"""What this machine is called by a browser on it; any other name may be a foreign site's."""
HEADER = "x-gflow-token"
WRITES = ("POST",)
READS = ("GET", "HEAD")


def new_token() -> str:
    """A token that nobody can guess."""
    return token_urlsafe(32)


class Guard:
    """Lets requests through that come from here and know the token, and closes answers up.

    Reads need the token as a cookie, which a visit with `?token=` sets, or as the header; what
    changes anything needs the header, which no other site can send.

    Args:
        app: What answers.
        token: The token.
        scripts: Scripts that stand in pages; no other runs.
    """

    def __init__(self, app: ASGIApp, token: str, scripts: tuple[str, ...] = ()) -> None:
        self.app, self.token = app, token
        hashes = " ".join(
            f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'" for script in scripts
        )
        policy = (
            f"default-src 'none'; script-src 'self' {hashes}; style-src 'self' 'unsafe-inline'; "
            "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
            "frame-ancestors 'none'"
        )
        self.headers = {
            "content-security-policy": policy,
            "cache-control": "no-store",
            "referrer-policy": "no-referrer",
            "x-content-type-options": "nosniff",
            "cross-origin-resource-policy": "same-origin",
            "cross-origin-opener-policy": "same-origin",
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            return

        async def closed(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = [(k.encode(), v.encode()) for k, v in self.headers.items()]
                message = {**message, "headers": [*message["headers"], *own]}
            await send(message)

        answer = self.refusal(Request(scope))
        if answer is not None:
            await answer(scope, receive, closed)
        else:
            await self.app(scope, receive, closed)

    def refusal(self, request: Request) -> Response | None:
        """What is answered in place of the page; nothing if the request may pass."""
        if _name(request.headers.get("host", "")) not in NAMES:
            return _no(421, "Only requests to 127.0.0.1 or localhost are answered.")
        origin = request.headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != request.headers["host"]:
            return _no(403, "Requests of pages from elsewhere are refused.")
        if request.method in WRITES:
            if not self._is_token(request.headers.get(HEADER, "")):
                return _no(403, f"What changes a run needs the token in the header {HEADER}.")
            return None
        if request.method not in READS:
            return _no(405, "Only GET, HEAD and POST are answered.")
        given = request.query_params.get("token")
        if given is not None and self._is_token(given):
            return self._welcome(request)
        cookie = request.cookies.get(cookie_name(request), "")
        if self._is_token(request.headers.get(HEADER, "")) or self._is_token(cookie):
            return None
        return _no(
            403, "Open the address that `gflow serve` printed: the token in it is asked for once."
        )

    def _is_token(self, given: str) -> bool:
        return compare_digest(given.encode(), self.token.encode())

    def _welcome(self, request: Request) -> Response:
        """The same page without the token in its address, and the cookie."""
        # Not `//host`, which would lead elsewhere.
        answer = RedirectResponse("/" + request.url.path.lstrip("/"), 303)
        answer.set_cookie(
            cookie_name(request), self.token, httponly=True, samesite="strict", path="/"
        )
        return answer


def cookie_name(request: Request) -> str:
    """Browsers share cookies between ports, and several may be served."""
    return f"gflow_{urlsplit('//' + request.headers['host']).port or 80}"


def _name(host: str) -> str:
    """The name in a header `Host`; empty if it is damaged."""
    try:
        parts = urlsplit("//" + host)
        parts.port  # noqa: B018  (raises where it is no number)
    except ValueError:
        return ""
    plain = parts.netloc == host and "@" not in host
    return (parts.hostname or "") if plain else ""


def _no(code: int, text: str) -> Response:
    return PlainTextResponse(text + "\n", code)
