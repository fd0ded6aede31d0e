// The text a model writes: the beginning it was given, and what it made of it, both as text, each token shaded by how likely
// it was; what else could have stood in its place, and the text gone on with that. Gradio gives `element`, `props` (whose value
// is what playground_tab yields), `trigger` and `watch`.

const find = name => element.querySelector(name), words = props.words;
const parts = ['.prompt', '.written', '.written-note', '.written-frame', '.branches', '.alternatives', '.alternatives-title',
  '.alternatives-list'];
const [prompt, written, note, frame, branches, panel, title, list] = parts.map(find);
const text = new TokenText(written);
let versions = [];     // texts so far, each {tokens: [[id, text, logprob, likeliest], …], label}
let current = -1;      // the one that is shown
let asked = 0;         // the number of the branch that was asked for last, which the answers to it carry
let at = -1, hovered = -1;

function show() {
  const value = props.value ?? {prompt: '', tokens: [], note: ''}, grown = versions[versions.length - 1];
  const number = value.number ?? 0;
  if (number && number !== asked) return;  // what was written meanwhile is another text
  if (number === 0) {
    asked = 0;
    versions = value.tokens?.length ? [{tokens: value.tokens, begun: [], label: words.first}] : [];
    current = versions.length - 1;
  } else {
    grown.tokens = [...grown.begun, ...value.tokens];
  }
  if (note.textContent !== value.note) note.textContent = value.note ?? '';  // else it is said aloud ten times a second
  prompt.textContent = value.prompt;
  frame.classList.toggle('writing', Boolean(value.writing));
  draw();
}

function draw() {
  const atEnd = frame.scrollHeight - frame.scrollTop - frame.clientHeight < 40;
  const tokens = versions[current]?.tokens ?? [];
  const pieces = tokens.map(one => one[1]);
  text.show(pieces.join(''), pieces, tokens.map(one => one[2]));
  frame.classList.toggle('blank', !prompt.textContent && tokens.length === 0);
  setHidden(panel, tokens.length === 0);
  if (at >= text.tokens.length) at = -1;
  text.spans.forEach((span, i) => span.classList.toggle('at', i === at));
  drawBranches();
  tell();
  if (atEnd && at < 0) frame.scrollTop = frame.scrollHeight;
}

function drawBranches() {
  setHidden(branches, versions.length < 2);
  const shown = versions.map((one, i) => `${one.label}${i === current}`).join();
  if (branches.dataset.shown === shown) return;
  branches.dataset.shown = shown;
  branches.replaceChildren(...versions.map((one, i) => {
    const button = make('button', 'branch', one.label);
    Object.assign(button, {type: 'button', ariaPressed: String(i === current)});
    button.addEventListener('click', () => { current = i; at = -1; draw(); });
    return button;
  }));
}

const named = piece => words.names[piece] ?? `“${piece}”`;

// What else could have stood where the mouse or a person is.
function tell() {
  const choosing = list.contains(document.activeElement);  // whoever is in the list by keyboard keeps it, wherever the mouse rests
  const token = text.tokens[hovered >= 0 && !choosing ? hovered : at], raw = token && versions[current].tokens[token.first];
  setText(title, raw ? fill(words.title, {token: named(token.text)}) : words.hint);
  const shown = raw ? `${current} ${token.first} ${raw[0]}` : '';
  if (list.dataset.shown === shown) return;
  list.dataset.shown = shown;
  list.replaceChildren(...(raw ? raw[3] : []).map(([id, piece, logprob]) => alternative(token, raw, id, piece, logprob)));
}

function alternative(token, raw, id, piece, logprob) {
  const item = make('li', ''), button = make('button', 'alternative'), share = Math.exp(logprob);
  const told = {token: named(piece), percent: percent(share)};
  button.type = 'button';
  button.style.setProperty('--share', `${100 * share}%`);
  button.append(make('span', 'alternative-token', named(piece)), make('span', 'alternative-share', fill(words.share, told)));
  button.disabled = id === raw[0] || piece === '';
  button.ariaLabel = fill(id === raw[0] ? words.taken : words.go_on, told);
  button.classList.toggle('taken', id === raw[0]);
  button.addEventListener('click', () => goOn(token, raw, [id, piece, logprob, raw[3]]));
  item.append(button);
  return item;
}

// The text up to a token, then another one in its place, and on from there.
function goOn(token, raw, chosen) {
  const begun = [...versions[current].tokens.slice(0, token.first), chosen];
  const label = fill(words.branch, {number: versions.length + 1, token: named(chosen[1]), other: named(token.text)});
  asked = Math.floor(Math.random() * 2 ** 30) + 1;
  versions.push({tokens: begun, begun, label});
  current = versions.length - 1;
  [at, hovered] = [-1, -1];
  draw();
  written.focus({preventScroll: true});
  const {prompt: shown, cut} = props.value;
  trigger('branch', {prompt: cut ? shown.slice(1) : shown, begun: begun.map(one => one[0]), number: asked});
}

function point(to) {
  at = Math.max(-1, Math.min(text.tokens.length - 1, to));
  text.spans.forEach((span, i) => span.classList.toggle('at', i === at));
  text.spans[at]?.scrollIntoView({block: 'nearest'});
  tell();
}

const under = event => text.spans.indexOf(event.target);
written.addEventListener('click', event => under(event) >= 0 && point(under(event)));
written.addEventListener('focus', () => written.matches(':focus-visible') && at < 0 && point(0));
written.addEventListener('mouseover', event => { hovered = under(event); tell(); });
written.addEventListener('mouseleave', () => { hovered = -1; tell(); });
written.addEventListener('keydown', event => {
  const to = {ArrowRight: at + 1, ArrowLeft: Math.max(0, at - 1), Home: 0, End: text.tokens.length - 1}[event.key];
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.key === 'Enter') list.querySelector('button:enabled')?.focus();
  else if (to === undefined) return;
  else point(to);
  event.preventDefault();
});

list.addEventListener('keydown', event => {
  const buttons = [...list.querySelectorAll('button:enabled')], here = buttons.indexOf(document.activeElement);
  const step = {ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1}[event.key];
  if (event.key === 'Escape') written.focus();
  else if (step === undefined) return;
  else buttons[Math.max(0, Math.min(buttons.length - 1, here + step))]?.focus();
  event.preventDefault();
});

watch('value', show);
show();
