// A run that is over, shown again as it went: a clock of its own through the run's work time, and the bar that sets it.
// What there is to see at that time is `history`; the view draws it in place of the whole run's.

const REDRAW = 250;           // milliseconds
const LONGEST_TICK = 2000;    // a machine that slept has not looked on
const PLACES = 200;           // of the slider
const WRITING_SECONDS = 1;    // in which the text of a sample appears

class Replay {
  // `all`: gives the whole run's history. `visible`: whether anybody can see it. `changed`: called when there is another time
  // to show, with whether at once. `stays`: at the end, until a person closes it.
  constructor(box, opener, words, {all, visible, changed, stays}) {
    const find = name => box.querySelector(`[data-replay=${name}]`);
    Object.assign(this, {box, words, all, visible, changed, stays, play: find('play'), choice: find('speed'), range: find('time'),
      at: find('at'), history: null, seconds: 0, playing: false, ticking: 0, soon: 0});
    this.range.max = String(PLACES);
    this.choice.value = '10';
    opener.addEventListener('click', () => { this.begin(); this.play.focus(); });
    this.play.addEventListener('click', () => this.run(!this.playing));
    this.choice.addEventListener('change', () => this.changed(false));
    this.range.addEventListener('input', () => this.seek(Number(this.range.value) / PLACES * this.all().worked));
    find('end').addEventListener('click', () => { this.end(); opener.focus(); });
  }

  get speed() { return Number(this.choice.value); }

  get over() { return this.seconds >= this.all().worked; }

  begin(speed = this.speed) {
    const offered = [...this.choice.options].map(one => Number(one.value));
    this.choice.value = String(offered.find(one => one >= speed) ?? offered.at(-1));
    this.seconds = 0;
    this.history = this.all().until(0);
    setHidden(this.box, false);
    this.run(true);
  }

  // Back to the run as it is.
  end() {
    if (!this.history) return;
    this.stop();
    this.history = null;
    setHidden(this.box, true);
    this.changed(true);
  }

  run(on) {
    this.stop();
    if (on && this.over) this.seconds = 0;
    if (on) {
      this.looked = performance.now();
      this.ticking = setInterval(() => this.tick(), REDRAW);
    }
    this.playing = on;
    this.show(true);
  }

  stop() {
    clearInterval(this.ticking);
    clearTimeout(this.soon);
    Object.assign(this, {playing: false, soon: 0});
  }

  // Time goes on only while somebody can look.
  tick() {
    const now = performance.now(), passed = Math.min(LONGEST_TICK, now - this.looked);
    this.looked = now;
    if (!this.visible()) return;
    this.seconds = Math.min(this.all().worked, this.seconds + this.speed * passed / 1000);
    if (!this.over) this.show(false);
    else if (this.stays) this.run(false);
    else this.end();
  }

  // To a time that a person chose: said at once, drawn a moment later, for more may come.
  seek(seconds) {
    this.seconds = seconds;
    this.look();
    this.soon ||= setTimeout(() => { this.soon = 0; this.changed(true); }, REDRAW / 2);
  }

  show(now) {
    this.look();
    this.changed(now);
  }

  look() {
    this.history = this.all().until(this.seconds, this.history);
    if (this.playing) this.write();
    this.showBar();
  }

  // Of the samples of the last moment only the beginning: as if the model wrote them now. Without their tokens, or the
  // server would be asked about each beginning.
  write() {
    for (const [id, sample] of this.history.samples) {
      const share = (this.seconds - sample.time_seconds) / this.speed / WRITING_SECONDS;
      if (share >= 1) continue;
      const letters = [...sample.text], text = letters.slice(0, Math.floor(share * letters.length)).join('');
      this.history.samples.set(id, {...sample, text, token_ids: [], logprobs: [], copied_share: null, done: false});
    }
  }

  // The words of the slider in use stand still while it plays: a screen reader would read out each of them.
  showBar() {
    const {words, range} = this, text = fill(words.at, {time: duration(this.seconds), step: whole(this.history.step)});
    setText(this.play, this.playing ? words.pause : words.play);
    setText(this.at, text);
    range.value = String(Math.round(PLACES * this.seconds / (this.all().worked || 1)));
    if (!this.playing || document.activeElement !== range) range.setAttribute('aria-valuetext', text);
  }

  // What the run's status would have said then.
  get status() {
    const {curves, evaluations, step} = this.history, last = name => curves.columns[name].at(-1) ?? null;
    return {step, epoch: Math.max(last('epoch') ?? 0, evaluations.at(-1)?.epoch ?? 0), tokens: last('tokens'),
      tokens_per_second: last('tokens_per_second'), eta_seconds: this.all().worked - this.seconds, time_seconds: this.seconds};
  }
}
