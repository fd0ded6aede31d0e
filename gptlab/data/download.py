"""Fetching a text of the catalogue: resumed where it was left, checked, and there as a whole or not at all.

A file grows as `NAME.part`, beside a note of what it is a part of (`NAME.part.json`); it gets its name when it is whole and its
checksum right. Proxies are taken from the environment. Knows nothing of pages and runs.
"""

from __future__ import annotations

import errno
import hashlib
import http.client
import json
import os
import shutil
import time
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from gptlab.data.catalog import LOOPBACK, Entry, File
from gptlab.data.errors import DataError
from gptlab.data.room import SPARE_BYTES

TIMEOUT_SECONDS = 30.0        # of silence, after which a connection counts as cut
BLOCK_BYTES = 2**16
CUTS_IN_A_ROW = 3             # connections that end before anything came, after which it is given up
PAUSE_SECONDS = 1.0           # before a cut connection is tried again
RATE_SECONDS = 8.0            # over which the rate is measured
SECONDS_BETWEEN_TELLING = 0.2
NO_MORE_RANGE = 416
GONE = (404, 410)
BUSY = (429, 503)


@dataclass(frozen=True)
class Arriving:
    """How far a download is. `total_bytes` is what the catalogue says until the server tells; the rate is None at first."""

    done_bytes: int
    total_bytes: int
    bytes_per_second: float | None = None

    @property
    def seconds_left(self) -> float | None:
        """At the rate of now; None where that is not known."""
        if not self.bytes_per_second:
            return None
        return max(0, self.total_bytes - self.done_bytes) / self.bytes_per_second


def fetch(entry: Entry, downloads: Path, tell: Callable[[Arriving], None] = lambda arriving: None) -> list[Path]:
    """The files of `entry` below the folder `downloads`, fetched unless they are there; what a fetch before this one left is
    gone on with. `tell` hears a few times a second how far it is. Raises DataError: one sentence that says what to do.
    """
    paths = entry.paths(downloads)
    meter = _Meter(tell, {path: file.bytes for file, path in zip(entry.files, paths)})
    try:
        for file, path in zip(entry.files, paths):
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                _fetch_file(entry, file, path, meter)
            meter.whole(path)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise DataError(f"The disk of {downloads} became full, and what had come of {entry.title} was deleted: free some "
                            "space, then download it again.") from error
        raise DataError(f"{downloads} cannot be written to ({error.strerror or error}): choose another workspace.") from error
    return paths


class _Meter:
    """Adds up what has come of all files, and tells of it."""

    def __init__(self, tell: Callable[[Arriving], None], sizes: dict[Path, int]):
        self._tell, self._sizes, self._done = tell, sizes, dict.fromkeys(sizes, 0)
        self._recent: deque[tuple[float, int]] = deque()  # (time, bytes come), of the last RATE_SECONDS
        self._told = 0.0

    def begin(self, path: Path, have: int, size: int | None) -> None:
        """A connection is there: so much of the file came before, and that says nothing of the rate."""
        self._done[path], self._sizes[path] = have, size or self._sizes[path]
        self._recent.clear()
        self.add(path, 0)

    def add(self, path: Path, count: int) -> None:
        """So many bytes more have come."""
        self._done[path] += count
        now, done = time.monotonic(), sum(self._done.values())
        self._recent.append((now, done))
        while now - self._recent[0][0] > RATE_SECONDS:
            self._recent.popleft()
        if now - self._told >= SECONDS_BETWEEN_TELLING:
            self._told = now
            before, had = self._recent[0]
            rate = (done - had) / (now - before) if now - before > 0.5 else None
            self._tell(Arriving(done, max(done, sum(self._sizes.values())), rate))

    def whole(self, path: Path) -> None:
        """The file is there."""
        self._done[path] = self._sizes[path] = path.stat().st_size
        self._tell(Arriving(sum(self._done.values()), sum(self._sizes.values())))


class _Cut(Exception):
    """A connection failed or ended before the file did; its words are what to say if no other try helps."""


def _fetch_file(entry: Entry, file: File, path: Path, meter: _Meter) -> None:
    """Once something came, connects again, each time for the rest, until the file is whole or nothing comes any more."""
    part, cuts, came = path.with_name(f"{path.name}.part"), 0, False
    while True:
        had = _size(part)
        try:
            _fetch_rest(entry, file, path, part, meter)
            break
        except _Cut as cut:
            grown = _size(part) > had
            came, cuts = came or grown, 0 if grown else cuts + 1
            if not came or cuts >= CUTS_IN_A_ROW:
                raise DataError(str(cut)) from cut
            time.sleep(PAUSE_SECONDS)
    _check(entry, file, part)
    os.replace(part, path)
    _note(part).unlink(missing_ok=True)


def _fetch_rest(entry: Entry, file: File, path: Path, part: Path, meter: _Meter) -> None:
    """One connection: what is missing of `part`, or all of it where the file has changed since or the server gives no rests.

    Raises _Cut where it ended too soon, DataError where another try would not help.
    """
    have, validator = _left(file, part)
    request = urllib.request.Request(file.address, headers={"User-Agent": "GPT-Lab", "Accept-Encoding": "identity"})
    if have:
        request.add_header("Range", f"bytes={have}-")
        request.add_header("If-Range", validator)
    response = _open(entry, file, request, part)
    if response is None:
        if not part.exists():
            _fetch_rest(entry, file, path, part, meter)
        return
    with response:
        length = response.headers.get("Content-Length") or ""
        goes_on = response.status == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        if response.status == 206 and not goes_on:
            _delete(part)
            raise _Cut(_ended(entry, file, "it gave another part than was asked for"))
        if response.headers.get_content_type() == "text/html" and file.suffix not in (".html", ".htm"):
            raise DataError(f"{_host(file)} answered with a web page instead of {entry.title}: if this network asks to sign in, "
                            f"do that in a browser first; else {_by_hand(entry)}.")
        have = have if goes_on else 0
        total = have + int(length) if length.isdigit() else None if file.about else file.bytes
        _check_space(entry, path.parent, (total or file.bytes) - have)
        if not goes_on:
            part.write_bytes(b"")
            note = {"address": file.address, "validator": _validator(response.headers)}
            _note(part).write_text(json.dumps(note), encoding="utf-8")
        meter.begin(path, have, total)
        _append(entry, file, response, part, lambda count: meter.add(path, count))
        if total is not None and _size(part) < total:
            raise _Cut(_ended(entry, file, f"{_size(part):,} of {total:,} bytes came"))


def _append(entry: Entry, file: File, response: http.client.HTTPResponse, part: Path, came: Callable[[int], None]) -> None:
    """All that a connection gives, at the end of `part`. Raises _Cut."""
    try:
        with open(part, "ab") as out:
            while True:
                try:
                    block = response.read1(BLOCK_BYTES)
                except (OSError, http.client.HTTPException) as error:  # a timeout is an OSError
                    raise _Cut(_ended(entry, file, str(error) or type(error).__name__)) from error
                if not block:
                    break
                out.write(block)
                came(len(block))
            out.flush()
            os.fsync(out.fileno())
    except OSError as error:
        if error.errno == errno.ENOSPC:  # for what else is written here, too: a training's checkpoints
            _delete(part)
        raise


def _open(entry: Entry, file: File, request: urllib.request.Request, part: Path) -> http.client.HTTPResponse | None:
    """The answer to a request; None where the server has nothing beyond the part: it is whole, or longer than the file, so that it
    is of another and is deleted.

    Raises _Cut where nobody answers, DataError for an answer that is none.
    """
    handlers: list[urllib.request.BaseHandler] = [_Redirects()]
    host = _host(file)
    if host in LOOPBACK:  # this machine is reached without a proxy
        handlers.append(urllib.request.ProxyHandler({}))
    try:
        return urllib.request.build_opener(*handlers).open(request, timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == NO_MORE_RANGE and request.has_header("Range"):
            if error.headers.get("Content-Range") != f"bytes */{_size(part)}":
                _delete(part)
            return None
        raise DataError(_refused(entry, host, error.code)) from error
    except (OSError, http.client.HTTPException) as error:  # URLError is an OSError
        cause = getattr(error, "reason", None) or error
        reason = getattr(cause, "strerror", None) or cause
        if not host:
            raise DataError(f"{file.address} cannot be read ({reason}): check the address in the catalogue.") from error
        raise _Cut(f"{host} cannot be reached ({reason}): check the connection, or {_by_hand(entry)}.") from error


def _refused(entry: Entry, host: str, status: int) -> str:
    """What to do where a server answers with an error."""
    if status in GONE:
        return (f"{entry.title} is no longer at {host} (HTTP {status}): look for it on {entry.home}, download it in a browser, and "
                "choose that file.")
    if status in BUSY:
        return f"{host} is too busy to give {entry.title} now (HTTP {status}): try again in some minutes."
    return f"{host} does not give {entry.title} (HTTP {status}): try again later, or {_by_hand(entry)}."


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows to https only, and on this machine to this machine; the range that was asked for goes along."""

    def redirect_request(self, request, fp, code, message, headers, address):
        target, here = urlsplit(address), urlsplit(request.full_url).hostname
        if target.scheme != "https" and not (target.scheme == "http" and target.hostname in LOOPBACK and here in LOOPBACK):
            raise DataError(f"{here} leads on to {address}, which is not safe to download from: "
                            "download the text in a browser, and choose that file.")
        return super().redirect_request(request, fp, code, message, headers, address)


def _left(file: File, part: Path) -> tuple[int, str]:
    """(bytes that an earlier fetch left, what tells whether the file is still the same), or (0, "") to begin anew."""
    try:
        note = json.loads(_note(part).read_text(encoding="utf-8"))
        if note["address"] == file.address and isinstance(note["validator"], str):
            return _size(part), note["validator"]
    except (OSError, ValueError, KeyError, TypeError):
        pass  # no note, or a torn one: what the part is of is not known
    return 0, ""


def _validator(headers) -> str | None:
    """What says later whether the file is still the same: a strong ETag, else its date (RFC 9110, 13.1.5)."""
    tag = headers.get("ETag")
    return tag if tag and not tag.startswith("W/") else headers.get("Last-Modified")


def _check(entry: Entry, file: File, part: Path) -> None:
    """Raises DataError for what is not of the size, where that is known exactly, or of the checksum that the catalogue says."""
    differs, size = "", _size(part)
    if file.sha256 is not None:
        with open(part, "rb") as content:
            found = hashlib.file_digest(content, "sha256").hexdigest()
        if found != file.sha256:
            differs = f"SHA-256 {found[:12]}…, not {file.sha256[:12]}…"
    elif not file.about and size != file.bytes:
        differs = f"{size:,} bytes, not {file.bytes:,}"
    if differs:
        _delete(part)
        raise DataError(f"What came of {entry.title} is not the file the catalogue means ({differs}), and was deleted: download it "
                        f"again; if that says the same, {_by_hand(entry)}.")


def _check_space(entry: Entry, folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed + SPARE_BYTES:
        raise DataError(f"{entry.title} needs {(needed + SPARE_BYTES) / 1e6:,.0f} MB, and the disk of {folder.parent} has "
                        f"{free / 1e6:,.0f} MB free: free some space, or choose another workspace.")


def _ended(entry: Entry, file: File, why: str) -> str:
    return (f"{_host(file)} ended the connection too soon ({why}): what came of {entry.title} is kept, so download it again, and "
            "it goes on from there.")


def _by_hand(entry: Entry) -> str:
    return f"download it in a browser from {entry.home} and choose that file"


def _host(file: File) -> str:
    return urlsplit(file.address).hostname or ""


def _note(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _delete(part: Path) -> None:
    part.unlink(missing_ok=True)
    _note(part).unlink(missing_ok=True)
