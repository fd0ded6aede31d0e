// The texts a run has written: one of them large, with the probability of each of its tokens; a slider through all of a
// prompt; the others below, the newest on top. All text is text, never markup, and only what changed is touched.

const ASKED_AT_ONCE = 8;                       // samples whose tokens the server is asked about
const MOST_KNOWN = 1000;                       // samples whose tokens are kept

// Learns from the server what the tokens of samples say. `ask`: a question to the server; `told`: called when it answered.
class Pieces {
  constructor(ask, told) {
    Object.assign(this, {ask, told, asking: false});
    this.clear();
  }

  // Another run: what is still on its way is not about it.
  clear() { Object.assign(this, {known: new Map(), wanted: new Map(), era: {}, notBefore: 0}); }

  // The pieces of a sample as far as they are known; asks for the rest.
  of(sample) {
    if (sample.token_ids.length === 0) return null;
    const known = this.known.get(sample.sample_id);
    if (known?.tokens !== sample.token_ids.length) {
      this.wanted.set(sample.sample_id, sample);
      this.next();
    }
    return known?.pieces ?? null;
  }

  async next() {
    if (this.asking || this.wanted.size === 0 || performance.now() < this.notBefore) return;
    this.asking = true;
    await null;  // all that is wanted now goes in one question
    const {era} = this, samples = [...this.wanted.values()].slice(-ASKED_AT_ONCE);
    samples.forEach(one => this.wanted.delete(one.sample_id));
    try {
      const {pieces} = await this.ask(samples.map(({prompt, token_ids}) => ({prompt, token_ids})));
      if (era === this.era) {
        samples.forEach((one, i) => this.known.set(one.sample_id, {tokens: one.token_ids.length, pieces: pieces[i] ?? []}));
        for (const id of [...this.known.keys()].slice(0, -MOST_KNOWN)) this.known.delete(id);
        this.told();
      }
    } catch { this.notBefore = performance.now() + 5000; }  // text stays unshaded meanwhile
    this.asking = false;
    this.next();
  }
}

class Samples {
  // `card`: what holds it all. `ask`: see Pieces. `mark`: told the step of a sample that a person chose, or null.
  constructor(card, words, {ask, mark}, limit = 40) {
    const find = selector => card.querySelector(selector);
    Object.assign(this, {words, mark, limit, card, box: find('#samples'), range: find('[type=range]'), when: find('output'),
      chooser: find('select'), controls: find('.sample-controls'), told: find('.sample-told'), shade: find('.sample-shade')});
    this.empty = this.box.querySelector('.live-empty');
    this.large = this.newCard('live-sample large');
    this.list = make('div', 'live-earlier');
    this.box.prepend(this.large.node);
    this.box.append(this.list);
    this.pieces = new Pieces(samples => ask({samples}), () => this.refresh());
    this.sight = new IntersectionObserver(entries => this.seen(entries));
    this.clear();
    this.listen();
  }

  // Forget what was shown: other runs' samples have the same ids.
  clear() {
    this.cards?.forEach(card => this.drop(card));
    Object.assign(this, {cards: new Map(), all: [], of: [], prompt: null, chosen: null, at: -1, hovered: -1});
    this.pieces.clear();
    this.large.tokens.show('', null, []);
    this.point(-1);
    this.refresh();
  }

  listen() {
    const {range, chooser, shade, large: {written}} = this;
    range.addEventListener('input', () => this.choose(this.of[Number(range.value)]));
    chooser.addEventListener('change', () => {
      const step = this.of[Number(range.value)]?.step;
      this.prompt = chooser.value;
      const near = this.chosen === null ? null : this.all.filter(one => one.prompt === this.prompt && one.step <= step).at(-1);
      this.choose(near ?? null);
    });
    shade.checked = kept('gptlab-shade') !== 'off';
    const shading = () => this.box.classList.toggle('shaded', shade.checked);
    shade.addEventListener('change', () => { keep('gptlab-shade', shade.checked ? 'on' : 'off'); shading(); });
    shading();
    const under = event => this.large.tokens.spans.indexOf(event.target);
    written.addEventListener('focus', () => written.matches(':focus-visible') && this.point(Math.max(0, this.at)));
    written.addEventListener('blur', () => this.point(-1));
    written.addEventListener('click', event => under(event) >= 0 && this.point(under(event)));
    const hover = at => { this.hovered = at; this.tell(); };
    written.addEventListener('mouseover', event => hover(under(event)));
    written.addEventListener('mouseleave', () => hover(-1));
    written.addEventListener('keydown', event => {
      const last = this.large.tokens.tokens.length - 1;
      const to = {ArrowRight: this.at + 1, ArrowLeft: this.at - 1, Home: 0, End: last}[event.key];
      if (to === undefined || event.ctrlKey || event.altKey || event.metaKey) return;
      event.preventDefault();
      this.point(Math.max(0, Math.min(last, to)));
      this.large.tokens.spans[this.at]?.scrollIntoView({block: 'nearest'});
    });
  }

  // Show a sample large; the newest, and those that follow it, for null.
  choose(sample) {
    this.chosen = sample && sample !== this.of.at(-1) ? sample.sample_id : null;
    this.point(document.activeElement === this.large.written ? 0 : -1);
    this.refresh();
    this.box.scrollTop = 0;
  }

  show(samples) {
    this.all = [...samples.values()];
    this.refresh();
  }

  refresh() {
    this.showChoice();
    const sample = this.of[Number(this.range.value)], listed = this.all.slice(-this.limit).filter(one => one !== sample);
    const ids = new Set(listed.map(one => one.sample_id));
    for (const [id, card] of this.cards) if (!ids.has(id)) { this.drop(card); this.cards.delete(id); }
    let below = null;
    for (const one of listed) {
      const card = this.cards.get(one.sample_id) ?? this.listed(one);
      this.update(card, one);
      if (card.node.nextSibling !== below || !card.node.parentNode) this.list.insertBefore(card.node, below);
      below = card.node;
    }
    setHidden(this.large.node, !sample);
    setHidden(this.empty, Boolean(sample));
    if (sample) this.update(this.large, sample);
    this.tell();
  }

  // Which prompt, and which of its samples.
  showChoice() {
    const prompts = [...new Set(this.all.map(one => one.prompt))], {chooser, range} = this;
    if (!prompts.includes(this.prompt)) this.prompt = prompts[0] ?? null;
    if (chooser.dataset.shown !== JSON.stringify(prompts)) {
      chooser.dataset.shown = JSON.stringify(prompts);
      chooser.replaceChildren(...prompts.map(prompt => new Option(prompt.trim() || '…', prompt)));
      chooser.value = this.prompt;
    }
    setHidden(chooser.parentElement, prompts.length < 2);
    setHidden(this.controls, this.all.length === 0);
    this.of = this.all.filter(one => one.prompt === this.prompt);
    let place = this.chosen === null ? this.of.length - 1 : this.of.findIndex(one => one.sample_id === this.chosen);
    if (place < 0) [place, this.chosen] = [this.of.length - 1, null];  // superseded by a resume
    const sample = this.of[place], last = String(Math.max(0, this.of.length - 1));
    if (range.max !== last) range.max = last;
    range.value = String(Math.max(0, place));
    range.disabled = this.of.length < 2;
    const text = sample ? this.title(sample) : '';
    setText(this.when, text);
    if (range.getAttribute('aria-valuetext') !== text) range.setAttribute('aria-valuetext', text);
    this.mark(this.chosen === null ? null : sample.step);
  }

  title(sample) { return fill(this.words.sample_at, {step: whole(sample.step), epoch: epochText(sample.epoch)}); }

  newCard(className) {
    const node = make('article', className), heading = make('h4', ''), text = make('p', '');
    const prompt = make('span', 'prompt'), written = make('span', 'written');
    text.append(prompt, written);
    node.append(heading, text);
    const card = {node, heading, prompt, written, tokens: new TokenText(written), sample: null, inSight: false};
    node.card = card;
    if (className.includes('large')) {
      Object.assign(written, {tabIndex: 0, role: 'group', ariaLabel: this.words.sample_keys});
      text.after(this.told);
    }
    this.sight?.observe(node);
    return card;
  }

  // A card below, whose heading shows it large.
  listed(sample) {
    const card = this.newCard('live-sample'), button = make('button', 'live-when', this.title(sample));
    button.type = 'button';
    button.addEventListener('click', () => {
      this.prompt = this.chooser.value = sample.prompt;
      this.of = this.all.filter(one => one.prompt === sample.prompt);
      this.choose(sample);
      this.large.written.focus();
    });
    card.heading.append(button);
    this.cards.set(sample.sample_id, card);
    return card;
  }

  drop(card) {
    this.sight.unobserve(card.node);
    card.node.remove();
  }

  update(card, sample) {
    card.sample = sample;
    if (card === this.large) setText(card.heading, this.title(sample));
    setText(card.prompt, sample.prompt);
    card.node.classList.toggle('writing', !sample.done);
    const asked = card === this.large || card.inSight;
    const pieces = asked ? this.pieces.of(sample) : this.pieces.known.get(sample.sample_id)?.pieces;
    card.tokens.show(sample.text, pieces, sample.logprobs);
  }

  seen(entries) {
    entries.forEach(({target, isIntersecting}) => { target.card.inSight = isIntersecting; });
    const seen = entries.filter(one => one.isIntersecting).map(one => one.target.card);
    seen.filter(card => card.sample).forEach(card => this.update(card, card.sample));
  }

  // The token a person is at, by keyboard or by a tap; -1: none.
  point(at) {
    const {spans} = this.large.tokens;
    spans.forEach((span, i) => span.classList.toggle('at', i === at));
    this.at = at;
    this.tell();
  }

  // Says how likely the token was that the mouse is over, else the one a person is at.
  tell() {
    const token = this.large.tokens.tokens[this.hovered >= 0 ? this.hovered : this.at];
    if (this.at >= 0) this.large.tokens.spans[this.at]?.classList.add('at');
    if (!token) { setText(this.told, this.words.token_hint); return; }
    const name = this.words.token_names[token.text] ?? `“${token.text}”`;
    setText(this.told, token.probability === null ? name
      : fill(this.words.token_told, {token: name, percent: percent(token.probability)}));
  }
}

// What this browser keeps for the person; a private window may refuse.
function kept(name) {
  try { return localStorage.getItem(name); } catch { return null; }
}

function keep(name, value) {
  try { localStorage.setItem(name, value); } catch { /* until the next reload, then */ }
}
