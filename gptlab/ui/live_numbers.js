// The numbers beside the chart: how far a run is, how busy the machine is, and the small curves.

const SMALL_EVERY = {live: 2000, soon: 500};  // milliseconds between two drawings of the small curves

class Numbers {
  constructor(element, words) {
    this.words = words;
    const named = (attribute, name) => element.querySelector(`[data-${attribute}="${name}"]`);
    Object.assign(this, {bar: element.querySelector('.live-bar'), load: named('is', 'machine'), notBefore: 0, named});
  }

  machine({cpu_percent: cpu, ram_used_bytes: used, ram_bytes: total, gpu}) {
    const {words} = this, size = bytes => (bytes / 1e9).toFixed(bytes < 1e10 ? 1 : 0);
    const parts = [fill(words.machine, {cpu: Math.round(cpu), used: size(used), total: size(total)})];
    if (gpu) parts.push(fill(words.gpu, {...gpu, used: size(gpu.used_bytes), total: size(gpu.bytes)}));
    setText(this.load, parts.join(' · '));
  }

  // `about`: what does not change of the run, `unit`: what a token is called; `status`: null where there is no run.
  facts(state, about, unit, history, status) {
    const {words} = this, set = (name, value, rest = '') => {
      setText(this.named('fact', name), value);
      setText(this.named('more', name), rest);
    };
    const step = Math.max(status?.step ?? 0, history.step), total = status?.total_steps ?? null;
    this.progress(total ? Math.min(1, step / total) : state === 'finished' ? 1 : 0);
    set('step', status ? whole(step) : '–', status && total ? fill(words.of, {total: whole(total)}) : '');
    const seen = status?.tokens ? fill(words.seen, {tokens: short(status.tokens)}) : '';
    set('epoch', status ? epochText(status.epoch ?? 0) : '–', seen);
    const loss = history.evaluations.at(-1)?.val_loss ?? null;
    set('val', loss === null ? '–' : loss.toFixed(3));
    const all = about?.baselines?.uniform;  // worse than guessing is no wider choice than all there is
    const unsure = loss === null ? '–' : loss > all ? `> ${whole(Math.exp(all))}` : among(Math.exp(loss));
    set('perplexity', unsure, loss === null ? '' : unit.units);
    const running = state === 'running', left = running ? status.eta_seconds : null, worked = status?.time_seconds;
    const speed = running ? status.tokens_per_second : null;
    set('speed', speed ? short(speed) : '–', speed ? words.per_second : '');
    if (left !== null) set('time', duration(left), words.left);
    else set('time', worked ? duration(worked) : '–', worked ? alive(state) ? words.worked : words.in_all : '');
  }

  progress(share) {
    const {bar} = this, width = `${(100 * share).toFixed(1)}%`, percent = String(Math.floor(100 * share));
    if (bar.firstElementChild.style.width !== width) bar.firstElementChild.style.width = width;
    if (bar.ariaValueNow !== percent) bar.ariaValueNow = percent;
  }

  // The small curves, where they are due: `now`, else every other second, in a replay (`soon`) more often.
  small(history, axis, {now = false, soon = false}) {
    if (!now && performance.now() <= this.notBefore) return;
    this.notBefore = performance.now() + SMALL_EVERY[soon ? 'soon' : 'live'];
    const {curves} = history, {buckets} = curves, figure = name => this.named('small', name);
    const shown = history.evaluations.filter(one => one.val_loss !== null), x = shown.map(one => history.along(axis, one));
    const digits = value => value === 0 ? '0' : value.toPrecision(2);
    drawSmall(figure('perplexity'), {x, y: shown.map(one => Math.exp(one.val_loss))}, among, true);
    drawSmall(figure('bits'), {x, y: shown.map(one => one.val_bits_per_byte)}, value => value.toFixed(2));
    drawSmall(figure('gap'), {x, y: shown.map(one => one.val_loss - one.train_loss)},
      value => (Math.abs(value) < 0.005 ? 0 : value).toFixed(2));
    drawSmall(figure('learning_rate'), curves.lastOfEach('learning_rate', axis, 0, buckets), digits);
    drawSmall(figure('grad_norm'), curves.lowAndHigh('grad_norm', axis, 0, buckets), digits);
    drawSmall(figure('speed'), curves.lastOfEach('tokens_per_second', axis, 0, buckets), short);
    drawSmall(figure('copied'), history.copied(axis), value => value ? `${percent(value)} %` : '0 %');
  }
}
