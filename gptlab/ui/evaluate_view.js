// The dialog in which a run is measured on any text: window.gptlab.evaluate(id) opens it. live_text.js and work_dialog.js stand
// before it in the same function. Gradio gives `element`, `props` (whose value is the server's answer), `server`, `trigger`,
// `upload` and `watch`.

const {words} = props;
const text = element.querySelector('textarea'), files = element.querySelector('.evaluate-file');
const [choose, forget] = files.querySelectorAll('button');
const input = files.querySelector('input'), named = files.querySelector('span');
const table = element.querySelector('.card-results');

const card = new WorkDialog(element, words, {
  offered: run => server.offered(run), now: question => server.now(question), stop: run => trigger('cancel_evaluate', {run}),
  offer(told) {
    card.checkpoints(told.checkpoints);
    if (card.of !== card.run) { card.of = card.run; results(null); }
    card.command(told.command);
  },
  show(told) {
    if (told.problem) card.refuse(told.problem);
    results(told.rows ? told : null);
  },
});

// What was found: of the text, and of the run's own unseen text.
function results(told) {
  const shown = told !== null;
  setHidden(table, !shown);
  setHidden(element.querySelector('.evaluate-fair'), !shown);
  setText(card.part('said'), told?.said ?? '');
  if (!shown) return;
  table.tBodies[0].replaceChildren(...told.rows.map(([name, ...values]) => {
    const row = make('tr', ''), head = make('th', '', name);
    head.scope = 'row';
    row.append(head, ...values.map((value, i) => {
      const cell = make('td', '', value);
      cell.dataset.label = words.columns[i + 1];
      return cell;
    }));
    return row;
  }));
}

function file(chosen) {
  input.value = '';
  card.file = chosen;
  setText(named, chosen ? fill(words.chosen, {file: chosen.name}) : '');
  setHidden(forget, !chosen);
  text.disabled = Boolean(chosen);
}

choose.addEventListener('click', () => input.click());
input.addEventListener('change', () => { if (input.files[0]) file(input.files[0]); });
forget.addEventListener('click', () => { file(null); choose.focus(); });

card.form.addEventListener('submit', async event => {
  event.preventDefault();
  if (card.working) return;
  const {file} = card, checkpoint = card.part('checkpoint').value, {run} = card;
  if (!file && !text.value.trim()) { card.refuse(words.empty); text.focus(); return; }
  const number = card.send();
  results(null);
  let place = null;
  if (file) {
    clearTimeout(card.late);  // a long file takes as long as it takes
    card.progress({going: words.uploading, percent: 0, own: true});
    const sent = await upload(file).catch(() => null);
    if (!sent?.path) { card.take({number, problem: words.unreachable}); return; }
    place = sent.path;
  }
  trigger('evaluate', {run, checkpoint, text: file ? '' : text.value, file: place, number});
});
watch('value', () => card.take(props.value));

window.gptlab.evaluate = run => card.open(run);
