"""Several people on one app: whose run it is stands beside it, and nobody's is stopped or deleted by mistake."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace

import pytest

from gptlab.runs.disk import RunError
from gptlab.runs.rundir import RunDir
from gptlab.ui import people


@pytest.fixture
def run(tmp_path):
    (tmp_path / "20261121-101500-first").mkdir()
    return RunDir(tmp_path / "20261121-101500-first")


def test_anothers_run_is_left_alone_unless_somebody_is_sure(run):
    people.check_may(run, "Ben", None)  # nobody's
    run.relabel(owner="Aisha")
    people.check_may(run, "Aisha", None)
    people.check_may(run, "Ben", run.id)
    for who, sure in (("Ben", False), ("Ben", True), ("Ben", "another run's id"), ("", None), (None, "true"), ({"a": 1}, 1)):
        with pytest.raises(ValueError, match="This is Aisha's run: first"):
            people.check_may(run, who, sure)


def test_a_name_is_a_name():
    assert [people.person(who) for who in (" Aisha ", "", None, 7, ["Ben"])] == ["Aisha", "", "", "", ""]
    with pytest.raises(RunError, match="40 are the most"):
        people.person("x" * 41)


@pytest.mark.parametrize("shared", [True, False])
def test_only_a_shared_app_asks_who_sits_there(shared):
    head = people.head(SimpleNamespace(shared=shared))
    assert f"SHARED = {json.dumps(shared)}" in head
    assert len(re.findall("</script>", head)) == 1
