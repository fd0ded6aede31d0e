// The table of runs and the trash, as runs_list.py gives them; all of it is shown as text. It asks for them when it comes into
// view, and every few seconds while it is; Delete and its like answer with them (as the value). live_text.js, runs_choice.js
// and runs_row.js stand before it, in the same function. Gradio gives `element`, `props`, `server`, `trigger` and `watch`.

const SECONDS_BETWEEN_QUESTIONS = 3;
const body = table.tBodies[0], trash = part('trash');
let list = {runs: [], trash: [], more: '', mark: null, at: 0};
const known = new Map();  // what is listed of each run, by its id

const ticked = new Set();  // the runs to compare
const compare = element.querySelector('[data-action=run_compare]'), why = element.querySelector('#runs-tally');
compare.addEventListener('click', () => {  // in the order of the table, whatever it leaves out
  trigger('run_compare', {runs: sorted(list.runs).map(one => one.run).filter(run => ticked.has(run)), note: ''});
});

// Runs side by side, asked for from elsewhere in the page, perhaps before this tab was there; `note` says what has happened.
window.gptlab.compare = (runs, note = '') => {
  ticked.clear();
  for (const run of runs) ticked.add(run);
  list.mark = null;
  ask();
  trigger('run_compare', {runs, note});
};

// Whether what is ticked can be compared, and if not, why not. What is ticked stays so where a search leaves it out.
function tally() {
  const n = ticked.size, {fewest, most} = words, sentence = words.tally[n > most ? 3 : Math.min(n, 2)];
  compare.disabled = n < fewest || n > most;
  const seen = [...body.rows].filter(line => ticked.has(line.dataset.run)).length;
  const parts = [fill(sentence, {n, fewest, most})];
  if (seen < n) parts.push(fill(words.unseen, {n: n - seen}));
  setText(why, parts.join(' '));
}

// The node of a run as it is now: its old one, if it is there, of which only what changed is replaced. An open menu stays so,
// and on its side.
function renewed(old, node) {
  if (!old?.cells) return node;
  const open = old.querySelector('.runs-menu[open]'), menu = node.querySelector('.runs-menu');
  if (open) {
    menu.open = true;
    menu.lastElementChild.className = open.lastElementChild.className;
  }
  [...node.cells].forEach((cell, i) => { if (!cell.isEqualNode(old.cells[i])) old.cells[i].replaceWith(cell); });
  return old;
}

// One node a run, kept while the run is listed, so that the focus and a selection stay. Where the button with the focus goes,
// the same one gets it in the row that takes its place.
function fillRows(into, ones, build) {
  const before = [...into.children], nodesBefore = new Map(before.map(node => [node.dataset.run, node]));
  const button = into.contains(document.activeElement) ? document.activeElement : null;
  const place = before.findIndex(node => node.contains(button)), run = before[place]?.dataset.run;
  const nodes = ones.map(one => {
    const told = JSON.stringify(one), old = nodesBefore.get(one.run);
    return old?.told === told ? old : Object.assign(renewed(old, build(one)), {told});
  });
  const kept = new Set(nodes);
  before.filter(node => !kept.has(node)).forEach(node => node.remove());
  nodes.forEach((node, i) => { if (into.children[i] !== node) into.insertBefore(node, into.children[i] ?? null); });
  if (!button || document.activeElement === button) return;
  if (button.isConnected) { button.focus(); return; }  // its row was moved
  const next = nodes.find(node => node.dataset.run === run) ?? nodes[Math.min(place, nodes.length - 1)];
  const same = next?.querySelector(`[data-action=${button.dataset.action}]`), closed = same?.closest('.runs-menu:not([open])');
  (closed?.querySelector('summary') ?? same ?? next?.querySelector('button') ?? search).focus();
}

// The list as it is known, as far as it is searched for, in the order that was chosen.
function draw() {
  const rows = choose(list.runs);
  table.hidden = rows.length === 0;
  part('empty').hidden = list.runs.length > 0;
  part('controls').hidden = part('fair').hidden = list.runs.length === 0;
  part('more').textContent = list.more;
  part('more').hidden = !list.more;
  trash.hidden = list.trash.length === 0;
  trash.querySelector('.trash-count').textContent = list.trash.length;
  part('compare').hidden = list.runs.filter(one => one.state !== 'damaged').length < words.fewest;
  fillRows(body, rows, row);
  for (const line of body.rows) line.querySelector('[data-action=tick]').checked = ticked.has(line.dataset.run);
  fillRows(trash.querySelector('ul'), list.trash, deletedItem);
  tally();
}

// What the server told: the list, or how the run that trains is `now`. An older list than the one that is shown comes too late.
function show(told) {
  if (!told || told.at < list.at) return;
  if (told.now) list.runs = list.runs.map(one => one.run === told.now.run ? told.now : one);
  else list = told;
  known.clear();
  for (const one of list.runs) known.set(one.run, one);
  const whole = new Set(list.runs.filter(one => one.state !== 'damaged').map(one => one.run));
  for (const run of [...ticked]) if (!whole.has(run)) ticked.delete(run);
  draw();
}

let question = null;  // the one that is not answered yet

// Where a later question or another list came before the answer, that is out of date: a run deleted meanwhile would be back.
async function ask() {
  const mine = question = {}, before = list;
  try {
    const told = await server.news(list.mark);
    if (question === mine && list === before) show(told);
  } catch {  // not reachable: the Train tab says so, and the next question is asked all the same
  } finally {
    if (question === mine) question = null;
  }
}

let seen = false;  // or nearly: what is read a screen further down goes on beside a table that does too
new IntersectionObserver(entries => {
  const {isIntersecting} = entries.at(-1);  // the latest: they come by twos after a slow moment
  if (isIntersecting && !seen) { list.mark = null; ask(); }
  seen = isIntersecting;
}, {rootMargin: '100% 0px'}).observe(element);
const asking = setInterval(() => {
  if (!element.isConnected) clearInterval(asking);
  else if (seen && !question && document.visibilityState === 'visible') ask();
}, SECONDS_BETWEEN_QUESTIONS * 1000);

watch('value', () => show(props.value));
if (window.gptlab.toCompare) window.gptlab.compare(window.gptlab.toCompare.runs, window.gptlab.toCompare.note);
