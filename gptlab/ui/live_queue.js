// What trains and what waits: each run a button that shows it, so that Stop means it; those that wait can be moved and taken
// out. The server does that; this file keeps the focus where the person's hand is, and tells once what has changed.

class QueuePanel {
  // `act`: opens a run, moves it by places, takes it out (and resolves to whether it does). `shared`: several people use the
  // app, so that it matters whose a run is.
  constructor(box, words, shared, act) {
    Object.assign(this, {box, words, shared, act, runs: [], training: null, known: false, rows: new Map()});
    this.now = box.querySelector('.queue-now');
    this.lead = make('span', '');
    this.now.append(this.lead);
    this.waiting = box.querySelector('.queue-waiting');
    this.list = box.querySelector('ol');
    this.told = box.parentElement.querySelector('[data-queue=told]');  // not in the box: what is hidden is not read out
    this.pressed = this.takenOut = null;  // the run whose button was pressed here last, until it has moved or gone
  }

  // `training`, `queue`: as the server told them. Shown where something waits, or trains elsewhere than on view.
  show({training, queue}, run) {
    const focused = this.list.contains(document.activeElement) ? document.activeElement : null;
    const place = focused && this.runs.findIndex(one => one.run === focused.closest('li').dataset.run);
    const before = this.runs;
    Object.assign(this, {runs: queue, training});
    this.showTraining();
    this.showRows();
    setHidden(this.waiting, queue.length === 0);
    setHidden(this.box, queue.length === 0 && (!training || training.run === run));
    if (this.known) this.announce(before);
    this.known = true;
    if (focused && document.activeElement !== focused) this.focusAgain(focused, place);
  }

  showTraining() {
    const {words, training} = this;
    setHidden(this.now, !training);
    if (!training) return;
    this.trainingRow ??= this.row(this.now);
    const left = training.state === 'running' ? training.left_seconds : null;
    setText(this.lead, training.state === 'paused' ? words.paused : words.running);
    const time = left < 60 ? words.minute : roughly(left);
    this.fill(this.trainingRow, training, left === null ? '' : fill(words.left, {time}));
  }

  showRows() {
    const here = new Set(this.runs.map(one => one.run));
    for (const [id, row] of this.rows) if (!here.has(id)) { row.node.remove(); this.rows.delete(id); }
    this.runs.forEach((one, i) => {
      const row = this.rows.get(one.run) ?? this.add(one);
      if (this.list.children[i] !== row.node) this.list.insertBefore(row.node, this.list.children[i] ?? null);
      this.fill(row, one, this.starts(one, i));
      this.able(row.up, i > 0);
      this.able(row.down, i < this.runs.length - 1);
    });
  }

  add(one) {
    const node = make('li', '');
    node.dataset.run = one.run;
    const row = Object.assign(this.row(node), {node}), buttons = make('span', 'queue-buttons');
    const button = (name, press) => {
      row[name] = make('button', 'live-button', this.words[name]);
      row[name].type = 'button';
      row[name].addEventListener('click', () => row[name].ariaDisabled !== 'true' && press(this.of(one.run)));
      buttons.append(row[name]);
    };
    button('up', run => this.move(run, -1));
    button('down', run => this.move(run, 1));
    button('out', async run => { if (await this.act.takeOut(run)) this.takenOut = run.run; });
    node.append(buttons);
    this.rows.set(one.run, row);
    return row;
  }

  // What says which run, whose, and when.
  row(node) {
    const row = {name: make('button', 'live-link'), owner: make('span', 'live-quiet'), when: make('span', 'live-quiet')};
    const told = make('span', 'queue-run');
    row.name.type = 'button';
    row.name.addEventListener('click', () => this.act.open(row.run));
    told.append(...Object.values(row));
    node.append(told);
    return row;
  }

  fill(row, {run, name, owner}, when) {
    const {words} = this, mine = owner && owner === window.gptlab.who;
    row.run = run;
    setText(row.name, name);
    setText(row.owner, !owner ? '' : !mine ? fill(words.by, {owner}) : this.shared ? words.you : '');
    setText(row.when, when);
    for (const which of ['up', 'down', 'out'].filter(which => row[which])) {
      const label = fill(words[`${which}_named`], {name});
      if (row[which].ariaLabel !== label) row[which].ariaLabel = label;
    }
  }

  able(button, can) {  // a button that is disabled would lose the focus
    const disabled = String(!can);
    if (button.ariaDisabled !== disabled) button.ariaDisabled = disabled;
  }

  move(run, places) {
    this.pressed = run.run;
    this.act.move(run, places);
  }

  // "starts in about 12 min"; nobody knows: "after 2 others".
  starts({starts_in_seconds: seconds}, place) {
    const {words} = this;
    if (seconds !== null && seconds !== undefined) {
      return seconds < 60 ? words.soon : fill(words.starts, {time: roughly(seconds)});
    }
    if (place === 0) return words.next;
    return fill(place === 1 ? words.after.one : words.after.many, {n: place});
  }

  of(id) { return this.runs.find(one => one.run === id) ?? {run: id, name: '', owner: ''}; }

  // For a run that waits: a sentence with its place, and when it starts; null for one that does not.
  about(id) {
    const place = this.runs.findIndex(one => one.run === id);
    if (place < 0) return null;
    const sentence = place === 0 ? this.words.waits_next : fill(this.words.waits, this.ordinals(place));
    return {sentence, starts: this.starts(this.runs[place], place)};
  }

  ordinals(place) { return {place: ordinal(place + 1), n: this.runs.length}; }

  // What changed since the last look, in one sentence: not the minutes, not what was there when the page opened, nor what
  // the app says itself of a run that was taken out here.
  announce(before) {
    const {words, runs} = this, old = before.map(one => one.run), now = runs.map(one => one.run);
    if (old.join(' ') === now.join(' ')) return;
    const came = runs.filter(one => !old.includes(one.run)), went = before.filter(one => !now.includes(one.run));
    const say = (sentence, one) => fill(words[sentence], {name: one.name, ...this.ordinals(now.indexOf(one.run))});
    const begins = went.find(one => one.run === this.training?.run);
    if (came.length + went.length > 1) setText(this.told, fill(words.changed, {n: now.length}));
    else if (came.length) setText(this.told, say('joined', came[0]));
    else if (begins) setText(this.told, say('began', begins));
    else if (went.length) setText(this.told, went[0].run === this.takenOut ? '' : say('gone', went[0]));
    else setText(this.told, say('moved', this.of(moved(old, now, this.pressed))));
    this.pressed = null;
    if (!now.includes(this.takenOut)) this.takenOut = null;
  }

  // The focus goes with a run that moves, and a long list with it; where it is gone, to the one that took its place, and at
  // last to Start. The page stays where it is.
  focusAgain(button, place) {
    const instead = this.list.children[Math.min(place, this.runs.length - 1)]?.querySelector('.queue-buttons :last-child');
    const next = button.isConnected ? button : instead ?? document.getElementById('start');
    next?.focus({preventScroll: true});
    if (!this.list.contains(next)) return;
    const {list} = this, {offsetTop: top, offsetHeight: height} = next.closest('li');
    list.scrollTop = Math.min(top, Math.max(list.scrollTop, top + height - list.clientHeight));
  }
}

// Which run it was that changed its place: the one that was pressed, or one without which the order is what it was.
function moved(old, now, pressed) {
  if (pressed !== null && old.indexOf(pressed) !== now.indexOf(pressed)) return pressed;
  const without = (ids, id) => ids.filter(one => one !== id).join(' ');
  return now.find(id => old.indexOf(id) !== now.indexOf(id) && without(old, id) === without(now, id))
    ?? now.find(id => old.indexOf(id) !== now.indexOf(id));
}

const roughly = seconds => seconds < 90 ? '1 min' : duration(seconds);

function ordinal(number) {
  const teens = number % 100 > 10 && number % 100 < 14, ends = {1: 'st', 2: 'nd', 3: 'rd'};
  return `${number}${teens ? 'th' : ends[number % 10] ?? 'th'}`;
}
