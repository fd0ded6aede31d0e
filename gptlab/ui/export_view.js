// The dialog in which a run is exported: window.gptlab.export(id) opens it. live_text.js and work_dialog.js stand before it in
// the same function. Gradio gives `element`, `props` (whose value is the server's answer), `server`, `trigger` and `watch`.

const {words} = props;
const done = element.querySelector('.export-done'), download = done.querySelector('button');
const numbers = element.querySelector('.export-numbers'), formats = [...element.querySelectorAll('[name=format]')];
let refused = {};  // why a format cannot be had, by its name

const card = new WorkDialog(element, words, {
  offered: run => server.offered(run), now: question => server.now(question), stop: run => trigger('cancel_export', {run}),
  offer(told) {
    refused = told.refused;
    card.checkpoints(told.checkpoints);
    const format = formats.find(one => one.checked) ?? formats[0];
    format.checked = true;
    changed();
  },
  show(told) {
    setHidden(done, told.id === undefined);
    if (told.problem) card.refuse(told.problem);
    if (told.id === undefined) return;
    setText(done.querySelector('.card-said'), told.said);
    setText(download, fill(words.download, told));
    download.dataset.id = told.id;
  },
});
numbers.querySelector('select').append(...Object.entries(words.number_formats).map(one => option(...one)));

function wanted() {
  const format = new FormData(card.form).get('format');
  return {run: card.run, format, checkpoint: card.part('checkpoint').value,
    number_format: format === 'gguf' ? numbers.querySelector('select').value : 'f32'};
}

// Something else is chosen: what stands in its way, or its command. What came of another choice is no answer to it.
async function changed() {
  setHidden(done, true);
  card.refuse('');
  const now = wanted(), problem = refused[now.format] ?? '';
  setHidden(numbers, now.format !== 'gguf');
  setText(card.part('said'), problem);
  card.part('save').disabled = Boolean(problem);
  const command = problem ? '' : await server.command(now).catch(() => '');
  if (JSON.stringify(now) === JSON.stringify(wanted())) card.command(command);
}

card.form.addEventListener('change', changed);
card.form.addEventListener('submit', event => {
  event.preventDefault();
  if (card.working || card.part('save').disabled) return;
  setHidden(done, true);
  trigger('export', {...wanted(), number: card.send()});
});
download.addEventListener('click', () => trigger('download', {run: card.run, id: download.dataset.id}));
watch('value', () => card.take(props.value));

window.gptlab.export = run => card.open(run);
