// The table of runs and the trash. Its value is what runs_tab.listing gives; all of it is shown as text. Gradio gives
// `element`, `props`, `trigger` and `watch`.

const words = props.words;
const table = element.querySelector('table'), body = table.tBodies[0], trash = element.querySelector('.runs-trash');

function make(tag, text = '', attributes = {}) {
  const node = document.createElement(tag);
  node.textContent = text;
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

function button(label, event, one) {
  const node = make('button', label, {type: 'button', 'data-action': event, 'aria-label': `${label}: ${one.name}`});
  node.addEventListener('click', () => trigger(event, {run: one.run}));
  return node;
}

function time(seconds) {
  if (!seconds) return '–';
  if (seconds < 90) return `${Math.round(seconds)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

function row(one) {
  const line = make('tr', '', {'data-run': one.run}), name = make('th', '', {scope: 'row'});
  const state = make('td', '', {'data-label': words.columns[1]}), actions = make('td', '', {class: 'actions'});
  const open = button(one.name, 'run_open', one);
  open.setAttribute('aria-label', `${words.open}: ${one.name}`);
  name.append(open, make('small', one.made));
  state.append(make('span', words.states[one.state], {class: 'live-state', 'data-state': one.state}));
  if (one.reason) state.append(make('small', one.reason));
  const whole = number => number.toLocaleString('en-US');
  const steps = one.total_steps > one.step ? `${whole(one.step)} / ${whole(one.total_steps)}` : whole(one.step);
  const texts = [one.data, one.best === null ? '–' : one.best.toFixed(3), steps, time(one.seconds)];
  line.append(name, state, ...texts.map((text, i) => make('td', text, {'data-label': words.columns[i + 2]})), actions);
  actions.append(button(words.open, 'run_open', one));
  if (one.resumable) actions.append(button(words.resume, 'run_resume', one));
  actions.append(button(words.download, 'run_download', one));
  if (!one.alive) actions.append(button(words.delete, 'run_delete', one));
  return line;
}

function show() {
  const {runs, trash: deleted} = props.value ?? {runs: [], trash: []};
  body.replaceChildren(...runs.map(row));
  table.hidden = runs.length === 0;
  element.querySelector('.runs-empty').hidden = runs.length > 0 || !props.value;
  trash.hidden = deleted.length === 0;
  trash.querySelector('.trash-count').textContent = deleted.length;
  trash.querySelector('ul').replaceChildren(...deleted.map(one => {
    const item = make('li', `${one.name} · ${one.made} `);
    item.append(button(words.restore, 'run_restore', one));
    return item;
  }));
}

watch('value', show);
show();
