"""Two tokenizers side by side in a real browser: nothing before it is seen, scripts read their own way, and into the settings."""

from __future__ import annotations

import pytest
from waiting import comes_up, reload, shows, tab, wait_until, wait_until_it_fits, wait_until_quiet

from gptlab.data.learning import train_bpe

ARABIC = "قطة صغيرة جلست على السجادة (المريحة) 12 مرة.\n"
CHIPS = "[...document.querySelectorAll('.bench-typed > div')].map(side => [...side.querySelectorAll('li')])"
NUMBERS = "[...document.querySelectorAll('.bench-rows tbody td')].map(cell => cell.innerText)"


@pytest.fixture
def bench(page, tmp_path, small_text):
    """The comparison of characters and BPE, unfolded, on a text of English and Arabic."""
    (tmp_path / "both.txt").write_text(small_text + ARABIC * 30, encoding="utf-8")
    tab(page, "Data")
    page.locator("#upload input[type=file]").set_input_files(tmp_path / "both.txt")
    wait_until(page, shows("#preview", "characters"))
    wait_until(page, shows("#preview", small_text[:30]))
    unfold(page)
    wait_until(page, "document.querySelectorAll('.bench-typed li').length > 0")
    return page


def unfold(page):
    page.locator("#tokenizer-bench-fold button").first.click()
    page.locator("#tokenizer-bench .bench-sides").scroll_into_view_if_needed()


def choose(page, side: str, kind: str) -> None:
    page.get_by_role("group", name=f"Tokenizer {side}").get_by_label(kind, exact=True).check()


def type_in(page, text: str) -> None:
    page.get_by_label("Type a sentence").fill(text)


def test_nothing_is_measured_before_it_is_seen_and_a_vocabulary_is_learnt_once(page, small_text, tmp_path):
    asked = []
    page.on("request", lambda request: asked.extend(["compare"] if '"sides"' in (request.post_data or "") else []))
    tab(page, "Data")
    wait_until(page, shows("#preview", "characters"))
    wait_until_quiet(page)
    assert asked == []
    with comes_up(page, shows(".bench-state", "Learning up to 65,536 pieces")):
        unfold(page)
    wait_until(page, "document.querySelectorAll('.bench-rows tbody tr').length === 6")
    assert asked == ["compare"]
    slider = page.get_by_role("group", name="Tokenizer B").get_by_role("slider")
    slider.press("Home")
    wait_until(page, f"{NUMBERS}[1] === '257'")
    said = page.evaluate_handle("""() => {
      const said = [], state = document.querySelector('.bench-state [role=status]');
      const all = {subtree: true, childList: true, characterData: true};
      new MutationObserver(() => said.push(state.innerText)).observe(state, all);
      return said;
    }""")
    for key in ("ArrowRight", "End", "Home", "ArrowRight"):  # faster than they are answered: the last counts
        slider.press(key)
    wait_until(page, f"{NUMBERS}[1] === '384' && document.querySelector('.bench').ariaBusy !== 'true'")
    wait_until_quiet(page)
    assert page.evaluate(f"{NUMBERS}[1]") == "384"
    assert not [text for text in said.json_value() if "Learning" in text or "Reading" in text]
    assert "sample of the text" in page.locator(".bench-measured").inner_text()


def test_what_is_typed_is_cut_at_once_and_read_in_its_own_direction(bench):
    type_in(bench, "")
    bench.get_by_label("Type a sentence").press_sequentially(" the cat", delay=30)
    wait_until(bench, f"{CHIPS}[0].length === 8 && {CHIPS}[1].length === 2")
    assert bench.evaluate(f"{CHIPS}[1].map(chip => chip.querySelector('bdi').innerText)") == ["␣the", "␣cat"]
    assert bench.evaluate(f"{CHIPS}[1].every(chip => /^\\d+$/.test(chip.querySelector('small').innerText))")
    type_in(bench, "على السجادة")
    wait_until(bench, f"{CHIPS}[0].length === 11 && {CHIPS}[1].length > 1")
    for side in (0, 1):  # the first token stands at the right
        first, second = bench.evaluate(f"{CHIPS}[{side}].slice(0, 2).map(chip => chip.getBoundingClientRect().left)")
        assert first > second
    type_in(bench, "")
    wait_until(bench, shows(".bench-typed", "Type something above."))
    type_in(bench, "t ☃")
    wait_until(bench, shows(".bench-typed .problem", "never seen '☃'"))
    assert bench.evaluate(f"{CHIPS}[1].map(chip => chip.querySelector('bdi').innerText)") == ["t", "␣", "E2", "98", "83"]


def test_arabic_reads_from_the_right_and_its_letters_stay_joined(bench):
    """Letters in two spans of one word take the same room as in one: a browser that cut between them would use wider forms."""
    wait_until(bench, "document.querySelector('.bench-samples .bench-text .token')")
    widths = bench.evaluate("""() => {
      const sample = document.querySelector('.bench-samples .bench-text'), width = html => {
        const line = sample.cloneNode(false);
        line.innerHTML = html;
        Object.assign(line.style, {display: 'inline-block', position: 'absolute'});
        sample.after(line);
        const {width} = line.getBoundingClientRect();
        line.remove();
        return width;
      };
      const token = text => `<span class="token c1">${text}</span>`;
      const word = 'السجادة', letters = [...word].map(token);
      return [width(word), width(letters.join('')), width(letters.join('\\u200c'))];
    }""")
    assert widths[0] == pytest.approx(widths[1], abs=0.5) and abs(widths[2] - widths[0]) > 2


def test_a_side_is_taken_into_the_settings_as_if_by_hand_and_kept(bench):
    slider = bench.get_by_role("group", name="Tokenizer B").get_by_role("slider")
    slider.press("Home")
    slider.press("ArrowRight")
    wait_until(bench, f"{NUMBERS}[1] === '384'")
    bench.get_by_role("button", name="Use this one: Tokenizer B").click()
    wait_until(bench, "document.querySelector('#tokenizer input:checked').value === 'bpe'")
    wait_until(bench, "document.querySelector('#vocab-size input')?.value === '384'")
    wait_until(bench, shows("#preview", "vocabulary: 384"))
    wait_until_quiet(bench)
    reload(bench)
    tab(bench, "Data")
    wait_until(bench, "document.querySelector('#vocab-size input')?.value === '384'")
    unfold(bench)
    wait_until(bench, f"{NUMBERS}[1] === '384'")  # what is compared is kept too


def test_a_file_of_another_model_is_compared_and_a_bad_one_refused_on_its_side(bench, tmp_path):
    train_bpe([ARABIC * 5], 300).save(tmp_path / "theirs.json")
    (tmp_path / "bad.json").write_text("{}", encoding="utf-8")
    choose(bench, "A", "tokenizer.json")
    wait_until(bench, shows(".bench-sentences", "Choose a tokenizer.json"))
    bench.get_by_role("button", name="Use this one: Tokenizer A").click()
    wait_until(bench, shows(".bench-use [role=status]", "Choose a tokenizer.json"))  # it was not taken
    field = bench.get_by_role("group", name="Tokenizer A").locator("input[type=file]")
    field.set_input_files(tmp_path / "theirs.json")
    wait_until(bench, shows(".bench-rows thead", "A: theirs.json"))
    wait_until(bench, f"{NUMBERS}[0] === '300'")
    assert bench.locator(".bench-merges li").count() == 43 + 50
    bench.get_by_role("button", name="Use this one: Tokenizer A").click()
    wait_until(bench, "document.querySelector('#tokenizer input:checked').value === 'file'")
    wait_until(bench, shows("#preview", "vocabulary: 300"))
    field.set_input_files(tmp_path / "bad.json")
    wait_until(bench, shows(".bench-sentences", "bad.json is not a tokenizer.json"))
    numbers = bench.evaluate(NUMBERS)
    assert numbers[0] == "–" and numbers[1] != "–"
    bench.locator(".bench-merges .bench-more").click()
    wait_until(bench, "document.querySelectorAll('.bench-merges li').length > 50")

    # after a start of the app its uploads are gone
    bench.evaluate("""() => {
      const held = JSON.parse(localStorage.getItem('gptlab-bench'));
      held.sides[0].path = '/not/there/any/more.json';
      localStorage.setItem('gptlab-bench', JSON.stringify(held));
    }""")
    reload(bench)
    tab(bench, "Data")
    unfold(bench)
    wait_until(bench, shows(".bench-sentences", "Choose a tokenizer.json"))
    assert bench.locator(".bench-file").first.inner_text() == "Choose a tokenizer.json"


def test_an_app_that_is_busy_is_not_said_to_be_gone(page):
    held = []

    def hold(route):
        if '"sides"' in (route.request.post_data or ""):
            held.append(route)  # as if others were compared first
        else:
            route.continue_()

    page.route("**/queue/join**", hold)
    tab(page, "Data")
    wait_until(page, shows("#preview", "characters"))
    unfold(page)
    wait_until(page, shows(".bench-state", "Waiting for other comparisons …"))
    assert held and page.locator(".bench-problem").is_hidden()
    page.route("**/component_server**", lambda route: route.abort())
    wait_until(page, shows(".bench-problem", "GPT Lab does not answer."))


def test_another_text_is_measured_anew_and_all_of_it_fits_a_phone(bench):
    characters = bench.evaluate(f"{NUMBERS}[0]")
    bench.get_by_label("Arithmetic", exact=True).check()
    wait_until(bench, shows("#preview", "="))
    bench.locator("#tokenizer-bench .bench-sides").scroll_into_view_if_needed()
    wait_until(bench, f"{NUMBERS}[0] !== '{characters}'")
    bench.set_viewport_size({"width": 390, "height": 844})
    wait_until_it_fits(bench, 390)
