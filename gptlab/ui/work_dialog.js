// A dialog on a run in which something is worked out beside the app: what is offered, how far it is, what came of it. What
// exactly, the script after this one says, in the same function; live_text.js stands before it.

const PATIENCE = 20_000;  // milliseconds until a question counts as unanswered
const BETWEEN_QUESTIONS = 500;

const option = (value, label) => Object.assign(make('option', '', label), {value});

class WorkDialog {
  // `offered` and `now` ask the server of a run; `offer` and `show` fill in what they answered; `stop` cancels what is under way.
  constructor(element, words, {offered, now, offer, show, stop}) {
    Object.assign(this, {words, ask: {offered, now}, offer, show, stop});
    Object.assign(this, {run: null, sent: 0, waits: 0, working: false, opening: false});
    this.dialog = element.querySelector('dialog');
    this.form = this.dialog.querySelector('form');
    this.part = name => this.form.querySelector(`.card-${name}`);
    this.part('cancel').addEventListener('click', () => this.stop(this.run));
    this.part('close').addEventListener('click', () => this.dialog.close());
    this.part('copy').addEventListener('click', () => this.copy());
  }

  async open(run) {
    if (this.opening || this.dialog.open) return;
    this.opening = true;
    const told = await this.ask.offered(run).catch(() => ({name: '', problem: this.words.unreachable}));
    this.opening = false;
    this.run = run;
    setText(this.form.querySelector('h2'), fill(this.words.title, told));
    this.answered();
    this.refuse(told.problem ?? '');
    setHidden(this.part('fields'), Boolean(told.problem));
    this.part('save').disabled = Boolean(told.problem);
    this.dialog.showModal();
    if (told.problem) { this.part('close').focus(); this.progress(null); return; }
    this.offer(told);
    this.part('fields').querySelector('select, textarea, input')?.focus();
    this.look();
  }

  refuse(problem) { setText(this.part('problem'), problem); }

  // The number of what is sent now, until it is answered.
  send() {
    this.refuse('');
    this.waits = ++this.sent;
    clearTimeout(this.late);
    this.late = setTimeout(() => { this.answered(); this.refuse(this.words.unreachable); }, PATIENCE);
    this.progress({going: this.words.starting, percent: 0, own: true});
    return this.waits;
  }

  answered() {
    this.waits = 0;
    clearTimeout(this.late);
  }

  // The server's answer to what was sent.
  take(answer) {
    if (!this.waits || answer?.number !== this.waits) return;
    this.answered();
    if (answer.problem) { this.progress(null); this.refuse(answer.problem); return; }
    this.look();
  }

  // How far it is, as long as anything is under way and this is open.
  async look() {
    clearTimeout(this.timer);
    const {run} = this;
    if (!this.dialog.open || this.waits) return;
    const told = await this.ask.now({run}).catch(() => null);
    if (run !== this.run || !this.dialog.open || this.waits) return;
    if (told) {
      this.progress(told.going === undefined ? null : told);
      this.show(told);
    }
    if (!told || told.going !== undefined) this.timer = setTimeout(() => this.look(), BETWEEN_QUESTIONS);
  }

  // `told`: `going`, `percent`, and whether it is this run's `own`; null where nothing is under way.
  progress(told) {
    const {activeElement} = document, going = told !== null;
    setHidden(this.part('going'), !going);
    if (going) {
      this.part('going').querySelector('progress').value = told.percent;
      setText(this.part('going').querySelector('span'), told.own ? told.going : fill(this.words.others, told));
    }
    setHidden(this.part('cancel'), !(going && told.own));
    setHidden(this.part('save'), going);
    if (this.working && !going && activeElement === this.part('cancel')) this.part('save').focus();
    if (!this.working && going && activeElement === this.part('save')) this.part('cancel').focus();
    this.working = going;
  }

  command(text) {
    setHidden(this.part('command'), !text);
    setText(this.part('command').querySelector('code'), text);
  }

  async copy() {
    const {words} = this, done = await toClipboard(this.part('command').querySelector('code').textContent, this.dialog);
    setText(this.part('copy'), done ? words.copied : words.copy_refused);
    setTimeout(() => setText(this.part('copy'), words.copy), 1500);
  }

  checkpoints(listed) {
    this.part('checkpoint').replaceChildren(...listed.map(({value, label}) => option(value, label)));
  }
}
