"""Fetching from a server on this machine that can be told to cut, to change, to refuse; and the app's downloads beside it."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import random
import threading
import time

import pytest
from text_site import Site

from gptlab.data import download
from gptlab.data.catalog import Entry, File
from gptlab.data.errors import DataError
from gptlab.runs import downloading
from gptlab.runs.downloading import Downloads
from gptlab.runs.lock import FileLock
from gptlab.runs.workspace import Workspace

CONTENT = random.Random(1).randbytes(600_000)
OTHER = random.Random(2).randbytes(500_000)


@pytest.fixture
def site(monkeypatch):
    monkeypatch.setattr(download, "PAUSE_SECONDS", 0.01)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # this machine is reached past it
    running = Site(CONTENT)
    yield running
    running.goes_on.set()
    running.shutdown()
    running.server_close()


def entry(*addresses: str, sha256: str | None = None) -> Entry:
    return Entry("tiny", "Tiny text", "A text.", "English", "none", "https://example.org/tiny",
                 tuple(File(address, 1000, sha256, about=True) for address in addresses))


def fetched(site, downloads, **about) -> bytes:
    (path,) = download.fetch(entry(site.address, **about), downloads)
    assert path == downloads / "tiny" / "tiny.txt"
    return path.read_bytes()


def names(downloads) -> list[str]:
    return sorted(path.name for path in (downloads / "tiny").iterdir())


# --- what comes ---

def test_a_file_comes_whole_and_is_told_of_and_kept(site, tmp_path):
    told = []
    wanted = entry(site.address, sha256=hashlib.sha256(CONTENT).hexdigest())
    (path,) = download.fetch(wanted, tmp_path, told.append)
    assert path.read_bytes() == CONTENT and names(tmp_path) == ["tiny.txt"]
    assert (told[-1].done_bytes, told[-1].total_bytes, told[-1].seconds_left) == (600_000, 600_000, None)
    site.status = 500  # a second use asks nobody
    assert download.fetch(wanted, tmp_path) == [path] and len(site.asked) == 1


def test_the_rate_and_the_time_left_are_told(monkeypatch, site, tmp_path):
    monkeypatch.setattr(download, "SECONDS_BETWEEN_TELLING", 0)
    told = []
    site.goes_on.clear()
    threading.Timer(1.0, site.goes_on.set).start()
    download.fetch(entry(site.address), tmp_path, told.append)
    one = next(one for one in told if one.bytes_per_second and one.done_bytes < one.total_bytes)
    assert one.total_bytes == 600_000  # the server's word, not the catalogue's 1000
    assert one.seconds_left == pytest.approx((one.total_bytes - one.done_bytes) / one.bytes_per_second)


def test_several_files_are_counted_together(site, tmp_path):
    told = []
    paths = download.fetch(entry(site.address, site.address + "?2"), tmp_path, told.append)
    assert [path.name for path in paths] == ["tiny-1.txt", "tiny-2.txt"] and told[-1].done_bytes == 1_200_000
    paths[1].unlink()
    download.fetch(entry(site.address, site.address + "?2"), tmp_path, told.append)
    assert [path for path, *_ in site.asked] == ["/text.txt", "/text.txt?2", "/text.txt?2"]


def test_a_file_of_this_machine_is_copied(tmp_path):
    (tmp_path / "my text.txt").write_bytes(CONTENT)
    (path,) = download.fetch(entry((tmp_path / "my text.txt").as_uri()), tmp_path / "down")
    assert path.read_bytes() == CONTENT
    with pytest.raises(DataError, match="gone.txt cannot be read"):
        download.fetch(entry((tmp_path / "gone.txt").as_uri()), tmp_path / "other")


# --- connections that end ---

def test_a_cut_connection_is_gone_on_with(site, tmp_path):
    site.cuts = [100_000, 200_000]
    assert fetched(site, tmp_path, sha256=hashlib.sha256(CONTENT).hexdigest()) == CONTENT
    assert [asked[1:] for asked in site.asked] == [(None, None), ("bytes=100000-", '"one"'), ("bytes=300000-", '"one"')]


def test_what_was_left_is_gone_on_with_by_the_next(site, tmp_path):
    site.cuts = [100_000, 0, 0, 0]
    with pytest.raises(DataError, match="ended the connection too soon .*100,000 of 600,000.*is kept"):
        fetched(site, tmp_path)
    assert names(tmp_path) == ["tiny.txt.part", "tiny.txt.part.json"]
    site.asked.clear()
    assert fetched(site, tmp_path) == CONTENT and names(tmp_path) == ["tiny.txt"]
    assert [asked[1:] for asked in site.asked] == [("bytes=100000-", '"one"')]


@pytest.mark.parametrize("etag", ['"two"', None, 'W/"one"'])
def test_a_file_that_changed_or_may_have_begins_anew(site, tmp_path, etag):
    if etag != '"two"':  # without a word that can be relied on nothing is gone on with
        site.etag = etag
    site.cuts = [100_000, 0, 0, 0]
    with pytest.raises(DataError):
        fetched(site, tmp_path)
    site.content, site.etag, site.cuts = OTHER, etag, []
    assert fetched(site, tmp_path) == OTHER


def test_a_part_of_another_address_or_longer_than_the_file_is_not_gone_on_with(site, tmp_path):
    site.cuts = [550_000, 0, 0, 0]
    with pytest.raises(DataError):
        fetched(site, tmp_path)
    (path,) = download.fetch(entry(site.address + "?moved"), tmp_path)
    assert path.read_bytes() == CONTENT and site.asked[-1] == ("/text.txt?moved", None, None)
    path.unlink()
    site.cuts = [550_000, 0, 0, 0]
    with pytest.raises(DataError):
        fetched(site, tmp_path)
    site.content = OTHER  # shorter, with the same tag: a careless server
    assert fetched(site, tmp_path) == OTHER


def test_a_part_that_is_whole_is_kept(site, tmp_path):
    """It was fetched again: killed before the file got its name, there was no rest to ask for."""
    site.cuts = [550_000, 0, 0, 0]
    with pytest.raises(DataError):
        fetched(site, tmp_path)
    (tmp_path / "tiny" / "tiny.txt.part").write_bytes(CONTENT)
    site.asked.clear()
    assert fetched(site, tmp_path, sha256=hashlib.sha256(CONTENT).hexdigest()) == CONTENT and names(tmp_path) == ["tiny.txt"]
    assert site.asked == [("/text.txt", "bytes=600000-", '"one"')]


def test_what_is_shorter_than_the_catalogue_says_is_gone_on_with(site, tmp_path):
    """A server that does not say how much it gives, and ends early, was believed."""
    site.says_length, site.cuts = False, [100_000]
    exactly = dataclasses.replace(entry(site.address), files=(File(site.address, len(CONTENT)),))
    (path,) = download.fetch(exactly, tmp_path)
    assert path.read_bytes() == CONTENT and site.asked[-1][1] == "bytes=100000-"
    path.unlink()
    site.content, site.says_length = OTHER, True
    with pytest.raises(DataError, match=r"is not the file the catalogue means \(500,000 bytes, not 600,000\), and was deleted"):
        download.fetch(exactly, tmp_path)
    assert names(tmp_path) == []


def test_silence_is_a_cut(site, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "TIMEOUT_SECONDS", 0.2)
    site.goes_on.clear()
    with pytest.raises(DataError, match="ended the connection too soon .*timed out"):
        fetched(site, tmp_path)
    site.goes_on.set()
    monkeypatch.setattr(download, "TIMEOUT_SECONDS", 20)
    assert fetched(site, tmp_path) == CONTENT


# --- what is refused ---

def test_a_wrong_checksum_leaves_nothing(site, tmp_path):
    with pytest.raises(DataError, match="is not the file the catalogue means .*was deleted.*https://example.org/tiny"):
        fetched(site, tmp_path, sha256="0" * 64)
    assert names(tmp_path) == []


def test_offline_is_one_sentence_that_says_what_to_do(site, tmp_path):
    address = site.address
    site.shutdown()
    site.server_close()
    with pytest.raises(DataError) as told:
        download.fetch(entry(address), tmp_path)
    assert str(told.value).startswith("127.0.0.1 cannot be reached (")
    assert str(told.value).endswith("check the connection, or download it in a browser from https://example.org/tiny and choose "
                                    "that file.")
    assert names(tmp_path) == []


@pytest.mark.parametrize("status, says", [(404, "Tiny text is no longer at 127.0.0.1 (HTTP 404): look for it on https://example.org/tiny"),
                                          (403, "does not give Tiny text (HTTP 403)"), (503, "too busy"), (500, "HTTP 500")])
def test_what_a_server_refuses_is_told(site, tmp_path, status, says):
    site.status = status
    with pytest.raises(DataError) as told:
        fetched(site, tmp_path)
    assert says in str(told.value) and names(tmp_path) == []


def test_a_page_that_asks_to_sign_in_is_no_text(site, tmp_path):
    site.kind = "text/html; charset=utf-8"
    with pytest.raises(DataError, match="web page instead of Tiny text: if this network asks to sign in"):
        fetched(site, tmp_path)
    assert names(tmp_path) == []


def test_redirects_are_followed_to_safe_places_only(site, tmp_path):
    site.cuts = [100_000]
    site.location = "/elsewhere.txt"
    assert fetched(site, tmp_path) == CONTENT
    assert site.asked[-1] == ("/elsewhere.txt", "bytes=100000-", '"one"'), "the range must go along"
    (tmp_path / "secret.txt").write_text("secret", encoding="utf-8")
    for unsafe in ("http://example.org/text.txt", (tmp_path / "secret.txt").as_uri()):
        site.location = unsafe
        with pytest.raises(DataError, match="not safe to download from|does not give"):
            fetched(site, tmp_path / "other")


def test_a_full_disk_is_told_before_and_leaves_nothing_after(site, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(download.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 10**7})())
        with pytest.raises(DataError, match="Tiny text needs 34 MB, and the disk of .* has 10 MB free"):
            fetched(site, tmp_path)
    assert names(tmp_path) == []

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(download.os, "fsync", full)
    with pytest.raises(DataError, match="became full, and what had come of Tiny text was deleted"):
        fetched(site, tmp_path)
    assert names(tmp_path) == []


# --- beside the app ---

@pytest.fixture
def downloads(workspace_dir):
    running = Downloads(Workspace(workspace_dir))
    yield running
    running.close()


def wait_for(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_apps_download_is_seen_cancelled_and_gone_on_with(site, downloads):
    wanted = entry(site.address)
    site.goes_on.clear()
    started = downloads.start(wanted)
    part = downloading.folder(downloads.workspace) / "tiny" / "tiny.txt.part"
    wait_for(lambda: started.arriving and part.exists() and part.stat().st_size == 300_000)
    assert downloads.start(wanted) is started  # another page's click joins it
    with pytest.raises(ValueError, match="Tiny text is still being downloaded"):
        downloads.start(Entry(**{**vars(wanted), "name": "other"}))
    with pytest.raises(DataError, match="by another window or command"):
        downloading.download(downloads.workspace, wanted)
    downloads.cancel()
    wait_for(lambda: started.finished, 10)  # at once, though the server is silent
    assert started.problem == downloading.CANCELLED and part.stat().st_size == 300_000
    assert downloading.downloaded(downloads.workspace, wanted) == []

    site.goes_on.set()
    again = downloads.start(wanted)
    wait_for(lambda: again.finished)
    assert again.problem == "" and not downloads.busy and site.asked[-1][1] == "bytes=300000-"
    assert [path.read_bytes() for path in downloading.downloaded(downloads.workspace, wanted)] == [CONTENT]


def test_what_goes_wrong_in_the_process_is_told_in_the_app(site, downloads):
    site.status = 404
    started = downloads.start(entry(site.address))
    wait_for(lambda: started.finished)
    assert "HTTP 404" in started.problem


def test_a_lock_that_is_free_again_lets_the_next_in(site, workspace_dir):
    workspace = Workspace(workspace_dir)
    (downloading.folder(workspace) / "tiny").mkdir(parents=True)
    lock = FileLock(downloading.folder(workspace) / "tiny" / ".lock")
    assert lock.acquire()
    with pytest.raises(DataError, match="already"):
        downloading.download(workspace, entry(site.address))
    lock.release()
    assert downloading.download(workspace, entry(site.address))[0].read_bytes() == CONTENT
