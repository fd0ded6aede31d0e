// Two tokenizers side by side, as tokenizer_bench.py tells of them; all of it is shown as text. live_text.js stands before it
// in the same function. Nothing is asked before it is seen. Gradio gives `element`, `props` (whose value is the server's answer
// to the last comparison), `server`, `trigger`, `upload` and `watch`.

const PATIENCE = 5000;      // milliseconds without an answer until it is looked whether the app is still there
const QUICK = 300;          // that it may take before it is said that something is done
const TYPING = 80;          // between the last key and the question
const KEPT = 'gptlab-bench';
const LONG_RUN = 6;         // of one sign, from which on it is counted
const SPACES = {' ': '␣', '\n': '↵', '\t': '⇥', '\r': '␍', '\u00a0': '⍽'};
const {words, vocabularies} = props;
const box = element.querySelector('.bench');
const part = name => box.querySelector(`.bench-${name}`);
const [state, bar] = ['p', 'progress'].map(name => part('state').querySelector(name));
const sentence = box.querySelector('textarea');

const held = remembered();
const sides = [0, 1].map(i => ({kind: i ? 'bpe' : 'char', vocabulary: 4096, ...held.sides?.[i]}));
let seen = false, stale = true;
let asked = 0, late = 0, soon = 0;  // the number of the last question, and what waits for its answer
let open = false, since = false;    // whether it is unanswered, and whether another was to be asked meanwhile
let begun = false;                  // whether it was said what is done for it
let ids = [];                       // of the tokenizers that are shown
let typing = 0, cutting = false, typed_since = false;

function remembered() {
  try { return JSON.parse(localStorage.getItem(KEPT)) ?? {}; } catch { return {}; }
}

function remember() {
  try { localStorage.setItem(KEPT, JSON.stringify({sides, text: sentence.value})); } catch { /* until the next reload, then */ }
}

// ---- what is asked for ----

const asChosen = ({kind, vocabulary, path}) => ({kind, vocabulary, upload: path});

// One question at a time; of what was to be asked meanwhile, the last. (Gradio 6.31's "always_last" forgets what comes with it.)
function ask() {
  stale = !seen;
  if (stale) return;
  since = open;
  if (since) return;
  open = true;
  begun = false;
  asked += 1;
  soon = setTimeout(() => busy(words.asking), QUICK);
  late = setTimeout(lookAfter, PATIENCE);
  trigger('compare', {number: asked, sides: sides.map(asChosen)});
}

// Comparisons are made one at a time: an app that answers other questions is at those of others.
async function lookAfter() {
  const number = asked, there = await server.sentence({}).catch(() => null);  // Gradio 6.31 may give nothing instead
  if (!open || number !== asked) return;
  if (!there) { say(words.unreachable); return; }
  if (!begun) busy(words.waiting);
  late = setTimeout(lookAfter, PATIENCE);
}

function busy(doing) {
  setText(state, doing);
  bar.hidden = !doing;
  box.setAttribute('aria-busy', String(Boolean(doing)));
}

// The question is answered, or never will be.
function say(problem) {
  open = false;
  clearTimeout(soon);
  clearTimeout(late);
  busy('');
  setText(part('problem'), problem);
  part('problem').hidden = !problem;
}

// The choice of one side: a kind, and with it a vocabulary or a file.
function choiceOf(side, i) {
  const name = fill(words.tokenizer, {side: words.sides[i]});
  const fieldset = make('fieldset', 'bench-side'), kinds = make('div', 'bench-kinds');
  fieldset.append(make('legend', '', name), kinds);
  for (const kind of props.kinds) {
    const label = make('label', ''), radio = make('input', '');
    Object.assign(radio, {type: 'radio', name: `bench-kind-${i}`, value: kind, checked: kind === side.kind});
    radio.addEventListener('change', () => change(i, {kind}));
    label.append(radio, make('span', '', words.kinds[kind]));
    kinds.append(label);
  }
  fieldset.append(sliderOf(side, i), fileOf(side, i), useOf(side, i));
  return fieldset;
}

function sliderOf(side, i) {
  const label = make('label', 'bench-vocabulary'), range = make('input', ''), shown = make('output', '');
  const value = () => vocabularies[range.value];
  const write = () => { setText(shown, whole(value())); range.setAttribute('aria-valuetext', whole(value())); };
  Object.assign(range, {type: 'range', min: 0, max: vocabularies.length - 1, step: 1});
  range.value = vocabularies.findIndex(one => one >= side.vocabulary);
  range.addEventListener('input', write);
  range.addEventListener('change', () => change(i, {vocabulary: value()}));
  write();
  label.append(make('span', '', words.vocabulary), range, shown);
  return label;
}

function fileOf(side, i) {
  const label = make('label', 'bench-file'), input = make('input', ''), shown = make('span', '', side.file ?? words.file);
  Object.assign(input, {type: 'file', accept: '.json,application/json'});
  input.addEventListener('change', async () => {
    const file = input.files[0];
    if (!file) return;
    setText(shown, words.uploading);
    const there = await upload(file).catch(() => null);
    setText(shown, there ? file.name : words.file);
    if (there) change(i, {path: there.path, file: file.name});
    else say(words.unreachable);
    input.value = '';  // so that the same file can be chosen again
  });
  label.append(input, shown);
  return label;
}

function useOf(side, i) {
  const line = make('p', 'bench-use'), button = make('button', '', words.use), told = make('span', '');
  button.type = 'button';
  button.setAttribute('aria-label', `${words.use}: ${fill(words.tokenizer, {side: words.sides[i]})}`);
  told.setAttribute('role', 'status');
  button.addEventListener('click', async () => {
    const choice = asChosen(side);
    const {problem} = await server.usable(choice).catch(() => null) ?? {problem: words.unreachable};
    if (!problem) trigger('use', choice);
    setText(told, problem || words.used);
  });
  line.append(button, told);
  return line;
}

function change(i, values) {
  Object.assign(sides[i], values);
  remember();
  fit();
  ask();
}

// A file that is not there any more, since the app was started anew.
function forget(i) {
  if (!sides[i].path) return;
  Object.assign(sides[i], {path: undefined, file: undefined});
  remember();
  setText(part('sides').children[i].querySelector('.bench-file span'), words.file);
}

// What stands under the kinds follows them.
function fit() {
  [...part('sides').children].forEach((fieldset, i) => {
    const find = name => fieldset.querySelector(`.bench-${name}`);
    find('vocabulary').hidden = sides[i].kind !== 'bpe';
    find('file').hidden = sides[i].kind !== 'file';
    setText(find('use').querySelector('span'), '');  // what was taken into the settings is another by now
  });
}

// ---- what is shown ----

// Spaces as signs; a long run of one sign as its length.
function visible(text) {
  return text.replace(/(.)\1*/gsu, (run, sign) => {
    const shown = SPACES[sign] ?? sign, count = run.length / sign.length;
    return count < LONG_RUN ? shown.repeat(count) : `${shown}×${count}`;
  });
}

// A part of a character by its bytes: "E0 A6"; what stands whole beside them stays.
function bytes(text) {
  return text.split(/((?:\\x[0-9a-f]{2})+)/).filter(Boolean)
    .map(piece => piece.startsWith('\\x') ? piece.slice(2).replaceAll('\\x', ' ').toUpperCase() : visible(piece)).join(' ');
}

// A colour for each token: that of its number, but never its neighbour's, so that one sees where a token ends.
function colours(tokens) {
  let before = -1;
  return tokens.map(([, id]) => {
    const own = id % props.colours;
    before = own === before ? (own + 1) % props.colours : own;
    return `token c${before}`;
  });
}

const hint = (id, isWhole) => fill(isWhole ? words.token : words.token_bytes, {id});

// A piece of text on its own, as in a list: isolated, so that neighbours written the other way leave it alone.
function piece(text, isWhole, className = '') {
  return make('bdi', `${className} ${isWhole ? '' : 'torn'}`.trim(), isWhole ? visible(text) : bytes(text));
}

// Text to read, coloured by token. Letters that join go on joining from one token to the next, and lines keep their ends.
function running(cut) {
  const text = make('div', 'bench-text');
  const classes = colours(cut.tokens);
  text.dir = 'auto';
  for (const [i, [token, id, isWhole]] of cut.tokens.entries()) {
    const span = make(isWhole ? 'span' : 'bdi', isWhole ? classes[i] : `${classes[i]} torn`, isWhole ? '' : bytes(token));
    span.title = hint(id, isWhole);
    const lines = isWhole ? token.split('\n') : [];
    lines.forEach((line, j) => span.append(...j ? [make('span', 'newline', '↵'), '\n'] : [], line));
    text.append(span);
  }
  return text;
}

const several = (names, count) => `${whole(count)} ${names[count === 1 ? 0 : 1]}`;
const counted = cut => fill(words.count, {tokens: several(words.tokens, cut.count), bytes: several(words.bytes, cut.bytes)});

function problemOr(cut, render) {
  return cut.problem ? [make('p', 'message problem', cut.problem)] : render(cut);
}

function withCut(cut, node) {
  const rest = make('p', 'bench-quiet', fill(words.cut, {count: whole(cut.tokens.length)}));
  return [make('p', 'bench-quiet', counted(cut)), node, ...cut.count > cut.tokens.length ? [rest] : []];
}

// A sentence's tokens in their order, each over its number.
function chips(cut) {
  const list = make('ol', 'bench-chips'), classes = colours(cut.tokens);
  list.dir = sentence.matches(':dir(rtl)') ? 'rtl' : 'ltr';
  list.append(...cut.tokens.map(([token, id, isWhole], i) => {
    const item = make('li', classes[i]);
    item.title = hint(id, isWhole);
    item.append(piece(token, isWhole), make('small', '', id));
    return item;
  }));
  return list;
}

function longest(side) {
  if (!side.longest.length) return [make('p', 'bench-quiet', side.all_alike)];
  const list = make('ul', 'bench-list');
  list.append(...side.longest.map(([token, count, isWhole]) => {
    const item = make('li', '');
    item.append(piece(token, isWhole, 'bench-piece'), make('small', '', fill(words.times, {count: whole(count)})));
    return item;
  }));
  return [list];
}

function mergeItems(merges) {
  return merges.map(([left, right, made]) => {
    const item = make('li', '');
    item.append(piece(...left, 'bench-piece'), ' + ', piece(...right, 'bench-piece'), ' → ', piece(...made, 'bench-piece'));
    return item;
  });
}

function mergeList(side) {
  if (!side.merges.length) return [make('p', 'bench-quiet', side.no_merges)];
  const list = make('ol', 'bench-list'), more = make('button', 'bench-more', words.more);
  list.tabIndex = 0;
  list.append(...mergeItems(side.merges));
  more.type = 'button';
  more.hidden = side.merge_count <= side.merges.length;
  more.addEventListener('click', async () => {
    more.disabled = true;
    const told = await server.more_merges({id: side.id, first: list.children.length}).catch(() => null);
    more.disabled = false;
    if (!told) { say(words.unreachable); return; }
    if (!told.merges) { ask(); return; }  // it was learnt long ago
    list.append(...mergeItems(told.merges));
    more.hidden = list.children.length >= side.merge_count;
  });
  return [list, more];
}

// The same numbers of both sides; a star is the better one.
function numbers(rows) {
  part('rows').tBodies[0].replaceChildren(...rows.map(({label, help, values, better}) => {
    const row = make('tr', ''), head = make('th', '', label);
    head.scope = 'row';
    head.append(make('small', '', help));
    row.append(head, ...values.map((value, i) => {
      const cell = make('td', i === better ? 'better' : '', value);
      if (i === better) cell.prepend(Object.assign(make('span', '', '★ '), {title: words.better}));
      return cell;
    }));
    return row;
  }));
}

const fillBoth = (name, render) => [...part(name).children].forEach((node, i) => node.replaceChildren(...render(i)));

function show() {
  const told = props.value;
  if (!told || told.number !== asked) return;
  if (told.doing) { clearTimeout(soon); begun = true; busy(told.doing); return; }
  say(told.problem ?? '');
  if (since) { ask(); return; }
  part('found').hidden = Boolean(told.problem);
  if (told.problem) return;
  told.sides.forEach((side, i) => { if (side.kind === 'file' && !side.file) forget(i); });
  ids = told.sides.map(side => side.id ?? '');
  setText(part('measured'), told.measured);
  part('rows').tHead.querySelectorAll('th').forEach((head, i) => setText(head, `${words.sides[i]}: ${told.sides[i].name}`));
  numbers(told.rows);
  const each = (name, render) => fillBoth(name, i => problemOr(told.sides[i], render));
  each('sentences', side => [side.sentence, ...side.note ? [' ', side.note] : []]);
  each('samples', side => problemOr(side.sample, cut => withCut(cut, running(cut))));
  each('longest', longest);
  each('merges', mergeList);
  cutSentence();
}

// How both cut what is typed. One question at a time; of what was typed meanwhile, the last.
async function cutSentence() {
  if (cutting) { typed_since = true; return; }
  const text = sentence.value, asked_of = ids;
  if (!text) { fillBoth('typed', i => i ? [] : [make('p', 'bench-quiet', words.nothing)]); return; }
  cutting = true;
  const told = await server.sentence({text, ids}).catch(() => null);
  cutting = false;
  if (typed_since || ids !== asked_of) { typed_since = false; cutSentence(); return; }
  if (!told) { say(words.unreachable); return; }
  if (told.sides.some((side, i) => !side && ids[i])) { ask(); return; }  // learnt long ago: the app was started anew
  fillBoth('typed', i => told.sides[i] ? problemOr(told.sides[i], cut => withCut(cut, chips(cut))) : []);
}

sentence.value = held.text ?? Object.values(props.examples)[0];
sentence.addEventListener('input', () => {
  remember();
  clearTimeout(typing);
  typing = setTimeout(cutSentence, TYPING);
});
part('examples').append(...Object.entries(props.examples).map(([name, text]) => {
  const button = Object.assign(make('button', '', name), {type: 'button'});
  button.addEventListener('click', () => { sentence.value = text; remember(); cutSentence(); });
  return button;
}));
part('sides').append(...sides.map(choiceOf));
fit();
watch('value', show);
new IntersectionObserver(([entry]) => {
  const before = seen;
  seen = entry.isIntersecting;
  if (seen && (stale || !before)) ask();  // what it was measured for, the model too, may have changed meanwhile
}).observe(element);
window.gptlab.textChanged = () => ask();
