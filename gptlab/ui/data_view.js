// "Look at the data": closed at first, and until it is opened nothing is asked for. live_text.js, data_figures.js and
// data_documents.js stand before this in the same function. Gradio gives `element`, `props` (whose value names the data set in
// use), `server` and `watch`.

const SECONDS_BETWEEN_QUESTIONS = 0.5;
const words = props.words;
const view = element.querySelector('.view'), part = name => view.querySelector(`.view-${name}`);
const figures = new DataFigures(part('figures'), words), browser = new DataDocuments(view, server, words);
let data, shown;       // the data set in use, and that which is shown
let counting = false;  // whether it is asked about

// Asks, as long as somebody sees the view, until all of the data set in use is counted, whichever that is by then.
async function count() {
  if (counting) return;
  counting = true;
  while (await seen(view) && data) {
    const asked = data, told = await answerOf(server.figures({data: asked}), words);
    if (asked !== data) continue;
    setText(part('problem'), told.problem ?? '');
    part('problem').hidden = !told.problem;
    tellCounted(told.percent);
    if (told.problem || told.figures) { figures.show(told.figures ? told : null); break; }
    await pause(1000 * SECONDS_BETWEEN_QUESTIONS);
  }
  counting = false;
}

// The number stands outside of what a screen reader says by itself: else it would be said at each change.
function tellCounted(percent) {
  const [said, number] = part('counting').children;
  part('counting').hidden = percent === undefined;
  setText(said, percent === undefined ? '' : words.counting);
  setText(number, percent === undefined ? '' : fill(words.percent, {percent}));
}

function show() {
  data = props.value?.data ?? null;
  setText(part('title'), data ? fill(words.of, {data}) : words.title);
  part('documents').hidden = !data;
  if (!view.open || (data === shown && figures.told)) return;
  if (data !== shown) {
    shown = data;
    figures.show(null);
    tellCounted();
    browser.use(data);
  }
  if (data) { count(); return; }
  setText(part('problem'), words.none);
  part('problem').hidden = false;
}

view.addEventListener('toggle', show);
watch('value', show);
show();
