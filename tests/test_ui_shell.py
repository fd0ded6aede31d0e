"""The frame: launched as it is for real, asked by plain HTTP; the line above the tabs; errors become sentences."""

import argparse
import ast
import json
import re
import socket
import urllib.error
import urllib.request
from pathlib import Path

import gradio as gr
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from gptlab.config import ConfigError
from gptlab.runs.jobs import Jobs
from gptlab.runs.workspace import Workspace
from gptlab.ui import page, security, serve, words
from gptlab.ui.lab import Lab, guarded, read_draft


def launched(lab, host, port):
    """The page as `app.py` launches it: on that port or one after it, and again where Gradio gives up on a busy machine."""
    where = argparse.Namespace(host=host, port=port, auth=None, allow_host=[], no_browser=True)
    return serve.launch_somewhere(argparse.ArgumentParser(), lab, where)


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """(address, demo) of the page, launched on a free port."""
    workspace = Workspace(tmp_path_factory.mktemp("workspace"))
    demo = launched(Lab(workspace, Jobs(workspace)), "127.0.0.1", 7930)
    yield demo.local_url.rstrip("/"), demo
    demo.close(verbose=False)


def ask(url, method="GET", body=None, **headers):
    """(status, text) of a request."""
    request = urllib.request.Request(url, data=body, method=method, headers={k.replace("_", "-"): v for k, v in headers.items()})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read().decode("utf-8", "replace")
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode("utf-8", "replace")


# who may ask

@pytest.mark.parametrize("path", ["/gradio_api/upload", "/gradio_api/component_server", "/gradio_api/queue/join", "/anything"])
@pytest.mark.parametrize("headers", [{"Origin": "http://evil.example"}, {"Origin": "null"}, {}, {"Origin": "http://127.0.0.1:1"}])
def test_nothing_is_written_by_a_page_from_elsewhere(running, path, headers):
    assert ask(running[0] + path, "POST", b"{}", Content_Type="text/plain", **headers)[0] == 403


def test_a_foreign_name_for_this_machine_is_refused(running):
    assert ask(running[0] + "/", Host="evil.example")[0] == 400
    assert ask(running[0] + "/")[0] == 200


@pytest.mark.parametrize("site, status", [("cross-site", 403), ("same-site", 403), ("same-origin", 404)])
def test_the_browsers_own_word_counts_too(running, site, status):
    assert ask(running[0] + "/anything", "POST", b"{}", Origin=running[0], Sec_Fetch_Site=site)[0] == status


@pytest.mark.parametrize("host, status", [("lab.example", 200), ("lab.example:7860", 200), ("[::1]:7860", 200),
                                          ("localhost", 200), ("evil.example", 400), ("lab.example.evil", 400),
                                          ("0.0.0.0", 400)])
def test_only_allowed_names_are_let_in(host, status):
    routes = [Route("/", lambda request: PlainTextResponse("in"))]
    behind = Starlette(routes=routes, middleware=security.middleware(["lab.example"]))
    assert TestClient(behind).get("/", headers={"Host": host}).status_code == status


@pytest.mark.parametrize("host, names, shown", [("127.0.0.1", [], "127.0.0.1"), ("::1", [], "[::1]"),
                                                ("0.0.0.0", ["*.example", "lab.example"], "lab.example"),
                                                ("192.0.2.7", ["lab.example"], "192.0.2.7"),
                                                ("0.0.0.0", ["*.example"], "127.0.0.1")])
def test_the_address_it_tells_is_one_it_answers(host, names, shown):
    """It told http://0.0.0.0, and answered that with "Invalid host header"."""
    assert serve.reached_by(host, names) == shown


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
def test_it_can_be_reached_by_ipv6(tmp_path):
    try:
        serve.free_port(None, "::1", 7940)
    except (AttributeError, OSError):
        pytest.skip("no IPv6 loopback here")
    demo = launched(Lab(Workspace(tmp_path), None), "::1", 7940)
    port = demo.server_port
    try:
        assert ask(f"http://[::1]:{port}/")[0] == 200
        assert ask(f"http://[::1]:{port}/anything", "POST", b"{}", Origin=f"http://[::1]:{port}")[0] == 404
    finally:
        demo.close(verbose=False)


# what is sent

def test_the_page_asks_nothing_of_the_internet(running):
    html = ask(running[0] + "/")[1]
    sources = re.findall(r"""(?:src|href)=["'](https?://[^"']+)""", html)
    assert [source for source in sources if not source.startswith(running[0])] == []


def test_no_heartbeat_is_opened(running):
    """With one, the sixth tab in a browser hangs (gr.State, unload and .stream open it)."""
    config = json.loads(ask(running[0] + "/config")[1])
    assert config["connect_heartbeat"] is False
    assert config["analytics_enabled"] is False


def test_the_tabs_come_in_the_order_of_the_work_and_ids_are_unique(running):
    config = json.loads(ask(running[0] + "/config")[1])
    tabs = [part["props"]["label"] for part in config["components"] if part["type"] == "tabitem"]
    assert tabs[:5] == ["Data", "Model", "Train", "Playground", "Runs"]
    ids = [part["props"]["elem_id"] for part in config["components"] if part["props"].get("elem_id")]
    assert sorted(set(ids)) == sorted(ids)
    assert {"upload", "source", "tokenizer", "prepare", "preset", "n-layer", "max-learning-rate", "temperature"} <= set(ids)


def test_every_event_is_private(running):
    config = json.loads(ask(running[0] + "/config")[1])
    assert {event["api_visibility"] for event in config["dependencies"]} == {"private"}


def test_listeners_of_one_event_do_not_keep_each_other_going(running):
    """Gradio 6.31 sends a deferred event to all its listeners again: two that defer ("always_last") never come to rest."""
    config = json.loads(ask(running[0] + "/config")[1])
    deferring = [tuple(target) for event in config["dependencies"] if event["trigger_mode"] == "always_last"
                 for target in event["targets"] if event["backend_fn"]]
    assert deferring and sorted(set(deferring)) == sorted(deferring)


def test_an_idle_queue_sleeps(running):
    assert running[1]._queue.sleep_when_free == serve.QUEUE_NAP_SECONDS


# the line above the tabs

def test_the_line_says_what_comes_next(workspace_dir):
    lab = Lab(Workspace(workspace_dir), jobs=None)
    assert page.next_step(lab, None) == "data"
    line = page.steps_html(lab, None)
    assert re.search(r'data-tab="data" aria-current="step"', line) and words.NOT_CHOSEN in line
    assert page.steps_html(lab, {"preset": "overfit"}).count("overfit") == 1


def test_names_in_the_line_are_text(workspace_dir):
    lab = Lab(Workspace(workspace_dir), jobs=None, gpu_note="<b>note</b>")
    assert "<b>note" not in page.steps_html(lab, read_draft(None))


# the boundary

def test_a_mendable_problem_is_shown_as_its_sentence():
    def handler():
        raise ConfigError(["Too wide: make it narrower."])

    with pytest.raises(gr.Error, match="Too wide: make it narrower.") as caught:
        guarded(handler)()
    assert caught.value.print_exception is False


def test_any_other_error_is_one_plain_sentence_with_the_traceback_on_stderr(capsys):
    def handler():
        yield 1
        raise KeyError("secret detail")

    steps = guarded(handler)()
    assert next(steps) == 1
    with pytest.raises(gr.Error) as caught:
        next(steps)
    assert str(caught.value.message) == words.UNEXPECTED
    assert "secret detail" in capsys.readouterr().err


# words

def test_times_are_told_alike_everywhere():
    """100 seconds were "100 s" on one tab and "2 min" on another."""
    told = {89: "89 s", 90: "2 min", 5399: "90 min", 5400: "2 h", 48 * 3600: "2 days"}
    assert {seconds: words.duration(seconds) for seconds in told} == told
    scripts = {path.name: path.read_text(encoding="utf-8") for path in Path(serve.__file__).parent.glob("*.js")}
    for limit in ("seconds < 90)", "seconds < 5400)", "hours < 48 "):
        assert [name for name, script in scripts.items() if limit in script] == ["live_text.js"], limit


def test_no_sentence_takes_anothers_name():
    """Two tabs once called theirs FORKED: the later one was said on both."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in Path(words.__file__).parent.glob("words*.py")]
    assert len(trees) >= 3
    names = [target.id for tree in trees for node in tree.body if isinstance(node, ast.Assign) for target in node.targets]
    assert sorted(set(names)) == sorted(names)


def test_a_start_that_is_too_slow_or_too_late_is_tried_again_elsewhere(monkeypatch):
    tried = []

    def launch(lab, host, port, *rest):
        tried.append(port)
        if len(tried) < 3:
            raise OSError("Cannot find empty port")
        return "running"

    monkeypatch.setattr(serve, "launch", launch)
    monkeypatch.setattr(serve, "free_port", lambda parser, host, first: first)
    args = argparse.Namespace(host="127.0.0.1", port=7860, auth=None, allow_host=[], no_browser=True)
    assert serve.launch_somewhere(argparse.ArgumentParser(), None, args) == "running" and tried == [7860, 7861, 7862]
    monkeypatch.setattr(serve, "LAUNCHES_TRIED", 1)
    tried.clear()
    with pytest.raises(SystemExit):
        serve.launch_somewhere(argparse.ArgumentParser(), None, args)


def test_a_tick_says_only_what_it_changed_and_of_which_wait(workspace_dir):
    """Its late answer once overwrote the draft of a page that had begun to prepare something else meanwhile."""
    lab = Lab(Workspace(workspace_dir), jobs=None)
    draft = {**read_draft(None), "dataset": "gone", "preparing": "stories", "changes": {"model.n_layer": 3}}
    told = json.loads(page.settled_news(draft, page.advance(lab, draft)))
    assert told["awaited"] == "stories" and told["changed"] == {"preparing": None}
