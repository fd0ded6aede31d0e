"""Family trees of forks: who comes from whom, whatever the files of runs from elsewhere say."""

import json

import pytest
from test_history import evaluation, status, step
from tiny_run import tiny_run, tiny_workspace

from gptlab.events import Setting
from gptlab.runs import family as family_module
from gptlab.runs.changes import live_config, settings_of
from gptlab.runs.family import DEEPEST, family, told
from gptlab.runs.rundir import RunDir


@pytest.fixture
def workspace(tmp_path, small_text):
    return tiny_workspace(tmp_path, small_text)


def forked(workspace, parent, name, at=10, **changes):
    """A run that says it was forked from another, or from whatever `parent` is."""
    run = tiny_run(workspace, name, **changes)
    (run.path / "parent.json").write_text(json.dumps({"run": getattr(parent, "id", parent), "step": at}), encoding="utf-8")
    return run


def outline(*runs):
    return ["  " * one.depth + f"{one.letter or '-'} {one.name}" + (f" @{one.step}" if one.depth else "")
            for one in family(dict(zip("ABCDEFGH", runs)))]


def test_ancestors_and_all_forks_in_the_order_of_their_steps(workspace):
    first = tiny_run(workspace, "first")
    late, early = forked(workspace, first, "late", at=30), forked(workspace, first, "early", at=5)
    child = forked(workspace, late, "child", at=40)
    alone, other = tiny_run(workspace, "alone"), tiny_run(workspace, "other")
    copy = forked(workspace, other, "copy")
    tree = ["- first", "  - early @5", "  B late @30", "    - child @40"]
    assert outline(alone, late) == tree, "one that is no fork and was not forked has no tree"
    assert outline(copy, child, early) == ["- other", "  A copy @10", "- first", "  C early @5", "  - late @30", "    B child @40"]
    assert outline(alone) == outline() == []


def test_what_a_member_tells(workspace):
    first = tiny_run(workspace, "first", train__max_learning_rate=1e-3)
    first.append(status(0, "running"), *(step(n) for n in range(1, 21)), evaluation(20, 1.25), status(20, "finished"))
    first.append(Setting(step=10, time_seconds=5.0, changes={"train.max_learning_rate": 5e-4}, before={"train.max_learning_rate": 1e-3}))
    same = forked(workspace, first, "same", at=10, train__max_learning_rate=5e-4)
    before = forked(workspace, first, "before", at=9, train__max_learning_rate=5e-4, train__seed=7, model__dropout=0.0,
                    sample__prompts=("word " * 40,), train__weight_decay=0.5)
    top, early, late = family({"A": first})
    assert (top.run, top.step, told(top)) == (first.id, None, "finished · best val loss 1.2500")
    assert (late.run, late.best_val_loss, told(late)) == (same.id, None, "from step 10 · queued · the same settings")
    assert early.run == before.id and len(early.changes) == 5, "that rate was set on the first run only after step 9"
    assert told(early, lambda value: f"<{value}>") == (
        "from step 9 · queued · 5 settings changed: Dropout <0.2> → <0.0>, Learning rate <0.001> → <0.0005>, "
        "Weight decay <0.1> → <0.5>, and 2 more")
    first.relabel(name="Renamed")
    (same.path / "config.json").write_text("{", encoding="utf-8")
    top, _, late = family({"A": first})
    assert top.name == "Renamed" and late.changes is None and told(late) == "from step 10 · queued"


def test_a_parent_that_was_extended_since_has_its_old_settings_where_it_was_forked(workspace, monkeypatch):
    """A finished run's fork was told to have fewer steps than its parent, once that was made longer; and what a hundred
    forks were forked from was read for each of them anew."""
    first = tiny_run(workspace, "first", train__max_steps=20)
    first.append(status(0, "running"), *(step(n) for n in range(1, 21)), status(20, "finished"))
    forks = [forked(workspace, first, f"f{at}", at=at, train__max_steps=20) for at in (10, 20)]
    longer = first.config().replace({"train.max_steps": 50, "train.patience": 7})
    (first.path / "config.json").write_text(json.dumps(longer.to_dict()), encoding="utf-8")
    first.append(Setting(step=20, time_seconds=9.0, changes={"train.max_steps": 50, "train.patience": 7},
                         before={"train.max_steps": 20, "train.patience": None}),
                 *(step(n) for n in range(21, 31)))
    after = forked(workspace, first, "after", at=30, train__max_steps=50, train__patience=7)
    read = []
    monkeypatch.setattr(family_module, "settings_of", lambda run: read.append(run) or settings_of(run))
    members = {one.run: one for one in family({"A": first})}
    assert members[forks[0].id].changes == members[after.id].changes == [] and read == [first]
    assert [one.name for one in members[forks[1].id].changes] == ["train.patience"], "which can be changed at any step"
    assert live_config(first, until_step=25).train == longer.train == live_config(first).train


def test_a_parent_that_is_gone_keeps_its_forks_together(workspace):
    one, two = forked(workspace, "20260101-120000-lost", "one"), forked(workspace, "20260101-120000-lost", "two", at=20)
    assert outline(two) == ["- lost", "  - one @10", "  A two @20"]
    gone, child, _ = family({"A": one})
    assert told(gone) == "a run that is not here any more" and child.changes is None


def test_circles_end(workspace):
    a, b, c = (tiny_run(workspace, name) for name in "abc")
    for run, parent in ((a, b), (b, c), (c, a)):
        (run.path / "parent.json").write_text(json.dumps({"run": parent.id, "step": 1}), encoding="utf-8")
    alone = forked(workspace, "", "alone")
    (alone.path / "parent.json").write_text(json.dumps({"run": alone.id, "step": 1}), encoding="utf-8")
    assert outline(a) == ["- c", "  - b @1", "    A a @1"]
    assert len(outline(a, b, c)) == 3 and outline(alone) == []


@pytest.mark.parametrize("content", [
    '{"run": "../../secret", "step": 1}', '{"run": "/", "step": 3}', '{"run": "..", "step": 1}', '{"run": "", "step": 1}',
    '{"run": "a\\u0000b", "step": 1}', '{"run": "\\u001b[2Jevil\\ud800", "step": 1}',
    '{"run": "' + "x" * 100_000 + '", "step": 1}', '{"run": {"a": [1]}, "step": 1}'])
def test_a_name_that_is_no_runs_is_only_shown(workspace, content):
    """What lies outside the folder of runs is never opened, and a name is short and plain whatever it was."""
    (workspace.path.parent / "secret").mkdir()
    (workspace.path.parent / "secret" / "label.json").write_text('{"name": "stolen"}', encoding="utf-8")
    run = tiny_run(workspace, "fork")
    (run.path / "parent.json").write_text(content, encoding="utf-8")
    gone, fork = family({"A": run})
    assert gone.state is None and gone.changes is None and fork.run == run.id
    assert 0 < len(gone.name) <= 60 and 0 < len(gone.run) <= 80
    assert (gone.name + gone.run).replace("-", "").isalnum() and (gone.name + gone.run).isascii(), "no terminal obeys it"


@pytest.mark.parametrize("content", [
    '{"run": "x", "step": 1e999}', '{"run": "x", "step": -1}', '{"run": "x", "step": 1' + "0" * 40 + "}", '{"run": "x"}',
    '{"run": "x", "step": 1' + "0" * 5000 + "}", "[" * 100_000, "[]", "null", "{", "\x00"])
def test_what_is_no_origin_is_none(workspace, content):
    run = tiny_run(workspace, "fork")
    (run.path / "parent.json").write_text(content, encoding="utf-8")
    assert family({"A": run}) == []


def test_damaged_members_do_no_harm(workspace):
    first = tiny_run(workspace, "first")
    fork = forked(workspace, first, "fork")
    known = {**first.status(), "state": ["x"], "best_val_loss": 10**400}
    (first.path / "status.json").write_text(json.dumps(known), encoding="utf-8")
    first.append(Setting(step=1, time_seconds=0.0, changes=["train.max_learning_rate"], before=None))
    first.write_status({**known, "events_bytes": first.events_path.stat().st_size})
    (fork.path / "manifest.json").unlink()
    fork.events_path.unlink()
    one, two = family({"A": first})
    assert (one.state, one.best_val_loss, two.state) == ("damaged", None, "damaged")


def test_many_forks_and_long_lines_stay_few(workspace, monkeypatch):
    """Those asked for are always there, and every parent.json is read once."""
    monkeypatch.setattr(family_module, "MOST_FORKS", 4)
    first = tiny_run(workspace, "first")
    forks = [forked(workspace, first, f"f{n}", at=n) for n in range(8)]
    line = [forks[7]]
    for n in range(DEEPEST + 3):
        line.append(forked(workspace, line[-1], f"g{n}"))
    read, parent = [], RunDir.parent
    monkeypatch.setattr(RunDir, "parent", lambda run: read.append(run.id) or parent(run))
    members = family({"A": line[-1]})
    assert sorted(read) == [run.id for run in reversed(workspace.list_runs())]
    assert [one.name for one in members] == ["first", "f0", "f1", "f2", "f3", *(one.name for one in line)]
    assert members[0].left_out == 3 and {one.left_out for one in members[1:]} == {0}
    assert members[-1].letter == "A" and [one.depth for one in members[-4:]] == [DEEPEST] * 4
