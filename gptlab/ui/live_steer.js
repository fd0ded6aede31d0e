// Steering the run on view: what can be done with it just now, the settings that go with that, what it would come to, and the
// same as a command. The server says all of this; here it is asked: when the panel is opened, and when the run has turned.

const LOOK_DELAY = 250;  // milliseconds of a hand at rest, until it is asked what would come of it

class Steering {
  // `options` and `foresee` ask the server; `act` does it, and says whether it was sent.
  constructor(box, words, {options, foresee, act}) {
    Object.assign(this, {box, words, server: {options, foresee}, act});
    this.part = Object.fromEntries([...box.querySelectorAll('[data-steer]')].map(node => [node.dataset.steer, node]));
    const {action, from, name, add, copy, form} = this.part;
    box.addEventListener('toggle', () => { this.asked = null; this.update(); });
    action.addEventListener('change', () => this.change());
    from.addEventListener('change', () => this.look());
    name.addEventListener('input', () => this.look());
    add.addEventListener('click', () => this.addRow().querySelector('select').focus());
    form.addEventListener('submit', event => { event.preventDefault(); this.press(); });
    copy.addEventListener('click', () => this.copy());
    this.clear();
  }

  // Another run: nothing can be pressed until it is known.
  clear() {
    clearTimeout(this.timer);
    Object.assign(this, {run: null, state: '', asked: null, answer: null, possible: null, sent: null, acted: false});
    setHidden(this.box, true);
    this.part.rows.replaceChildren();
    this.part.name.value = '';
    fillSelect(this.part.action, []);
    this.say({command: '', said: '', problem: ''});
  }

  show(run, state, history) {
    if (run !== this.run) this.clear();
    Object.assign(this, {run, turn: `${state} ${history.settings.length} ${history.checkpoints.length > 0}`});
    setHidden(this.box, !run);
    this.update();
  }

  get action() { return this.part.action.value; }
  get rows() { return [...this.part.rows.children]; }
  get fields() { return this.rows.map(row => row.querySelector('.steer-value').firstElementChild); }

  // Asks what is possible where that may have changed.
  async update() {
    const {run, turn} = this;
    if (!this.box.open || !run || this.asked === turn) return;
    this.asked = turn;
    const possible = await this.server.options({run}).catch(console.warn);
    if (!possible) { this.asked = null; return; }
    if (run !== this.run || turn !== this.asked) return;
    this.possible = possible;
    const {actions} = possible, before = this.action, {from, name} = this.part;
    fillSelect(this.part.action, actions.map(one => [one, this.words.actions[one]]), before);
    const said = ({label, resumable}) => resumable ? label : `${label} · ${this.words.weights_only}`;
    fillSelect(from, possible.checkpoints.map(one => [one.value, said(one)]));
    name.placeholder = possible.name;
    setHidden(this.part.form, actions.length === 0);
    setHidden(this.part.nothing, actions.length > 0);
    const within = this.part.rows.contains(document.activeElement);
    if (this.acted) this.part.rows.replaceChildren();  // what was asked for has come
    this.acted = false;
    this.chosen();
    if (within && !this.part.rows.contains(document.activeElement)) (this.fields[0] ?? this.part.action).focus();
  }

  change() {
    this.part.rows.replaceChildren();
    this.chosen();
    if (this.action !== 'fork') return;
    this.asked = null;  // its checkpoints as they are now: one that trains makes others
    this.update();
  }

  chosen() {
    const {action} = this, allowed = this.possible.settings[action] ?? [];
    for (const row of this.rows) if (!allowed.includes(row.querySelector('select').value)) row.remove();
    if (allowed.length && action !== 'fork' && !this.rows.length) this.addRow();
    for (const row of this.rows) this.fillRow(row);
    for (const node of this.box.querySelectorAll('[data-for]')) setHidden(node, node.dataset.for !== action);
    setHidden(this.part.add, this.rows.length >= allowed.length);
    setText(this.part.do, this.words.do[action] ?? '');
    this.look();
  }

  // ---- a setting and its value

  addRow() {
    const row = make('div', 'steer-row'), select = document.createElement('select');
    const remove = make('button', 'live-link', '✕');
    const used = new Set(this.rows.map(one => one.querySelector('select').value));
    const allowed = this.possible.settings[this.action], free = allowed.find(one => !used.has(one));
    fillSelect(select, allowed.map(one => [one, this.possible.about[one].label]), free);
    select.ariaLabel = this.words.setting;
    select.addEventListener('change', () => this.chosen());
    Object.assign(remove, {type: 'button', ariaLabel: this.words.remove, title: this.words.remove});
    remove.addEventListener('click', () => { row.remove(); this.chosen(); this.part.add.focus(); });
    row.append(select, make('span', 'steer-value'), remove, make('p', 'live-quiet'));
    this.part.rows.append(row);
    this.fillRow(row);
    setHidden(this.part.add, this.rows.length >= allowed.length);
    return row;
  }

  // The field that a row's setting needs, and what is to be known of it. A value that was typed stays.
  fillRow(row) {
    const setting = row.querySelector('select').value, about = this.possible.about[setting];
    const [place, help] = [row.querySelector('.steer-value'), row.querySelector('p')];
    const now = fill(this.words.now, {value: about.now});
    if (row.dataset.setting !== setting) {
      const field = document.createElement({choice: 'select', lines: 'textarea'}[about.kind] ?? 'input');
      if (about.kind === 'number') field.inputMode = 'decimal';
      if (about.kind === 'lines') field.rows = 2;
      field.ariaLabel = about.label;
      field.addEventListener('input', () => { this.acted = false; this.look(); });
      help.id = `steer-${setting.replace('.', '-')}`;
      field.setAttribute('aria-describedby', help.id);
      place.replaceChildren(field, make('span', 'live-quiet', about.unit));
      row.dataset.setting = setting;
    }
    const field = place.firstElementChild;
    if (about.kind === 'choice') fillSelect(field, [['', now], ...about.choices], field.value);
    else field.placeholder = now;
    const none = about.none && fill(this.words.none, {value: about.none});
    setText(help, [about.help, none].filter(Boolean).join(' '));
    for (const one of row.querySelector('select').options) {
      one.disabled = one.value !== setting && this.rows.some(other => other.dataset.setting === one.value);
    }
  }

  // ---- what it would come to

  get question() {
    const changes = {}, {from, name} = this.part;
    for (const row of this.rows) {
      const {value} = row.querySelector('.steer-value').firstElementChild;
      if (value.trim()) changes[row.dataset.setting] = value;
    }
    const step = /^\d+$/.test(from.value) ? Number(from.value) : from.value || null;
    return {run: this.run, action: this.action, changes, step, name: name.value};
  }

  look() {
    clearTimeout(this.timer);
    this.answer = null;
    if (this.run && this.action) this.timer = setTimeout(() => this.foresee(), LOOK_DELAY);
  }

  async foresee() {
    const {question} = this, answer = await this.server.foresee(question).catch(console.warn);
    if (answer && JSON.stringify(question) === JSON.stringify(this.question)) this.say(this.answer = answer);
  }

  say({command, said, problem}) {
    setText(this.part.said, problem || said);
    this.part.said.classList.toggle('problem', Boolean(problem));
    setText(this.part.command, command);
    setHidden(this.part.same, !command);
  }

  async press() {
    const unready = this.answer && !this.answer.ready;
    if (unready) this.fields.find(one => !one.value)?.focus();
    const {question} = this, twice = this.sent === JSON.stringify(question) && performance.now() < this.sentAt + WAIT;
    if (unready || twice) return;
    Object.assign(this, {sent: JSON.stringify(question), sentAt: performance.now()});
    const done = await this.act(question);
    if (question.run !== this.run) return;
    if (done) this.acted = true;
    else this.sent = null;
  }

  async copy() {
    const {copy, command} = this.part, done = await toClipboard(command.textContent);
    setText(copy, done ? this.words.copied : this.words.copy_refused);
    setTimeout(() => setText(copy, this.words.copy), 1500);
  }
}

// The options of a select, [value, text] each; keeps what is chosen where that is still there.
function fillSelect(select, options, chosen = select.value) {
  if (select.dataset.options !== JSON.stringify(options)) {
    select.dataset.options = JSON.stringify(options);
    select.replaceChildren(...options.map(([value, text]) => Object.assign(make('option', '', text), {value})));
  }
  const values = options.map(([value]) => String(value));
  select.value = values.includes(String(chosen)) ? chosen : values[0] ?? '';
}
