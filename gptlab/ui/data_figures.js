// The figures of a data set, as gptlab.data.figures counts it. Text from the data reaches Plotly only with its "<" and "&" as
// entities. live_text.js stands before this in the same function.

const FIGURES = ['zipf', 'lengths', 'change', 'scripts', 'kinds'];
const BAR = 34, BARS_MARGIN = {l: 8, r: 62, t: 6, b: 44}, MARGIN = {l: 8, r: 16, t: 8, b: 44};  // pixels
const HEIGHT = 320, TICK = 62;
const CONFIG = {displayModeBar: false, responsive: false, doubleClick: 'reset'};

// A token's text, its spaces seen.
function tokenShown(text) {
  const seen = text.replace(/\n/g, '↵').replace(/\r/g, '␍').replace(/\t/g, '⇥').replace(/ /g, '␣').slice(0, 40);
  return seen.replace(/&/g, '&amp;').replace(/</g, '&lt;');
}

// As words_view.percent says a share.
function percentShown(value) {
  if (value >= 99 && value < 100) return `${Math.floor(10 * value) / 10} %`;
  if (value < 1e-4) return '< 0.0001 %';
  return `${value >= 10 ? value.toFixed(0) : value >= 1 ? value.toFixed(1) : Number(value.toPrecision(1))} %`;
}

class DataFigures {
  constructor(box, words) {
    Object.assign(this, {box, words, told: null, figures: {}});
    for (const name of FIGURES) this.figures[name] = this.figure(name);
    box.replaceChildren(...FIGURES.map(name => this.figures[name].node));
    new ResizeObserver(() => { if (box.offsetWidth !== this.width) this.draw(); }).observe(box);  // drawing changes its height
    new MutationObserver(() => this.draw()).observe(document.body, {attributes: true, attributeFilter: ['class']});
    this.show(null);
  }

  // A title, the plot and what is to be seen in it.
  figure(name) {
    const node = make('figure', 'view-figure'), title = make('h4', '', this.words.figures[name]), plot = make('div', 'view-plot');
    const caption = make('figcaption', '');
    Object.assign(title, {id: `view-${name}`});
    Object.assign(caption, {id: `view-${name}-caption`});
    node.setAttribute('aria-labelledby', title.id);
    plot.setAttribute('role', 'img');
    plot.setAttribute('aria-describedby', caption.id);
    node.dataset.figure = name;
    node.append(title, plot, caption);
    return {node, plot, caption};
  }

  // What was counted, or nothing yet.
  show(told) {
    this.told = told;
    this.box.hidden = !told;
    if (!told) return;
    for (const name of FIGURES) {
      const {plot, caption} = this.figures[name];
      setText(caption, told.captions[name]);
      plot.hidden = told.plain.includes(name);
      plot.setAttribute('aria-label', [this.words.figures[name], told.told[name] ?? ''].join('. '));
    }
    this.draw();
  }

  async draw() {
    while (!window.Plotly) await new Promise(resolve => setTimeout(resolve, 50));  // its script is on the way
    this.P ??= window.Plotly;  // kept: gr.Plot puts an older one in its place
    this.width = this.box.offsetWidth;
    if (!this.told || !this.width) return;
    for (const name of FIGURES) {
      const {plot} = this.figures[name];
      if (plot.hidden) continue;
      const {traces, layout} = this[name](this.told.figures);
      plot.style.height = `${layout.height}px`;
      this.P.react(plot, traces, {...layout, width: plot.offsetWidth}, CONFIG);
    }
  }

  colour(name) { return getComputedStyle(this.box).getPropertyValue(name).trim(); }

  layout(name, {height = HEIGHT, margin = MARGIN, x = {}, y = {}, ...more}) {
    const quiet = {color: this.colour('--body-text-color-subdued'), size: 13}, grid = this.colour('--border-color-primary');
    const text = this.colour('--body-text-color'), titles = this.words.axes[name];
    const axis = {gridcolor: grid, linecolor: grid, zeroline: false, tickfont: quiet, automargin: true};
    return {
      height, margin, paper_bgcolor: 'rgba(0,0,0,0)', plot_bgcolor: 'rgba(0,0,0,0)', showlegend: false, hovermode: 'closest',
      dragmode: matchMedia('(pointer: coarse)').matches ? false : 'zoom',
      font: {family: getComputedStyle(this.box).fontFamily, color: text},
      hoverlabel: {bgcolor: this.colour('--block-background-fill'), bordercolor: grid, font: {color: text}},
      legend: {orientation: 'h', x: 1, xanchor: 'right', y: 1, yanchor: 'bottom', font: {size: 13, color: text}},
      xaxis: {...axis, nticks: 6, title: {text: titles[0], font: quiet, standoff: 8}, ...x},
      yaxis: {...axis, nticks: 6, title: {text: titles[1], font: quiet, standoff: 8}, ...y}, ...more,
    };
  }

  // The two sides: held-out text is orange and dashed, as in the chart of losses.
  side(side, more) {
    return {name: this.words.sides[side], mode: 'lines', ...more,
      line: {color: this.colour(`--view-${side}`), width: 2.2, dash: side === 'train' ? 'solid' : 'dash', ...more.line}};
  }

  zipf({tokens: {ranks, counts, texts, slope, start}}) {
    const blue = this.colour('--view-train'), {hover, line} = this.words, last = ranks.at(-1);
    const told = (rank, i) => `<b>${tokenShown(texts[i])}</b><br>${fill(hover.zipf, {x: whole(rank), n: whole(counts[i])})}`;
    const traces = [{x: ranks, y: counts, mode: ranks.length > 40 ? 'lines' : 'lines+markers', showlegend: false,
      line: {color: blue, width: 2.6}, marker: {color: blue, size: 6}, hovertext: ranks.map(told), hoverinfo: 'text'}];
    if (slope !== null) {
      traces.push({x: [1, last], y: [1, last].map(rank => 10 ** (start + slope * Math.log10(rank))), mode: 'lines',
        line: {color: this.colour('--view-line'), width: 2, dash: 'dash'}, hoverinfo: 'skip',
        name: fill(line, {slope: slope.toFixed(2).replace('-', '−')})});
    }
    const decades = value => Math.ceil(Math.log10(value) + 0.05), log = {type: 'log', dtick: 1, tickformat: '~s'};
    const lowest = Math.max(-0.2, Math.floor(Math.log10(counts.at(-1)) - 0.05));
    const highest = Math.max(counts[0], 10 ** (start ?? 0));
    return {traces, layout: this.layout('zipf', {showlegend: slope !== null, margin: {...MARGIN, t: 30},
      x: {...log, showgrid: false, range: [-0.05, decades(last)]}, y: {...log, range: [lowest, decades(highest)]}})};
  }

  lengths({lengths}) {
    const {edges} = lengths, {hover} = this.words;
    const traces = Object.keys(this.words.sides).map(side => {
      const {bins, documents} = lengths[side], share = bins.map(n => documents ? 100 * n / documents : 0);
      const text = bins.map((n, i) => `${whole(edges[i])}–${whole(edges[i + 1] - 1)}: ${whole(n)} ${hover.documents}`);
      return this.side(side, {x: edges, y: [...share, 0], text: [...text, ''], line: {shape: 'hv'},
        fill: side === 'train' ? 'tozeroy' : 'none', fillcolor: this.colour('--view-area'),
        hovertemplate: `%{text} (%{y:.1f} %)<extra>${this.words.sides[side]}</extra>`});
    });
    const filled = edges.slice(0, -1).map((_, i) => Object.keys(this.words.sides).some(side => lengths[side].bins[i]));
    const first = Math.max(0, filled.indexOf(true)), last = filled.lastIndexOf(true) + 1;
    return {traces, layout: this.layout('lengths', {showlegend: true, margin: {...MARGIN, t: 30},
      x: {type: 'log', showgrid: false, tickvals: this.ticks(edges[first], edges[last]), tickformat: ',d',
        range: [Math.log10(edges[first]) - 0.06, Math.log10(edges[last]) + 0.06]},
      y: {rangemode: 'tozero'}})};
  }

  // Where a logarithmic axis has its labels: at 1, 2 and 5 of every power of ten, or fewer where there is no room.
  ticks(low, high) {
    const room = this.figures.lengths.plot.offsetWidth / TICK, decades = Math.log10(high / low) || 1;
    const factors = [[1, 1.5, 2, 3, 4, 5, 7], [1, 2, 5], [1, 3], [1]].find(one => one.length * decades <= room) ?? [1];
    const powers = Array.from({length: Math.ceil(Math.log10(high)) + 1}, (_, power) => 10 ** power);
    const values = powers.flatMap(power => factors.map(factor => factor * power));
    const within = values.filter(value => value >= low && value <= high && value % 1 === 0);
    return within.length > 1 ? within : [low, high];
  }

  change({change}) {
    const values = Object.values(change).flat().filter(value => value !== null);
    const low = Math.min(...values), high = Math.max(...values);
    const air = Math.max(0.1 * (high - low), 0.1);
    const traces = Object.keys(this.words.sides).map(side => {
      const y = change[side], x = y.map((_, i) => 100 * (i + 0.5) / y.length);
      return this.side(side, {x, y, mode: y.length > 1 ? 'lines' : 'markers',
        marker: {size: 9, color: this.colour(`--view-${side}`)},
        hovertemplate: `%{x:.0f} %: <b>%{y:.3f}</b><extra>${this.words.sides[side]}</extra>`});
    });
    return {traces, layout: this.layout('change', {showlegend: true, margin: {...MARGIN, t: 30},
      x: {range: [0, 100], showgrid: false}, y: {range: [Math.max(0, low - air), high + air]}})};
  }

  scripts({scripts}) { return this.bars('scripts', scripts); }

  kinds({kinds}) { return this.bars('kinds', kinds.map(([name, share]) => [this.words.kinds[name], share])); }

  bars(name, named) {
    const x = named.map(([, share]) => 100 * share), y = named.map(([label]) => label);
    const font = {size: 14, color: this.colour('--body-text-color')};
    const traces = [{type: 'bar', orientation: 'h', x, y, width: 0.62, marker: {color: this.colour('--view-train')},
      textfont: font, text: x.map(percentShown), textposition: 'outside', constraintext: 'none', cliponaxis: false,
      hovertemplate: '%{y}: %{text}<extra></extra>'}];
    const height = BAR * named.length + BARS_MARGIN.t + BARS_MARGIN.b + 20;
    return {traces, layout: this.layout(name, {height, margin: BARS_MARGIN, dragmode: false,
      x: {range: [0, 100], fixedrange: true, rangemode: 'tozero'},
      y: {autorange: 'reversed', fixedrange: true, showgrid: false, type: 'category', nticks: named.length + 1,
        tickfont: font}})};
  }
}
