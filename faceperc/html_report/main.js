// Puts the page together.

(() => {
  const data = JSON.parse(document.getElementById('data').textContent);
  const byId = (id) => document.getElementById(id);
  const gallery = byId('gallery');
  let shown = data.faces;

  const open = viewer(data, () => shown);
  const cards = new Map(data.faces.map((face) => [face, card(face, data, open)]));

  const filters = [
    ...data.choices.map((column, index) => choiceFilter(column, (face) => face.choices[index], changed)),
    ...data.numbers.map((column, index) => rangeFilter(column, (face) => face.numbers[index], changed)),
    ...data.labels.map((column, index) => labelFilter(column, (face) => face.labels[index], changed)),
  ];
  const aboutConfidence = new Set(filters.slice(data.choices.length).filter((_, index) => data.numbers[index]?.unsure));
  byId('filters').append(...filters.filter((each) => !aboutConfidence.has(each)).map(({ element }) => element));
  if (aboutConfidence.size) {
    const summary = make('summary', { textContent: 'How sure the models are' });
    byId('filters').append(make('details', {}, summary, ...[...aboutConfidence].map(({ element }) => element)));
  }

  const choices = orders(data);
  byId('order').append(...choices.map(([name], value) => make('option', { value, textContent: name })));

  // Strokes of the layers that are switched off are not drawn.
  const hidden = new Set();
  data.layers.forEach((name, layer) => {
    const box = make('input', { type: 'checkbox', checked: true });
    box.addEventListener('change', () => {
      hidden[box.checked ? 'delete' : 'add'](String(layer));
      applyLayers(document);
    });
    byId('layers').append(make('label', {}, box, ` ${name} `));
  });
  function applyLayers(root) {
    for (const shape of root.querySelectorAll('[data-layer]')) shape.toggleAttribute('hidden', hidden.has(shape.dataset.layer));
  }
  new MutationObserver(() => applyLayers(byId('viewer-picture'))).observe(byId('viewer-picture'), { childList: true });

  function changed() {
    const words = byId('search').value.toLowerCase();
    const passing = data.faces.filter(
      (face) => data.pictures[face.picture].name.toLowerCase().includes(words) && filters.every((filter) => filter.passes(face)),
    );
    shown = sorted(passing, choices[byId('order').value][1], byId('reverse').checked);
    gallery.replaceChildren(...shown.map((face) => cards.get(face)));
    byId('count').textContent = `${shown.length} of ${data.faces.length} faces`;
    for (const filter of filters) filter.show(shown);
    byId('reset').disabled = !words && !filters.some((filter) => filter.isActive());
  }

  byId('filters').addEventListener('submit', (event) => event.preventDefault());
  byId('search').addEventListener('input', changed);
  byId('order').addEventListener('change', changed);
  byId('reverse').addEventListener('change', changed);
  byId('drawn').addEventListener('change', () => document.body.classList.toggle('plain', !byId('drawn').checked));
  byId('reset').addEventListener('click', () => {
    byId('search').value = '';
    for (const filter of filters) filter.reset();
    changed();
  });
  changed();
})();
