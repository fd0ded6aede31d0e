"""A run goes out of the page: exported, downloaded, and opened in transformers; and is measured on a pasted text."""

from __future__ import annotations

import zipfile

import pytest
import torch
from tiny_run import finished_run
from waiting import shows, tab, wait_until

from gptlab.runs.checkpoint import load_model


@pytest.fixture(scope="module")
def run(workspace):
    return finished_run(workspace, "going", train__max_steps=8, model__positions="rope", model__norm="rmsnorm",
                        model__mlp="swiglu", model__qk_norm=True)


def choose(page, run, what: str) -> None:
    """Opens one of the dialogs in a run's menu."""
    tab(page, "Runs")
    row = page.locator(f"#runs tr[data-run='{run.id}']")
    row.locator("summary").click()
    row.get_by_role("button", name=f"{what} …: {run.name}").click()


def test_a_run_is_exported_and_transformers_computes_the_same(run, page, tmp_path):
    transformers = pytest.importorskip("transformers")
    choose(page, run, "Export")
    wait_until(page, shows("#export-card .card-command code", "--format hf"))
    page.get_by_role("button", name="Export", exact=True).click()
    wait_until(page, shows("#export-card .export-done", "Download ("), 180)  # transformers takes long to import
    assert "opened the folder and gave the same tokens and logits" in page.locator("#export-card .export-done").inner_text()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download (").click()
    with zipfile.ZipFile(download.value.path()) as packed:
        packed.extractall(tmp_path)
    folder = tmp_path / f"{run.id}-hf"
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder, local_files_only=True).eval()
    ids = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)("The cat sat", return_tensors="pt").input_ids
    ours, tokenizer, _ = load_model(run, "best")
    assert type(theirs).__name__ == "Qwen3ForCausalLM" and ids[0].tolist() == list(tokenizer.encode("The cat sat"))
    with torch.no_grad():
        assert torch.allclose(theirs(ids).logits, ours(ids), atol=1e-4)

    page.locator("#export-card input[value=gguf]").check()
    page.locator("#export-card .export-numbers select").select_option("q8_0")
    page.locator("#export-card input[value=script]").check()
    assert page.locator("#export-card .export-done").is_hidden()  # what was exported is not what is chosen now
    page.get_by_role("button", name="Export", exact=True).click()
    wait_until(page, shows("#export-card .export-done", "losses of train.py are exactly the run's"), 120)


def test_a_run_is_measured_on_a_pasted_text(run, page, small_text):
    choose(page, run, "Measure on a text")
    page.get_by_role("button", name="Measure", exact=True).click()
    wait_until(page, shows("#evaluate-card .card-problem", "Paste a text or choose a file first."))
    page.get_by_label("Text", exact=True).fill(small_text[:500])
    page.get_by_role("button", name="Measure", exact=True).click()
    wait_until(page, shows("#evaluate-card .card-results", "Its own unseen text (val), step 8"))
    assert "as unsure at each token as if it picked among" in page.locator("#evaluate-card dialog").inner_text()
    assert f"{run.status()['best_val_loss']:.3f}" in page.locator("#evaluate-card tbody tr").last.inner_text()
    page.get_by_label("Text", exact=True).fill("日本語")
    page.get_by_role("button", name="Measure", exact=True).click()
    wait_until(page, shows("#evaluate-card .card-problem", "日"))
