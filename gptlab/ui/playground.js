// The text a model writes: the beginning it was given, and what it made of it, both as text. Gradio gives `element`,
// `props` (whose value is what playground_tab yields), `trigger` and `watch`.

const parts = ['.prompt', '.written', '.written-note', '.written-frame'];
const [prompt, written, note, frame] = parts.map(name => element.querySelector(name));

function show() {
  const value = props.value ?? {prompt: '', text: '', note: ''};
  const atEnd = frame.scrollHeight - frame.scrollTop - frame.clientHeight < 40;
  prompt.textContent = value.prompt;
  written.textContent = value.text;
  note.textContent = value.note;
  frame.classList.toggle('writing', Boolean(value.writing));
  frame.classList.toggle('blank', !value.prompt && !value.text);
  if (atEnd) frame.scrollTop = frame.scrollHeight;
}

function take() {  // "Write with it" on another tab, perhaps before this one was ever opened
  const run = window.gptlab?.writeWith;
  if (run) { window.gptlab.writeWith = null; trigger('write_with', {run}); }
}

watch('value', show);
window.addEventListener('gptlab-write', take);
show();
take();
