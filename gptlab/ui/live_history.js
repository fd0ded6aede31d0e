// What a run has said so far, put together from slices of its events.jsonl. Knows nothing of the page.

const CAPACITY = 300;  // buckets; the rules here are those of gptlab/runs/curves.py, which sums up long runs
const EXTREMES = ['loss', 'grad_norm'];
const LASTS = ['smooth', 'learning_rate', 'tokens_per_second', 'tokens', 'epoch', 'time_seconds'];
const MOST_TOLD = 400, LATEST = 9;  // samples, and loads of experts, kept of a long run, as there
const AXES = {step: null, tokens: 'tokens', epoch: 'epoch', time: 'time_seconds'};  // what a curve can be drawn over

// The steps of a run, however many, in buckets of `width` steps, a power of two that doubles when they are full. Each keeps
// its lowest and highest loss and gradient norm, so that no spike is lost, and the last value of all that is smooth.
class Curves {
  constructor() {
    Object.assign(this, {width: 1, step: 0, columns: {}});
    for (const name of EXTREMES) for (const part of ['low', 'low_at', 'high', 'high_at']) this.columns[`${name}_${part}`] = [];
    for (const name of LASTS) this.columns[name] = [];
  }

  get buckets() { return this.columns.tokens.length; }

  // How many of the buckets will not change any more.
  get whole() { return Math.floor(this.step / this.width); }

  add(event) {
    const {columns} = this, step = event.step;
    if (!Number.isSafeInteger(step) || step < 1) return;
    let index = Math.floor((step - 1) / this.width);
    while (index >= CAPACITY) {
      this.halve();
      index = Math.floor((step - 1) / this.width);
    }
    for (const values of Object.values(columns)) while (values.length <= index) values.push(null);
    for (const name of EXTREMES) {
      const value = event[name], low = columns[`${name}_low`], high = columns[`${name}_high`];
      if (value === null) continue;
      if (low[index] === null || value < low[index]) { low[index] = value; columns[`${name}_low_at`][index] = step; }
      if (high[index] === null || value > high[index]) { high[index] = value; columns[`${name}_high_at`][index] = step; }
    }
    const before = columns.smooth[index] ?? (index ? columns.smooth[index - 1] : null);
    columns.smooth[index] = smoothed(before, event.loss, step);
    for (const name of LASTS.slice(1)) columns[name][index] = event[name];
    this.step = step;
  }

  // Two buckets become one.
  halve() {
    const {columns} = this, half = Math.ceil(this.buckets / 2);
    for (const name of EXTREMES) {
      for (const [part, sign] of [['low', 1], ['high', -1]]) {
        const values = columns[`${name}_${part}`], places = columns[`${name}_${part}_at`];
        for (let i = 0; i < half; i++) {
          const a = values[2 * i], b = values[2 * i + 1] ?? null;
          const from = a === null || (b !== null && sign * b < sign * a) ? 2 * i + 1 : 2 * i;
          values[i] = values[from] ?? null;
          places[i] = places[from] ?? null;
        }
        values.length = places.length = half;
      }
    }
    for (const name of LASTS) {
      const values = columns[name];
      for (let i = 0; i < half; i++) values[i] = values[2 * i + 1] ?? values[2 * i] ?? null;
      values.length = half;
    }
    this.width *= 2;
  }

  // Forget what came after `step`. False where that lies within a bucket: then it has to be told anew.
  goBack(step) {
    if (step >= this.step) return true;
    if (step % this.width) return false;
    const length = Math.max(0, step / this.width);
    for (const values of Object.values(this.columns)) values.length = Math.min(values.length, length);
    this.step = Math.max(0, step);
    return true;
  }

  // The curves as they were after so many seconds of work, by whole buckets.
  until(seconds) {
    const past = new Curves(), {columns} = this, later = columns.time_seconds.findIndex(time => time !== null && time > seconds);
    const buckets = later < 0 ? this.buckets : later;
    for (const name of Object.keys(columns)) past.columns[name] = columns[name].slice(0, buckets);
    return Object.assign(past, {width: this.width, step: Math.min(this.step, buckets * this.width)});
  }

  // Where `step` lies on an axis: between the ends of buckets it goes evenly.
  along(axis, step) {
    const values = this.columns[AXES[axis]];
    if (!values || !values.length) return axis === 'step' ? step : 0;
    const index = Math.min(values.length - 1, Math.max(0, Math.floor((step - 1) / this.width)));
    const before = index ? values[index - 1] : 0, from = index * this.width, to = Math.min(this.step, from + this.width);
    return before + (values[index] - before) * Math.max(0, Math.min(1, (step - from) / Math.max(1, to - from)));
  }

  // The buckets from `first` to `last` as a line that shows each one's lowest and highest value, in the order they came.
  lowAndHigh(name, axis, first, last) {
    const x = [], y = [], {[`${name}_low`]: low, [`${name}_low_at`]: lowAt} = this.columns;
    const {[`${name}_high`]: high, [`${name}_high_at`]: highAt} = this.columns;
    const put = (step, value) => { x.push(this.along(axis, step)); y.push(value); };
    for (let i = first; i < last; i++) {
      if (low[i] === null) continue;
      if (lowAt[i] === highAt[i]) { put(lowAt[i], low[i]); continue; }
      const pair = [[lowAt[i], low[i]], [highAt[i], high[i]]];
      if (lowAt[i] > highAt[i]) pair.reverse();
      pair.forEach(one => put(...one));
    }
    return {x, y};
  }

  // The same buckets, each as its last value: for lines that are smooth already.
  lastOfEach(name, axis, first, last) {
    const x = [], y = [], values = this.columns[name];
    for (let i = first; i < last; i++) {
      if (values[i] === null) continue;
      x.push(this.along(axis, Math.min((i + 1) * this.width, this.step)));
      y.push(values[i]);
    }
    return {x, y};
  }
}

// An average over the last steps, more of them the longer the run: noise is evened out, the fall is not.
function smoothed(before, loss, step) {
  if (loss === null) return before;
  return before === null ? loss : before + (loss - before) / Math.min(step, Math.max(5, step / 25));
}

// About MOST_TOLD of what was said in order, evenly over its steps, and the latest. `stepOf`: at which step one was said.
function thinned(all, stepOf) {
  const first = stepOf(all[0]), last = stepOf(all.at(-1)), steps = new Set(all.map(stepOf)).size;
  const apart = (last - first) / (steps * MOST_TOLD / all.length);
  let kept = -Infinity;
  return all.filter((one, i) => {
    const step = stepOf(one);
    if (step !== kept && step < kept + apart && i < all.length - LATEST) return false;
    kept = step;
    return true;
  });
}

// What an event needs to be taken, by its kind and as gptlab/events.py has it; "number" may be null: not a finite one.
const COUNTED = {step: 'number', time_seconds: 'number'}, READ = {...COUNTED, epoch: 'number'};
const NEEDED = {
  step: {...READ, tokens: 'number', loss: 'number', learning_rate: 'number', grad_norm: 'number', tokens_per_second: 'number'},
  evaluation: {...READ, train_loss: 'number', val_loss: 'number', val_bits_per_byte: 'number'},
  experts: {...COUNTED, tokens: 'number', loads: 'list'},
  sample: {...READ, sample_id: 'string', prompt: 'string', text: 'string', token_ids: 'list', logprobs: 'list'},
  checkpoint: COUNTED,
  alert: {...COUNTED, code: 'string', severity: 'string', message: 'string', evidence: 'string', remedy: 'string'},
  setting: {...COUNTED, changes: 'object'},
  status: COUNTED,
};

function isWhole(event) {
  const is = value => Array.isArray(value) ? 'list' : value === null ? 'number' : typeof value;
  return is(event) === 'object' && Object.hasOwn(NEEDED, event.type) && Number.isFinite(event.step)
    && Object.entries(NEEDED[event.type]).every(([name, kind]) => is(event[name]) === kind);
}

// `resumes`: from which steps the run went on, in order, where another history has read it to there already.
class RunHistory {
  constructor(resumes = []) {
    Object.assign(this, {resumes, read: 0, limit: Math.min(...resumes)});  // beyond the limit, what comes next is superseded
    this.curves = new Curves();
    this.evaluations = [];
    this.experts = [];        // how they shared the work, at evaluations
    this.samples = new Map(); // by sample_id, in the order they were begun
    this.checkpoints = [];
    this.alerts = [];
    this.settings = [];       // changed while it ran
    this.rewrites = 0;        // how often something already said was superseded
    this.worked = 0;          // for so many seconds: the latest that anything is told of
    this.seconds = 0;         // of work, where it is a cut of `whole`: see until
    this.whole = this;
    this.outdated = false;    // what a resume superseded cannot be taken out any more: begin again from the start
  }

  // Takes over what the server has summed up of a long run: {width, step, columns, lines}.
  restore({width, step, columns, lines}) {
    Object.assign(this, {resumes: [], limit: Infinity});  // what was superseded is left out
    Object.assign(this.curves, {width, step, columns});
    this.measure();
    this.add(lines);
  }

  // Takes whole lines. A damaged one is passed over: it must not hide the rest.
  add(lines) {
    for (const line of lines.split('\n')) {
      if (!line) continue;
      let event;
      try { event = JSON.parse(line); } catch { continue; }
      if (isWhole(event)) this.take(event);
    }
  }

  take(event) {
    if (event.type === 'status') {
      if (Number.isSafeInteger(event.resumed_from_step)) this.resume(event.resumed_from_step);
      return;
    }
    if (event.step > this.limit) return;
    this.worked = Math.max(this.worked, event.time_seconds);
    if (event.type === 'step') this.curves.add(event);
    else if (event.type === 'evaluation') this.evaluations.push(event);
    else if (event.type === 'experts') this.takeExperts(event);
    else if (event.type === 'sample') this.takeSample(event);
    else if (event.type === 'checkpoint') this.checkpoints.push(event);
    else if (event.type === 'alert') this.alerts.push(event);
    else if (event.type === 'setting') this.settings.push(event);
  }

  resume(step) {
    if (this.read === this.resumes.length) this.resumes = [...this.resumes, step];
    this.read += 1;
    this.limit = Math.min(...this.resumes.slice(this.read));
    this.goBack(step);
  }

  // Each holds all of its tokens: of a long run some are kept, those of a step all or none.
  takeSample(event) {
    this.samples.set(event.sample_id, event);
    if (this.samples.size > 2 * MOST_TOLD) this.samples = new Map(thinned([...this.samples], ([, one]) => one.step));
  }

  takeExperts(event) {
    this.experts.push(event);
    if (this.experts.length > 2 * MOST_TOLD) this.experts = thinned(this.experts, one => one.step);
  }

  // A resumed run goes on from `step`: what came after it no longer counts.
  goBack(step) {
    this.rewrites += 1;
    this.outdated = !this.curves.goBack(step) || this.outdated;
    const counts = event => event.step <= step;
    this.evaluations = this.evaluations.filter(counts);
    this.experts = this.experts.filter(counts);
    this.checkpoints = this.checkpoints.filter(counts);
    this.alerts = this.alerts.filter(counts);
    this.settings = this.settings.filter(counts);
    this.samples = new Map([...this.samples].filter(([, sample]) => counts(sample)));
    this.measure();
  }

  // How long it has worked, from all that is told.
  measure() {
    const told = [this.evaluations, this.checkpoints, this.alerts, this.settings, [...this.samples.values()]].flat();
    const times = [...this.curves.columns.time_seconds, ...told.map(one => one.time_seconds)];
    this.worked = times.reduce((latest, time) => Math.max(latest, time), 0);
  }

  // The run as it stood after so many seconds of work. `past`: what an earlier call gave, brought to that time instead of
  // made anew, so that what was drawn of it need not be drawn again.
  until(seconds, past = new RunHistory()) {
    if (seconds < past.seconds) past.rewrites += 1;
    Object.assign(past, {seconds, whole: this, worked: Math.min(seconds, this.worked)});
    past.curves = this.curves.until(seconds);
    const counts = event => event.time_seconds <= seconds;
    for (const name of ['evaluations', 'experts', 'checkpoints', 'alerts', 'settings']) past[name] = this[name].filter(counts);
    past.samples = new Map([...this.samples].filter(([, sample]) => counts(sample)));
    return past;
  }

  // The mean share of copied text of the samples of each step; only where somebody looked.
  copied(axis) {
    const steps = new Map(), x = [], y = [];
    for (const sample of this.samples.values()) {
      if (sample.copied_share == null) continue;
      const same = steps.get(sample.step) ?? {at: sample, shares: []};
      same.shares.push(sample.copied_share);
      steps.set(sample.step, same);
    }
    for (const {at, shares} of steps.values()) {
      x.push(this.along(axis, at));
      y.push(shares.reduce((sum, one) => sum + one, 0) / shares.length);
    }
    return {x, y};
  }

  get step() { return Math.max(this.curves.step, this.evaluations.at(-1)?.step ?? 0); }

  // The training loss, evened out, as of now.
  get smooth() { return this.curves.columns.smooth.at(-1) ?? null; }

  get best() {
    const better = (one, best) => one.val_loss !== null && (best === null || one.val_loss < best.val_loss);
    return this.evaluations.reduce((best, one) => better(one, best) ? one : best, null);
  }

  // Where something that was said at `step` lies on an axis.
  along(axis, event) {
    if (axis === 'epoch' && event.epoch !== undefined) return event.epoch;
    return axis === 'time' ? event.time_seconds : this.curves.along(axis, event.step);
  }

  // The rows of the epoch table: every evaluation of a run of few epochs, else the first at or after each epoch's end;
  // the best and the latest always; evenly thinned to `limit`.
  table(limit) {
    const all = this.evaluations, best = this.best;
    let rows = all;
    if (all.length && all.at(-1).epoch >= 3) {
      let epoch = -1;
      rows = all.filter(one => {
        const whole = Math.floor(one.epoch + 1e-6);
        const first = whole > epoch;
        epoch = Math.max(epoch, whole);
        return first || one === best || one === all.at(-1);
      });
    }
    const every = Math.ceil(rows.length / limit);
    return rows.filter((one, i) => i % every === 0 || one === best || i === rows.length - 1);
  }

  // The first prompt's newest sample after step `after`, up to step `until`.
  sampleBetween(after, until) {
    const first = [...this.samples.values()][0]?.prompt;
    const fits = one => one.prompt === first && one.step > after && one.step <= until;
    return [...this.samples.values()].filter(fits).at(-1);
  }
}
