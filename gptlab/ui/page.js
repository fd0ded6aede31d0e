// What the scripts of the tabs share, in the page's head, before any of them: which run is on view, who sits here, and a
// question before something is done that a person may not want. WORDS and SHARED are filled in by people.py.

window.gptlab = {
  who: '',               // the name this person gave, once
  shownRun: () => null,  // these two until the live view is there: on a slow machine a person is faster
  open: run => { window.gptlab.toOpen = run; },
  compare: (runs, note) => { window.gptlab.toCompare = {runs, note}; },  // until the Runs tab was opened once

  // Asks in a dialog; what was answered: true, or the text of its field; null where the person turned away.
  ask(question, {yes, no, field = null, length = 60}) {
    const make = (tag, text, values = {}) => Object.assign(document.createElement(tag), {textContent: text, ...values});
    const dialog = make('dialog', '', {className: 'ask'}), form = make('form', '', {method: 'dialog'});
    const title = make('p', question, {id: 'ask-question'}), buttons = make('div', '');
    const input = field === null ? null : make('input', '', {type: 'text', value: field, maxLength: length, required: true});
    const accept = make('button', yes, {value: 'yes', className: 'ask-yes'});
    const refuse = make('button', no, {type: 'button', value: 'no'});
    refuse.addEventListener('click', () => dialog.close());
    refuse.hidden = no === '';
    dialog.setAttribute('aria-labelledby', title.id);
    input?.setAttribute('aria-labelledby', title.id);
    buttons.append(refuse, accept);
    form.append(title, ...(input ? [input] : []), buttons);
    dialog.append(form);
    (document.querySelector('.gradio-container') ?? document.body).append(dialog);
    dialog.showModal();
    (input ?? (no ? refuse : accept)).focus();
    return new Promise(resolve => dialog.addEventListener('close', () => {
      dialog.remove();
      const answer = input ? input.value.trim() || null : true;
      resolve(dialog.returnValue === 'yes' ? answer : null);
    }));
  },

  // Who sits here: asked for once where several people share the app; null where the person turned away.
  async name() {
    if (!SHARED) return '';
    if (this.who) return this.who;
    const answer = await this.ask(WORDS.who, {yes: WORDS.who_yes, no: WORDS.who_no, field: '', length: WORDS.who_length});
    if (answer) this.who = answer;
    return answer;
  },

  // Whether this person wants to do something ("stop", "delete" …) to a run: asked where it is somebody else's.
  async may(what, {name, owner}) {
    if (!owner || owner === this.who) return true;
    const question = WORDS.someone_elses.replace('{owner}', () => owner).replace('{name}', () => name);
    return await this.ask(question, {yes: WORDS.may[what], no: WORDS.may_no}) === true;
  },
};

// An upload for which there is no room is answered with a sentence (uploads.py), of which Gradio would show "Error".
const unspoken = window.fetch;
window.fetch = async (...request) => {
  const answer = await unspoken(...request);
  if (answer.status === 507) answer.clone().text().then(text => window.gptlab.ask(text, {yes: WORDS.understood, no: ''}));
  return answer;
};

// The large view is large from the beginning: its controls never flash up.
document.addEventListener('DOMContentLoaded', () => document.body.classList.toggle(
  'watching', new URLSearchParams(location.search).get('view') === 'watch'));
