// The table of runs and the trash, as runs_tab.listing gives them; all of it is shown as text. It asks for them when it
// comes into view, and every few seconds while it is; Delete and its like answer with them (as the value). Gradio gives
// `element`, `props`, `server`, `trigger` and `watch`.

const SECONDS_BETWEEN_QUESTIONS = 3;
const words = props.words;
const table = element.querySelector('table'), body = table.tBodies[0], trash = element.querySelector('.runs-trash');

const ticked = new Set();  // the runs to compare
const compare = element.querySelector('[data-action=run_compare]'), why = element.querySelector('#runs-tally');
compare.addEventListener('click', () => {  // in the order of the table
  trigger('run_compare', {runs: [...body.rows].map(line => line.dataset.run).filter(run => ticked.has(run))});
});

function make(tag, text = '', attributes = {}) {
  const node = document.createElement(tag);
  node.textContent = text;
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

function button(label, action, one, act = () => trigger(action, {run: one.run})) {
  const node = make('button', label, {type: 'button', 'data-action': action, 'aria-label': `${label}: ${one.name}`});
  node.addEventListener('click', act);
  return node;
}

// To the trash; somebody else's only when sure.
async function remove(one) {
  if (await window.gptlab.may('delete', one)) trigger('run_delete', {run: one.run, sure: true});
}

// A file made of a run, of one of the kinds of run_files.py.
function fileButton(label, kind, one) {
  return button(label, `run_${kind}`, one, () => trigger('run_file', {run: one.run, kind}));
}

// What else a run is handed out as, behind one button; Escape, a choice, and turning elsewhere close it.
function menu(one) {
  const details = make('details', '', {class: 'runs-menu'}), list = make('div');
  const summary = make('summary', words.more, {'aria-label': `${words.more}: ${one.name}`, 'data-action': 'more'});
  list.append(...Object.entries(words.files).map(([kind, label]) => fileButton(label, kind, one)));
  details.append(summary, list);
  const close = () => { details.open = false; summary.focus(); };
  list.addEventListener('click', close);
  details.addEventListener('keydown', event => { if (event.key === 'Escape' && details.open) close(); });
  return details;
}

function closeMenus({target}) {
  for (const one of body.querySelectorAll('.runs-menu[open]')) if (!one.contains(target)) one.open = false;
}
document.addEventListener('pointerdown', closeMenus);
document.addEventListener('focusin', closeMenus);

function time(seconds) {
  if (!seconds) return '–';
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  const hours = Math.floor(seconds / 3600);
  return hours < 48 ? `${hours} h ${Math.round(seconds % 3600 / 60)} min` : `${Math.round(hours / 24)} days`;
}

function tick(one) {
  const box = make('input', '', {type: 'checkbox', 'data-action': 'tick', 'aria-label': `${words.tick}: ${one.name}`});
  box.checked = ticked.has(one.run);
  box.disabled = one.state === 'damaged';
  box.addEventListener('change', () => {
    if (box.checked) ticked.add(one.run);
    else ticked.delete(one.run);
    tally();
  });
  return box;
}

// Whether what is ticked can be compared, and if not, why not.
function tally() {
  const n = ticked.size, {fewest, most} = words, sentence = words.tally[n > most ? 3 : Math.min(n, 2)];
  compare.disabled = n < fewest || n > most;
  const text = sentence.replace('{n}', n).replace('{fewest}', fewest).replace('{most}', most);
  if (why.textContent !== text) why.textContent = text;
}

function row(one) {
  const line = make('tr', '', {'data-run': one.run}), name = make('th', '', {scope: 'row'});
  const state = make('td', '', {'data-label': words.columns[1]}), actions = make('td', '', {class: 'actions'});
  const open = button(one.name, 'run_open', one);
  open.setAttribute('aria-label', `${words.open}: ${one.name}`);
  const about = make('div');
  about.append(open, make('small', one.made));
  if (one.origin) about.append(make('small', one.origin));
  name.append(tick(one), about);
  state.append(make('span', words.states[one.state], {class: 'live-state', 'data-state': one.state}));
  if (one.reason) state.append(make('small', one.reason));
  const whole = number => number.toLocaleString('en-US');
  const steps = one.total_steps > one.step ? `${whole(one.step)} / ${whole(one.total_steps)}` : whole(one.step);
  const texts = [one.data, one.best === null ? '–' : one.best.toFixed(3), steps, time(one.seconds)];
  line.append(name, state, ...texts.map((text, i) => make('td', text, {'data-label': words.columns[i + 2]})), actions);
  actions.append(button(words.open, 'run_open', one));
  if (one.resumable) actions.append(button(words.resume, 'run_resume', one));
  actions.append(fileButton(words.download, 'download', one));
  if (!one.alive) actions.append(button(words.delete, 'run_delete', one, () => remove(one)));
  actions.append(menu(one));
  return line;
}

function deletedItem(one) {
  const item = make('li', `${one.name} · ${one.made} `, {'data-run': one.run});
  item.append(button(words.restore, 'run_restore', one));
  return item;
}

// One node a run, kept while what it tells stays the same, so that the focus and a selection stay. Where the node with the
// focus goes, the same button of the one that takes its place gets it.
function fill(list, ones, build) {
  const before = [...list.children], known = new Map(before.map(node => [node.dataset.run, node]));
  const button = list.contains(document.activeElement) ? document.activeElement : null;
  const place = before.findIndex(node => node.contains(button));
  const nodes = ones.map(one => {
    const told = JSON.stringify(one), old = known.get(one.run);
    if (old?.told === told) return old;
    const node = Object.assign(build(one), {told});
    if (old?.querySelector('.runs-menu[open]')) node.querySelector('.runs-menu').open = true;
    return node;
  });
  const kept = new Set(nodes);
  before.filter(node => !kept.has(node)).forEach(node => node.remove());
  nodes.forEach((node, i) => { if (list.children[i] !== node) list.insertBefore(node, list.children[i] ?? null); });
  if (!button || button.isConnected) return;
  const next = nodes.find(node => node.dataset.run === before[place].dataset.run) ?? nodes[Math.min(place, nodes.length - 1)];
  const same = next?.querySelector(`[data-action=${button.dataset.action}]`) ?? next?.querySelector('button');
  (same ?? trash.querySelector('summary')).focus();
}

let mark = null;
function show(listing) {
  if (!listing) return;
  mark = listing.mark;
  table.hidden = listing.runs.length === 0;
  element.querySelector('.runs-empty').hidden = listing.runs.length > 0;
  const more = element.querySelector('.runs-more');
  more.textContent = listing.more;
  more.hidden = !listing.more;
  trash.hidden = listing.trash.length === 0;
  trash.querySelector('.trash-count').textContent = listing.trash.length;
  const there = new Set(listing.runs.filter(one => one.state !== 'damaged').map(one => one.run));
  for (const run of [...ticked]) if (!there.has(run)) ticked.delete(run);
  element.querySelector('.runs-compare').hidden = there.size < words.fewest;
  tally();
  fill(body, listing.runs, row);
  fill(trash.querySelector('ul'), listing.trash, deletedItem);
}

async function ask() {
  try {
    show(await server.news(mark));
  } catch {  // not reachable: the Train tab says so, and the next question is asked all the same
  }
}

let seen = false;
new IntersectionObserver(([entry]) => {
  if (entry.isIntersecting && !seen) { mark = null; ask(); }
  seen = entry.isIntersecting;
}).observe(element);
const asking = setInterval(() => {
  if (!element.isConnected) clearInterval(asking);
  else if (seen && document.visibilityState === 'visible') ask();
}, SECONDS_BETWEEN_QUESTIONS * 1000);

watch('value', () => show(props.value));
