// Whether a draft fits this machine, and the biggest model that would. Its value says whose search it shows (`id`, "" where the
// settings cannot be used), the draft to ask about and the command; the rest it asks while it is seen. All is shown as text.
// live_text.js stands before it in the same function. Gradio gives `element`, `props`, `server`, `trigger`, `watch`.

const SECONDS_BETWEEN_QUESTIONS = 0.5;
const {words} = props, box = element.querySelector('.biggest'), part = name => box.querySelector(`.biggest-${name}`);
const find = box.querySelector('#find-biggest'), cancel = box.querySelector('#cancel-biggest');
const use = box.querySelector('#use-biggest'), minutes = part('minutes'), copy = part('link');
let told = null;  // the last answer
let asking = false, missed = false;

async function ask() {
  missed = true;
  if (asking || !part('fits').offsetParent) return;  // it is asked for when that is over, or it is seen
  asking = true;
  try {
    do {
      missed = false;
      const {id = '', draft = null} = props.value ?? {};
      const answer = await server.now({id, draft});
      if (id === (props.value?.id ?? '')) show(answer);
    } while (missed);
  } catch { setText(part('fits'), words.unreachable); }
  asking = false;
}

function show(answer) {
  const before = told, focus = document.activeElement, working = Boolean(answer.going), found = !working && Boolean(answer.told);
  told = answer;
  setText(part('fits'), answer.fits ?? '');
  part('fits').classList.toggle('ill', Boolean(answer.ill));
  setHidden(part('going'), !working);
  setHidden(part('ask'), working);
  setHidden(part('problem'), !answer.problem);
  setText(part('problem'), answer.problem ?? '');
  part('problem').classList.toggle('failed', Boolean(answer.failed));
  setHidden(part('found'), !found);
  setText(find, found ? words.again : words.find);
  if (working) {
    box.querySelector('progress').value = answer.percent;
    setText(part('far'), answer.own ? answer.going : fill(words.others, answer));
  }
  if (found) {
    setText(part('told'), answer.told);
    setText(part('warned'), answer.warned);
    setHidden(part('warned'), !answer.warned);
    setText(use, answer.used ? words.in_use : words.use);
    use.classList.toggle('set', answer.used);
  }
  if (working && focus === find) cancel.focus();
  if (!working && focus === cancel) (found ? use : find).focus();
  if (Boolean(before?.going) !== working) setText(part('said'), working ? words.starting : '');
}

part('ask').addEventListener('submit', event => {
  event.preventDefault();
  trigger('find_biggest', {minutes: minutes.valueAsNumber});
  setTimeout(ask, 1000 * SECONDS_BETWEEN_QUESTIONS);  // where it is refused because of another search, that is to be seen
});
cancel.addEventListener('click', () => trigger('cancel_biggest', {}));
// A key that is pressed twice uses it once: the button then says that it is in use.
use.addEventListener('click', () => { if (!use.classList.contains('set')) trigger('use_biggest', {}); });
copy.addEventListener('click', async () => {
  setText(copy, await toClipboard(box.querySelector('code').textContent) ? words.copied : words.copy_refused);
  setTimeout(() => setText(copy, words.copy), 1500);
});

function writeCommand() {
  setText(box.querySelector('code'), `${props.value?.command ?? ''} --minutes ${minutes.value || 10}`);
}

function changed() {
  writeCommand();
  ask();
}

minutes.addEventListener('input', writeCommand);
new ResizeObserver(() => { if (missed) ask(); }).observe(part('fits'));
watch('value', changed);
changed();
const timer = setInterval(() => {
  if (!element.isConnected) clearInterval(timer);
  else if ((told?.going || told?.settled === false) && document.visibilityState === 'visible') ask();
}, 1000 * SECONDS_BETWEEN_QUESTIONS);
