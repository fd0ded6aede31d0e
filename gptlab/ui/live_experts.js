// How the experts of each layer share the work: a map of layers and experts as last measured, or at an earlier step. Drawn
// only for a run with experts, and only where there is something new.

const ROW = 34, HIGHEST_MAP = 460, WIDEST_CELL = 110, NARROWEST_TEXT = 33;  // pixels
const MOST_TIMES_EVEN = 2;  // a share from which on the colour is the same

class ExpertsMap {
  constructor(box, words) {
    const [map, slider, when, said, layers] = ['.experts-map', 'input', 'output', '.experts-said', '.experts-layers'].map(
      name => box.querySelector(name));
    Object.assign(this, {P: window.Plotly, box, words, map, slider, when, said, layers});
    this.clear();
    slider.addEventListener('input', () => {
      this.at = Number(slider.value) === Number(slider.max) ? null : this.measured[Number(slider.value)].step;
      this.draw();
    });
    new ResizeObserver(() => this.draw()).observe(box);
    new MutationObserver(() => this.draw()).observe(document.body, {attributes: true, attributeFilter: ['class']});
  }

  // Forget what was drawn: another run, or none.
  clear() {
    Object.assign(this, {measured: [], at: null, shown: ''});  // at: a step that somebody looks back to; null: the latest
    setHidden(this.box, true);
  }

  show(history) {
    const now = [history.rewrites, history.experts.length, history.experts.at(-1)?.step].join();
    if (this.of === history && now === this.shown) return;
    Object.assign(this, {of: history, shown: now, measured: history.experts.filter(one => isTable(one.loads))});
    setHidden(this.box, this.measured.length === 0);
    this.draw();
  }

  draw() {
    const {measured, slider, words, map} = this, index = this.at === null ? -1 : measured.findIndex(one => one.step >= this.at);
    const place = index < 0 ? measured.length - 1 : index, one = measured[place];
    if (!one || !this.box.offsetWidth) return;
    slider.max = String(measured.length - 1);
    slider.value = String(place);
    const when = fill(words.step, {step: whole(one.step)});
    setText(this.when, when);
    slider.setAttribute('aria-valuetext', when);
    setText(this.said, this.summary(one.loads));
    setText(this.layers, one.loads.map((loads, layer) => this.range(loads, layer)).join(' '));
    const experts = Math.max(...one.loads.map(loads => loads.length));
    const height = Math.min(HIGHEST_MAP, one.loads.length * ROW + 62);
    map.style.maxWidth = `${experts * WIDEST_CELL + 60}px`;
    map.style.height = `${height}px`;
    this.P.react(map, [this.trace(one.loads, experts)], this.layout(one.loads.length, experts, height),
      {displayModeBar: false, responsive: false, staticPlot: false});
  }

  trace(loads, experts) {
    const {words} = this, number = (_, i) => i + 1, style = getComputedStyle(this.box);
    const [less, even, more] = ['--live-val', '--live-paper', '--live-train'].map(name => style.getPropertyValue(name).trim());
    const fits = (this.map.clientWidth - 60) / experts >= NARROWEST_TEXT;
    return {
      type: 'heatmap', x: Array.from({length: experts}, number), y: loads.map(number), xgap: 2, ygap: 2,
      z: loads.map(layer => layer.map(share => share * layer.length)), zmin: 0, zmid: 1, zmax: MOST_TIMES_EVEN,
      colorscale: [[0, less], [0.5, even], [1, more]], showscale: false,
      text: loads.map(layer => layer.map(share => `${inCell(share)} %`)),
      texttemplate: fits ? '%{text}' : '', hovertemplate: `${words.hover}<extra></extra>`,
    };
  }

  layout(layers, experts, height) {
    const style = getComputedStyle(this.box), colour = name => style.getPropertyValue(name).trim();
    const quiet = {color: colour('--body-text-color-subdued'), size: 13}, grid = colour('--live-grid');
    const axis = (title, most) => ({title: {text: title, font: quiet, standoff: 6}, tickfont: quiet, showgrid: false,
      zeroline: false, fixedrange: true, tickmode: 'linear', tick0: 1, dtick: Math.ceil(most / 16)});
    return {
      height, width: this.map.clientWidth, margin: {l: 52, r: 6, t: 4, b: 46}, paper_bgcolor: 'rgba(0,0,0,0)', plot_bgcolor: grid,
      font: {family: style.fontFamily, color: colour('--body-text-color')}, dragmode: false,
      hoverlabel: {bgcolor: colour('--live-paper'), bordercolor: grid, font: {color: colour('--body-text-color')}},
      xaxis: axis(this.words.expert, experts), yaxis: {...axis(this.words.layer, layers), autorange: 'reversed'},
    };
  }

  // The two that are furthest from an even share.
  summary(loads) {
    const all = loads.flatMap((layer, i) => layer.map((share, j) => ({layer: i + 1, expert: j + 1, share})));
    const by = all.sort((a, b) => a.share - b.share);
    const place = one => fill(this.words.place, {...one, percent: percent(one.share)});
    return fill(this.words.summary, {even: percent(1 / loads[0].length), least: place(by[0]), most: place(by.at(-1))});
  }

  // A layer's in a sentence, for those who do not see the map.
  range(loads, layer) {
    const least = loads.indexOf(Math.min(...loads)), most = loads.indexOf(Math.max(...loads));
    return fill(this.words.range, {layer: layer + 1, least: least + 1, least_percent: percent(loads[least]), most: most + 1,
      most_percent: percent(loads[most])});
  }
}

const isTable = loads => loads.length > 0 && loads.every(layer => Array.isArray(layer) && layer.length > 0
  && layer.every(share => Number.isFinite(share)));

// 25, 0.4 or 0: a share in percent, short enough for a cell.
const inCell = share => share < 0.01 && share >= 0.0005 ? (100 * share).toFixed(1) : String(Math.round(100 * share));
