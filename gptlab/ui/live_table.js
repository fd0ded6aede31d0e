// The epoch table, read downward: how learning, and then learning by heart, went. Rewritten only when there is a new
// evaluation or the text of a row; what is copied from the training text is underlined once the server has told.

const SHOWN_CHARACTERS = 200;  // of a sample; more than fit
const LOOKED_UP_AT_ONCE = 8;
const ASK_AGAIN = 2000;        // milliseconds; the training text is still being taken in

class EpochTable {
  // `copied`: asks the server which stretches of samples stand in the training text.
  constructor(box, words, copied, limit = 60) {
    const parts = ['tbody', 'table', '.live-empty', '.live-scroll', '[data-do=csv]', '.copied-note'];
    const [body, table, empty, scroller, button, note] = parts.map(name => box.querySelector(name));
    Object.assign(this, {body, table, empty, scroller, button, note, words, copied, limit, of: null, shown: '', asking: false});
    this.known = new Map();  // by sample_id: how many tokens it had, and [from, to] of what is copied; null: nobody can tell
    this.sight = new IntersectionObserver(entries => {
      entries.forEach(({target, isIntersecting}) => { target.inSight = isIntersecting; });
      this.lookUp();
    });
    button.addEventListener('click', () => this.copy());
  }

  show(history) {
    const {evaluations, samples, rewrites} = history, newest = [...samples.values()].at(-1);
    const now = [evaluations.length, samples.size, rewrites, newest?.sample_id, newest?.done].join();
    if (this.of === history && now === this.shown) return;
    if (this.of?.whole !== history.whole) this.known.clear();
    const rows = history.table(this.limit), best = history.best;
    setHidden(this.empty, rows.length > 0);
    setHidden(this.table, rows.length === 0);
    setHidden(this.button, rows.length === 0);
    while (this.body.rows.length > rows.length) {
      this.sight.unobserve(this.body.lastElementChild);
      this.body.deleteRow(-1);
    }
    const follow = this.scroller.scrollHeight - this.scroller.scrollTop - this.scroller.clientHeight < 30;
    const written = sampleOfRows(history, rows);
    rows.forEach((one, i) => {
      const row = this.body.rows[i] ?? this.newRow(), starred = one === best && rows.length > 1;
      this.write(row, [epochOf(one), whole(one.step), ...losses(one).map(value => value?.toFixed(3) ?? '–')], starred);
      row.sample = written[i];
      this.writeSample(row);
    });
    Object.assign(this, {of: history, shown: now});
    setHidden(this.note, !this.body.querySelector('u'));
    if (follow) this.scroller.scrollTop = this.scroller.scrollHeight;
    this.lookUp();
  }

  newRow() {
    const row = this.body.insertRow();
    for (let i = 0; i < this.words.columns.length; i++) row.append(document.createElement(i ? 'td' : 'th'));
    row.lastElementChild.append(make('span', 'prompt'), make('span', 'written'), make('span', 'copied-share'));
    row.cells[0].scope = 'row';
    this.sight.observe(row);
    return row;
  }

  write(row, texts, starred) {
    texts.forEach((text, i) => setText(row.cells[i], starred && i === 3 ? `★ ${text}` : text));
    row.classList.toggle('best', starred);
    row.title = starred ? this.words.best_row : '';
  }

  // How a row's sample begins, on one line (the cell shows line ends as spaces).
  writeSample(row) {
    const [prompt, written, share] = row.lastElementChild.children, {sample} = row;
    const known = sample && this.known.get(sample.sample_id);
    setText(prompt, sample ? sample.prompt.trimStart() : '–');
    writeUnderlined(written, sample?.text.slice(0, SHOWN_CHARACTERS) ?? '', known?.ranges ?? []);
    const told = known?.ranges === null && sample.copied_share > 0;  // at least how much
    setText(share, told ? fill(this.words.copied_share, {percent: Math.round(100 * sample.copied_share)}) : '');
  }

  // Asks about the samples in rows that are in sight, some at a time, until all of them are known.
  async lookUp() {
    const open = ({inSight, sample}) => inSight && sample?.done && sample.token_ids.length && sample.copied_share !== 0
      && this.known.get(sample.sample_id)?.tokens !== sample.token_ids.length;
    const rows = [...this.body.rows].filter(open).slice(0, LOOKED_UP_AT_ONCE);
    if (this.asking || rows.length === 0) return;
    this.asking = true;
    const {of} = this, samples = rows.map(row => row.sample);
    let later = 0;
    try {
      const {ranges, again} = await this.copied(samples.map(({prompt, token_ids}) => ({prompt, token_ids})));
      if (again) later = ASK_AGAIN;
      else if (of === this.of) {
        samples.forEach((one, i) => this.known.set(one.sample_id, {tokens: one.token_ids.length, ranges: ranges[i] ?? null}));
        [...this.body.rows].forEach(row => this.writeSample(row));
        setHidden(this.note, !this.body.querySelector('u'));
      }
    } catch { later = 5 * ASK_AGAIN; }  // the app is busy, or gone
    setTimeout(() => { this.asking = false; if (this.body.isConnected) this.lookUp(); }, later);
  }

  async copy() {
    const done = await toClipboard(asCsv(this.of, this.words.csv_columns));
    setText(this.button, done ? this.words.copied : this.words.copy_refused);
    setTimeout(() => setText(this.button, this.words.copy_csv), 1500);
  }
}

const losses = ({train_loss, val_loss}) =>
  val_loss === null ? [train_loss, null, null] : [train_loss, val_loss, train_loss === null ? null : val_loss - train_loss];

// What had been written by each row of the table, since the row before it.
const sampleOfRows = (history, rows) =>
  rows.map((one, i) => history.sampleBetween(i ? rows[i - 1].step : -1, one.step));

// `text` in a node, the stretches in `ranges` ([from, to], in order) underlined.
function writeUnderlined(node, text, ranges) {
  const now = JSON.stringify([text, ranges]);
  if (node.dataset.shown === now) return;
  node.dataset.shown = now;
  const parts = [];
  let at = 0;
  for (const [from, to] of ranges) {
    if (from >= text.length) break;
    parts.push(text.slice(at, from), make('u', '', text.slice(from, to)));
    at = to;
  }
  node.replaceChildren(...parts, text.slice(at));
}

// All rows with the whole of what was written, as RFC 4180 has it.
function asCsv(history, columns) {
  const rows = history.table(Number.MAX_SAFE_INTEGER), written = sampleOfRows(history, rows);
  const values = rows.map((one, i) => [epochOf(one), one.step, ...losses(one).map(value => value?.toFixed(4) ?? ''),
    written[i] ? written[i].prompt + written[i].text : '']);
  const quoted = value => /[",\r\n]/.test(value) ? `"${String(value).replaceAll('"', '""')}"` : String(value);
  return [columns, ...values].map(row => `${row.map(quoted).join(',')}\r\n`).join('');
}
