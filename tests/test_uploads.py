"""An upload that does not fit is taken off the wire, not written, and answered with a sentence; any other passes."""

import shutil

import pytest

from gptlab.ui.uploads import Room


@pytest.mark.parametrize("path, size, status", [("/gradio_api/upload", 300, 507), ("/gradio_api/upload", 200, 200),
                                                ("/gradio_api/run", 300, 200)])
def test_only_uploads_that_do_not_fit_are_refused(tmp_path, monkeypatch, path, size, status):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(0, 0, 512 * 2**20))
    body = [{"type": "http.request", "body": b"x", "more_body": i < 4} for i in range(5)]
    sent = []

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200})

    async def receive():
        return body.pop(0)

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": path, "headers": [(b"content-length", str(size * 2**20).encode())]}
    with pytest.raises(StopIteration):  # at its end; no loop, for Playwright has one running in this thread
        Room(app, tmp_path)(scope, receive, send).send(None)
    assert sent[0]["status"] == status and bool(body) == (status == 200)
    if status == 507:
        assert "315 MB do not fit" in sent[1]["body"].decode() and "268 MB are free" in sent[1]["body"].decode()
