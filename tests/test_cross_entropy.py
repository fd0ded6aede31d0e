"""The loss in pieces against torch's own, value and gradients."""

import pytest
import torch
import torch.nn.functional as F

from gptlab.model import cross_entropy as module
from gptlab.model.cross_entropy import cross_entropy


def inputs(rows: int = 23, channels: int = 8, vocabulary: int = 31) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    x, table = (torch.randn(n, channels, generator=generator, requires_grad=True) for n in (rows, vocabulary))
    targets = torch.randint(0, vocabulary, (rows,), generator=generator)
    targets[[2, 11]] = -100
    return x, table, targets


def value_and_gradients(loss, x: torch.Tensor, table: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return loss.detach(), *torch.autograd.grad(3.0 * loss, (x, table))


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("held", [1, 31 * 5, 31 * 23 - 1])  # one row at a time; five, the last three alone; all but one
def test_value_and_gradients_are_those_of_the_plain_loss(monkeypatch, reduction, held):
    monkeypatch.setattr(module, "LOGITS_AT_ONCE", held)
    x, table, targets = inputs()
    plain = F.cross_entropy(x @ table.T, targets, reduction=reduction)
    pieces = cross_entropy(x, table, targets, reduction)
    assert "SumInPieces" in str(pieces.grad_fn) + str(pieces.grad_fn.next_functions)
    torch.testing.assert_close(value_and_gradients(pieces, x, table), value_and_gradients(plain, x, table))


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_without_gradients_the_value_is_the_same(monkeypatch, reduction):
    monkeypatch.setattr(module, "LOGITS_AT_ONCE", 31 * 5)
    x, table, targets = inputs()
    with torch.no_grad():
        torch.testing.assert_close(cross_entropy(x, table, targets, reduction),
                                   F.cross_entropy(x @ table.T, targets, reduction=reduction))


def test_in_bfloat16_it_is_as_near_to_the_exact_loss_as_the_plain_one(monkeypatch):
    x, table, targets = inputs(rows=64, channels=32, vocabulary=200)
    exact = value_and_gradients(F.cross_entropy(x @ table.T, targets), x, table)

    def errors() -> list[float]:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = cross_entropy(x, table, targets)
        return [float((a - b).norm() / b.norm()) for a, b in zip(value_and_gradients(loss.float(), x, table), exact)]

    plain = errors()
    monkeypatch.setattr(module, "LOGITS_AT_ONCE", 200 * 10)
    pieces = errors()
    assert all(ours <= 1.5 * theirs + 1e-3 for ours, theirs in zip(pieces, plain)), (pieces, plain)


def test_never_more_logits_than_allowed_are_held(monkeypatch):
    monkeypatch.setattr(module, "LOGITS_AT_ONCE", 31 * 5)
    sizes, linear = [], F.linear
    monkeypatch.setattr(F, "linear", lambda x, table: sizes.append(len(x) * len(table)) or linear(x, table))
    x, table, targets = inputs()
    cross_entropy(x, table, targets).backward()
    assert sizes == [31 * 5] * 4 + [31 * 3]
