"""A server on this machine for tests of downloads: one that can be told to cut, to wait, to change and to refuse."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Site(ThreadingHTTPServer):
    """Serves `content` under every address, with ranges. `cuts` says after how many bytes the next connections end; until
    `goes_on` is set each gives half of what it will, or nothing of a rest. `asked` has (path, Range, If-Range) of each."""

    def __init__(self, content: bytes):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.etag, self.cuts, self.status = content, '"one"', [], 200
        self.kind, self.location, self.asked, self.goes_on = "text/plain", None, [], threading.Event()
        self.says_length = True
        self.goes_on.set()
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/text.txt"

    def handle_error(self, *_):
        pass  # a client that hung up, as some tests want


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        site, wanted = self.server, self.headers.get("Range")
        site.asked.append((self.path, wanted, self.headers.get("If-Range")))
        if site.location and self.path == "/text.txt":
            self.send_response(302)
            self.send_header("Location", site.location)
            self.send_header("Content-Length", "0")
            return self.end_headers()
        if site.status != 200:
            return self.send_error(site.status)
        first = int(wanted[6:-1]) if wanted and self.headers["If-Range"] == site.etag else 0
        if first >= len(site.content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(site.content)}")
            return self.end_headers()
        self.send_response(206 if first else 200)
        if first:
            self.send_header("Content-Range", f"bytes {first}-{len(site.content) - 1}/{len(site.content)}")
        if site.etag:
            self.send_header("ETag", site.etag)
        self.send_header("Content-Type", site.kind)
        if site.says_length:
            self.send_header("Content-Length", str(len(site.content) - first))
        self.end_headers()
        last = first + site.cuts.pop(0) if site.cuts else len(site.content)
        half = first or last // 2  # what is sent before `goes_on`
        self.wfile.write(site.content[first:half])
        self.wfile.flush()
        site.goes_on.wait(30)
        self.wfile.write(site.content[half:last])
