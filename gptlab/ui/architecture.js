// The picture of the model: redrawn when the server has drawn another, all at once, so that nothing flickers; a caption says
// what the part does that is pointed at, or chosen with the arrow keys. The drawings are the server's own and hold no text from
// outside.
// live_text.js and `words` stand before this in the same function. Gradio gives `element`, `props`, `watch`.

const part = name => element.querySelector(`.arch-${name}`);
const picture = part('picture'), line = part('caption'), copy = part('copy');
let chosen = '';  // the part that is pointed at, by name
let drawn = null;

const places = () => [...new Set([...picture.querySelectorAll('[data-part]')].map(place => place.dataset.part))];

function choose(name) {
  chosen = drawn?.says[name] ? name : '';
  for (const place of picture.querySelectorAll('[data-part]')) place.classList.toggle('chosen', place.dataset.part === chosen);
  setText(line, chosen ? drawn.says[chosen] : `${drawn?.legend ?? ''} ${words.hint}`);
}

function draw() {
  const next = props.value;
  if (!next?.stack) return;
  if (next.stack !== drawn?.stack) part('stack').innerHTML = next.stack;
  if (next.block !== drawn?.block) part('block').innerHTML = next.block;
  drawn = next;
  picture.setAttribute('aria-label', next.alt);
  setText(part('tree'), next.tree);
  choose(chosen);
}

const at = event => event.target.closest('[data-part]')?.dataset.part ?? '';
picture.addEventListener('pointerover', event => choose(at(event)));
picture.addEventListener('pointerleave', () => choose(''));
picture.addEventListener('click', event => choose(at(event)));
picture.addEventListener('blur', () => choose(''));
picture.addEventListener('keydown', event => {
  const all = places(), now = all.indexOf(chosen);
  const to = {ArrowDown: now + 1, ArrowRight: now + 1, ArrowUp: now < 0 ? -1 : now - 1, ArrowLeft: now < 0 ? -1 : now - 1,
              Home: 0, End: -1}[event.key];
  if (to === undefined && event.key !== 'Escape') return;
  event.preventDefault();
  choose(event.key === 'Escape' ? '' : all.at(to % all.length));
});
copy.addEventListener('click', async () => {
  setText(copy, await toClipboard(part('tree').textContent) ? words.copied : words.copy_refused);
  setTimeout(() => setText(copy, words.copy), 1500);
});
setText(part('title'), words.tree);
setText(copy, words.copy);
watch('value', draw);
draw();
