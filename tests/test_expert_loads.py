"""How experts share the work: measured as one would count by hand, told at every evaluation, and an alert where one starves."""

import math

import pytest
import torch
from test_doctor import ENOUGH, SMALL, check_form, doctor_for
from tiny_run import tiny_run, tiny_workspace, trajectory

from gptlab.config import ConfigError, ModelConfig, RunConfig
from gptlab.events import Alert, Evaluation, Experts
from gptlab.model.gpt import GPT
from gptlab.runs import curves, worker
from gptlab.runs.curves import Curves
from gptlab.runs.steering import fork
from gptlab.train.expert_loads import expert_loads
from gptlab.train.trainer import Trainer

MOE = {"model.positions": "rope", "model.norm": "rmsnorm", "model.mlp": "swiglu", "model.mlp_hidden": 16, "model.n_expert": 4,
       "model.n_expert_active": 2}
RUN = {name.replace(".", "__"): value for name, value in MOE.items()}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, small_text):
    return tiny_workspace(tmp_path_factory.mktemp("experts"), small_text)


def loads_of(run):
    return [event for event in run.events() if isinstance(event, Experts)]


def test_loads_are_what_one_counts_by_hand_of_the_counted_tokens_alone():
    config = ModelConfig(n_layer=2, n_head=2, n_embd=16, context_length=8, dropout=0.5, positions="rope", norm="rmsnorm",
                         mlp="swiglu", n_expert=5, n_expert_active=2, mlp_hidden=8)
    model = GPT(config, 30, torch.Generator().manual_seed(1)).train()
    ids, counted = torch.arange(24).view(3, 8), torch.arange(24).view(3, 8) % 3 > 0
    before = torch.get_rng_state()
    found = expert_loads(model, ids, counted)
    assert torch.equal(torch.get_rng_state(), before) and model.training
    routed = []
    with torch.no_grad():
        model.eval().hidden(ids, routed=routed)
    for layer, probabilities in zip(found, routed, strict=True):
        chosen = [expert for token, likely in zip(counted.flatten().tolist(), probabilities.tolist()) if token
                  for expert in sorted(range(5), key=lambda e: -likely[e])[:2]]
        assert layer == pytest.approx([chosen.count(expert) / len(chosen) for expert in range(5)], abs=1e-5)
        assert sum(layer) == pytest.approx(1, abs=1e-4)


def test_a_run_with_experts_tells_their_loads_at_each_evaluation_and_goes_on_exactly(workspace):
    whole, cut, plain = tiny_run(workspace, **RUN), tiny_run(workspace, **RUN), tiny_run(workspace, train__max_steps=8)
    assert worker.run(whole) == worker.run(plain) == "finished" and loads_of(plain) == []
    evaluated = [event.step for event in whole.events() if isinstance(event, Evaluation)]
    assert [event.step for event in loads_of(whole)] == evaluated and len(evaluated) > 3
    assert all(len(event.loads) == 1 and len(event.loads[0]) == 4 and math.isclose(sum(event.loads[0]), 1, abs_tol=1e-4)
               for event in loads_of(whole))
    assert worker.run(cut, should_stop=lambda: len(loads_of(cut)) > 2) == "stopped"
    assert worker.run(cut) == "finished"
    assert trajectory(cut) == trajectory(whole)
    assert [(event.step, event.loads) for event in loads_of(cut)] == [(event.step, event.loads) for event in loads_of(whole)]


def test_measuring_does_not_change_what_a_run_learns(workspace, monkeypatch):
    """With dropout: a random number drawn for it would move all that follow."""
    measured, unmeasured = tiny_run(workspace, **RUN), tiny_run(workspace, **RUN)
    worker.run(measured)
    monkeypatch.setattr("gptlab.runs.diagnosis.expert_loads", lambda *given: [[0.25] * 4])
    worker.run(unmeasured)
    assert trajectory(measured) == trajectory(unmeasured)


def test_a_run_of_days_keeps_no_more_loads_than_it_tells_and_the_latest():
    made = Curves()
    for n in range(3000):
        made.add([experts(n, [0.5, 0.5])])
        assert len(made._others) <= 2 * curves.MOST_TOLD
    lines = made.to_dict()["lines"].splitlines()
    assert 300 <= len(lines) <= curves.MOST_TOLD + curves.LATEST + 1 and '"step":2999,' in lines[-1]


# --- an expert that starves ---

def experts(step, *layers, tokens=4000):
    return Experts(step=step, time_seconds=0.0, tokens=tokens, loads=[list(layer) for layer in layers])


def told(events, **settings):
    doctor = doctor_for(RunConfig().replace(SMALL | MOE | settings), ENOUGH)
    return [alert for event in events for alert in doctor.see(event)]


EVEN, STARVED = (0.25, 0.3, 0.2, 0.25), (0.33, 0.33, 0.33, 0.01)


def test_an_expert_that_gets_next_to_nothing_three_times_in_a_row_starves():
    [alert] = told([experts(step, EVEN, STARVED) for step in range(25, 300, 25)])
    assert alert.code == "expert_starves" and alert.severity == "warning" and alert.step == 100  # not before it is judged
    assert "layer 2 expert 4 1.00%" in alert.evidence and "1 of 8" in alert.evidence
    assert alert.actions == [{"action": "fork", "changes": {"model.expert_balance": 0.05}},
                             {"action": "new", "changes": {"model.expert_balance": 0.05}}]
    check_form(alert)
    [none] = told([experts(step, STARVED) for step in range(25, 300, 25)], **{"model.expert_balance": 0.0})
    assert none.actions[0]["changes"] == {"model.expert_balance": 0.01}
    [much] = told([experts(step, STARVED) for step in range(25, 300, 25)], **{"model.expert_balance": 0.3})
    assert much.actions == [{"action": "new", "changes": {"model.n_expert": 2}}]


def test_not_while_the_rate_rises_nor_for_a_moment_nor_for_a_small_share():
    early = [experts(step, STARVED) for step in range(25, 226, 25)] + [experts(250, EVEN)]
    assert told(early, **{"train.warmup_steps": 175}) == []
    now_and_then = [experts(step, EVEN if step % 75 == 0 else STARVED) for step in range(25, 500, 25)]
    assert told(now_and_then) == []
    assert told([experts(step, (0.32, 0.32, 0.34, 0.02)) for step in range(25, 500, 25)]) == []
    assert told([experts(step, STARVED, tokens=100) for step in range(25, 500, 25)]) == [], "so few may be chance"


def skewed(*given, **named):
    """A trainer whose routers never choose two of four experts: one of two opposites is always larger than nothing."""
    trainer = Trainer(*given, **named)
    with torch.no_grad():
        for block in trainer.model.blocks:
            block.mlp.router[1] = -block.mlp.router[0]
            block.mlp.router[2:] = 0.0
    return trainer


@pytest.mark.parametrize("balance, expected", [(0.0, ["expert_starves"]), (0.2, [])])
def test_a_run_whose_router_forgets_experts_is_told_so_and_one_that_balances_is_not(workspace, monkeypatch, balance, expected):
    monkeypatch.setattr(worker, "Trainer", skewed)
    ill = tiny_run(workspace, **RUN | {"model__n_expert_active": 1, "model__expert_balance": balance, "model__dropout": 0.0},
                   train__max_steps=130, train__eval_every=10, train__tokens_per_update=None)
    assert worker.run(ill) == "finished"
    found = [event for event in ill.events() if isinstance(event, Alert) and event.code == "expert_starves"]
    assert [one.code for one in found] == expected


def test_the_advice_can_be_followed_a_fork_takes_more_balance(workspace):
    run = tiny_run(workspace, **RUN, train__max_steps=8)
    worker.run(run)
    forked = fork(workspace, run, "last", {"model.expert_balance": 0.05}, "balanced")
    assert worker.run(forked) == "finished" and forked.config().model.expert_balance == 0.05
    plain = tiny_run(workspace, train__max_steps=8)
    worker.run(plain)
    with pytest.raises(ConfigError, match="expert_balance"):
        fork(workspace, plain, "last", {"model.expert_balance": 0.05}, "no-experts")
