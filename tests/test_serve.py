"""How the app ends where a run does not stop in time."""

from types import SimpleNamespace

import pytest

from gptlab.ui import serve


class CutOff(BaseException):
    """Stands in for the end of the process."""


@pytest.mark.parametrize("in_time", [True, False])
def test_a_run_that_does_not_stop_is_cut_off(tmp_path, monkeypatch, capsys, in_time):
    """Else Python would take its threads away while it trains, and it would note that down as an error."""
    uploads, order = tmp_path / "uploads", []
    uploads.mkdir()
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(uploads))

    def end(code):
        raise CutOff(code)
    monkeypatch.setattr(serve.os, "_exit", end)
    nothing = SimpleNamespace(close=lambda **_: order.append("closed"), ensure_builtin=lambda: None)
    lab = SimpleNamespace(preparations=nothing, jobs=SimpleNamespace(stop_all=lambda _: in_time), gpu_note="")
    monkeypatch.setattr(serve, "Lab", lambda *_, **__: lab)
    monkeypatch.setattr(serve, "Jobs", lambda _: None)
    monkeypatch.setattr(serve, "launch_somewhere", lambda *_: nothing)
    monkeypatch.setattr(serve.signal, "signal", lambda _, handler: handler())
    options = SimpleNamespace(workspace=tmp_path / "w", max_minutes=None)
    if in_time:
        serve.serve(None, options)
    else:
        with pytest.raises(CutOff, match="1"):
            serve.serve(None, options)
    assert order == ["closed", "closed"] and uploads.exists() is in_time
    assert ("resume goes on from its last checkpoint" in capsys.readouterr().err) is not in_time
