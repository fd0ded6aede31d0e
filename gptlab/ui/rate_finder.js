// The learning-rate finder. Its value says whose test it shows (`id`, "" where the settings cannot be used), the rate that is set
// now, the command, and whether there is anything to ask for; how far a test is, and what it found, it asks while it is seen. All
// is shown as text. live_text.js stands before it in the same function. Gradio gives `element`, `props`, `server`, `trigger`,
// `watch`.

const SECONDS_BETWEEN_QUESTIONS = 0.5, CONFIG = {displayModeBar: false, responsive: false, doubleClick: 'reset'};
const {words} = props, box = element.querySelector('.rate'), part = name => box.querySelector(`.rate-${name}`);
const find = box.querySelector('#find-rate'), cancel = box.querySelector('#cancel-rate'), use = box.querySelector('#use-rate');
const plot = part('plot'), copy = part('link');
let P = null;
let told = null;  // the last answer
let figure = null, drawn = '';  // and which of its figures is on the page
let asking = false, missed = false;

async function ask() {
  missed = true;
  if (asking || !box.offsetParent) return;  // it is asked for when that is over, or it is seen
  asking = true;
  try {
    do {
      missed = false;
      const {id = '', present = null} = props.value ?? {}, known = id === figure?.id && present === figure?.present;
      const answer = await server.now({id, present, have: known ? figure.at : null});
      if (answer.figure) figure = {...answer.figure, id, present, at: answer.at};
      if (id === (props.value?.id ?? '')) show(answer);
    } while (missed);
  } catch { setText(part('said'), words.unreachable); }
  asking = false;
}

function show(answer) {
  const before = told, focus = document.activeElement;
  told = answer;
  const working = Boolean(answer?.going), found = !working && answer?.told ? answer : null;
  const going = working && (answer.own ? answer.going : fill(words.others, answer));
  setHidden(part('going'), !working);
  setHidden(find, working);
  setHidden(part('problem'), !answer?.problem);
  setText(part('problem'), answer?.problem ?? '');
  part('problem').classList.toggle('failed', Boolean(answer?.failed));
  setHidden(part('found'), !found);
  setText(find, found ? words.again : words.find);
  if (working) {
    box.querySelector('progress').value = answer.percent;
    setText(part('far'), going);
  }
  if (found) {
    setText(part('told'), found.told);
    plot.setAttribute('aria-label', fill(words.plot, found));
    const set = found.rate !== null && Number(props.value?.present) === found.rate;
    setHidden(use, found.rate === null);
    setText(use, fill(set ? words.in_use : words.use, {rate: found.rate}));
    use.classList.toggle('set', set);
    draw();
  }
  if (working && focus === find) cancel.focus();
  if (!working && focus === cancel) (found && found.rate !== null ? use : find).focus();
  if (Boolean(before?.going) !== working) setText(part('said'), working ? words.starting : answer?.problem || found?.told || '');
}

// A key that is pressed twice uses the rate once: the button then says that it is set.
use.addEventListener('click', () => { if (!use.classList.contains('set')) trigger('use_rate', {rate: told.rate}); });
find.addEventListener('click', () => {
  trigger('find_rate', {});
  setTimeout(ask, 1000 * SECONDS_BETWEEN_QUESTIONS);  // where it is refused because of another test, that is to be seen
});
cancel.addEventListener('click', () => trigger('cancel_rate', {}));
copy.addEventListener('click', async () => {
  setText(copy, await toClipboard(box.querySelector('code').textContent) ? words.copied : words.copy_refused);
  setTimeout(() => setText(copy, words.copy), 1500);
});

async function draw() {
  while (!window.Plotly) await new Promise(resolve => setTimeout(resolve, 50));  // its script is on the way
  P ??= window.Plotly;  // kept: gr.Plot puts an older one in its place
  const dark = document.body.classList.contains('dark'), width = plot.offsetWidth;
  const which = `${figure?.id} ${figure?.at} ${figure?.present} ${dark} ${width}`;
  if (!figure || !width || which === drawn) return;
  drawn = which;
  const layout = structuredClone(figure.layouts[dark ? 'dark' : 'light']);
  plot.style.height = `${layout.height}px`;
  P.react(plot, figure.data, {...layout, width, dragmode: matchMedia('(pointer: coarse)').matches ? false : 'zoom'}, CONFIG);
}

function changed() {
  const {command = '', known = false} = props.value ?? {};
  setText(box.querySelector('code'), command);
  if (known || told?.going) ask();  // one that is under way goes on, whatever the settings are now
  else if (!asking) show(null);
}

new ResizeObserver(() => { if (missed) ask(); draw(); }).observe(box);
new MutationObserver(draw).observe(document.body, {attributes: true, attributeFilter: ['class']});
watch('value', changed);
changed();
const timer = setInterval(() => {
  if (!element.isConnected) clearInterval(timer);
  else if (told?.going && document.visibilityState === 'visible') ask();
}, 1000 * SECONDS_BETWEEN_QUESTIONS);
