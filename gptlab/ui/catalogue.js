// The list of texts to download. `props.entries` never change; what is chosen is the value; what is downloaded, and how far a
// download is, it asks for while it is seen, and triggers "moved" where that is other than the value says of the chosen text.
// All is shown as text. live_text.js stands before it, in the same function. Gradio gives `element`, `props`, `server`,
// `trigger` and `watch`.

const SECONDS_BETWEEN_QUESTIONS = 1;
const {entries, words, problem} = props;
const box = element.querySelector('.catalogue'), list = box.querySelector('ul'), said = box.querySelector('.catalogue-said');
const titled = Object.fromEntries(entries.map(one => [one.name, one]));
let told = {here: [], current: null}, asking = false;
let wanted = '';  // the entry that was chosen last, until the value has it: an answer to an earlier choice must not undo it

// One row an entry, made once: the focus and the scrolling stay while numbers in it change.
function row(entry) {
  const item = make('li', ''), label = make('label', ''), radio = make('input', ''), more = make('p', 'catalogue-more');
  const home = make('a', '', `${entry.host} ↗`), action = make('button', 'catalogue-get', words.download);
  const going = make('div', 'catalogue-going'), bar = make('progress', '');
  const cancel = make('button', 'catalogue-cancel', words.cancel);
  item.dataset.entry = entry.name;
  Object.assign(radio, {type: 'radio', name: 'catalogue-entry', value: entry.name});
  label.append(radio, make('b', '', entry.title), make('span', '', `${entry.size} · ${entry.language}`));
  Object.assign(home, {href: entry.home, target: '_blank', rel: 'noopener noreferrer'});
  more.append(`${entry.description} ${entry.licence}. `, home);
  action.type = cancel.type = 'button';
  action.setAttribute('aria-label', fill(words.download_what, entry));
  cancel.setAttribute('aria-label', fill(words.cancel_what, entry));
  Object.assign(bar, {max: 100});
  bar.setAttribute('aria-label', fill(words.began, entry));
  going.append(bar, make('span', 'catalogue-far'), cancel);
  going.hidden = true;
  item.append(label, make('span', 'catalogue-here', words.here), action, more, going, make('p', 'catalogue-why'));
  const want = event => { wanted = entry.name; draw(); trigger(event, {name: entry.name}); };
  radio.addEventListener('change', () => want('choose_entry'));
  action.addEventListener('click', () => want('fetch_entry'));
  cancel.addEventListener('click', () => trigger('cancel_fetch', {}));
  return item;
}

function far({done, total, rate, left}) {
  if (!done) return words.connecting;
  const parts = [fill(words.so_far, {done, total}), rate && fill(words.rate, {rate}), left && fill(words.left, {left})];
  return parts.filter(Boolean).join(', ');
}

// Whether a text is "here", on its way ("going"), or neither.
function stateOf(name) {
  if (told.here.includes(name)) return 'here';
  return told.current?.name === name && !told.current.finished ? 'going' : '';
}

function showRow(name) {
  [...list.children].find(item => item.dataset.entry === name)?.scrollIntoView({block: 'nearest'});
}

function draw() {
  const {visible = false, chosen: answered = ''} = props.value ?? {}, current = told.current;
  if (answered === wanted) wanted = '';
  const chosen = wanted || answered;
  setHidden(box, !visible);
  for (const item of list.children) {
    const name = item.dataset.entry, of = current?.name === name ? current : null, state = stateOf(name);
    const part = kind => item.querySelector(`.catalogue-${kind}`), here = state === 'here', going = state === 'going';
    item.classList.toggle('chosen', name === chosen);
    item.querySelector('input').checked = name === chosen;
    setHidden(part('here'), !here);
    setHidden(part('get'), here || going);
    setText(part('get'), of?.cancelled ? words.go_on : words.download);
    if (!going && part('going').contains(document.activeElement)) item.querySelector('input').focus();
    setHidden(part('going'), !going);
    if (going) {
      item.querySelector('progress').value = of.percent;
      setText(part('far'), far(of));
    }
    part('why').classList.toggle('failed', Boolean(of) && !of.cancelled);
    setText(part('why'), of?.finished && !here ? of.problem : '');
  }
  if (!current) return;
  const sentence = !current.finished ? words.began : current.problem ? '' : words.ended;
  setText(said, sentence && titled[current.name] ? fill(sentence, titled[current.name]) : current.problem);
}

async function ask() {
  if (asking || document.visibilityState !== 'visible' || !box.offsetParent) return;
  asking = true;
  try {
    told = await server.now({});
    draw();
    const {chosen = '', state = ''} = props.value ?? {}, now = stateOf(chosen);
    if (chosen && now !== state) {
      props.value.state = now;  // said once
      if (now !== 'going') showRow(chosen);
      trigger('moved', {name: chosen});
    }
  } catch { /* the app is away for a moment: the next question finds it */ }
  asking = false;
}

list.append(...entries.map(row));
setText(box.querySelector('.catalogue-problem'), problem);
setHidden(box.querySelector('.catalogue-problem'), !problem);
draw();
watch('value', () => { draw(); ask(); });
const timer = setInterval(() => { if (element.isConnected) ask(); else clearInterval(timer); }, 1000 * SECONDS_BETWEEN_QUESTIONS);
