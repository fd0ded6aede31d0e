"""An upload that would not fit on the disk is refused before anything of it is written, with a sentence that the page shows."""

from __future__ import annotations

import shutil
from pathlib import Path

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from gptlab.ui import words

SPARE_BYTES = 256 * 2**20  # for what trains and saves meanwhile
INSUFFICIENT_STORAGE = 507  # page.js shows what comes with it


class Room:
    """Refuses uploads that are larger than what is free in `folder`."""

    def __init__(self, app: ASGIApp, folder: Path):
        self.app, self.folder = app, folder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST" and scope["path"].endswith("/upload"):
            size = int(dict(scope["headers"]).get(b"content-length", b"0"))
            free = shutil.disk_usage(self.folder).free
            if size + SPARE_BYTES > free:
                while (await receive()).get("more_body"):  # a browser that is answered while it sends sees no answer
                    pass
                answer = words.NO_ROOM.format(size=f"{size / 1e6:,.0f} MB", free=f"{max(0, free - SPARE_BYTES) / 1e6:,.0f} MB")
                await PlainTextResponse(answer, INSUFFICIENT_STORAGE)(scope, receive, send)
                return
        await self.app(scope, receive, send)
