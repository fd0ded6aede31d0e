// What a run's numbers mean in words: facts, and the sentence under the chart. Also what each part of the view needs to say it.

function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function setHidden(node, hidden) {
  if (node.hidden !== hidden) node.hidden = hidden;
}

function make(tag, className, text = '') {
  const node = document.createElement(tag);
  node.className = className;
  node.textContent = text;
  return node;
}

const whole = number => Math.round(number).toLocaleString('en-US');
const among = perplexity => perplexity < 10 ? perplexity.toFixed(1) : whole(perplexity);

function short(number) {
  if (number >= 1e6) return `${(number / 1e6).toPrecision(3)}M`;
  return number >= 1e4 ? `${whole(number / 1e3)}k` : whole(number);
}

function duration(seconds) {
  if (seconds < 90) return `${Math.max(0, Math.round(seconds))} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  const hours = Math.floor(seconds / 3600), minutes = Math.round(seconds % 3600 / 60);
  return hours < 48 ? `${hours} h ${minutes} min` : `${Math.round(hours / 24)} days`;
}

function fill(sentence, values) {
  return sentence.replace(/\{(\w+)\}/g, (all, name) => values[name] ?? all);
}

function epochText(epoch) {
  return Math.abs(epoch - Math.round(epoch)) < 0.005 ? whole(epoch) : epoch.toFixed(epoch < 10 ? 2 : 1);
}

// An evaluation's epoch: whole where it is the first step that ended one.
const epochOf = ({epoch, step}) => step && epoch - Math.floor(epoch) < epoch / step ? whole(Math.floor(epoch)) : epochText(epoch);

// The lines of the chart that no run draws, for a data set's baselines (nats a token; null where unknown).
function referenceLines(baselines, words, unit) {
  const line = (name, rest) => ({value: baselines[name], label: fill(words.references[name], unit), ...rest});
  return [
    line('uniform', {colour: '--live-guess', dash: 'dot', main: true}),
    line('unigram', {colour: '--live-count', dash: 'longdash'}),
    line('bigram', {colour: '--live-count', dash: 'longdashdot'}),
    line('xz', {colour: '--live-count', dash: '2px 6px'}),
    line('entropy_floor', {colour: '--live-floor', dash: 'dashdot', main: true, below: true}),
  ].filter(one => one.value !== null && one.value !== undefined);
}

const IMPOSSIBLE = 0.95;  // of the best possible loss: below that no chance goes

// One sentence on where the run stands: what it has learnt so far, and whether it now learns by heart.
function caption(history, baselines, words, unit) {
  const say = (name, values = {}) => fill(words.captions[name], {...unit, ...values});
  const now = history.evaluations.at(-1), best = history.best;
  if (!now) return say('before');
  if (now.val_loss === null) return say('broken');
  if (history.alerts.some(one => one.code === 'sees_the_answer')) return say('sees');
  if (memorising(history.evaluations, best)) return say('memorising');
  if (now.val_loss > best.val_loss + Math.max(0.3, 0.3 * best.val_loss)) return say('lost', {step: whole(best.step)});
  const {uniform, unigram, bigram, entropy_floor: floor} = baselines;
  if (uniform == null) return '';
  // Before it is measured a second time, the text it trains on tells how far it is: it has read nothing twice yet.
  const so_far = history.evaluations.length === 1 ? history.smooth ?? Infinity : Infinity;
  const loss = Math.min(best.val_loss, so_far), gap = now.val_loss - now.train_loss;
  if (gap > Math.max(0.3, 0.2 * now.val_loss)) return say('gap', {gap: gap.toFixed(2)});
  if (floor != null && loss < IMPOSSIBLE * floor) return say('impossible');
  if (bigram != null && loss < bigram) {
    const share = floor == null ? null : Math.min(100, Math.floor(100 * (uniform - loss) / (uniform - floor)));
    return say(share === null ? 'pairs' : share < 95 ? 'closer' : 'close', {share});
  }
  if (unigram != null && loss < unigram) return say('single');
  return say(history.step === 0 ? 'guessing' : 'hardly');
}

// Whether unseen text has been getting worse, by more than noise, while seen text got better.
function memorising(evaluations, best) {
  const now = evaluations.at(-1), later = evaluations.filter(one => one.step > best.step);
  return later.length >= 2 && now.val_loss > best.val_loss + 0.02 && now.train_loss < best.train_loss;
}

// Puts text where a person can paste it; whether that worked. A browser lends its clipboard only to this machine's own
// pages, or over https: elsewhere the old way does.
async function toClipboard(text, place = document.body) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const field = make('textarea', 'live-unseen');
    field.value = text;
    place.append(field);  // an open dialog takes the focus from all that is outside of it
    field.select();
    const done = document.execCommand('copy');
    field.remove();
    return done;
  }
}
