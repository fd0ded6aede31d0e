"""The report: one file that asks nothing of any network, in which no text of a user's or a model's is anything but text."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest
from test_history import evaluation, sample, status, step
from tiny_run import finished_run, tiny_run, tiny_workspace

from gptlab.events import Alert, Setting
from gptlab.exchange.report import caption, report, save_report
from gptlab.runs.compare import contender
from gptlab.runs.disk import RunError

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)> & \"'"


class Page(HTMLParser):
    """Tags with their attributes, the text on view, and the scripts."""

    def __init__(self, text: str):
        super().__init__()
        self.tags, self.words, self.scripts, self._in = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self._in.append(tag)
            if tag == "script":
                self.scripts.append([dict(attrs).get("type"), ""])

    def handle_endtag(self, tag):
        if self._in and self._in[-1] == tag:
            self._in.pop()

    def handle_data(self, data):
        if self._in == ["script"]:
            self.scripts[-1][1] += data
        elif not self._in:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture
def workspace(tmp_path, small_text):
    return tiny_workspace(tmp_path, small_text)


def told(run, prompt="The cat", text=" sat.", losses=(4.0, 2.0, 3.0, 3.1)):
    """As if it had been trained for 30 steps, and had begun to learn by heart at step 10."""
    run.append(status(0, "running"), evaluation(0, losses[0]), sample(0, prompt, " zzz"))
    for i, loss in enumerate(losses[1:], 1):
        run.append(*(step(n, 3.0) for n in range(10 * i - 9, 10 * i + 1)), evaluation(10 * i, loss), sample(10 * i, prompt, text))
    run.append(status(10 * (len(losses) - 1), "finished"))
    return run


def check_self_contained(text: str) -> Page:
    """No attribute that loads, no address but what plotly.js has in it, and a policy that forbids all but the scripts."""
    page = Page(text)
    assert not [tag for tag, attrs in page.tags if tag in ("link", "img", "iframe", "base", "form", "object", "embed", "a")
                or {"src", "href", "srcset", "action"} & set(attrs) or any(name.startswith("on") for name in attrs)]
    policy = next(attrs["content"] for tag, attrs in page.tags if attrs.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; script-src 'sha256-") and "http" not in policy and "*" not in policy
    assert "'unsafe-inline'" not in policy.split("style-src")[0] and "unsafe-eval" not in policy
    code = [content for kind, content in page.scripts if kind is None]
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in code]
    assert re.findall(r"'sha256-([^']+)'", policy) == hashes and len(code) == 2
    assert text.index("Content-Security-Policy") < text.index("<style>")
    for kind, content in page.scripts:
        if kind == "application/json":
            assert set(json.loads(content)) == {"data", "layouts"} and "<" not in content
    rest = text.replace(code[0], "")
    assert re.findall(r"https?:|url\(|@import|[\"'(]//", rest) == []
    return page


def test_the_report_of_a_run(workspace, tmp_path):
    run = finished_run(workspace, "first")
    page = check_self_contained(save_report([run], tmp_path / "first.html").read_text(encoding="utf-8"))
    best = contender(run).best
    for words in (f"{best.val_loss:.4f}", "finished", "The cat", run.manifest()["hash"], "Kept as its best: the checkpoint of "
                  "step", "Epoch by epoch", "tiny", "Batch size", "8 sequences"):
        assert words in page.text, words
    assert len([kind for kind, _ in page.scripts if kind == "application/json"]) == 4
    assert [tag for tag, attrs in page.tags if "best" in (attrs.get("class") or "")] == ["tr"]
    assert [path.name for path in tmp_path.glob("*.html")] == ["first.html"] and not list(tmp_path.glob(".tmp*"))


def test_what_was_to_beat_stands_in_both_units_where_they_are_known(workspace, tmp_path):
    run = finished_run(workspace, "first")
    known = {**run.manifest(), "baselines": {"uniform": 4.0, "xz": 2.04}, "baselines_bits_per_byte": {"xz": 2.943}}
    (run.path / "manifest.json").write_text(json.dumps(known), encoding="utf-8")
    text = save_report([run], tmp_path / "first.html").read_text(encoding="utf-8")
    assert "<td>4.0000</td>" in text and '">Loss of compressing (xz)</th><td>2.0400 (2.943 bits per byte)</td>' in text


def test_nothing_in_it_is_markup(workspace):
    """Texts, prompts, alerts and names from anywhere: a manifest may have come in a bundle."""
    runs = [told(tiny_run(workspace, name), prompt=EVIL, text=EVIL) for name in ("a", "b")]
    for run in runs:
        run.append(Alert(step=5, time_seconds=1.0, code="x", severity=EVIL, message=EVIL, evidence=EVIL, remedy=EVIL))
        manifest = {**run.manifest(), "name": EVIL, "source": EVIL, "tokenizer": EVIL, "split": EVIL}
        (run.path / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    changed = json.loads((runs[0].path / "config.json").read_text(encoding="utf-8"))
    changed["data"]["source"], changed["sample"]["prompts"] = EVIL, [EVIL]
    (runs[0].path / "config.json").write_text(json.dumps(changed), encoding="utf-8")
    for chosen in (runs[:1], runs):
        page = check_self_contained(report(chosen))
        assert page.text.count("<script>alert(1)</script>") >= 4 and "img" not in {tag for tag, _ in page.tags}


def test_the_epoch_table_stars_the_best(workspace):
    text = report([told(tiny_run(workspace))])
    row = re.search(r'<tr class=best>.*?</tr>', text)[0]
    assert "★" in row and "2.000" in row and "The cat sat." in row


def test_captions(workspace):
    run = tiny_run(workspace)
    assert caption(contender(run)) == "Nothing was measured on unseen text yet."
    baselines = run.manifest()["baselines"]

    def said(*losses: float) -> str:
        return caption(contender(told(tiny_run(workspace), losses=losses)))
    good, pairs, single = baselines["bigram"] - 0.1, (baselines["bigram"] + baselines["unigram"]) / 2, baselines["uniform"] - 0.01
    assert said(4.0, good) == "Has learnt spelling; beats counting pairs."
    assert "which characters are common" in said(4.0, pairs)
    assert said(4.0, single) == "Still close to pure guessing."
    learning = told(tiny_run(workspace), losses=(4.0, good, good + 1, good + 2))
    lines = learning.events_path.read_text(encoding="utf-8").splitlines()
    for i, line in enumerate(lines):
        event = json.loads(line)
        if event["type"] == "evaluation":
            lines[i] = json.dumps({**event, "train_loss": 4.0 - event["step"] / 10})
    learning.events_path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert "After step 10 it went on improving on text it had seen and grew worse on unseen: memorising" in caption(contender(learning))
    floor = {**baselines, "entropy_floor": 0.5, "uniform": 4.5, "bigram": 3.0}
    (learning.path / "manifest.json").write_text(json.dumps({**learning.manifest(), "baselines": floor}), encoding="utf-8")
    assert f"{int(100 * (4.5 - good) / 4.0)}\N{NO-BREAK SPACE}% of the way" in caption(contender(learning))
    low = {**floor, "entropy_floor": 3.0}
    (learning.path / "manifest.json").write_text(json.dumps({**learning.manifest(), "baselines": low}), encoding="utf-8")
    assert "below the best possible" in caption(contender(learning))
    blind = told(tiny_run(workspace, model__causal=False), losses=(4.0, 0.1))
    assert "without the causal mask each token looks at the one it is to predict" in caption(contender(blind))


def test_the_report_of_a_comparison(workspace):
    one, two = told(tiny_run(workspace, "one")), told(tiny_run(workspace, "two", model__n_layer=2), losses=(4.0, 1.5, 1.6, 1.7))
    page = check_self_contained(report([one, two]))
    assert "A one" in page.text and "B two" in page.text and "exactly the same data" in page.text
    assert "Layers 1 2" in page.text and "★ 1.5000" in page.text and "★ 2.0000" not in page.text
    assert page.text.count("The cat sat.") == 2
    assert len([kind for kind, _ in page.scripts if kind == "application/json"]) == 5


def test_what_a_comparison_says_of_forks_and_changes_on_the_way(workspace):
    """The tree is nested lists, names in it are text, and settings changed while a run went on differ."""
    one, rate = told(tiny_run(workspace, "one")), "train.max_learning_rate"
    forks = [told(tiny_run(workspace, f"fork{n}", sample__seed=n)) for n in (1, 2)]
    for fork, parent in zip(forks, (one, forks[0])):
        (fork.path / "parent.json").write_text(json.dumps({"run": parent.id, "step": 20}), encoding="utf-8")
    one.append(Setting(step=10, time_seconds=5.0, changes={rate: 3e-4, EVIL: 1}, before={rate: 1e-3}))
    one.relabel(name="<b>one</b>")
    text = report([one, forks[1]])
    page = check_self_contained(text)
    assert "A <b>one</b> finished · best val loss 2.0000 fork1 from step 20" in page.text
    assert "Sampling seed 1 → 2" in page.text and "0.001, then 0.0003 from step 10" in page.text
    assert "not drawn alike" in page.text and "Sampling seed A 1,337, B 2" in page.text
    tree = re.search(r'<div class="tree">(.*?)</div>', text)[1]
    assert "".join(re.findall("</?(?:ul|li)>", tree)) == "<ul><li><ul><li><ul><li></li></ul></li></ul></li></ul>"
    assert "Changed while it went on" in (alone := check_self_contained(report([one])).text) and "Learning rate 10 0.001 → 0.0003" in alone
    assert "Where they come from" not in report([told(tiny_run(workspace, "x")), told(tiny_run(workspace, "y"))])


def test_no_winner_where_numbers_do_not_compare(workspace):
    one, two = told(tiny_run(workspace, "one")), told(tiny_run(workspace, "two"), prompt="Another")
    (two.path / "manifest.json").write_text(json.dumps({**two.manifest(), "hash": "0" * 64, "characters": 1}), encoding="utf-8")
    page = check_self_contained(report([one, two]))
    assert "★" not in page.text and "unseen text of its own" in page.text and "different beginnings" in page.text


def test_a_run_that_has_not_begun(workspace):
    page = check_self_contained(report([tiny_run(workspace)]))
    assert "queued" in page.text and "not measured yet" in page.text and "wrote nothing" in page.text


def test_what_cannot_be_reported(workspace):
    with pytest.raises(RunError, match="2 to 8"):
        report([])
    run = tiny_run(workspace)
    (run.path / "manifest.json").unlink()
    with pytest.raises(RunError, match="manifest.json is missing"):
        report([run])
