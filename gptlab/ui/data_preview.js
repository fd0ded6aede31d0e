// What the text that is chosen looks like, as data_tab.py tells of it. Gradio gives `element`, `props` (whose value is the
// server's answer to the last question), `trigger` and `watch`.
//
// One question at a time. Where something was chosen since, its answer is passed over and the question is put again, with what
// is chosen by then: so what is shown is never of another text for longer than a question takes, however slow one is.

const PATIENCE = 200_000;  // milliseconds until a question counts as unanswered
const QUICK = 300;         // that it may take before what is shown fades, for it may be of another text
const box = element.querySelector('.looked');
let asked = 0;                     // the number of the last question
let open = false, since = false;   // whether it is unanswered, and whether something was chosen meanwhile
let soon = 0, late = 0;

function ask() {
  since = open;
  if (open) return;
  open = true;
  asked += 1;
  soon = setTimeout(() => box.setAttribute('aria-busy', 'true'), QUICK);
  late = setTimeout(() => { asked += 1; answered({problem: props.words.unreachable}); }, PATIENCE);
  trigger('look', {number: asked});
}

function answered({html, problem}) {
  open = false;
  clearTimeout(soon);
  clearTimeout(late);
  if (since) { ask(); return; }
  box.setAttribute('aria-busy', 'false');
  if (problem) { box.textContent = problem; return; }
  box.innerHTML = html;  // made by data_facts.py, which escapes what is not GPT Lab's own
  trigger('fit', {});
}

watch('value', () => { if (open && props.value?.number === asked) answered(props.value); });
window.gptlab.look = ask;
if (document.body.dataset.ready) ask();  // else the page asks once it is filled in
