// Draws a report's figures, in the look of the screen; on paper in the light one. Asks nothing of any network.
(() => {
  const PAPER_WIDTH = 680, dark = matchMedia('screen and (prefers-color-scheme: dark)');
  const touch = matchMedia('(pointer: coarse)').matches, folded = [...document.querySelectorAll('details')];
  const figures = [...document.querySelectorAll('.figure')].map(box => (
    {box, ...JSON.parse(box.nextElementSibling.textContent)}));

  // `width` where the paper's counts, not the screen's.
  function draw(width) {
    for (const {box, data, layouts} of figures) {
      const half = box.closest('.pair') ? 2 : 1;
      const layout = structuredClone(width ? layouts.light : dark.matches ? layouts.dark : layouts.light);
      if (width) layout.width = width / half;
      if (touch) layout.dragmode = false;
      Plotly.react(box, data, layout, {displayModeBar: false, responsive: !width, doubleClick: 'reset'});
    }
  }

  draw();
  dark.addEventListener('change', () => draw());
  addEventListener('beforeprint', () => {
    for (const one of folded) one.dataset.open = one.open, one.open = true;
    draw(PAPER_WIDTH);
  });
  addEventListener('afterprint', () => {
    for (const one of folded) one.open = one.dataset.open === 'true';
    draw();
  });
})();
