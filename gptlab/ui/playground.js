// The text a model writes: the beginning it was given, and what it made of it, both as text. Gradio gives `element`,
// `props` (whose value is what playground_tab yields) and `watch`.

const parts = ['.prompt', '.written', '.written-note', '.written-frame'];
const [prompt, written, note, frame] = parts.map(name => element.querySelector(name));

function show() {
  const value = props.value ?? {prompt: '', text: '', note: ''};
  const atEnd = frame.scrollHeight - frame.scrollTop - frame.clientHeight < 40;
  prompt.textContent = value.prompt;
  written.textContent = value.text;
  if (note.textContent !== value.note) note.textContent = value.note;  // else it is said aloud ten times a second
  frame.classList.toggle('writing', Boolean(value.writing));
  frame.classList.toggle('blank', !value.prompt && !value.text);
  if (atEnd) frame.scrollTop = frame.scrollHeight;
}

watch('value', show);
show();
