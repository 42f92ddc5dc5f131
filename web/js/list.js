// The list beside the picture: every result of every face in words, by KIND.

import { css, maskColour } from './colours.js';

const MAX_FACES = 12; // listed; all are drawn
const PORTRAIT = 640; // side of the enlarged face, pixels of its canvas

const ROWS = {
  points({ points, sigma, visibility }) {
    const parts = [`${points.length} points`];
    if (sigma) parts.push(`expected error ${mean(sigma).toFixed(1)} px`);
    if (visibility) parts.push(`${visibility.filter((value) => value < 0.5).length} occluded`);
    return [element('p', { textContent: parts.join(', ') })];
  },

  rotation({ yaw, pitch, roll }) {
    const angles = Object.entries({ yaw, pitch, roll }).map(
      ([name, value]) => `${name} ${Math.round(value) || 0}°`,
    );
    return [element('p', { textContent: angles.join(', ') })];
  },

  mask({ classes, labels }) {
    const seen = labels
      .map((label, index) => ({ label, index }))
      .slice(1)
      .filter(({ index }) => classes.includes(index));
    return [
      element(
        'ul',
        { className: 'chips' },
        seen.map(({ label, index }) => {
          const dot = element('span', { className: 'dot' });
          dot.style.background = css(maskColour(index));
          return element('li', {}, [dot, words(label)]);
        }),
      ),
    ];
  },

  classes({ probabilities }) {
    return bars(sorted(probabilities).slice(0, 3));
  },

  probabilities({ probabilities }) {
    const all = sorted(probabilities);
    const likely = all
      .filter(([, value]) => value > 0.5)
      .map(([label]) => element('li', { textContent: words(label) }));
    const summary = element('summary', { textContent: `All ${all.length}` });
    const chips = element('ul', { className: 'chips' }, likely);
    return [chips, element('details', {}, [summary, ...bars(all)])];
  },

  scalar({ value, unit, std }) {
    const digits = Math.max(Math.abs(value) / 10, std ?? 0) >= 1 ? 0 : 2;
    const spread = std === null ? '' : ` ± ${std.toFixed(digits)}`;
    return [element('p', { textContent: `${value.toFixed(digits)}${spread} ${unit ?? ''}` })];
  },
};

/**
 * Show the results of all faces.
 *
 * @param {HTMLElement} list is emptied first
 * @param {{image: ImageData, faces: object[]}} shown the image and what `analyse` found in it
 * @param {Object<string, {kind: string, description: string}>} tasks of the model's metadata
 * @param {HTMLCanvasElement} picture the image with the drawing
 */
export function listFaces(list, { image, faces }, tasks, picture) {
  const open = new Set(
    [...list.querySelectorAll('details[open]')].map((each) => each.parentElement.dataset.task),
  );
  const zoom = picture.width / image.width;
  list.replaceChildren(
    ...faces.slice(0, MAX_FACES).map((face, index) => {
      const title = faces.length > 1 ? `Face ${index + 1}` : 'Face';
      return element('article', {}, [
        heading(title, face),
        portrait(face, picture, zoom),
        ...rows(face, tasks),
      ]);
    }),
  );
  for (const row of list.querySelectorAll('[data-task]')) {
    if (open.has(row.dataset.task)) row.querySelector('details')?.setAttribute('open', '');
  }
}

function heading(title, { score }) {
  return element('h2', {}, [
    title,
    element('span', { className: 'muted', textContent: `${percent(score)} sure` }),
  ]);
}

/** The face, cut out of the drawing and enlarged. */
function portrait({ box: [x0, y0, x1, y1] }, picture, zoom) {
  const canvas = element('canvas', { width: PORTRAIT, height: PORTRAIT, ariaHidden: 'true' });
  const side = 1.4 * zoom * Math.max(x1 - x0, y1 - y0);
  const left = (zoom * (x0 + x1 + 1) - side) / 2;
  const top = (zoom * (y0 + y1 + 1) - side) / 2;
  const context = canvas.getContext('2d');
  context.imageSmoothingQuality = 'high';
  context.drawImage(picture, left, top, side, side, 0, 0, PORTRAIT, PORTRAIT);
  return canvas;
}

function rows(face, tasks) {
  return Object.entries(face.tasks).map(([name, result]) => {
    const title = element('h3', { textContent: words(name), title: tasks[name].description ?? '' });
    const row = element('section', {}, [title, ...ROWS[result.kind](result)]);
    row.dataset.task = name;
    return row;
  });
}

/** A row with a bar for each [label, probability]. */
function bars(entries) {
  return entries.map(([label, value]) => {
    const bar = element('div', { className: 'bar' }, [
      element('span', { textContent: words(label) }),
      element('i'),
      element('b', { textContent: percent(value) }),
    ]);
    bar.style.setProperty('--share', value);
    return bar;
  });
}

/** An element with properties and children; texts are never read as HTML. */
export function element(tag, properties = {}, children = []) {
  const result = Object.assign(document.createElement(tag), properties);
  result.append(...children);
  return result;
}

/** A name from the metadata as people write it. */
export const words = (name) => name.replaceAll('_', ' ');

const sorted = (probabilities) => Object.entries(probabilities).sort((a, b) => b[1] - a[1]);
const percent = (value) => `${Math.round(100 * value)} %`;
const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
