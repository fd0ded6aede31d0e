// The dialog in which a run is begun once more with one thing different: window.gptlab.twin(id) opens it. What can be chosen, and
// what would come of it, the server says. live_text.js stands before it in the same function. Gradio gives `element`, `props`
// (whose value is the server's answer), `server`, `trigger` and `watch`.

const PATIENCE = 20_000;  // milliseconds until a question counts as unanswered
const LOOK_DELAY = 250;   // of a hand at rest, until it is asked what would come of it
const {words} = props;
const dialog = element.querySelector('dialog'), form = dialog.querySelector('form');
const part = name => form.querySelector(`.card-${name}`);
const option = (value, label) => Object.assign(make('option', '', label), {value});
const other = form.querySelector('.twin-other'), select = other.querySelector('select');
const place = other.querySelector('.twin-value');
let run = null, offered = null, opening = false;
let asked = 0, making = 0, late = 0, timer = 0;

async function open(id) {
  if (opening || dialog.open) return;
  opening = true;
  const told = await server.offered(id).catch(() => ({name: '', problem: words.unreachable}));
  opening = false;
  run = id;
  offered = told;
  setText(form.querySelector('h2'), fill(words.title, told));
  part('choices').replaceChildren(part('choices').querySelector('legend'));
  select.replaceChildren(...Object.entries(told.others ?? {}).map(([value, {label}]) => option(value, label)));
  if (!told.problem) {
    for (const one of told.switches) part('choices').append(choice(one));
    part('choices').append(choice({setting: 'other', label: words.other, help: '', problem: ''}));
    showField();
  }
  setHidden(part('choices'), Boolean(told.problem));
  wait(0);
  changed();
  setText(part('problem'), told.problem ?? '');
  dialog.showModal();
  (form.querySelector('input:not(:disabled)') ?? part('cancel')).focus();
}

// One thing to change; where it cannot be, it says why.
function choice({setting, label, help, problem}) {
  const node = make('label', 'card-choice'), input = make('input', '');
  Object.assign(input, {type: 'radio', name: 'switch', value: setting, disabled: Boolean(problem)});
  node.append(input, make('b', '', label), make('small', '', problem || help));
  return node;
}

// The field that the chosen setting needs, and what is to be known of it.
function showField() {
  const about = offered.others[select.value], field = make(about.kind === 'choice' ? 'select' : 'input', '');
  if (about.kind === 'choice') field.append(...about.choices.map(one => option(...one)));
  if (about.kind === 'number') field.inputMode = 'decimal';
  field.ariaLabel = `${about.label}: ${words.value}`;
  place.replaceChildren(field);
  const now = [fill(words.now, {value: about.now}), about.unit].join(' ').trim();
  setText(other.querySelector('small'), `${now} · ${about.help}`);
}

// What was chosen, as the server takes it.
function question() {
  const setting = new FormData(form).get('switch');
  if (setting !== 'other') return {run, setting};
  return {run, setting: select.value, value: place.firstElementChild.value};
}

// Something else is chosen: nothing is known of that yet.
function changed() {
  setHidden(other, new FormData(form).get('switch') !== 'other');
  setText(part('said'), '');
  setText(part('problem'), '');
  setHidden(part('command'), true);
  part('save').disabled = true;
  asked += 1;
  clearTimeout(timer);
  timer = setTimeout(look, LOOK_DELAY);
}

async function look() {
  const number = asked, now = question();
  if (!now.setting || now.value === '') { setText(part('said'), offered.problem ? '' : words.choose); return; }
  const told = await server.foreseen(now).catch(() => ({problem: words.unreachable}));
  if (number !== asked || making) return;
  setText(part('said'), told.said ?? '');
  setText(part('problem'), told.problem ?? '');
  setHidden(part('command'), !told.command);
  setText(part('command').querySelector('code'), told.command ?? '');
  part('save').disabled = Boolean(told.problem);
}

// Until answer `number`; 0: no longer.
function wait(number) {
  making = number;
  clearTimeout(late);
  setText(part('save'), number ? words.doing : words.do);
  if (number) late = setTimeout(() => { wait(0); setText(part('problem'), words.unreachable); }, PATIENCE);
}

form.addEventListener('input', event => { if (event.target !== select && !making) changed(); });
select.addEventListener('change', () => { showField(); changed(); });
form.addEventListener('submit', async event => {
  event.preventDefault();
  if (making || part('save').disabled) return;
  const who = await window.gptlab.name();
  if (who === null) return;
  wait(++asked);
  trigger('twin', {...question(), who, number: making});
});
part('cancel').addEventListener('click', () => { if (!making) dialog.close(); });
dialog.addEventListener('cancel', event => { if (making) event.preventDefault(); });
part('copy').addEventListener('click', async () => {
  const done = await toClipboard(part('command').querySelector('code').textContent, dialog);
  setText(part('copy'), done ? words.copied : words.copy_refused);
  setTimeout(() => setText(part('copy'), words.copy), 1500);
});

watch('value', () => {
  const answer = props.value;
  if (!making || answer?.number !== making) return;
  wait(0);
  if (answer.problem) { setText(part('problem'), answer.problem); return; }
  if (answer.who) window.gptlab.who = answer.who;
  dialog.close();
  setText(element.querySelector('.card-told'), answer.note);
  window.gptlab.compare(answer.runs, answer.note);
});

window.gptlab.twin = open;
