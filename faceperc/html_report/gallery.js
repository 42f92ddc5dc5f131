// Cards: a thumbnail with shapes over it, and a few words.

// The shapes of a face. `scale` is how much wider strokes are than on a thumbnail.
function overlay(face, data, scale = 1) {
  const group = makeSvg('g');
  const stroke = (name, path, colour, width, layer) => {
    group.append(makeSvg('path', { class: name, d: path, stroke: colour, 'stroke-width': width * scale, 'data-layer': layer }));
  };
  const [x0, y0, x1, y1] = face.box;
  group.append(makeSvg('rect', { class: 'frame', x: x0, y: y0, width: x1 - x0, height: y1 - y0, rx: 30, stroke: '#fff', 'stroke-width': 1.2 * scale }));
  let pointTasks = 0;
  face.shapes.forEach((shape, layer) => {
    if (shape?.mask) {
      const [x, y, width, height] = shape.at;
      group.prepend(makeSvg('image', { href: shape.mask, x, y, width, height, preserveAspectRatio: 'none', opacity: data.colours.mask, 'data-layer': layer }));
    }
    if (shape?.points) {
      const colour = data.colours.points[pointTasks++ % data.colours.points.length];
      if (shape.lines) stroke('point', shape.lines, 'rgb(255 255 255 / 0.75)', 0.8, layer);
      stroke('point', shape.points, 'rgb(0 0 0 / 0.6)', 3.4, layer);
      stroke('point', shape.points, colour, 2.2, layer);
    }
    shape?.axes?.forEach((path, index) => {
      stroke('axis', path, 'rgb(0 0 0 / 0.5)', 4, layer);
      stroke('axis', path, data.colours.axes[index], 2.2, layer);
    });
  });
  return group;
}

function thumbnail(face, data, scale = 1) {
  const box = make('span', { className: 'face' });
  const picture = data.pictures[face.picture];
  if (face.thumbnail) box.append(make('img', { src: face.thumbnail, alt: '', loading: 'lazy', decoding: 'async' }));
  else box.append(make('span', { className: 'missing', textContent: `no picture: ${picture.missing}` }));
  box.append(makeSvg('svg', { class: 'overlay', viewBox: `0 0 ${data.units} ${data.units}`, 'aria-hidden': 'true' }, overlay(face, data, scale)));
  return box;
}

// The likeliest class of each task, and the numbers that are a task's answer.
function shortWords(face, data) {
  const classes = data.choices.map((column, index) => {
    const best = likeliest(face.choices[index]);
    return best < 0 ? '' : `${column.labels[best]} ${face.choices[index][best].toFixed(0)}%`;
  });
  const numbers = data.numbers.map((column, index) => {
    if (!column.isAnswer || face.numbers[index] === null) return '';
    const words = withUnit(face.numbers[index], { ...column, digits: Math.max(0, column.digits - 1) });
    return column.unit ? words : `${column.title} ${words}`;
  });
  return [...classes, ...numbers].filter(Boolean);
}

function fileName(path) {
  return path.split(/[\\/]/).pop();
}

function card(face, data, open) {
  const picture = data.pictures[face.picture];
  const which = face.of > 1 ? ` (${face.number + 1} of ${face.of})` : '';
  const confidence = face.confidence === null ? '' : `relative confidence ${(100 * face.confidence).toFixed(0)}%`;
  const words = make('span', { className: 'words' }, make('span', { textContent: confidence }), ...shortWords(face, data).slice(0, 4).map((textContent) => make('span', { textContent })), make('span', { className: 'quiet', textContent: fileName(picture.name) + which }));
  const button = make('button', { type: 'button', className: 'card', title: picture.name, onclick: () => open(face) }, thumbnail(face, data), words);
  return button;
}

// How the faces may be ordered: a name, and the value that decides; null comes last.
function orders(data) {
  const numbers = data.numbers.map((column, index) => {
    const first = column.unsure === 'high' ? 'highest first' : 'lowest first';
    const sign = column.unsure === 'high' ? -1 : 1;
    return [`${column.title}, ${first}`, (face) => (face.numbers[index] === null ? null : sign * face.numbers[index])];
  });
  const place = (face) => face.picture + face.number / 1e6;
  return [['confidence, lowest first', (face) => face.confidence], ...numbers, ['pictures, as they were given', place]];
}

function sorted(faces, valueOf, reverse) {
  const sign = reverse ? -1 : 1;
  const known = faces.filter((face) => valueOf(face) !== null).sort((a, b) => sign * (valueOf(a) - valueOf(b)));
  return [...known, ...faces.filter((face) => valueOf(face) === null)];
}
