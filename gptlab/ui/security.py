"""What a web page from elsewhere must not do to an app on this machine: be reached by another name, or be written to.

A browser lets any page send requests to 127.0.0.1. Reading the answers is forbidden to it; sending is not.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

LOOPBACK = ("127.0.0.1", "localhost", "[::1]", "::1")


class SameOrigin:
    """Refuses (403) whatever changes something and was not sent by a page of this very host and port."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket") and not allowed(scope):
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
                return
            await PlainTextResponse("Refused: this request comes from another site.", 403)(scope, receive, send)
            return
        await self.app(scope, receive, send)


def allowed(scope: Scope) -> bool:
    """Whether a request only reads, or says that it comes from a page of this very host and port."""
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    if scope["type"] == "http" and scope["method"] in ("GET", "HEAD", "OPTIONS"):
        return True
    if headers.get("sec-fetch-site") in ("cross-site", "same-site"):
        return False
    return urlsplit(headers.get("origin", "")).netloc == headers.get("host")


def middleware(extra_hosts: list[str]) -> list[Middleware]:
    """For `launch(app_kwargs={"middleware": …})`: only known names for this machine, only our own pages."""
    return [Middleware(TrustedHostMiddleware, allowed_hosts=[*LOOPBACK, *extra_hosts]), Middleware(SameOrigin)]
