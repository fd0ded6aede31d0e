// Which runs the table shows, and in which order: search, archive, sorting. What is chosen stays while the list refreshes.
// live_text.js stands before it in the same function, runs_row.js (which has `create`) and runs.js (`draw`) after it.

const words = props.words;
const part = name => element.querySelector(`.runs-${name}`);
const table = element.querySelector('table'), search = part('search'), clear = part('clear');
const by = part('by'), turn = part('turn'), archive = part('archive');

// By the names of columns: what is compared. null stands last, whichever way round.
const begun = (one, value) => one.state === 'damaged' ? null : value;
const KEYS = {
  made: one => one.run, name: one => one.name, state: one => words.states[one.state], data: one => begun(one, one.data),
  parameters: one => one.parameters, best: one => one.best, bits: one => one.bits, step: one => begun(one, one.step),
  seconds: one => begun(one, one.seconds) || null,
};
const texts = new Intl.Collator('en', {numeric: true, sensitivity: 'base'});
const order = {key: 'made', down: true};

function sorted(runs) {
  const key = KEYS[order.key], sign = order.down ? -1 : 1;
  return [...runs].sort((a, b) => {
    const x = key(a), y = key(b);
    if (x === null || y === null) return (x === null) - (y === null);
    return sign * (typeof x === 'string' ? texts.compare(x, y) : x - y);
  });
}

function sortBy(key, down = key === 'made') {
  Object.assign(order, {key, down});
  by.value = key;
  turn.textContent = down ? '↓' : '↑';
  turn.setAttribute('aria-label', down ? words.down : words.up);
  turn.title = down ? words.down : words.up;
  for (const head of table.tHead.rows[0].cells) {
    if (head.dataset.key === key) head.setAttribute('aria-sort', down ? 'descending' : 'ascending');
    else head.removeAttribute('aria-sort');
  }
}

const plain = text => text.normalize('NFKC').toLocaleLowerCase();
const about = one => plain([one.name, ...one.tags, one.data, one.owner, words.states[one.state], one.note].join('\n'));

function found(runs) {
  const wanted = plain(search.value).split(/\s+/).filter(Boolean);
  return runs.filter(one => {
    const text = about(one);
    return wanted.every(word => text.includes(word));
  });
}

// The runs to show, of all there are; and says how many were found, and of how many.
function choose(runs) {
  const archived = runs.filter(one => one.archived).length;
  archive.hidden = archived === 0;
  archive.querySelector('b').textContent = archived;
  const listed = archive.querySelector('input').checked ? runs : runs.filter(one => !one.archived), shown = found(listed);
  clear.hidden = search.value === '';
  let text = '';
  if (runs.length && !listed.length) text = words.all_archived;
  else if (search.value.trim()) {
    text = shown.length ? fill(words.found, {n: shown.length, all: listed.length}) : words.nothing;
  }
  setText(part('found'), text);
  return sorted(shown);
}

function headings() {
  for (const [key, label] of Object.entries(words.columns)) {
    const head = create('th', '', {scope: 'col', 'data-key': key}), button = create('button', label, {type: 'button'});
    if (key === 'best' || key === 'bits') button.setAttribute('aria-describedby', 'runs-fair');
    button.addEventListener('click', () => { sortBy(key, order.key === key && !order.down); draw(); });
    head.append(button);
    table.tHead.rows[0].append(head);
  }
  const actions = create('th', '', {scope: 'col'});
  actions.append(create('span', words.actions, {class: 'runs-unseen'}));
  table.tHead.rows[0].append(actions);
}

by.append(...Object.entries({...words.orders, ...words.columns, name: words.orders.name})
  .map(([key, label]) => create('option', label, {value: key})));
headings();
sortBy('made');
by.addEventListener('change', () => { sortBy(by.value); draw(); });
turn.addEventListener('click', () => { sortBy(order.key, !order.down); draw(); });
search.addEventListener('input', () => draw());
clear.addEventListener('click', () => { search.value = ''; draw(); search.focus(); });
archive.addEventListener('change', () => draw());
