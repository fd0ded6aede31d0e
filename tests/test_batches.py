"""Which tokens are seen when: epochs, random windows, resuming, and the windows a loss is measured on."""

import numpy as np
import pytest
import torch

from gptlab.train.batches import IGNORED, Batches, EvaluationWindows

END = 99


def starts(batches: Batches, n: int) -> list[int]:
    """Where the windows of the next `n` batches begin, when token i of the text is i."""
    return [int(row[0]) for _ in range(n) for row in batches.next()[0]]


def test_a_target_is_the_token_after_its_id():
    tokens = np.arange(60_000, 60_100).astype(np.uint16)
    ids, targets = Batches(tokens, 8, 3, "epoch", seed=1).next()
    assert ids.dtype == targets.dtype == torch.int64
    assert ids.shape == targets.shape == (3, 8)
    assert torch.equal(targets, ids + 1) and 60_000 <= ids.min() and targets.max() < 60_100
    assert torch.equal(ids, ids[:, :1] + torch.arange(8))


@pytest.mark.parametrize("N, T", [(103, 8), (104, 8), (16, 8), (23, 8), (100, 1)])
def test_an_epoch_reads_every_window_once_shuffled_and_shifted(N, T):
    batches = Batches(np.arange(N, dtype=np.uint32), T, 1, "epoch", seed=5)
    per_epoch = (N - T) // T
    assert batches.tokens_per_epoch == per_epoch * T
    offsets, orders = set(), set()
    for epoch in range(40):
        assert batches.epoch == epoch
        seen = starts(batches, per_epoch)
        offset = min(seen)
        assert sorted(seen) == [offset + T * i for i in range(per_epoch)]
        assert 0 <= offset < T and max(seen) + T < N
        offsets.add(offset)
        orders.add(tuple((s - offset) // T for s in seen))
    if T > 1:
        assert len(offsets) == T  # every place in the context, sooner or later
    if per_epoch > 5:
        assert len(orders) > 30


def test_a_last_partial_batch_is_filled_up_from_the_next_epoch():
    by_one, by_five = (Batches(np.arange(103), 8, size, "epoch", seed=5) for size in (1, 5))
    assert starts(by_one, 35) == starts(by_five, 7)
    assert by_five.epoch == 35 / 11


def test_random_windows_begin_anywhere_and_an_epoch_is_as_many_tokens_as_the_text_has():
    assert len(set(starts(Batches(np.arange(100_000), 8, 3, "random", seed=5), 100))) > 290
    batches = Batches(np.arange(40), 8, 50, "random", seed=5)
    seen = starts(batches, 40)
    assert set(seen) == set(range(32))  # the last target is token 39
    counts = np.bincount(seen)
    assert counts.min() > 2000 / 32 * 0.5 and counts.max() < 2000 / 32 * 1.6
    assert batches.epoch == 2000 * 8 / 40


@pytest.mark.parametrize("order", ["epoch", "random"])
def test_the_stream_depends_on_the_seed_alone_and_goes_on_where_it_stopped(order):
    tokens = np.arange(103)
    first, same, other = (Batches(tokens, 8, 3, order, seed) for seed in (1, 1, 2))
    expected = starts(first, 30)
    assert starts(same, 13) == expected[:39]
    assert starts(other, 30) != expected
    resumed = Batches(tokens, 8, 3, order, 1)
    resumed.load_state_dict(same.state_dict())
    assert starts(resumed, 17) == expected[39:] and resumed.epoch == first.epoch
    resumed.skip_to(4)
    assert starts(resumed, 1) == expected[12:15]


@pytest.mark.parametrize("order, expected", [("epoch", [38, 6, 14, 70, 22, 78]), ("random", [42, 1, 77, 68, 13, 55])])
def test_a_run_that_was_begun_with_numpys_random_numbers_goes_on_with_them(order, expected):
    """They were numpy's first: what a checkpoint of then goes on with must not be shuffled anew in the middle of an epoch."""
    batches = Batches(np.arange(103), 8, 3, order, seed=1)
    starts(batches, 12)
    batches.load_state_dict({"position": 3})
    assert starts(batches, 2) == expected
    again = Batches(np.arange(103), 8, 3, order, seed=1)
    again.load_state_dict(batches.state_dict())
    assert starts(again, 30) == starts(batches, 30)


def test_a_text_shorter_than_the_context_is_refused_with_what_to_set():
    Batches(np.arange(16), 8, 1, "epoch", 0)
    Batches(np.arange(9), 8, 1, "random", 0)
    with pytest.raises(ValueError, match="only 15 tokens, but a context of 8 needs at least 16.*context_length to 7"):
        Batches(np.arange(15), 8, 1, "epoch", 0)
    with pytest.raises(ValueError, match="only 8 tokens"):
        Batches(np.arange(8), 8, 1, "random", 0)


# --- evaluation ---

def pairs(windows) -> list[tuple[int, int]]:
    """(id, target) wherever a target counts, sorted."""
    return sorted((int(i), int(t)) for ids, targets in windows for i, t in zip(ids.flatten(), targets.flatten())
                  if t != IGNORED)


@pytest.mark.parametrize("N", [2, 8, 9, 10, 50])
def test_one_long_text_is_measured_whole_in_windows_that_do_not_overlap(N):
    tokens = np.arange(N)
    windows = EvaluationWindows(tokens, 8, END)
    assert not windows.by_document or N <= 8
    expected = [(i, i + 1) for i in range(N - 1)]
    if windows.by_document:
        expected = [(END, 0)] + expected
    for batch_size in (1, 3, 100):
        assert pairs(windows.batches(batch_size)) == sorted(expected)
    assert windows.n_targets == len(expected)


def test_documents_that_fit_are_each_a_window_that_begins_with_end_of_text():
    tokens = np.array([1, 2, END, 3, END, 4, 5, 6, END])
    (ids, targets), = EvaluationWindows(tokens, 4, END).batches(9)
    assert ids.tolist() == [[END, 3, END, END], [END, 1, 2, END], [END, 4, 5, 6]]
    assert targets.tolist() == [[3, END, IGNORED, IGNORED], [1, 2, END, IGNORED], [4, 5, 6, END]]
    cut = EvaluationWindows(tokens, 3, END)  # one document is too long now
    assert not cut.by_document
    assert pairs(cut.batches(2)) == sorted(zip(tokens[:-1].tolist(), tokens[1:].tolist()))


def test_documents_are_cut_where_val_is_measured_by_document_but_train_has_longer_ones():
    windows = EvaluationWindows(np.array([1, 2, 3, 4, 5, END, 6, END]), 3, END, by_document=True)
    assert pairs(windows.batches(8)) == [(1, 2), (2, 3), (6, END), (END, 1), (END, 6)]


def test_fewer_windows_are_spread_evenly():
    tokens = np.arange(801)
    windows = EvaluationWindows(tokens, 8, END + 10_000, n_windows=4)
    assert [int(ids[0, 0]) for ids, _ in windows.batches(1)] == [0, 200, 400, 600]
    assert len(EvaluationWindows(tokens, 8, END + 10_000, n_windows=10_000)) == 100


def test_bytes_are_those_of_exactly_the_targets():
    byte_lengths = np.zeros(100, dtype=np.int64)
    byte_lengths[[1, 2, 3, 4]] = [1, 2, 3, 4]
    assert EvaluationWindows(np.array([1, 2, END, 3, 4, END]), 8, END).n_bytes(byte_lengths) == 10
    assert EvaluationWindows(np.array([4, 2, 3, 1] * 5), 8, END).n_bytes(byte_lengths) == 46  # the first has no past


def test_text_with_nothing_to_predict_is_refused():
    with pytest.raises(ValueError, match="val_fraction"):
        EvaluationWindows(np.array([7]), 8, END)
