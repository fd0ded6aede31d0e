// One run as a row of the table, with its buttons and its menu; and one in the trash. live_text.js and runs_choice.js stand
// before it and runs.js after it, in the same function.

let clicked = null;  // the button that was clicked last

function create(tag, text = '', attributes = {}) {
  const node = document.createElement(tag);
  node.textContent = text;
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

// A row outlives what it first told of its run: what is done is done to the run as it is now. A double click is one.
function button(label, action, {run, name}, act = () => trigger(action, {run})) {
  const node = create('button', label, {type: 'button', 'data-action': action, 'aria-label': `${label}: ${name}`});
  node.addEventListener('click', ({detail}) => {
    if (detail < 2 || clicked !== node) act(known.get(run));
    clicked = node;
  });
  return node;
}

// To the trash; somebody else's only when sure.
async function remove(one) {
  if (await window.gptlab.may('delete', one)) trigger('run_delete', {run: one.run, sure: one.run});
}

async function erase({run, name, owner}) {
  const others = owner && owner !== window.gptlab.who;
  const question = fill(others ? words.erase_others : words.erase_question, {owner, name});
  if (await window.gptlab.ask(question, {yes: words.erase, no: words.keep})) trigger('run_erase', {run, sure: run});
}

async function relabel({run}) {
  if (await window.gptlab.editLabel(run)) ask();
}

// A file made of a run, of one of the kinds of run_files.py.
function fileButton(label, kind, one) {
  return button(label, `run_${kind}`, one, () => trigger('run_file', {run: one.run, kind}));
}

// What else can be done with a run, behind one button; Escape, a choice, and turning elsewhere close it.
function menu(one) {
  const details = create('details', '', {class: 'runs-menu'}), list = create('div', '', {class: 'runs-entries'});
  const summary = create('summary', words.more, {'aria-label': `${words.more}: ${one.name}`, 'data-action': 'more'});
  list.append(button(words.label, 'run_label', one, relabel));
  if (one.state !== 'damaged') list.append(button(words.again, 'run_again', one, now => trigger('run_again', {run: now.run})));
  if (one.state !== 'damaged') {
    list.append(...Object.entries(words.dialogs).map(
      ([name, label]) => button(label, `run_${name}`, one, ({run}) => window.gptlab[name](run))));
  }
  list.append(create('hr'), fileButton(words.download, 'download', one));
  list.append(...Object.entries(words.files).map(([kind, label]) => fileButton(label, kind, one)));
  if (!one.alive) list.append(create('hr'));
  if (!one.waits) {
    list.append(button(one.archived ? words.unarchive : words.archive, 'run_archive', one,
      now => trigger('run_archive', {run: now.run, archived: !now.archived})));
  }
  if (!one.alive) list.append(button(words.delete, 'run_delete', one, remove));
  details.append(summary, list);
  const close = () => { details.open = false; summary.focus(); };
  list.addEventListener('click', close, true);  // before what is chosen is done: a dialog gives the focus back to the button
  details.addEventListener('toggle', () => {  // upwards where there is no room below
    list.classList.remove('up');
    const {bottom, height} = list.getBoundingClientRect();
    list.classList.toggle('up', bottom > innerHeight && height < summary.getBoundingClientRect().top);
  });
  details.addEventListener('keydown', event => { if (event.key === 'Escape' && details.open) close(); });
  return details;
}

function closeMenus({target}) {
  for (const one of table.querySelectorAll('.runs-menu[open]')) if (!one.contains(target)) one.open = false;
}
document.addEventListener('pointerdown', closeMenus);
document.addEventListener('focusin', closeMenus);

function tick(one) {
  const box = create('input', '', {type: 'checkbox', 'data-action': 'tick', 'aria-label': `${words.tick}: ${one.name}`});
  box.checked = ticked.has(one.run);
  box.disabled = one.state === 'damaged';
  box.addEventListener('change', () => {
    if (box.checked) ticked.add(one.run);
    else ticked.delete(one.run);
    tally();
  });
  return box;
}

// The box to tick, and all that people call a run.
function heading(one) {
  const name = create('th', '', {scope: 'row'}), about = create('div'), open = button(one.name, 'run_open', one);
  open.setAttribute('aria-label', `${words.open}: ${one.name}`);
  const by = one.owner && fill(words.by, one);
  about.append(open, create('small', [one.made, by].filter(Boolean).join(' · ')));
  if (one.origin) about.append(create('small', one.origin));
  if (one.tags.length || one.archived) {
    const tags = create('small', '', {class: 'runs-tags'});
    if (one.archived) tags.append(create('i', words.archived));
    tags.append(...one.tags.map(tag => create('span', tag)));
    about.append(tags);
  }
  const [note] = one.note.split('\n', 1);
  if (note) about.append(create('small', note, {class: 'runs-note', title: note}));
  name.append(tick(one), about);
  return name;
}

function actions(one) {
  const cell = create('td', '', {class: 'actions'});
  cell.append(button(words.open, 'run_open', one));
  if (one.resumable) cell.append(button(words.resume, 'run_resume', one));
  cell.append(menu(one));
  return cell;
}

function row(one) {
  const digits = number => number === null ? '–' : number.toFixed(3);
  const texts = {state: '', data: one.data, parameters: one.model || '–', best: digits(one.best), bits: digits(one.bits),
    step: one.state === 'damaged' ? '–' : whole(one.step), seconds: one.seconds ? duration(one.seconds) : '–'};
  const cells = Object.entries(texts).map(
    ([key, text]) => create('td', text, {'data-label': words.columns[key], 'data-key': key}));
  const [state, , model, , , step] = cells;
  state.append(create('span', words.states[one.state], {class: 'live-state', 'data-state': one.state}));
  if (one.reason) state.append(create('small', one.reason));
  if (one.total_steps > one.step) step.append(' ', create('small', fill(words.of, {steps: whole(one.total_steps)})));
  if (one.size) model.append(create('small', one.size));
  const line = create('tr', '', {'data-run': one.run});
  line.append(heading(one), ...cells, actions(one));
  return line;
}

function deletedItem(one) {
  const item = create('li', `${one.name} · ${one.made} `, {'data-run': one.run});
  item.append(button(words.restore, 'run_restore', one), button(words.erase, 'run_erase', one, () => erase(one)));
  return item;
}
