// One face: the whole picture with the face marked, and every value.

function viewer(data, shown) {
  const dialog = document.getElementById('viewer');
  const byId = (id) => document.getElementById(id);
  let current = null;

  function wholePicture(face) {
    const picture = data.pictures[face.picture];
    if (!picture.image) return thumbnail(face, data, 1.6);
    const [width, height] = picture.size;
    const [left, top, side] = face.region;
    const group = overlay(face, data, 1.8);
    group.setAttribute('transform', `translate(${left} ${top}) scale(${side / data.units})`);
    group.setAttribute('class', 'overlay');
    const label = `the picture ${picture.name} with the face marked`;
    return makeSvg('svg', { viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': label }, makeSvg('image', { href: picture.image, width, height }), group);
  }

  function values(face) {
    const rows = [];
    const row = (title, value) => rows.push(make('tr', {}, make('td', { textContent: title }), make('td', { className: 'number', textContent: value })));
    const heading = (title) => rows.push(make('tr', { className: 'task' }, make('th', { textContent: title, colSpan: 2 })));
    heading('numbers');
    if (face.confidence !== null) row('relative confidence', `${(100 * face.confidence).toFixed(0)}%`);
    data.numbers.forEach((column, index) => {
      if (face.numbers[index] !== null) row(column.title, withUnit(face.numbers[index], { ...column, digits: column.digits + 1 }));
    });
    for (const [columns, all] of [[data.choices, face.choices], [data.labels, face.labels]]) {
      columns.forEach((column, task) => {
        const percents = all[task];
        if (!percents) return;
        heading(column.title);
        const order = column.labels.map((_, index) => index).filter((index) => percents[index] !== null);
        order.sort((a, b) => percents[b] - percents[a]);
        for (const index of order) row(column.labels[index], `${percents[index].toFixed(1)}%`);
      });
    }
    return make('table', {}, make('tbody', {}, ...rows));
  }

  function show(face) {
    current = face;
    const picture = data.pictures[face.picture];
    const which = face.of > 1 ? `, face ${face.number + 1} of ${face.of}` : '';
    byId('viewer-title').textContent = `${picture.name}${which}`;
    byId('viewer-picture').replaceChildren(wholePicture(face));
    byId('viewer-values').replaceChildren(values(face));
    byId('viewer-values').scrollTop = 0;
    const place = shown().indexOf(face);
    byId('previous').disabled = place <= 0;
    byId('next').disabled = place < 0 || place >= shown().length - 1;
    if (!dialog.open) dialog.showModal();
  }

  function step(by) {
    const next = shown()[shown().indexOf(current) + by];
    if (next) show(next);
  }

  byId('previous').addEventListener('click', () => step(-1));
  byId('next').addEventListener('click', () => step(1));
  byId('close').addEventListener('click', () => dialog.close());
  dialog.addEventListener('click', (event) => event.target === dialog && dialog.close());
  dialog.addEventListener('keydown', (event) => {
    if (event.key === 'ArrowLeft') step(-1);
    if (event.key === 'ArrowRight') step(1);
  });
  return show;
}
