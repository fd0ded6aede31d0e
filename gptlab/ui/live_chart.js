// The curves of a RunHistory: the losses with Plotly, the small ones as plain SVG. Draws only what is new.

const SHOWN_EVALUATIONS = 300;
const SHARE_OF_TIME = {live: 0.04, replay: 0.4};  // a slow machine draws less often, so that drawing never takes more
const SHORTEST = {live: 500, replay: 250};        // milliseconds from one drawing to the next
const LETTER = 7, HALF_LINE = 10;                 // pixels that a letter of a label takes at most, and half of its height

class Chart {
  constructor(box, words) {
    this.P = window.Plotly;  // kept: gr.Plot puts an older one in its place
    this.box = box;
    this.words = words;
    this.plot = box.querySelector('.plot');
    this.reset = box.querySelector('.reset-zoom');
    this.notBefore = 0;
    this.pace = 'live';
    this.inSight = true;
    this.axis = 'step';      // of AXES: what the curves are drawn over
    this.logarithmic = false;
    this.marked = null;      // a step
    this.clear();
    const config = {displayModeBar: false, responsive: false, doubleClick: 'autosize'};
    this.P.newPlot(this.plot, this.traces(), this.layout(), config);
    this.plot.on('plotly_relayout', change => this.noteZoom(change));
    this.reset.addEventListener('click', () => this.fit());
    new ResizeObserver(() => this.plot.offsetWidth && this.P.Plots.resize(this.plot)).observe(this.plot);
    new IntersectionObserver(entries => {
      this.inSight = entries.at(-1).isIntersecting;
      if (this.inSight) this.refresh?.();
    }).observe(box);
    const theme = new MutationObserver(() => this.recolour());
    theme.observe(document.body, {attributes: true, attributeFilter: ['class']});
  }

  // Forget what was drawn: another run, or none.
  clear() {
    this.drawn = {history: null, rewrites: 0, width: 1, buckets: 0, steps: 0, evaluations: -1, over: false, references: '',
      range: ''};
    this.zoomed = false;
    this.reset.hidden = true;
    this.marked = null;
  }

  // Draw over steps, tokens, epochs or time; the losses on a linear or a logarithmic scale.
  scale(axis, logarithmic) {
    if (axis === this.axis && logarithmic === this.logarithmic) return;
    const marked = this.marked;
    Object.assign(this, {axis, logarithmic});
    this.clear();
    this.marked = marked;
    this.P.relayout(this.plot, {'xaxis.title.text': this.words.axes[axis], 'yaxis.type': logarithmic ? 'log' : 'linear',
      'yaxis.minorloglabels': 'complete'});
    this.refresh?.();
  }

  // A line at a step, as a slider through the samples moves; null takes it away.
  mark(step) {
    if (step === this.marked) return;
    this.marked = step;
    this.refresh?.();
  }

  // Of letters, in pixels: larger where the view is.
  size(pixels) { return pixels * (document.body.classList.contains('watching') ? 1.4 : 1); }

  colour(name) { return getComputedStyle(this.box).getPropertyValue(name).trim(); }

  traces() {
    const {train, smooth, val, best} = this.words.lines, blue = this.colour('--live-train');
    const orange = this.colour('--live-val'), line = {x: [], y: [], mode: 'lines', hovertemplate: '%{y:.3f}'};
    return [
      {...line, name: train, line: {width: 1, color: this.colour('--live-train-faint')}, hoverinfo: 'skip'},
      {...line, name: smooth, line: {width: 2.5, color: blue}},
      {...line, name: val, mode: 'lines+markers', line: {width: 2.5, dash: 'dash', color: orange},
        marker: {size: 7, color: orange}},
      {...line, name: best, mode: 'markers', cliponaxis: false, marker: {size: 15, symbol: 'star', color: orange,
        line: {width: 1, color: this.colour('--live-paper')}}},
    ];
  }

  layout() {
    const text = this.colour('--body-text-color'), quiet = {color: this.colour('--body-text-color-subdued'), size: this.size(13)};
    const grid = this.colour('--live-grid'), touch = matchMedia('(pointer: coarse)').matches;
    const axis = {gridcolor: grid, zeroline: false, linecolor: grid, tickfont: quiet, nticks: 6};
    return {
      paper_bgcolor: 'rgba(0,0,0,0)', plot_bgcolor: 'rgba(0,0,0,0)', showlegend: false, uirevision: 'keep',
      margin: {l: this.size(46), r: 12, t: 8, b: this.size(40)}, hovermode: 'x unified', dragmode: touch ? false : 'zoom',
      font: {family: getComputedStyle(this.box).fontFamily, color: text},
      hoverlabel: {bgcolor: this.colour('--live-paper'), bordercolor: grid, font: {color: text}},
      xaxis: {...axis, range: [0, 100], showgrid: false, title: {text: this.words.axes[this.axis], font: quiet, standoff: 6}},
      yaxis: {...axis, range: [0, 5]},
    };
  }

  recolour() {
    const traces = this.traces(), layout = this.layout();
    const colours = {'line.color': traces.map(one => one.line?.color), 'marker.color': traces.map(one => one.marker?.color)};
    this.P.restyle(this.plot, colours, [0, 1, 2, 3]);
    const {font, hoverlabel, xaxis, yaxis} = layout;
    this.P.relayout(this.plot, {font, hoverlabel, 'xaxis.tickfont': xaxis.tickfont, 'yaxis.tickfont': yaxis.tickfont,
      'yaxis.gridcolor': yaxis.gridcolor, 'xaxis.linecolor': xaxis.linecolor, 'xaxis.title.font': xaxis.title.font});
    this.drawn.references = '';
    this.refresh?.();
  }

  noteZoom(change) {
    if (change['xaxis.autorange'] || change['yaxis.autorange']) { this.fit(); return; }
    if (!Object.keys(change).some(key => key.endsWith('range[0]'))) return;  // ours: those set whole ranges
    this.zoomed = true;
    this.reset.hidden = false;
  }

  fit() {
    this.zoomed = false;
    this.reset.hidden = true;
    this.drawn.range = '';
    this.refresh?.();
  }

  // Draws `history` (or nothing yet) with its reference lines. `over`: nothing more will come. `force`: now, not soon.
  draw(history, references, totalSteps, over, force = false) {
    this.refresh = () => this.draw(history, references, totalSteps, over, true);
    const now = performance.now();
    if (!force && (now < this.notBefore || !this.inSight)) return;
    this.drawLines(history, over);
    this.drawEvaluations(history);
    this.drawFrame(history, references, totalSteps, over);
    const took = performance.now() - now;
    this.notBefore = now + Math.max(SHORTEST[this.pace], took / SHARE_OF_TIME[this.pace]);
  }

  drawLines(history, over) {
    const drawn = this.drawn, {curves} = history, {width, step: steps} = curves, buckets = over ? curves.buckets : curves.whole;
    const told = drawn.history === history && drawn.rewrites === history.rewrites;  // nothing drawn has become untrue
    if (told && drawn.over === over && drawn.steps === steps) return;
    const goesOn = told && drawn.width === width && !over && !drawn.over, first = goesOn ? drawn.buckets : 0;
    if (goesOn && buckets === first) return;
    const raw = curves.lowAndHigh('loss', this.axis, first, buckets);
    const smooth = curves.lastOfEach('smooth', this.axis, first, buckets);
    const points = {x: [raw.x, smooth.x], y: [raw.y, smooth.y]};
    if (goesOn) this.P.extendTraces(this.plot, points, [0, 1]);
    else this.P.restyle(this.plot, points, [0, 1]);
    if (!told) drawn.evaluations = -1;
    Object.assign(drawn, {history, rewrites: history.rewrites, width, buckets, steps, over});
  }

  drawEvaluations(history) {
    if (this.drawn.evaluations === history.evaluations.length) return;
    this.drawn.evaluations = history.evaluations.length;
    const all = history.evaluations, best = history.best, every = Math.ceil(all.length / SHOWN_EVALUATIONS);
    const shown = all.filter((one, i) => i % every === 0 || one === best || i === all.length - 1);
    const starred = best && all.length > 1 ? [best] : [], loss = one => one.val_loss;
    const at = one => history.along(this.axis, one);
    this.P.restyle(this.plot, {
      x: [shown.map(at), starred.map(at)], y: [shown.map(loss), starred.map(loss)],
      mode: [shown.length > 60 ? 'lines' : 'lines+markers', 'markers'],
    }, [2, 3]);
  }

  // Axes and reference lines; the axes stand still while a person looks closer.
  drawFrame(history, references, totalSteps, over) {
    const change = {}, y = this.losses(history, references), log = value => this.logarithmic ? Math.log10(value) : value;
    const x = this.axis === 'step' ? this.steps(history, totalSteps, over) : [0, this.reached(history) * 1.01 || 1];
    if (!this.zoomed && this.drawn.range !== String([x, y])) {
      Object.assign(change, {'xaxis.range': x, 'yaxis.range': y.map(log)});
      this.drawn.range = String([x, y]);
    }
    const marked = this.marked === null ? null : history.curves.along(this.axis, this.marked);
    const settings = history.settings.slice(-8).map(one => ({at: history.along(this.axis, one), text: changed(one)}));
    const ends = this.ends(history, x[1], y[1] - y[0]);
    this.raiseNames(references, y.map(log), log);
    this.makeRoom(ends, references, x[1], y.map(log), log);
    const lines = JSON.stringify([references, marked, settings, ends, this.logarithmic]);
    if (this.drawn.references !== lines) {
      this.drawn.references = lines;
      Object.assign(change, this.referenceLines(references, log));
      for (const {at, text} of settings) {
        const line = {color: this.colour('--live-count'), width: 1.2, dash: 'dot'};
        change.shapes.push({type: 'line', yref: 'paper', x0: at, x1: at, y0: 0, y1: 1, line});
        change.annotations.push({x: at, yref: 'paper', y: 1, text, showarrow: false, textangle: -90, xanchor: 'right',
          yanchor: 'top', font: {color: this.colour('--live-count'), size: this.size(12.5)}});
      }
      for (const {name, x: at, y: height, above, left, aside, lift, colour} of ends) {
        change.annotations.push({x: at, y: log(height), text: name, showarrow: false, xanchor: left ? 'left' : 'right',
          xshift: left ? 4 : -aside, yanchor: above ? 'bottom' : 'top', yshift: above ? 7 + lift : -7,
          font: {color: this.colour(colour), size: this.size(13)}});
      }
      if (marked !== null) change.shapes.push({type: 'line', yref: 'paper', x0: marked, x1: marked, y0: 0, y1: 1,
        line: {color: this.colour('--body-text-color'), width: 1.5}});
    }
    if (Object.keys(change).length) this.P.relayout(this.plot, change);
  }

  // The name of each line where it ends, so that they differ by more than colour. Moves on in steps of a hundredth of the
  // picture: a label that moved at every update would cost a drawing of its own.
  ends(history, right, height) {
    const {curves, evaluations} = history, last = evaluations.findLast(one => one.val_loss !== null), smooth = history.smooth;
    if (evaluations.length < 2 || !last || smooth === null) return [];
    const round = (value, unit) => unit ? Math.round(value / unit) * unit : value;
    const above = last.val_loss >= smooth, {smooth: train, val} = this.words.ends;
    return [[val, last.val_loss, history.along(this.axis, last), above, '--live-val'],
      [train, smooth, curves.along(this.axis, curves.step), !above, '--live-train']].map(([name, y, x, over, colour]) => ({
      name, x: round(x, right / 100), y: round(y, height / 100), above: over, left: x < 0.2 * right, colour}));
  }

  // How far up the name of each reference line goes, in pixels, so that none lies on the name of a lower one.
  raiseNames(references, [bottom, top], log) {
    const {h: height} = this.plot._fullLayout._size, half = this.size(HALF_LINE);
    let free = -Infinity;
    for (const one of [...references].sort((a, b) => a.value - b.value)) {
      const middle = (log(one.value) - bottom) / (top - bottom) * height + (isBelow(one, references) ? -half : half);
      one.raised = Math.round(Math.max(0, free - middle));
      free = middle + one.raised + 2 * half;
    }
  }

  // Where the name of a reference line stands in the way of a line's, in pixels: that one goes up and above it, or, below its
  // line, to the left of it; the other way it would lie on the curves, which come from above.
  makeRoom(ends, references, right, [bottom, top], log) {
    const {w: width, h: height} = this.plot._fullLayout._size, down = value => (top - log(value)) / (top - bottom) * height;
    const half = this.size(HALF_LINE), letter = this.size(LETTER);
    const stands = references.map(one => ({at: down(one.value) + (isBelow(one, references) ? half : -half) - one.raised,
      from: width - referenceText(one).length * letter}));
    for (const end of ends) {
      const at = end.x / right * width, middle = down(end.y) + (end.above ? -1 : 1) * (7 + half);
      const inTheWay = middle => stands.find(one => Math.abs(one.at - middle) < 2 * half && at > one.from);
      let up = middle;
      for (let one = inTheWay(up); end.above && one; one = inTheWay(up)) up = one.at - 2 * half - 1;
      end.lift = Math.round(middle - up);
      end.aside = end.above ? 0 : Math.round(at - (inTheWay(middle)?.from ?? at));
    }
  }

  // As far as the run has come, with room to go on that doubles now and then; all of it once it is over.
  steps(history, totalSteps, over) {
    if (over && history.step > 0) return [0, history.step * 1.01];
    let end = totalSteps ?? 100 * 2 ** Math.max(0, Math.ceil(Math.log2(history.step * 1.2 / 100)));
    while (totalSteps && end >= 200 && end / 2 > history.step * 1.2) end /= 2;
    return [0, end];
  }

  // How far the run has come on the axis that is shown.
  reached(history) {
    const last = history.evaluations.at(-1);
    return Math.max(history.curves.along(this.axis, history.step), last ? history.along(this.axis, last) : 0);
  }

  // From just below the best to just above pure guessing; a spike beyond twice that leaves the picture, not the data.
  losses(history, references) {
    const levels = references.map(one => one.value);
    let low = levels.length ? Math.min(...levels) : 0, high = Math.max(...levels, 0), top = 0;
    const see = value => { if (value !== null && value < low) low = value; if (value > top) top = value; };
    const {loss_low: lows, loss_high: highs} = history.curves.columns;
    lows.forEach(see);
    highs.forEach(see);
    history.evaluations.forEach(one => see(one.val_loss));
    high = high ? Math.max(high, Math.min(top, 2 * high)) : top || 5;
    const step = high > 4 ? 0.5 : 0.25;
    if (this.logarithmic) return [Math.max(1e-3, low * 0.85), high * 1.15];
    return [Math.max(0, Math.floor(low / step - 0.3) * step), Math.ceil(high / step + 0.4) * step];
  }

  referenceLines(references, log) {
    return {
      shapes: references.map(one => ({
        type: 'line', xref: 'paper', x0: 0, x1: 1, y0: one.value, y1: one.value, layer: 'below',
        line: {color: this.colour(one.colour), width: one.main ? 2 : 1.2, dash: one.dash},
      })),
      annotations: references.map(one => ({
        xref: 'paper', x: 1, xanchor: 'right', y: log(one.value), showarrow: false,
        yanchor: isBelow(one, references) ? 'top' : 'bottom', yshift: one.raised, text: referenceText(one),
        font: {color: this.colour(one.colour), size: this.size(one.main ? 14 : 12.5)},
      })),
    };
  }
}

const referenceText = ({label, value}) => `${label}  ${value.toFixed(2)}`;
const isBelow = ({below, value}, references) => below && value > 0.06 * references[0].value;  // the curves come from above

// What was changed, as a mark on the chart says it; Plotly would read < as markup.
function changed({changes, before}) {
  const said = ([name, value]) => `${name.split('.')[1]} ${before?.[name] ?? '–'} → ${value ?? '–'}`;
  return Object.entries(changes).map(said).join(', ').replaceAll('_', ' ').replaceAll('<', '‹');
}

// One small curve without axes: its name, its latest value, its range. `points`: {x, y}.
function drawSmall(figure, points, words, log = false) {
  const seen = points.y.filter(value => value > 0 || (!log && value !== null));
  const line = figure.querySelector('path'), range = figure.querySelector('.small-range');
  setText(figure.querySelector('.small-now'), seen.length ? words(seen.at(-1)) : '–');
  if (seen.length < 2) {
    line.setAttribute('d', '');
    setText(range, '');
    return;
  }
  let low = Infinity, high = -Infinity;
  for (const value of seen) { low = Math.min(low, value); high = Math.max(high, value); }
  const scale = log ? Math.log : value => value, end = points.x.at(-1) || 1, height = scale(high) - scale(low) || 1;
  const across = x => (x / end * 200).toFixed(1), down = y => (46 - (scale(y) - scale(low)) / height * 42).toFixed(1);
  let path = '';
  points.x.forEach((x, i) => {
    if (points.y[i] === null || (log && points.y[i] <= 0)) return;
    path += `${path ? 'L' : 'M'}${across(x)} ${down(points.y[i])}`;
  });
  line.setAttribute('d', path);
  setText(range, `${words(low)} – ${words(high)}`);
}
