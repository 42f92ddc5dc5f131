// Filters: each looks at a value of the faces, shows how it is spread, and says which faces pass.
// A filter: { element, passes(face), isActive(), reset(), show(faces) }.
'use strict';

const SVG = 'http://www.w3.org/2000/svg';

function make(name, properties = {}, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
}

function makeSvg(name, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

function withUnit(value, { unit, digits }) {
  const text = value.toFixed(digits);
  return unit ? `${text}${/^[°%]/.test(unit) ? unit : ` ${unit}`}` : text;
}

// A number: a histogram and a range of its bins. A face without the value passes only the whole range.
function rangeFilter(column, valueOf, changed) {
  const { start, step, counts } = column;
  const last = counts.length;
  const edge = (index) => start + index * step;
  const most = Math.max(...counts);
  const bars = counts.map((count, index) => {
    const bar = (name, value) => {
      const height = value === 0 ? 0 : Math.max(1.5, (44 * value) / most);
      return makeSvg('rect', { class: name, x: index + 0.06, width: 0.88, y: 46 - height, height });
    };
    return makeSvg('g', {}, makeSvg('title', {}, `${withUnit(edge(index), column)} and on: ${count}`), bar('all', count), bar('shown', 0));
  });
  const picture = makeSvg('svg', { class: 'histogram', viewBox: `0 0 ${last} 46`, preserveAspectRatio: 'none', role: 'img', 'aria-label': `How ${column.title} is spread` }, ...bars);
  const slider = (end, value) => Object.assign(make('input', { type: 'range', min: 0, max: last, value }), { ariaLabel: `${column.title}, ${end}` });
  const low = slider('lowest', 0);
  const high = slider('highest', last);
  const limits = make('div', { className: 'limits' }, make('span'), make('span'));
  const describe = () => {
    for (const [input, text] of [[low, limits.children[0]], [high, limits.children[1]]]) {
      const words = withUnit(edge(+input.value), column);
      text.textContent = words;
      input.setAttribute('aria-valuetext', words);
    }
    bars.forEach((bar, index) => bar.classList.toggle('out', index < +low.value || index >= +high.value));
  };
  low.addEventListener('input', () => {
    low.value = Math.min(+low.value, +high.value - 1);
    describe();
    changed();
  });
  high.addEventListener('input', () => {
    high.value = Math.max(+high.value, +low.value + 1);
    describe();
    changed();
  });
  const isActive = () => +low.value > 0 || +high.value < last;
  const binOf = (value) => Math.min(last - 1, Math.max(0, Math.floor((value - start) / step + 1e-9)));
  describe();
  const element = make('fieldset', {}, make('legend', { textContent: column.title }), picture, make('div', { className: 'range' }, low, high), limits);
  return {
    element,
    isActive,
    passes: (face) => {
      if (!isActive()) return true;
      const value = valueOf(face);
      if (value === null) return false;
      const bin = binOf(value);
      return bin >= +low.value && bin < +high.value;
    },
    reset: () => {
      low.value = 0;
      high.value = last;
      describe();
    },
    show: (faces) => {
      const shown = counts.map(() => 0);
      for (const face of faces) if (valueOf(face) !== null) shown[binOf(valueOf(face))] += 1;
      bars.forEach((bar, index) => {
        const height = shown[index] === 0 ? 0 : Math.max(1.5, (44 * shown[index]) / most);
        const rect = bar.querySelector('.shown');
        rect.setAttribute('y', 46 - height);
        rect.setAttribute('height', height);
      });
    },
  };
}

function barRow(control, label, count, most) {
  const share = (value) => (most ? (64 * value) / most : 0);
  const shown = makeSvg('rect', { class: 'shown', height: 10, width: 0 });
  const number = make('span', { className: 'count', textContent: '0' });
  const picture = makeSvg('svg', { viewBox: '0 0 64 10', 'aria-hidden': 'true' }, makeSvg('rect', { class: 'all', height: 10, width: share(count) }), shown);
  const row = make('label', { className: 'bar', title: `${label}: ${count} of all faces` }, control, make('span', { className: 'name', textContent: label }), picture, number);
  return {
    row,
    show: (value) => {
      shown.setAttribute('width', share(value));
      number.textContent = value;
    },
  };
}

function likeliest(percents) {
  let best = -1;
  percents?.forEach((value, index) => {
    if (value !== null && (best < 0 || value > percents[best])) best = index;
  });
  return best;
}

// Exclusive classes: a box to tick for each.
function choiceFilter(column, valuesOf, changed) {
  const most = Math.max(...column.counts);
  const boxes = column.labels.map(() => make('input', { type: 'checkbox', onchange: changed }));
  const rows = column.labels.map((label, index) => barRow(boxes[index], label, column.counts[index], most));
  const isActive = () => boxes.some((box) => box.checked);
  return {
    element: make('fieldset', {}, make('legend', { textContent: column.title }), make('div', {}, ...rows.map(({ row }) => row))),
    isActive,
    passes: (face) => !isActive() || boxes[likeliest(valuesOf(face))]?.checked === true,
    reset: () => boxes.forEach((box) => (box.checked = false)),
    show: (faces) => {
      const shown = boxes.map(() => 0);
      for (const face of faces) if (valuesOf(face)) shown[likeliest(valuesOf(face))] += 1;
      rows.forEach((row, index) => row.show(shown[index]));
    },
  };
}

// Independent labels, the most frequent first: each may be wanted, unwanted, or neither.
function labelFilter(column, valuesOf, changed) {
  const most = Math.max(...column.counts);
  const selects = column.labels.map((label) => {
    const options = [['', 'any'], ['yes', 'yes'], ['no', 'no']].map(([value, text]) => make('option', { value, textContent: text }));
    return Object.assign(make('select', { onchange: changed }, ...options), { ariaLabel: label });
  });
  const rows = column.labels.map((label, index) => barRow(selects[index], label, column.counts[index], most));
  const order = rows.map((_, index) => index).sort((a, b) => column.counts[b] - column.counts[a]);
  const isTrue = (face, index) => valuesOf(face)?.[index] > 50;
  return {
    element: make('fieldset', {}, make('legend', { textContent: column.title }), make('div', { className: 'many' }, ...order.map((index) => rows[index].row))),
    isActive: () => selects.some((select) => select.value),
    passes: (face) => selects.every(({ value }, index) => !value || (valuesOf(face)?.[index] != null && isTrue(face, index) === (value === 'yes'))),
    reset: () => selects.forEach((select) => (select.value = '')),
    show: (faces) => rows.forEach((row, index) => row.show(faces.filter((face) => isTrue(face, index)).length)),
  };
}
