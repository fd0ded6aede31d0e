"""The Data tab's handlers, without a browser; and preparing in a process of its own."""

import json
import re
import time

import pytest

from gptlab.config import DataConfig
from gptlab.data import preview as data_preview
from gptlab.data.dataset import open_dataset, prepare
from gptlab.data.preview import preview
from gptlab.presets import presets
from gptlab.runs import beside
from gptlab.runs.preparing import CANCELLED
from gptlab.runs.workspace import Workspace
from gptlab.ui import data_choice, data_facts, data_tab, form, page, words, words_data
from gptlab.ui.catalogue import Catalogue
from gptlab.ui.lab import Lab, draft_dataset, read_draft, undo

AS_IS = {name: getattr(DataConfig(), name.partition(".")[2]) for name in data_choice.SETTINGS}
CATALOGUE = Catalogue(None)  # for what is not downloaded


@pytest.fixture
def lab(workspace_dir):
    return Lab(Workspace(workspace_dir), jobs=None)


@pytest.fixture(autouse=True)
def looks_at_once(monkeypatch):
    """What is looked at is so in this process: another takes a second to begin."""
    monkeypatch.setattr(beside, "call", lambda function, *arguments, seconds: function(*arguments))


def wait_for(lab, seconds=60):
    deadline = time.monotonic() + seconds
    while lab.preparations.busy:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def config_of(source, files, values):
    return data_choice.data_config(CATALOGUE, source, files, None, values)


def look(path, **values):
    return data_tab.preview(CATALOGUE, "file", [str(path)], None, {**AS_IS, **values})["html"]


# looking

def test_a_preview_shows_text_as_text(tmp_path):
    path = tmp_path / "page.txt"
    path.write_text("<script>alert('${1}')</script> & {{value}}\n" * 50, encoding="utf-8")
    shown = look(path)
    assert "<script" not in shown and "&lt;script&gt;" in shown
    without_tags = re.sub(r"<[^>]+>", "", shown.split('class="tokens"')[1])
    assert "&lt;script&gt;alert(" in without_tags  # one token a character, none lost


def test_counts_of_a_file_are_its_counts(text_file, small_text):
    seen = preview(DataConfig(source=str(text_file)))
    assert (seen.documents, seen.characters, seen.tokens) == (1, len(small_text), len(small_text) + 1)
    assert seen.vocabulary == len(set(small_text)) + 1  # and the end of text


@pytest.mark.parametrize("tokenizer", ["char", "byte", "bpe"])
def test_coloured_tokens_spell_the_text(text_file, small_text, tokenizer):
    seen = preview(DataConfig(source=str(text_file), tokenizer=tokenizer, vocab_size=300))
    spelt = "".join(text for text, _ in seen.token_texts)
    assert spelt and small_text.startswith(spelt)


def test_generated_data_is_counted_without_writing_all_of_it():
    few = preview(DataConfig(source="arithmetic", documents=200))
    many = preview(DataConfig(source="arithmetic", documents=20_000))
    assert many.documents == 20_000 and many.rough and not few.rough
    assert many.characters == 100 * few.characters


def test_of_a_large_file_only_the_first_part_is_read(tmp_path, monkeypatch):
    """A preview is made at each change of a setting: of half a gigabyte it would take minutes."""
    monkeypatch.setattr(data_preview, "READ_FOR_PREVIEW", 300_000)
    path = tmp_path / "large.txt"
    path.write_bytes("Zwei Füße\n".encode() * 600_000 + b"\xff")  # reading it all would find that it is not UTF-8
    seen = preview(DataConfig(source=str(path)))
    assert seen.rough and seen.documents == 1 and seen.characters == pytest.approx(6_000_000, rel=0.03)
    assert seen.tokens == pytest.approx(seen.characters, rel=0.01) and seen.encoding == "UTF-8"
    shown = look(path)
    assert re.search("about <b>(6|6.[01]|5.9).* million</b> characters", shown) and "Prepare reads it all" in shown
    assert "at least" in shown and "at least" not in look(path, **{"data.tokenizer": "byte"})


def test_a_table_is_counted_from_its_first_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(data_preview, "READ_FOR_PREVIEW", 300_000)
    path = tmp_path / "rows.csv"
    path.write_text("id,body\n" + '1,"Two lines,\nboth in quotes."\n' * 50_000, encoding="utf-8", newline="")
    seen = preview(DataConfig(source=str(path)))
    assert seen.documents == pytest.approx(50_000, rel=0.05) and seen.excerpts[0] == "Two lines,\nboth in quotes."
    assert "about <b>" in look(path).partition("document")[0]


def test_cleaning_is_previewed_with_what_it_changes(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"text": f"Write to x@example.org, <b>box {i % 5}</b>, about this and nothing else."}) + "\n"
                            for i in range(20)), encoding="utf-8")
    shown = look(path, **{"data.cleaning": ["duplicates", "personal", "gutenberg"], "data.tokenizer": "byte"})
    told = re.findall(r"<li>(?:<details><summary>)?<b>(.*?)</b>: (.*?)<", shown)
    assert [step for step, _ in told] == [words.STEPS_OF_CLEANING[step] for step in ("gutenberg", "personal", "duplicates")]
    assert [does.partition(",")[0] for _, does in told] == ["nothing to change", "20 documents changed", "15 documents left out"]
    assert "&lt;b&gt;box 1" in shown and "<b>box" not in shown and "<b>5</b> documents" in shown
    assert "hardly anything" in look(path, **{"data.cleaning": ["filters"], "data.min_characters": 9999})
    config = config_of("file", [str(path)], {**AS_IS, "data.cleaning": ["unicode"]})
    assert config.cleaning == ("unicode",)


def test_a_file_is_looked_at_beside_the_app_and_for_so_long_only(text_file, small_text, monkeypatch):
    """A look at four megabytes stopped the threads of the app for seconds."""
    asked = []

    def too_long(function, *arguments, seconds):
        asked.append((function, seconds))
        raise TimeoutError

    monkeypatch.setattr(beside, "call", too_long)
    assert "takes too long" in look(text_file) and asked == [(preview, 60)]
    monkeypatch.undo()
    assert "takes too long" not in look(text_file) and preview.__module__ == "gptlab.data.preview"


def test_a_file_too_large_to_prepare_is_refused_unread(tmp_path):
    path = tmp_path / "huge.json"
    with open(path, "wb") as file:
        file.truncate(600 * 2**20)  # takes no room on disk
    assert "at most 256 MB" in look(path)


def test_without_its_tokenizer_file_a_text_is_shown_as_characters(text_file):
    shown = look(text_file, **{"data.tokenizer": "file"})
    assert words.CHOOSE_TOKENIZER in shown and 'class="tokens"' in shown


def test_more_is_left_out_than_is_listed(tmp_path):
    path = tmp_path / "rows.jsonl"
    good = json.dumps({"text": "A sentence that is long enough to be read."}) + "\n"
    path.write_text((good + "{broken\n") * 300, encoding="utf-8")
    shown = look(path).partition('class="left-out"')[2].partition("</details>")[0]
    count, listed = int(re.search(r"<summary>\D*([\d,]+)", shown)[1]), shown.count("<li>")
    assert count == 300 and f"and {count - listed + 1:,} more" in shown


def test_settings_are_explained_in_the_pages_names():
    boxes = {name: data_tab._help(name) for name in (*data_choice.CLEANING[1:], "data.split")}
    assert not any("step filters" in help for help in boxes.values()) and "Automatic: whole" in boxes["data.split"]
    assert words.STEPS_OF_CLEANING["filters"] in boxes["data.script"]
    assert {value for _, value in words_data.SPLITS} == {split or "" for split in form.FIELDS["data.split"].metadata["choices"]}


def test_a_small_text_is_told_what_to_expect(text_file):
    assert "Small: expect memorising." in look(text_file)


@pytest.mark.parametrize("content, says", [(b"", "empty"), (b"\0\1\2" * 200, "not text"), (b"PK\x03\x04" * 100, "archive"),
                                           (b"x", "1 character of")])
def test_a_file_that_cannot_be_used_gets_a_sentence(tmp_path, content, says):
    path = tmp_path / "bad.txt"
    path.write_bytes(content)
    shown = look(path)
    assert says in shown and 'role="alert"' in shown and str(tmp_path) not in shown


def test_texts_that_can_be_scrolled_by_keyboard_have_a_name(text_file):
    assert re.findall(r"<pre ([^>]*)>", look(text_file)) == [f'tabindex=0 role="group" aria-label="{words.FIRST_DOCUMENTS} 1"']


def test_columns_of_a_table_are_offered(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("id,body\n" + "".join(f"{i},A sentence about the number {i}.\n" for i in range(99)), encoding="utf-8")
    told = data_tab.preview(CATALOGUE, "file", [str(path)], None, AS_IS)
    assert told["columns"] == ["id", "body"] and told["text_column"] == "body"
    assert config_of("file", [str(path)], {**AS_IS, "data.text_column": "id"}).text_column == "id"
    assert config_of("stories", None, {**AS_IS, "data.text_column": "id"}).text_column is None


def test_several_files_are_one_text_whose_columns_are_not_asked_for(tmp_path):
    (tmp_path / "one.txt").write_text("The first of two texts.\n" * 50, encoding="utf-8")
    (tmp_path / "two.csv").write_text("id,body\n" + "".join(f"{i},Row {i} of the second.\n" for i in range(50)), encoding="utf-8")
    both = [str(tmp_path / "one.txt"), str(tmp_path / "two.csv")]
    told = data_tab.preview(CATALOGUE, "file", both, None, AS_IS)
    shown = told["html"]
    assert "<b>51</b> documents" in shown and "The first of two" in shown and "Row 0 of the second" in shown
    assert told["columns"] == [] and config_of("file", both, {**AS_IS, "data.text_column": "id"}).text_column is None


# preparing

def test_preparing_runs_elsewhere_and_ends_in_use(lab, text_file):
    draft = read_draft(None)
    config = config_of("file", [str(text_file)], AS_IS)
    started = lab.preparations.start(config, "notes")
    with pytest.raises(ValueError, match="still being prepared"):
        lab.preparations.start(config, "other")
    draft = {**draft, "preparing": started.name}
    busy = data_facts.progress(lab, read_draft(None), None)  # on every page
    assert busy["kind"] == "busy" and "notes" in busy["text"]
    wait_for(lab)
    draft = page.advance(lab, draft)
    assert draft_dataset(lab, draft) == "notes" and \
        'Data:</span> <span class="step-value">notes</span>' in page.steps_html(lab, draft)
    assert open_dataset(lab.workspace.dataset_path("notes")).manifest["config"]["source"] == str(text_file)
    assert data_facts.progress(lab, draft, "notes") == {"kind": "good", "text": words.READY.format("notes")}
    assert data_facts.progress(lab, read_draft(None), None)["text"] == ""
    assert undo(draft)["dataset"] is None


def test_a_page_asks_on_until_it_has_taken_up_what_it_waited_for(lab, text_file):
    """Preparing once ended between a page's two looks: it had stopped asking, and its draft never came to use the data."""
    started = lab.preparations.start(config_of("file", [str(text_file)], AS_IS), "notes")
    draft = {**read_draft(None), "preparing": started.name}
    wait_for(lab)
    assert page.waits(lab, draft)
    assert not page.waits(lab, page.advance(lab, draft))


def test_a_taken_name_gets_a_number_and_the_first_stays(lab, text_file):
    config = config_of("file", [str(text_file)], AS_IS)
    prepare(config, lab.workspace.dataset_path("notes"))
    before = open_dataset(lab.workspace.dataset_path("notes")).hash
    assert lab.preparations.start(config, "notes").name == "notes-2"
    wait_for(lab)
    assert lab.workspace.dataset_names() == ["notes", "notes-2"]
    assert open_dataset(lab.workspace.dataset_path("notes")).hash == before


def test_what_fails_says_why_and_changes_nothing(lab, tmp_path):
    draft = {**read_draft(None), "dataset": "kept", "preparing": "gone"}
    lab.preparations.start(DataConfig(source=str(tmp_path / "gone.txt")), "gone")
    wait_for(lab)
    told = data_facts.progress(lab, draft, "gone")
    assert told["kind"] == "problem" and "gone.txt" in told["text"] and lab.workspace.dataset_names() == []
    after = page.advance(lab, draft)
    assert after == {**draft, "preparing": None}


def test_cancelling_leaves_nothing(lab):
    """What the ended process had written was removed an hour later at the earliest."""
    lab.preparations.start(DataConfig(source="python-source", tokenizer="bpe"), "code")
    deadline = time.monotonic() + 60
    while not list(lab.workspace.datasets.glob(".code-*/documents.txt")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    lab.preparations.cancel()
    wait_for(lab)
    assert list(lab.workspace.datasets.iterdir()) == []
    assert data_facts.progress(lab, None, "code") == {"kind": "quiet", "text": CANCELLED}  # a person's wish is no problem


def test_how_a_preparation_ended_is_told_to_who_waited_only(lab, tmp_path):
    """It once was: every page, for the app's life, opened with a red alert about what another page had cancelled."""
    lab.preparations.start(DataConfig(source=str(tmp_path / "gone.txt")), "gone")
    wait_for(lab)
    lab.preparations.begun.add("notes")
    for awaited in (None, "", "notes"):
        assert data_facts.progress(lab, read_draft(None), awaited) == {"kind": "", "text": ""}


def test_who_waited_for_what_the_end_of_the_app_interrupted_is_told(lab):
    told = data_facts.progress(lab, read_draft(None), "big")
    assert told == {"kind": "problem", "text": "big was interrupted when GPT Lab was closed: prepare it again."}
    lab.preparations.begun.add("other")
    assert data_facts.progress(lab, read_draft(None), "other")["text"] == ""


def test_a_bad_name_is_refused_before_anything_runs(lab, text_file):
    with pytest.raises(ValueError, match="name"):
        lab.preparations.start(config_of("file", [str(text_file)], AS_IS), "../evil")
    assert not lab.preparations.busy


def test_the_presets_own_data_set_is_found_by_its_settings(lab, text_file):
    wanted = presets()["overfit"].config.data
    prepare(config_of("file", [str(text_file)], AS_IS), lab.workspace.dataset_path("python-docs"))
    assert lab.preparations.find(wanted) is None  # the name alone proves nothing
    prepare(wanted, lab.workspace.dataset_path("docs"))
    assert draft_dataset(lab, {**read_draft(None), "preset": "overfit"}) == "docs"


def test_a_cut_off_data_set_is_listed_with_its_remedy(lab, text_file):
    folder = lab.workspace.dataset_path("notes")
    prepare(config_of("file", [str(text_file)], AS_IS), folder)
    (folder / "train.bin").write_bytes(b"")
    assert "prepare it again" in data_facts.prepared_html(lab, None)


# what is wrong with a data set, and what mends it

def test_a_finding_has_its_evidence_and_is_mended_by_a_button(lab, tmp_path, monkeypatch):
    (tmp_path / "notes.txt").write_text("".join(f"On day {day} we walked {day % 7} miles.\n" for day in range(400)), encoding="utf-8")
    prepare(DataConfig(source=str(tmp_path / "notes.txt"), val_fraction=0.02), lab.workspace.datasets / "notes")
    shown = data_facts.prepared_html(lab, None)
    assert 'data-mend="notes" data-code="too-little-val"' in shown and "Prepare again with held out for validation: 0.09" in shown
    started = []
    monkeypatch.setattr(lab.preparations, "start", lambda config, name: started.append((config, name)))
    data_tab.mend(lab, "notes", "too-little-val")
    config, name = started[0]
    assert (config.source, name) == (str(tmp_path / "notes.txt"), "notes") and config.val_fraction > 0.02
    for name, code in (("notes", "too-little-text"), ("notes", None), ("no such", "drift"), (["notes"], "drift")):
        with pytest.raises(ValueError, match="cannot be done"):
            data_tab.mend(lab, name, code)


def test_findings_of_an_older_data_set_are_told_too():
    old = {"severity": "warning", "message": "Small: <expect> memorising.", "remedy": "More text."}
    assert "Small: &lt;expect&gt;" in data_facts._alert(old, "notes", []) and "button" not in data_facts._alert(old, "notes", [])


def test_what_was_made_of_files_that_are_gone_says_what_to_choose_first(lab, tmp_path):
    """Uploads go as the app is closed: the button led to a sentence with a path of a temporary folder."""
    source = tmp_path / "notes.txt"
    source.write_text("".join(f"On day {day} we walked {day % 7} miles.\n" for day in range(400)), encoding="utf-8")
    prepare(DataConfig(source=str(source), val_fraction=0.02), lab.workspace.datasets / "notes")
    source.unlink()
    shown = data_facts.prepared_html(lab, None)
    assert "notes.txt is gone since GPT Lab was started anew: choose it again, then prepare with held out for" in shown
    assert "data-mend" not in shown and str(tmp_path) not in shown
    with pytest.raises(ValueError, match="^notes.txt is gone"):
        data_tab.mend(lab, "notes", "too-little-val")
