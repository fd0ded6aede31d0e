// What the Doctor says of the run on view: a card each, with its evidence and buttons that do its remedies. The server
// does them; this file knows when each can be done, and what its button says.

const ICONS = {info: 'i', warning: '⚠', error: '!'};
const WAIT = 4000;  // milliseconds until a pressed button can be pressed again
const POSSIBLE = {  // in which state of the run, and whether it has a checkpoint
  stop: state => ['running', 'paused', 'queued'].includes(state),
  set: state => ['running', 'paused'].includes(state),
  restore_best: (state, saved) => saved && ['finished', 'stopped', 'failed', 'interrupted'].includes(state),
  fork: (state, saved) => saved,
  extend: state => state === 'finished',
  new: (state, saved, changes) => Object.keys(changes).length > 0,
  prepare: () => true,
};
const HAVE_COMMANDS = new Set(['stop', 'set', 'fork', 'extend']);  // one each; the others are two, or fill in a form

class Alerts {
  // `act`: does an alert's action; `command`: the same as a command.
  constructor(box, words, act, command) {
    Object.assign(this, {list: box.querySelector('ul'), told: box.querySelector('[role=status]'), words, act, command});
    this.clear();
  }

  // Another run. Alerts that stand there when it is opened are read like any text; only later ones are announced.
  clear() {
    Object.assign(this, {cards: new Map(), dismissed: new Set(), announced: null});
    this.list.replaceChildren();
    setText(this.told, '');
  }

  show(history, state) {
    if (this.of !== history) Object.assign(this, {of: history, announced: null});
    const shown = history.alerts.filter(one => !this.dismissed.has(nameOf(one))), names = new Set(shown.map(nameOf));
    for (const [name, card] of this.cards) if (!names.has(name)) { card.node.remove(); this.cards.delete(name); }
    for (const one of shown) {
      const card = this.cards.get(nameOf(one)) ?? this.add(one);
      this.showActions(card, one, state, history);
    }
    this.announce(history.alerts);
  }

  announce(alerts) {
    const fresh = this.announced && alerts.filter(one => !this.announced.has(nameOf(one)));
    const said = one => `${this.words.severities[one.severity] ?? ''}: ${one.message}`;
    if (fresh?.length) setText(this.told, fresh.map(said).join(' '));
    if (!this.announced || fresh.length) this.announced = new Set([...this.announced ?? [], ...alerts.map(nameOf)]);
  }

  add(alert) {
    const node = make('li', ''), head = make('p', 'alert-head'), icon = make('span', 'alert-icon', ICONS[alert.severity] ?? '');
    const why = document.createElement('details'), actions = make('p', 'alert-actions');
    const dismiss = make('button', 'alert-dismiss', '✕'), place = fill(this.words.alert_at, {step: whole(alert.step)});
    node.dataset.severity = alert.severity;
    node.dataset.code = alert.code;
    icon.ariaHidden = 'true';
    head.append(icon, make('b', '', this.words.severities[alert.severity] ?? ''), make('span', 'live-quiet', place));
    why.append(make('summary', '', this.words.why), make('p', '', this.plain(alert.evidence)));
    Object.assign(dismiss, {type: 'button', title: this.words.dismiss, ariaLabel: `${this.words.dismiss}: ${alert.message}`});
    dismiss.addEventListener('click', () => this.dismiss(alert));
    node.append(head, dismiss, make('p', 'alert-message', alert.message), make('p', '', this.plain(alert.remedy)), actions, why);
    setHidden(why, !alert.evidence);
    this.list.prepend(node);
    const card = {node, actions, shown: null};
    this.cards.set(nameOf(alert), card);
    return card;
  }

  dismiss(alert) {
    const next = this.cards.get(nameOf(alert)).node.nextElementSibling?.querySelector('.alert-dismiss');
    this.dismissed.add(nameOf(alert));
    this.cards.get(nameOf(alert)).node.remove();
    this.cards.delete(nameOf(alert));
    next?.focus();
  }

  showActions(card, alert, state, history) {
    const saved = history.checkpoints.length > 0;
    const can = one => this.words.remedies[one.action] && POSSIBLE[one.action]?.(state, saved, one.changes ?? {});
    const possible = (Array.isArray(alert.actions) ? alert.actions : []).filter(one => one && can(one));
    const now = JSON.stringify([possible, possible.map(one => this.label(one, history))]);
    if (card.shown === now) return;
    card.shown = now;
    const first = possible.slice(0, 1).filter(one => HAVE_COMMANDS.has(one.action));
    card.actions.replaceChildren(...possible.map((one, i) => this.button(one, i === 0, history)),
      ...first.map(one => this.copier(one, history)));
    setHidden(card.actions, possible.length === 0);
  }

  button(action, first, history) {
    const button = make('button', first ? 'alert-do first' : 'alert-do', this.label(action, history));
    button.type = 'button';
    button.addEventListener('click', () => {
      if (button.ariaDisabled === 'true') return;
      button.ariaDisabled = 'true';
      setTimeout(() => { button.ariaDisabled = 'false'; }, WAIT);
      this.act(action);
    });
    return button;
  }

  // The first button's action as a command.
  copier(action, history) {
    const link = make('button', 'live-link', this.words.copy), label = `${this.words.copy}: ${this.label(action, history)}`;
    Object.assign(link, {type: 'button', title: label, ariaLabel: label});
    link.addEventListener('click', async () => {
      const command = await this.command(action), done = command && await toClipboard(command);
      setText(link, done ? this.words.copied : this.words.copy_refused);
      setTimeout(() => setText(link, this.words.copy), 1500);
    });
    return link;
  }

  // What a button does, in words: "Lower the learning rate to 0.0003 now".
  label({action, changes = {}, step}, history) {
    const {remedies, settings} = this.words, said = Object.entries(changes);
    const value = one => one === null ? this.words.no_value : typeof one === 'boolean' ? this.words.steer[one ? 'yes' : 'no']
      : typeof one === 'number' ? plainNumber(one) : String(one);
    if (action === 'set' && said.length === 1 && said[0][0] === 'train.max_learning_rate') {
      const before = history.settings.findLast(one => said[0][0] in one.changes)?.changes[said[0][0]]
        ?? Math.max(...history.curves.columns.learning_rate);
      return fill(said[0][1] > before ? remedies.raise : remedies.lower, {value: value(said[0][1])});
    }
    const list = said.map(([name, one]) => `${(settings[name] ?? name).toLowerCase()} ${value(one)}`).join(', ');
    const from = step == null ? this.words.last_checkpoint : fill(this.words.of_step, {step: whole(step)});
    const name = said.length === 0 && remedies[`${action}_as_is`] ? `${action}_as_is` : action;
    return fill(remedies[name], {changes: list, from, step: step == null ? '' : whole(step)});
  }

  // The page's labels in place of the settings' names.
  plain(text) {
    const {settings} = this.words;
    return text.replace(/\b(?:data|model|train|sample)\.\w+/g, name => settings[name] ? `“${settings[name]}”` : name);
  }
}

const nameOf = alert => `${alert.code} ${alert.step}`;

// 0.00003, not 3e-5: as people write settings.
const plainNumber = value => Math.abs(value) < 1 ? value.toFixed(12).replace(/\.?0+$/, '') : value.toLocaleString('en-US');
