// What a run's numbers mean in words: facts, the sentence under the chart, the epoch table, the samples.

function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function setHidden(node, hidden) {
  if (node.hidden !== hidden) node.hidden = hidden;
}

function make(tag, className, text = '') {
  const node = document.createElement(tag);
  node.className = className;
  node.textContent = text;
  return node;
}

const whole = number => Math.round(number).toLocaleString('en-US');
const among = perplexity => perplexity < 10 ? perplexity.toFixed(1) : whole(perplexity);

function short(number) {
  if (number >= 1e6) return `${(number / 1e6).toPrecision(3)}M`;
  return number >= 1e4 ? `${whole(number / 1e3)}k` : whole(number);
}

function duration(seconds) {
  if (seconds < 90) return `${Math.max(0, Math.round(seconds))} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  const hours = Math.floor(seconds / 3600), minutes = Math.round(seconds % 3600 / 60);
  return hours < 48 ? `${hours} h ${minutes} min` : `${Math.round(hours / 24)} days`;
}

function fill(sentence, values) {
  return sentence.replace(/\{(\w+)\}/g, (all, name) => values[name] ?? all);
}

// The lines of the chart that no run draws, for a data set's baselines (nats a token; null where unknown).
function referenceLines(baselines, words, unit) {
  const line = (name, rest) => ({value: baselines[name], label: fill(words.references[name], unit), ...rest});
  return [
    line('uniform', {colour: '--live-guess', dash: 'dot', main: true}),
    line('unigram', {colour: '--live-count', dash: 'longdash'}),
    line('bigram', {colour: '--live-count', dash: 'longdashdot'}),
    line('entropy_floor', {colour: '--live-floor', dash: 'dashdot', main: true, below: true}),
  ].filter(one => one.value !== null && one.value !== undefined);
}

// One sentence on where the run stands: what it has learnt so far, and whether it now learns by heart.
function caption(history, baselines, words, unit) {
  const say = (name, values = {}) => fill(words.captions[name], {...unit, ...values});
  const now = history.evaluations.at(-1), best = history.best;
  if (!now) return say('before');
  if (now.val_loss === null) return say('broken');
  if (memorising(history.evaluations, best)) return say('memorising');
  const {uniform, unigram, bigram, entropy_floor: floor} = baselines;
  if (uniform == null) return '';
  // Before it is measured a second time, the text it trains on tells how far it is: it has read nothing twice yet.
  const so_far = history.evaluations.length === 1 ? history.smooth ?? Infinity : Infinity;
  const loss = Math.min(best.val_loss, so_far), gap = now.val_loss - now.train_loss;
  if (gap > Math.max(0.3, 0.2 * now.val_loss)) return say('gap', {gap: gap.toFixed(2)});
  if (bigram != null && loss < bigram) {
    const share = floor == null ? null : Math.min(100, Math.floor(100 * (uniform - loss) / (uniform - floor)));
    return say(share === null ? 'pairs' : share < 95 ? 'closer' : 'close', {share});
  }
  if (unigram != null && loss < unigram) return say('single');
  return say(history.step === 0 ? 'guessing' : 'hardly');
}

// Whether unseen text has been getting worse, by more than noise, while seen text got better.
function memorising(evaluations, best) {
  const now = evaluations.at(-1), later = evaluations.filter(one => one.step > best.step);
  return later.length >= 2 && now.val_loss > best.val_loss + 0.02 && now.train_loss < best.train_loss;
}

// Samples as they are written, newest on top; only what changed is touched. All text is text, never markup.
class Samples {
  constructor(box, words, limit = 40) {
    Object.assign(this, {box, words, limit, cards: new Map()});
    this.empty = box.firstElementChild;
  }

  // Forget what was shown: other runs' samples have the same ids.
  clear() {
    this.cards.forEach(card => card.node.remove());
    this.cards.clear();
  }

  show(samples) {
    const wanted = [...samples.values()].slice(-this.limit), ids = new Set(wanted.map(one => one.sample_id));
    for (const [id, card] of this.cards) {
      if (ids.has(id)) continue;
      card.node.remove();
      this.cards.delete(id);
    }
    for (const sample of wanted) this.update(this.cards.get(sample.sample_id) ?? this.add(sample), sample);
    setHidden(this.empty, wanted.length > 0);
  }

  add(sample) {
    const node = make('article', 'live-sample'), text = make('p', '');
    const when = fill(this.words.sample_at, {step: whole(sample.step), epoch: epochText(sample.epoch)});
    node.append(make('h4', '', when), text);
    text.append(make('span', 'prompt', sample.prompt), make('span', 'written'));
    this.box.prepend(node);
    const card = {node, text: text.lastElementChild};
    this.cards.set(sample.sample_id, card);
    return card;
  }

  update(card, sample) {
    setText(card.text, sample.text);
    card.node.classList.toggle('writing', !sample.done);
  }
}

function epochText(epoch) {
  return Math.abs(epoch - Math.round(epoch)) < 0.005 ? whole(epoch) : epoch.toFixed(epoch < 10 ? 2 : 1);
}

// An evaluation's epoch: whole where it is the first step that ended one.
const epochOf = ({epoch, step}) => step && epoch - Math.floor(epoch) < epoch / step ? whole(Math.floor(epoch)) : epochText(epoch);

// The epoch table, read downward; rewritten only when there is a new evaluation or the text of a row.
class EpochTable {
  constructor(box, words, limit = 60) {
    const parts = ['tbody', 'table', '.live-empty', '.live-scroll'];
    const [body, table, empty, scroller] = parts.map(name => box.querySelector(name));
    Object.assign(this, {body, table, empty, scroller, words, limit, of: null, shown: ''});
  }

  show(history) {
    const {evaluations, samples, rewrites} = history, newest = [...samples.values()].at(-1);
    const now = [evaluations.length, samples.size, rewrites, newest?.sample_id, newest?.done].join();
    if (this.of === history && now === this.shown) return;
    const rows = history.table(this.limit), best = history.best;
    setHidden(this.empty, rows.length > 0);
    setHidden(this.table, rows.length === 0);
    while (this.body.rows.length > rows.length) this.body.deleteRow(-1);
    const follow = this.scroller.scrollHeight - this.scroller.scrollTop - this.scroller.clientHeight < 30;
    rows.forEach((one, i) => {
      const sample = history.sampleBetween(i ? rows[i - 1].step : -1, one.step);
      const start = sample?.prompt.trimStart() ?? '', rest = start.includes('\n') ? '' : sample?.text.split('\n')[0] ?? '';
      const starred = one === best && rows.length > 1, gap = one.val_loss - one.train_loss;
      const numbers = [one.train_loss, one.val_loss, gap].map(value => one.val_loss === null ? '–' : value.toFixed(3));
      const row = this.body.rows[i] ?? this.newRow();
      this.write(row, [epochOf(one), whole(one.step), ...numbers], starred);
      this.writeSample(row.lastElementChild, sample ? start.split('\n')[0] : '–', rest.slice(0, 160));
    });
    if (follow) this.scroller.scrollTop = this.scroller.scrollHeight;
    Object.assign(this, {of: history, shown: now});
  }

  newRow() {
    const row = this.body.insertRow();
    for (let i = 0; i < this.words.columns.length; i++) row.append(document.createElement(i ? 'td' : 'th'));
    row.lastElementChild.append(make('span', 'prompt'), make('span', 'written'));
    row.cells[0].scope = 'row';
    return row;
  }

  writeSample(cell, prompt, text) {
    setText(cell.firstElementChild, prompt);
    setText(cell.lastElementChild, text);
  }

  write(row, texts, starred) {
    texts.forEach((text, i) => setText(row.cells[i], starred && i === 3 ? `★ ${text}` : text));
    row.classList.toggle('best', starred);
    row.title = starred ? this.words.best_row : '';
  }
}
