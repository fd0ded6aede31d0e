// "Look at the data": closed at first, and until it is opened nothing is asked for. live_text.js, data_figures.js and
// data_documents.js stand before this in the same function. Gradio gives `element`, `props` (whose value names the data set in
// use), `server` and `watch`.

const SECONDS_BETWEEN_QUESTIONS = 0.5;
const words = props.words;
const view = element.querySelector('.view'), part = name => view.querySelector(`.view-${name}`);
const figures = new DataFigures(part('figures'), words), browser = new DataDocuments(view, server, words);
let data, seen;  // the data set in use, and that which is shown

// Asks until all is counted, or the view is closed, or about another data set.
async function count() {
  const asked = data;
  while (asked === data && view.open && element.isConnected) {
    const told = await server.figures({data: asked}).catch(() => ({problem: words.unreachable}));
    if (asked !== data) return;
    setText(part('problem'), told.problem ?? '');
    part('problem').hidden = !told.problem;
    part('counting').hidden = told.percent === undefined;
    setText(part('counting'), told.percent === undefined ? '' : fill(words.counting, {percent: told.percent}));
    if (told.problem || told.figures) { figures.show(told.figures ? told : null); return; }
    await new Promise(resolve => setTimeout(resolve, 1000 * SECONDS_BETWEEN_QUESTIONS));
  }
}

function show() {
  data = props.value?.data ?? null;
  setText(part('title'), data ? fill(words.of, {data}) : words.title);
  part('documents').hidden = !data;
  if (!view.open || (data === seen && figures.told)) return;
  if (data !== seen) {
    seen = data;
    figures.show(null);
    browser.use(data);
  }
  if (data) { count(); return; }
  setText(part('problem'), words.none);
  part('problem').hidden = false;
}

view.addEventListener('toggle', show);
watch('value', show);
show();
