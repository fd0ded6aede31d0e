// The dialog in which a run is named and written on. Any tab opens it: window.gptlab.editLabel(id, field) answers whether
// something was saved. What is sent is what was changed, so that two people who write on one run keep each other's words.
// Gradio gives `element`, `props` (whose value is the server's answer to the last save), `server`, `trigger` and `watch`.

const PATIENCE = 15_000;  // milliseconds until a save counts as unanswered
const {words} = props;
const dialog = element.querySelector('dialog'), form = dialog.querySelector('form');
const fieldset = form.querySelector('fieldset'), problem = form.querySelector('.card-problem');
const fields = [...fieldset.querySelectorAll('[name]')];

let run = null, opening = false;
let saving = 0;       // the number of the save that is not answered yet
let saves = 0, late = 0;
let sent = {};        // with the last save: texts by field
let warned = false;   // that closing would lose something
let done = () => {}, kept = false;  // told at the end; whether something was saved

const changes = () => Object.fromEntries(
  fields.filter(field => field.value.trim() !== field.before.trim()).map(field => [field.name, field.value]));

async function edit(id, first = 'name') {
  if (opening || dialog.open) return false;
  opening = true;
  const told = await server.label_of(id).catch(() => ({problem: words.unreachable}));
  opening = false;
  run = id;
  kept = false;
  showLabel(told);
  dialog.showModal();
  (told.problem ? form.querySelector('.card-cancel') : fieldset.querySelector(`[name=${first}]`)).focus();
  if (told.problem) say(told.problem);
  return new Promise(resolve => { done = resolve; });
}

// What there is to see: the run's texts, or none where there is no such run.
function showLabel(told) {
  const {label = {}, name = ''} = told, owner = label.owner ?? '';
  for (const field of fields) field.value = field.before = label[field.name] ?? '';
  fieldset.querySelector('[name=name]').placeholder = told.made_as ?? '';
  form.querySelector('h2').textContent = words.title.replace('{name}', () => name);
  const whose = form.querySelector('.card-whose');
  whose.textContent = words.whose.replace('{owner}', () => owner);
  whose.hidden = !owner || owner === window.gptlab.who;
  fieldset.disabled = form.querySelector('.card-save').disabled = Boolean(told.problem);
  warned = false;
  say('');
  wait(0);
}

function say(text) { problem.textContent = text; }

// Until save `number` is answered; 0: no longer.
function wait(number) {
  saving = number;
  clearTimeout(late);
  form.querySelector('.card-save').textContent = number ? words.saving : words.save;
  if (number) late = setTimeout(() => { wait(0); say(words.unreachable); }, PATIENCE);
}

dialog.addEventListener('close', () => {  // also where the browser closes it: at a second Escape it does not ask
  done(kept);
  done = () => {};
  element.querySelector('.card-told').textContent = kept ? words.saved : '';
});

form.addEventListener('submit', event => {
  event.preventDefault();
  if (saving) return;
  sent = changes();
  if (Object.keys(sent).length === 0) { dialog.close(); return; }
  say('');
  wait(++saves);
  trigger('save', {run, changes: sent, number: saves});
});

form.querySelector('.card-cancel').addEventListener('click', () => { if (!saving) dialog.close(); });

// Escape: closes, but for a first time where something would be lost.
dialog.addEventListener('cancel', event => {
  event.preventDefault();
  if (saving) return;
  if (Object.keys(changes()).length === 0 || warned) { dialog.close(); return; }
  warned = true;
  say(words.unsaved);
});
form.addEventListener('input', () => { if (warned) { warned = false; say(''); } });

watch('value', () => {
  const answer = props.value;
  if (!saving || answer?.number !== saving) return;
  wait(0);
  if (answer.problem) { say(answer.problem); return; }
  kept = true;
  for (const field of fields) field.before = sent[field.name] ?? field.before;
  if (Object.keys(changes()).length === 0) dialog.close();
  else say(words.since);
});

window.gptlab.editLabel = edit;
