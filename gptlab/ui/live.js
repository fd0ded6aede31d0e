// The Train tab's view of one run: asks the server for what is new, and shows it. Runs once, when the page has opened;
// the other live_*.js stand before it in the same function (live.SCRIPTS). Gradio gives `element`, `props`
// (whose value is this page's draft), `server` (read-only questions), `trigger` (sends what a person does) and `watch`.

const words = props.words;
const field = Object.fromEntries([...element.querySelectorAll('[data-is]')].map(node => [node.dataset.is, node]));
const notes = element.querySelector('[data-do=notes]'), dialogs = element.querySelectorAll('[data-dialog]');
const sampleNow = element.querySelector('#sample-now');
const numbers = new Numbers(element, words);
const chart = new Chart(element.querySelector('#chart').parentElement, words);
const samples = new Samples(element.querySelector('.live-samples'), words, {
  ask: question => server.pieces({run, ...question}), mark: step => chart.mark(step)});
const table = new EpochTable(element.querySelector('.live-epochs'), words, samples => server.copied({run, samples}));
const experts = new ExpertsMap(element.querySelector('.live-experts'), words.experts);
const alerts = new Alerts(element.querySelector('.live-alerts'), words, async remedy => {
  const agreed = await agreement(remedy.action === 'restore_best' ? 'rollback' : remedy.action);
  if (!agreed) return;
  trigger('remedy', {remedy, ...agreed});
  hurry(4000);
}, async ({action, changes = {}, step}) => {
  const {command} = await server.foreseen({run, action, changes, step: step ?? 'last'});
  return command;
});
const queue = new QueuePanel(element.querySelector('.live-queue'), words.queue, props.shared, {
  open: id => open(id),
  move: ({run}, places) => { trigger('queue_move', {run, places}); hurry(3000); },
  takeOut: async waits => {
    if (!await window.gptlab.may('cancel', waits)) return false;
    trigger('queue_cancel', {run: waits.run, sure: waits.run});
    hurry(3000);
    return true;
  },
});

const replayButton = element.querySelector('[data-do=replay]');

const address = new URLSearchParams(location.search);
const watching = address.get('view') === 'watch';  // chart, sentence and text alone, large: for a projector, for phones

const replay = new Replay(element.querySelector('.live-replay'), replayButton, words.replay, {
  all: () => history, visible: () => visible(), changed: now => render(now), stays: !watching});

const steering = new Steering(element.querySelector('.live-steer'), words.steer, {
  options: question => server.steering(question), foresee: question => server.foreseen(question),
  act: async question => {
    const agreed = await agreement(question.action);
    if (agreed?.run !== question.run) return false;
    trigger('steer', {question, ...agreed});
    hurry(5000);
    return true;
  },
});

let history = new RunHistory();
let run = null;          // the id of the run on view
let offset = 0;          // how far its events are known
let about = null;        // what doesn't change about it
let status = null;
let ahead = null;        // what Start would start
let shown = null;        // it, by id, name and owner
let training = null;     // what trains now, likewise
let wanted = null;       // the run this page showed last time
let pinned = false;      // a person opened a run that is over: stay with it whatever starts
let started = false;
const PATIENCE = 15_000;  // milliseconds until a question counts as unanswered
let toReplay = Number(address.get('replay'));  // at this speed, once the run is known
let timer = 0, asking = false, failures = 0, hurryUntil = 0;

const alive = state => state === 'running' || state === 'paused' || state === 'queued';
const visible = () => document.visibilityState === 'visible' && element.offsetParent !== null;

function show(id, pin) {
  replay.end();
  run = id; offset = 0; about = status = shown = null; pinned = pin;
  history = new RunHistory();
  chart.clear();
  samples.clear();
  experts.clear();
  alerts.clear();
  steering.clear();
  render(true);
}

// Whatever goes wrong with one answer, the next is asked for.
async function poll() {
  if (!element.isConnected) return;
  clearTimeout(timer);
  try {
    if (visible() && !asking) await look();
  } catch (problem) { console.warn(problem); } finally {
    clearTimeout(timer);
    timer = setTimeout(poll, pause());
  }
}

async function look() {
  asking = true;
  const told = history, opening = run === null && !pinned;
  const answer = await ask({run: run ?? wanted, offset: run ? offset : 0, opening});
  asking = false;
  if (answer && told === history) take(answer);  // else another run was opened meanwhile, perhaps this one anew
}

// The server's answer, or null where none comes in time.
async function ask(question) {
  try {
    const late = new Promise((_, reject) => setTimeout(reject, PATIENCE, new Error('no answer')));
    const answer = await Promise.race([server.poll(question), late]);
    failures = 0;
    notice('');
    return answer;
  } catch (problem) {
    failures += 1;
    if (failures === 3) notice(words.lost);
    if (failures === 1) console.warn(problem);
    return null;
  }
}

function take(answer) {
  training = answer.training;
  if (answer.run === null) {
    if (run !== null) show(null, false);
    wanted = null;
    queue.show(answer, run);
    render(false);
    return;
  }
  if (run !== answer.run) show(answer.run, pinned);
  const {state} = answer.status, stays = pinned || replay.history || (alive(state) && state !== 'queued');
  if (training && training.run !== run && !stays) {
    show(training.run, false);  // what was waiting still waits, or is over: look at what trains
    hurry(1000);
    return;
  }
  shown = answer.shown;
  about = answer.about ?? about;
  numbers.machine(answer.machine);
  if (answer.offset < offset) { history = new RunHistory(); chart.clear(); }
  const size = history.step;
  offset = answer.offset;
  if (answer.curves) history.restore(answer.curves);
  history.add(answer.lines);
  if (history.outdated) {  // what counts is told anew
    history = new RunHistory(history.resumes);
    offset = 0;
    return;
  }
  const turned = status?.state !== answer.status.state || (status.behind && !answer.more);
  const ended = alive(status?.state) && !alive(answer.status.state);
  status = answer.status;
  status.behind = answer.more;
  if (alive(status.state)) replay.end();
  if (alive(status.state) && status.state !== 'queued') pinned = false;
  if (ended) {
    pinned = true;  // how it ended stays on view, whatever is next
    lookAhead();    // how long that would take can be measured again
  }
  queue.show(answer, run);
  render(turned || (size === 0 && history.step > 0));
  if (status.behind) return;
  if (toReplay > 0 && canReplay()) replay.begin(toReplay);
  toReplay = 0;  // a later run is not meant
}

function pause() {
  if (failures) return Math.min(10000, 1000 * failures);
  if (!visible()) return 500;
  if (status?.behind) return 0;
  if (performance.now() < hurryUntil) return 300;
  if (status?.state === 'running') return status.time_seconds < 10 ? 500 : 1000;
  return alive(status?.state) ? 700 : 2500;
}

function hurry(milliseconds) {
  hurryUntil = performance.now() + milliseconds;
  clearTimeout(timer);
  timer = setTimeout(poll, 60);
}

function notice(text) {
  setText(field.notice, text);
  setHidden(field.notice, !text);
}

// ---- what is shown

// The run as it is, or as it stood where it is replayed.
const onView = () => replay.history ?? history;

function unit() { return words.units[(about ?? ahead)?.tokenizer] ?? words.units.bpe; }

const canReplay = () => status !== null && !alive(status.state) && !status.behind && history.worked > 0;

function render(now) {
  const state = status?.state ?? 'none', behind = status?.behind, replaying = replay.history !== null;
  const over = replaying ? replay.over : status !== null && !alive(state), history = onView();
  document.body.dataset.run = state;
  const facts = about ?? ahead, references = facts?.baselines ? referenceLines(facts.baselines, words, unit()) : [];
  chart.pace = replaying ? 'replay' : 'live';
  chart.draw(history, references, status?.total_steps ?? (run ? null : ahead?.total_steps), over, now && !behind);
  showHead(state);
  setHidden(replayButton, replaying || !canReplay());
  element.querySelector('.live').classList.toggle('replaying', replaying);
  if (behind || (run && !status)) return;  // still being read: nothing to sum up yet
  if (replaying) numbers.facts('running', facts, unit(), history, {...status, ...replay.status});
  else numbers.facts(state, facts, unit(), history, status);
  samples.show(history.samples);
  setHidden(sampleNow, !(state === 'running' || state === 'paused'));
  table.show(history);
  experts.show(history);
  alerts.show(history, state);
  if (!replaying) steering.show(run, state, history);
  const last = state === 'running' && status.total_steps && history.step >= status.total_steps;
  const nothing = over && !history.evaluations.length;  // it ended before anything was measured: its reason says it all
  const text = !run ? words.captions.empty : last ? words.captions.last_samples : nothing ? ''
    : caption(history, facts?.baselines ?? {}, words, unit());
  const place = queue.about(run)?.sentence;
  const sentences = [over && status.reason, place, place && !history.evaluations.length ? '' : text].filter(Boolean);
  setText(field.caption, sentences.map(one => /[.!?)…]$/.test(one) ? one : `${one}.`).join(' '));
  numbers.small(history, chart.axis, {now, soon: replaying});
}

function showHead(state) {
  setText(field.state, replay.history ? words.replay.state : words.states[state]);
  field.state.dataset.state = replay.history ? 'replay' : state;
  setText(field.name, shown?.name ?? '');
  const again = replay.history ? `&replay=${replay.speed}` : '';
  if (run) field.watch.href = `?view=watch&run=${encodeURIComponent(run)}${again}`;
  const facts = run && about ? [about.dataset, about.parameters, queue.about(run)?.starts] : [];
  setText(field.about, facts.filter(Boolean).join(' · '));
  const uses = !replay.history && status?.state === 'running' ? status.reason : '';  // of this machine, and why
  setText(field.uses, uses);
  setHidden(field.uses, !uses);
  showWho();
  showNotes(state);
  if (ahead) setText(field.next, ahead.sentence);
  if (!field.command.parentElement.hidden) setText(field.command, ahead?.command ?? '');
  setHidden(element.querySelector('[data-do=copy]'), !ahead?.command);
}

// What somebody expects of the run and saw of it; until it is over, an invitation to say so.
function showNotes(state) {
  for (const name of ['predicted', 'saw']) {
    const text = shown?.[name] ?? '';
    setText(field[name], `${words.notes[`${name}_line`]} ${text}`);
    setHidden(field[name], !text);
  }
  const invites = alive(state) && !shown?.predicted;
  setText(notes, !invites ? words.notes.button : state === 'queued' ? words.notes.expect_before : words.notes.expect);
  setHidden(notes, !shown);
  for (const button of dialogs) setHidden(button, !shown);
}

// Whose name the runs of this page carry, where several people use the app.
function showWho() {
  const {who} = window.gptlab;
  setText(field.who, fill(words.queue.who, {name: who}));
  setHidden(field.who.parentElement, !props.shared || !who);
}

async function changeWho() {
  const {who_ask: question, who_yes: yes, who_no: no, who_length: length} = words.queue;
  const who = await window.gptlab.ask(question, {yes, no, field: window.gptlab.who, length});
  if (who) trigger('queue_name', {who});
}

// ---- what this page would start next

async function lookAhead(tries = 20) {
  const draft = props.value;
  if (!visible()) { setTimeout(() => draft === props.value && lookAhead(tries), 500); return; }
  try {
    const answer = await server.ahead(draft);
    if (draft !== props.value) return;  // a later draft is being asked about
    ahead = answer;
    render(run === null);
  } catch (problem) { console.warn(problem); }
  if (!ahead?.settled && tries > 0) setTimeout(() => draft === props.value && lookAhead(tries - 1), 1500);
}

// The draft arrives a moment after the page: what it showed last decides what the first poll asks for.
function draftChanged() {
  start();
  lookAhead();
}

function start() {
  if (started) return;
  started = true;
  wanted = address.get('run') ?? (watching ? null : props.value?.shown ?? null);
  pinned = address.has('run');
  poll();
}

// ---- the person

// The run that Stop means: the one on view while it works or waits, else the one that trains.
function stopMeans() { return shown && alive(status?.state) ? shown : training; }

function open(id) {
  if (!id || id === run) return;
  started = true;
  toReplay = 0;
  show(id, true);
  hurry(3000);
}

// What goes with a thing done to the run on view: its id, who does it, and that they are sure of this very run. null where
// they turn away. Another run may be opened while they are asked.
async function agreement(action) {
  const asked = shown;
  if (!asked) return null;
  const may = words.steer.may.includes(action), what = action === 'stop' ? 'stop' : 'change';
  if (may && !await window.gptlab.may(what, asked)) return null;
  const who = action === 'fork' ? await window.gptlab.name() : window.gptlab.who;
  return who === null ? null : {run: asked.run, who, sure: asked.run};
}

element.addEventListener('click', event => {
  const term = event.target.closest('.term');
  if (term) explain(term);
  if (event.target === notes) writeNotes();
  if (event.target.dataset.dialog) window.gptlab[event.target.dataset.dialog](run);
  if (event.target.closest('[data-do=who]')) changeWho();
  if (event.target.closest('[data-do=copy]')) copy(event.target.closest('[data-do=copy]'));
});

async function writeNotes() {
  const invites = alive(status?.state) && !shown?.predicted;
  if (await window.gptlab.editLabel(run, invites ? 'predicted' : 'name')) hurry(1000);
}

function explain(term) {
  const opened = term.getAttribute('aria-expanded') === 'true';
  const help = term.closest('.live-card').querySelector('.live-help');
  const others = term.closest('.live-card').querySelectorAll('.term');
  others.forEach(other => other.setAttribute('aria-expanded', 'false'));
  term.setAttribute('aria-expanded', String(!opened));
  setText(help, opened ? '' : term.dataset.help);
  setHidden(help, opened);
}

async function copy(button) {
  setText(field.command, ahead.command);
  setHidden(field.command.parentElement, false);
  setText(button, await toClipboard(ahead.command) ? words.copied : words.copy_refused);
  setTimeout(() => setText(button, words.copy), 1500);
}

document.addEventListener('visibilitychange', () => visible() && hurry(0));
const axis = element.querySelector('[data-do=axis]'), logarithmic = element.querySelector('[data-do=log]');
for (const control of [axis, logarithmic]) {
  control.addEventListener('change', () => {
    chart.scale(axis.value, logarithmic.checked);
    numbers.small(onView(), chart.axis, {now: true});
  });
}
replayButton.addEventListener('click', () => { pinned = true; });  // whatever starts, its end is what they go back to
for (const id of ['start', 'pause', 'resume', 'stop']) {
  document.getElementById(id)?.addEventListener('click', () => hurry(4000));  // its answer is near
}
sampleNow.addEventListener('click', () => { trigger('sample_now', {run}); hurry(4000); });
document.body.classList.toggle('watching', watching);
if (props.code) {
  const picture = element.querySelector('.live-watch img');
  picture.src = props.code;
  picture.hidden = false;
}
const {toOpen} = window.gptlab;
Object.assign(window.gptlab, {shownRun: () => run, open, stopMeans});
open(toOpen);
watch('value', draftChanged);
if (props.value) draftChanged();
else setTimeout(start, 1500);
