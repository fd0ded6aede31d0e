// The documents of a data set: a list that is searched, page by page, and one of them to read; all of it is shown as text.
// live_text.js stands before this in the same function. Answers are those of data_view.py.

const TYPING = 200;          // milliseconds from the last key to the question
const UNSEEN = 300;          // between two looks whether it is seen again
const BETWEEN_ANSWERS = 50;  // from one answer of a search to the next question, so that others are answered too

// What the server answers. Where it is not reached, Gradio 6.31 answers nothing.
const answerOf = async (question, words) => await question.catch(() => null) ?? {problem: words.unreachable};
const pause = milliseconds => new Promise(resolve => setTimeout(resolve, milliseconds));

// True once the view is unfolded, on the tab that is shown, in a page that is looked at; false where it is gone.
async function seen(view) {
  while (view.isConnected && !(view.open && view.offsetParent && document.visibilityState === 'visible')) await pause(UNSEEN);
  return view.isConnected;
}

class DataDocuments {
  constructor(box, server, words) {
    Object.assign(this, {box, server, words, data: null, page: 0, asked: 0, opening: 0, opened: null, opener: null});
    this.part = name => box.querySelector(`.view-${name}`);
    this.dialog = this.part('document');
    this.part('side').replaceChildren(...Object.entries(words.filters).map(
      ([value, label]) => Object.assign(make('option', '', label), {value})));
    this.listen();
  }

  listen() {
    const on = (name, event, action) => this.part(name).addEventListener(event, action);
    const search = () => { clearTimeout(this.typing); this.list(0); };
    on('search', 'input', () => { clearTimeout(this.typing); this.typing = setTimeout(search, TYPING); });
    on('search', 'search', search);  // its cross
    on('search', 'keydown', event => { if (event.key === 'Enter') search(); });
    on('side', 'change', search);
    on('random', 'click', () => this.open({row: null}));
    on('another', 'click', () => this.open({row: null, but: this.opened?.row}));
    on('previous', 'click', () => this.list(this.page - 1, true));
    on('next', 'click', () => this.list(this.page + 1, true));
    on('part-before', 'click', () => this.open({row: this.opened.row, part: this.opened.part - 1}));
    on('part-after', 'click', () => this.open({row: this.opened.row, part: this.opened.part + 1}));
    on('close', 'click', () => this.dialog.close());
    this.dialog.addEventListener('click', event => { if (event.target === this.dialog) this.dialog.close(); });  // beside it
    this.dialog.addEventListener('close', () => {
      const row = this.part('rows').querySelector(`[data-row="${this.opener?.dataset.row}"]`);
      (this.opener?.isConnected ? this.opener : row ?? this.part('search')).focus();
    });
    on('rows', 'click', event => {
      const button = event.target.closest('button');
      if (button) this.open({row: Number(button.dataset.row)});
    });
    on('rows', 'keydown', event => {
      const step = {ArrowDown: 1, ArrowUp: -1}[event.key], rows = [...this.part('rows').querySelectorAll('button')];
      const next = step && rows[rows.indexOf(document.activeElement) + step];
      if (next) { next.focus(); event.preventDefault(); }
    });
  }

  // What is asked for: the data set, the words and the side.
  question(more) {
    return {data: this.data, query: this.part('search').value.trim(), side: this.part('side').value, ...more};
  }

  // Another data set; null for none.
  use(data) {
    this.data = data;
    this.asked += 1;  // what is still to be answered is of no use any more
    this.opening += 1;
    this.part('search').value = '';
    this.part('side').value = 'all';
    if (this.dialog.open) this.dialog.close();
    if (data) this.list(0);
  }

  // A page of the list, and on with the search until all is searched, unless something else was asked for meanwhile.
  async list(page, turned = false) {
    const asked = ++this.asked, question = this.question({page});
    while (await seen(this.box) && asked === this.asked) {
      const answer = await answerOf(this.server.documents(question), this.words);
      if (asked !== this.asked || !this.box.isConnected) return;
      setText(this.part('unkept'), answer.problem ?? '');
      this.part('unkept').hidden = !answer.problem;
      this.part('browser').hidden = Boolean(answer.problem);
      if (answer.problem) return;
      this.page = answer.page;
      this.tell(answer, question);
      this.rows(answer.rows);
      if (answer.done) break;
      await pause(BETWEEN_ANSWERS);
    }
    if (asked !== this.asked) return;
    if (turned) this.part('rows').querySelector('button')?.focus({preventScroll: true});
    if (turned) this.part('controls').scrollIntoView({block: 'nearest'});
  }

  // How many there are, how far the search is, which page this is.
  tell({found, all, percent, done, first, page, pages, rows, units}, {query}) {
    const {words} = this, values = {n: whole(found), all: whole(all), query, units: words.units[units]};
    const all_of = found === 1 ? words.one : found ? words.listed[units] : words.empty;
    const those = found ? words.found : words.nothing;
    setText(this.part('found'), done ? fill(query ? those : all_of, values) : '');
    setText(this.part('searched'), done ? '' : `${fill(words.searched, {percent})} ${found ? fill(words.so_far, values) : ''}`);
    const range = {first: whole(first + 1), last: whole(first + rows.length), n: whole(found)};
    setText(this.part('range'), found ? fill(words.pages, range) : '');
    this.part('pages').hidden = pages < 2;
    this.part('previous').disabled = page === 0;
    this.part('next').disabled = page + 1 >= pages;
  }

  // One button a document, left alone where it is the same: so that the focus stays in it while a search goes on.
  rows(rows) {
    const list = this.part('rows'), before = [...list.children];
    const nodes = rows.map((row, i) => {
      const told = JSON.stringify([this.data, row]);
      return before[i]?.told === told ? before[i] : Object.assign(this.row(row), {told});
    });
    nodes.forEach((node, i) => { if (before[i] !== node) before[i] ? before[i].replaceWith(node) : list.append(node); });
    before.slice(nodes.length).forEach(node => node.remove());
  }

  row({row, side, characters, pieces}) {
    const item = make('li', ''), button = make('button', 'view-row'), text = make('span', 'view-excerpt');
    button.type = 'button';
    button.dataset.row = row;
    text.dir = 'auto';
    if (pieces.join('').trim()) text.append(...this.pieces(pieces));
    else text.append(this.words.blank);
    button.append(make('b', '', whole(row + 1)), make('span', `view-side-${side}`, this.words.sides[side]),
      make('span', 'view-length', fill(this.words.characters, {n: whole(characters)})), text);
    item.append(button);
    return item;
  }

  // Text, that at odd places marked.
  pieces(pieces) { return pieces.map((piece, i) => i % 2 ? make('mark', '', piece) : piece); }

  // A document in the dialog; the latest asked for wins.
  async open(which) {
    const opening = this.opening += 1, from = document.activeElement;
    const told = await answerOf(this.server.document(this.question(which)), this.words);
    if (opening !== this.opening) return;
    if (!this.dialog.open) {
      if (told.problem) { setText(this.part('found'), told.problem); return; }
      this.opener = from;
      this.dialog.showModal();
    }
    const {words} = this, text = this.part('text');
    if (told.problem) { text.textContent = told.problem; return; }
    this.opened = told;
    setText(this.dialog.querySelector('h3'), fill(words.number, {n: whole(told.row + 1), all: whole(told.all)}));
    setText(this.part('about'), `${words.sides[told.side]} · ${fill(words.characters, {n: whole(told.characters)})}`);
    text.replaceChildren(...this.pieces(told.pieces));
    setText(this.part('part'), fill(words.part, {part: told.part + 1, parts: told.parts}));
    this.part('another').hidden = !told.others;
    this.part('parts').hidden = told.parts === 1;
    this.part('part-before').disabled = told.part === 0;
    this.part('part-after').disabled = told.part + 1 === told.parts;
    text.scrollTop = 0;
    if (which.part === undefined) {
      if (which.but === undefined) text.focus();
      text.querySelector('mark')?.scrollIntoView({block: 'center'});
    }
  }
}
