// What a run has said so far, put together from slices of its events.jsonl. Knows nothing of the page.

class RunHistory {
  constructor() {
    this.loss = [];          // of step 1, 2, …; null where it was no number
    this.smooth = [];
    this.learningRate = [];
    this.gradNorm = [];
    this.evaluations = [];
    this.samples = new Map(); // by sample_id, in the order they were begun
    this.checkpoints = [];
    this.alerts = [];
    this.rewrites = 0;        // how often something already said was superseded
  }

  // Takes whole lines. A damaged one is passed over: it must not hide the rest.
  add(lines) {
    for (const line of lines.split('\n')) {
      if (!line) continue;
      let event;
      try { event = JSON.parse(line); } catch { continue; }
      this.take(event);
    }
  }

  take(event) {
    if (event.type === 'step') this.takeStep(event);
    else if (event.type === 'evaluation') this.evaluations.push(event);
    else if (event.type === 'sample') this.takeSample(event);
    else if (event.type === 'checkpoint') this.checkpoints.push(event);
    else if (event.type === 'alert') this.alerts.push(event);
    else if (event.type === 'status' && event.resumed_from_step != null) this.goBack(event.resumed_from_step);
  }

  takeStep({step, loss, learning_rate, grad_norm}) {
    const index = step - 1;
    for (const values of [this.loss, this.smooth, this.learningRate, this.gradNorm]) {
      while (values.length < index) values.push(null);
    }
    this.loss[index] = loss;
    this.learningRate[index] = learning_rate;
    this.gradNorm[index] = grad_norm;
    // An average over the last steps, more of them the longer the run: noise is evened out, the fall is not.
    const before = index ? this.smooth[index - 1] : null;
    const span = Math.min(step, Math.max(5, step / 25));
    this.smooth[index] = loss === null ? before : before === null ? loss : before + (loss - before) / span;
  }

  takeSample({sample_id, step, epoch, prompt, text, done}) {
    this.samples.set(sample_id, {sample_id, step, epoch, prompt, text, done});
  }

  // A resumed run goes on from `step`: what came after it no longer counts.
  goBack(step) {
    this.rewrites += 1;
    for (const values of [this.loss, this.smooth, this.learningRate, this.gradNorm]) {
      values.length = Math.min(values.length, Math.max(0, step));
    }
    const counts = event => event.step <= step;
    this.evaluations = this.evaluations.filter(counts);
    this.checkpoints = this.checkpoints.filter(counts);
    this.alerts = this.alerts.filter(counts);
    this.samples = new Map([...this.samples].filter(([, sample]) => counts(sample)));
  }

  get step() { return Math.max(this.loss.length, this.evaluations.at(-1)?.step ?? 0); }

  get best() {
    const better = (one, best) => one.val_loss !== null && (best === null || one.val_loss < best.val_loss);
    return this.evaluations.reduce((best, one) => better(one, best) ? one : best, null);
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

// `values` (of step 1, 2, …) as a line that stays light however long the run: each bucket of `width` steps from the
// `first` on gives its lowest and its highest value, in the order they came, so that a spike is never lost.
function lowAndHigh(values, width, first, last) {
  const x = [], y = [];
  for (let bucket = first; bucket < last; bucket++) {
    let low = -1, high = -1;
    for (let i = bucket * width; i < Math.min((bucket + 1) * width, values.length); i++) {
      if (values[i] === null) continue;
      if (low < 0 || values[i] < values[low]) low = i;
      if (high < 0 || values[i] > values[high]) high = i;
    }
    if (low < 0) continue;
    for (const i of low === high ? [low] : [Math.min(low, high), Math.max(low, high)]) {
      x.push(i + 1);
      y.push(values[i]);
    }
  }
  return {x, y};
}

// The same buckets, each as its last value: for lines that are smooth already.
function lastOfEach(values, width, first, last) {
  const x = [], y = [];
  for (let bucket = first; bucket < last; bucket++) {
    const i = Math.min((bucket + 1) * width, values.length) - 1;
    if (values[i] !== null) { x.push(i + 1); y.push(values[i]); }
  }
  return {x, y};
}

// How many steps a bucket needs to hold so that `steps` fit in `buckets`: a power of two, so that it seldom changes.
function bucketWidth(steps, buckets) {
  return 2 ** Math.max(0, Math.ceil(Math.log2(steps / buckets)));
}
