// Two to eight runs side by side, as compare_view.Comparisons tells of them; all of it is shown as text, and Plotly is told no
// name. live_text.js stands before it in the same function. Gradio gives `element`, `props`, `server`, `trigger`
// and `watch`.

const P = window.Plotly;  // kept: gr.Plot puts an older one in its place
const MARKERS = ['circle', 'square', 'diamond', 'triangle-up', 'cross', 'x', 'triangle-down', 'pentagon'];
const DASHES = ['solid', 'dash', 'dot', 'dashdot', 'longdash', 'longdashdot', '8px 3px 2px 3px 2px 3px', '2px 5px'];
const SWATCHES = ['none', '9 5', '3 3', '9 4 3 4', '14 5', '14 4 3 4', '8 3 2 3 2 3', '2 5'];  // the same, for SVG
const MOST_MARKERS = 12;  // on a line: enough to tell it from others
const MARGIN = {l: 52, r: 34, t: 10, b: 44}, LABEL_HEIGHT = 17;  // pixels
const UNITS = [[7200, 3600], [180, 60], [0, 1]];  // seconds from which on a unit of time is used, and how long it is
const SVG = 'http://www.w3.org/2000/svg';
const words = props.words, ALIVE = new Set(['running', 'paused', 'queued']);
const box = element.querySelector('.compare'), plot = box.querySelector('.compare-plot');
const part = name => box.querySelector(`.compare-${name}`);
const SECONDS_BETWEEN_QUESTIONS = 3, SHARE_OF_TIME = 20;  // at least; and so many times as long as an answer took
let found = null, home = null, opened = 0;
let happened = '';  // what the comparison was asked for with, such as that a run begins: true while one goes on

function options(select, labels) {
  select.replaceChildren(...Object.entries(labels).map(([value, label]) => Object.assign(make('option', '', label), {value})));
}

// "A first", its letter in the colour of its curves.
function called(run, i, name = run.name) {
  const node = make('span', 'compare-run'), letter = make('b', '', run.letter);
  letter.style.setProperty('color', `var(--run-${i})`);
  node.append(letter, ` ${name}`);
  return node;
}

function headed(tag, scope, ...content) {
  const node = make(tag, '');
  node.scope = scope;
  node.append(...content);
  return node;
}

function cell(text, label) {
  const node = make('td', '', text);
  node.dataset.label = label;
  return node;
}

// Bold and starred is who was found best, of the numbers that may be compared.
function results() {
  const number = (run, name, digits) => {
    const value = run.best?.[name] ?? null;
    if (value === null) return '–';
    const star = found.winners[name]?.includes(run.letter) ? '★\u00a0' : '';
    return star + value.toLocaleString('en-US', {minimumFractionDigits: digits, maximumFractionDigits: digits});
  };
  const rows = found.runs.map((run, i) => {
    const texts = [number(run, 'val_loss', 3), number(run, 'val_perplexity', 2), number(run, 'val_bits_per_byte', 3),
      run.best ? whole(run.best.step) : '–', whole(run.step), whole(run.parameters), run.dataset];
    const row = make('tr', '');
    const state = ALIVE.has(run.state) ? [' ', make('small', '', words.states[run.state])] : [];
    row.append(headed('th', 'row', called(run, i), ...state), ...texts.map((text, j) => cell(text, words.columns[j + 1])));
    row.querySelectorAll('td').forEach(one => one.classList.toggle('best', one.textContent.startsWith('★')));
    return row;
  });
  part('results').tBodies[0].replaceChildren(...rows);
}

function settings() {
  const table = part('settings'), none = found.differences.length === 0;
  table.hidden = none;
  part('alike').hidden = !none;
  table.tHead.rows[0].replaceChildren(headed('th', 'col', words.setting),
    ...found.runs.map((run, i) => headed('th', 'col', called(run, i, found.runs.length < 4 ? run.name : ''))));
  table.tBodies[0].replaceChildren(...found.differences.map(one => {
    const row = make('tr', '');
    row.append(headed('th', 'row', one.label), ...one.values.map((value, i) => cell(value, found.runs[i].letter)));
    return row;
  }));
}

// The lines of the chart: each run with a piece of its own.
function lines() {
  part('lines').replaceChildren(...found.runs.map((run, i) => {
    const item = make('li', ''), svg = document.createElementNS(SVG, 'svg'), line = document.createElementNS(SVG, 'line');
    const set = (node, values) => { for (const [name, value] of Object.entries(values)) node.setAttribute(name, value); };
    set(svg, {viewBox: '0 0 40 12', 'aria-hidden': 'true'});
    set(line, {x1: 0, x2: 40, y1: 6, y2: 6, 'stroke-dasharray': SWATCHES[i]});
    svg.style.setProperty('color', `var(--run-${i})`);
    svg.append(line);
    item.append(svg, called(run, i));
    return item;
  }));
}

// Each run under the one it was forked from; those that are compared by their letters.
function family() {
  const lists = [make('ul', '')], none = found.family.length === 0;
  for (const one of found.family) {
    lists.length = one.depth + 1;
    const list = lists[one.depth] ??= lists[one.depth - 1].lastElementChild.appendChild(make('ul', ''));
    const item = list.appendChild(make('li', '')), i = found.runs.findIndex(run => run.letter === one.letter);
    item.append(i < 0 ? make('span', 'compare-run', one.name) : called(found.runs[i], i), make('small', '', one.told));
  }
  part('family').replaceChildren(...none ? [] : [lists[0]]);
  part('family').hidden = part('family-title').hidden = none;
}

function texts() {
  const asked = found.samples[part('prompt').value];
  part('texts').replaceChildren(...found.runs.map((run, i) => {
    const card = make('article', 'compare-text'), head = make('h5', ''), text = asked.texts[i];
    head.append(called(run, i), make('small', '', text ? fill(words.at, {step: whole(text.step)}) : ''));
    const written = make('p', text ? '' : 'compare-quiet', text ? '' : words.never);
    if (text) written.append(make('span', 'prompt', asked.prompt), text.text);
    card.append(head, written);
    return card;
  }));
}

const colour = name => getComputedStyle(box).getPropertyValue(name).trim();

// What is drawn, each run in a colour, dash and mark of its own: a thin line of the text it trains on, a thick one of unseen
// text.
function traces(quantity, axis, per) {
  const drawn = quantity === 'loss' ? ['train_loss', 'val_loss'] : ['val_bits_per_byte'];
  return found.runs.flatMap((run, i) => drawn.map(name => {
    const {x, y} = run.lines[name], train = name === 'train_loss', ink = colour(`--run-${i}`);
    return {
      x: x[axis].map(value => value / per), y, name: run.letter, opacity: train ? 0.7 : 1, connectgaps: false,
      mode: train ? 'lines' : 'lines+markers', line: {color: ink, width: train ? 1.2 : 2.4, dash: DASHES[i]},
      marker: {color: ink, size: found.runs.length < 5 ? 8 : 6, symbol: MARKERS[i], maxdisplayed: MOST_MARKERS},
      hovertemplate: `<b>${run.letter}</b> %{y:.4f}<extra></extra>`,
    };
  }));
}

// How far to move labels at these rising heights, in pixels, so that none covers another or the axis.
function apart(heights) {
  const places = [...heights];
  for (let i = 0; i < 100; i += 1) {  // push neighbours apart until all have room
    for (let j = 1; j < places.length; j += 1) {
      const missing = LABEL_HEIGHT - (places[j] - places[j - 1]);
      if (missing > 0) { places[j - 1] -= missing / 2; places[j] += missing / 2; }
    }
  }
  let lowest = LABEL_HEIGHT / 2;
  return places.map((place, i) => { const at = Math.max(place, lowest); lowest = at + LABEL_HEIGHT; return at - heights[i]; });
}

// Each run's letter where its curve of unseen text ends.
function letters(curves, pixels, width) {
  const ends = [];
  found.runs.forEach((run, i) => {
    const line = curves.filter(one => one.name === run.letter).findLast(one => one.y.some(value => value !== null));
    const at = line ? line.y.findLastIndex(value => value !== null) : -1;
    if (at >= 0) ends.push({i, letter: run.letter, x: line.x[at], y: line.y[at]});
  });
  const groups = [];  // whose labels could cover each other
  for (const end of ends.sort((a, b) => a.x - b.x)) {
    if (groups.length && end.x - groups.at(-1).at(-1).x < 0.05 * width) groups.at(-1).push(end);
    else groups.push([end]);
  }
  return groups.flatMap(group => {
    const rising = group.sort((a, b) => a.y - b.y), moved = apart(rising.map(({y}) => pixels(y)));
    return rising.map(({i, letter, x, y}, j) => ({x, y, xanchor: 'left', xshift: 7, yshift: moved[j], showarrow: false,
      text: `<b>${letter}</b>`, font: {size: 15, color: colour(`--run-${i}`)}}));
  });
}

function draw() {
  if (!found || !plot.offsetWidth) return;
  const quantity = part('quantity').value, axis = part('axis').value, seconds = axis === 'time_seconds';
  const longest = Math.max(0, ...found.runs.flatMap(run => Object.values(run.lines).map(line => line.x[axis].at(-1) ?? 0)));
  const unit = seconds ? UNITS.findIndex(([from]) => longest >= from) : 2, per = UNITS[unit][1];
  const curves = traces(quantity, axis, per), values = curves.flatMap(line => line.y).filter(value => value !== null);
  const low = Math.min(...values), high = Math.max(...values), pad = 0.06 * (high - low) || 0.1;
  home = values.length ? {x: [0, longest / per * 1.01 || 1], y: [low - pad, high + pad]} : {x: [0, 1], y: [0, 1]};
  const pixels = y => (y - home.y[0]) / (home.y[1] - home.y[0]) * (plot.offsetHeight - MARGIN.t - MARGIN.b);
  const quiet = {color: colour('--body-text-color-subdued'), size: 13}, grid = colour('--border-color-primary');
  const frame = {gridcolor: grid, linecolor: grid, zeroline: false, tickfont: quiet, nticks: 6, automargin: true};
  const title = text => ({text, font: quiet, standoff: 8});
  P.react(plot, curves, {
    paper_bgcolor: 'rgba(0,0,0,0)', plot_bgcolor: 'rgba(0,0,0,0)', showlegend: false, hovermode: 'closest', margin: MARGIN,
    dragmode: matchMedia('(pointer: coarse)').matches ? false : 'zoom', uirevision: `${opened} ${quantity} ${axis}`,
    font: {family: getComputedStyle(box).fontFamily, color: colour('--body-text-color')},
    hoverlabel: {bgcolor: colour('--block-background-fill'), bordercolor: grid, font: {color: colour('--body-text-color')}},
    xaxis: {...frame, range: home.x, showgrid: false, title: title(seconds ? words.times[unit] : words.axes[axis])},
    yaxis: {...frame, range: home.y, title: title(words.heights[quantity])},
    annotations: letters(curves, pixels, home.x[1]),
  }, {displayModeBar: false, responsive: false, doubleClick: 'reset'});
  if (!plot.watched) {
    plot.watched = true;
    plot.on('plotly_relayout', () => {
      const near = (a, b) => Math.abs(a - b) < 1e-9 + 1e-6 * Math.abs(b);
      const same = (a, b) => a.every((value, i) => near(value, b[i]));
      const {xaxis, yaxis} = plot.layout;
      part('reset').hidden = same(xaxis.range, home.x) && same(yaxis.range, home.y);
    });
  }
  setText(part('legend'), words.legends[quantity]);
}

// What is known of the runs, anew; what somebody chose to see of it stays.
function fillIn() {
  setHidden(part('said'), !found.alive || !happened);
  setText(part('said'), happened);
  setText(part('note'), found.note);
  results();
  settings();
  lines();
  family();
  setText(part('drawing'), found.drawing);
  const labels = found.samples.map(one => one.prompt || words.nothing);
  const prompt = part('prompt'), before = prompt.selectedOptions[0]?.text;
  options(prompt, labels);
  if (labels.includes(before)) prompt.value = labels.indexOf(before);
  const asked = found.samples.length > 0;
  part('asked').hidden = !asked;
  part('drawing').hidden = !asked;
  part('unasked').hidden = asked;
  part('texts').replaceChildren();
  if (asked) texts();
  draw();
}

let asking = false;

// Asks for more while one of the runs trains or waits, and this is seen; the longer it takes to read them, the more seldom.
async function follow(seconds) {
  await new Promise(resolve => setTimeout(resolve, 1000 * seconds));
  if (!element.isConnected) return;
  let took = 0;
  if (found?.alive && !asking && box.offsetParent && document.visibilityState === 'visible') {
    const mine = found, begun = performance.now();
    asking = true;
    const told = await server.news({runs: found.runs.map(run => run.run), mark: found.mark}).catch(() => null);
    asking = false;
    took = (performance.now() - begun) / 1000;
    if (told && found === mine) {
      found = told;
      fillIn();
    }
  }
  follow(Math.max(SECONDS_BETWEEN_QUESTIONS, SHARE_OF_TIME * took));
}
follow(SECONDS_BETWEEN_QUESTIONS);

function show() {
  found = props.value?.runs ? props.value : null;
  box.hidden = !found;
  if (!found) return;
  opened = found.at;
  happened = found.said;
  part('quantity').value = found.main;
  part('reset').hidden = true;
  fillIn();
  const title = box.querySelector('h3');
  title.focus({preventScroll: true});
  title.scrollIntoView({block: 'start'});
}

options(part('quantity'), words.quantities);
options(part('axis'), words.over_axes);
for (const name of ['quantity', 'axis']) part(name).addEventListener('change', () => { part('reset').hidden = true; draw(); });
part('prompt').addEventListener('change', texts);
part('reset').addEventListener('click', () => P.relayout(plot, {'xaxis.range': [...home.x], 'yaxis.range': [...home.y]}));
part('report').addEventListener('click', () => trigger('report', {runs: found.runs.map(run => run.run)}));
part('close').addEventListener('click', () => {
  found = null;
  box.hidden = true;
  document.querySelector('#runs [data-action=run_compare]')?.focus();
});
new ResizeObserver(draw).observe(plot);
new MutationObserver(draw).observe(document.body, {attributes: true, attributeFilter: ['class']});
watch('value', show);
