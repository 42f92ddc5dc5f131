// Pillow's resampling, to the grey level: what the Python package does to a picture happens here too.
//
// A picture is an ImageData or {width, height, data} with four bytes per pixel; the fourth is not used.

/** 1 in the fixed-point numbers of Pillow's reduce. */
const UNIT = 2 ** 24;

/**
 * Image.reduce: average blocks of fx x fy pixels; those at the right and bottom border may be smaller.
 *
 * @param {ImageData} image
 * @param {number} fx width of a block, pixels
 * @param {number} fy height of a block, pixels
 * @param {{left: number, top: number, right: number, bottom: number}} part of the image that is wanted
 */
export function reduce(image, fx, fy, part = { left: 0, top: 0, right: image.width, bottom: image.height }) {
  const width = Math.ceil((part.right - part.left) / fx);
  const height = Math.ceil((part.bottom - part.top) / fy);
  const data = new Uint8ClampedArray(4 * width * height);
  for (let y = 0; y < height; y++) {
    const y0 = part.top + y * fy;
    const y1 = Math.min(y0 + fy, part.bottom);
    for (let x = 0; x < width; x++) {
      const x0 = part.left + x * fx;
      const x1 = Math.min(x0 + fx, part.right);
      let red = 0;
      let green = 0;
      let blue = 0;
      for (let row = y0; row < y1; row++) {
        for (let at = 4 * (row * image.width + x0), end = at + 4 * (x1 - x0); at < end; at += 4) {
          red += image.data[at];
          green += image.data[at + 1];
          blue += image.data[at + 2];
        }
      }
      const count = (x1 - x0) * (y1 - y0);
      const half = count >> 1;
      const to = 4 * (y * width + x);
      const reciprocal = Math.floor(UNIT / count); // integers, as in Pillow: a little too small
      data[to] = Math.floor(((red + half) * reciprocal) / UNIT);
      data[to + 1] = Math.floor(((green + half) * reciprocal) / UNIT);
      data[to + 2] = Math.floor(((blue + half) * reciprocal) / UNIT);
    }
  }
  return { width, height, data };
}

/**
 * Image.resize(size, BILINEAR, reducing_gap=1.0): a triangle filter that widens where the picture shrinks.
 *
 * @param {ImageData} image
 * @param {number} width wanted, pixels
 * @param {number} height wanted, pixels
 */
export function resize(image, width, height) {
  const fx = Math.floor(image.width / width) || 1;
  const fy = Math.floor(image.height / height) || 1;
  const small = fx > 1 || fy > 1 ? reduce(image, fx, fy) : image;
  const columns = triangle(small.width, image.width / fx, width);
  const rows = triangle(small.height, image.height / fy, height);
  const wide = { width, height: small.height, data: new Uint8ClampedArray(4 * width * small.height) };
  for (let y = 0; y < small.height; y++) {
    for (let x = 0; x < width; x++)
      gather(small, 4 * y * small.width, 4, columns[x], wide, 4 * (y * width + x));
  }
  const result = { width, height, data: new Uint8ClampedArray(4 * width * height) };
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) gather(wide, 4 * x, 4 * width, rows[y], result, 4 * (y * width + x));
  }
  return result;
}

/** For each of `size` new pixels: the first old pixel that it is made of, and the weights from there on. */
function triangle(length, covered, size) {
  const step = covered / size;
  const support = Math.max(step, 1);
  return Array.from({ length: size }, (_, index) => {
    const centre = (index + 0.5) * step;
    const first = Math.max(0, Math.floor(centre - support + 0.5));
    const last = Math.min(length, Math.floor(centre + support + 0.5));
    const weights = [];
    for (let old = first; old < last; old++)
      weights.push(Math.max(0, 1 - Math.abs(old + 0.5 - centre) / support));
    const sum = weights.reduce((total, weight) => total + weight, 0);
    return { first, weights: weights.map((weight) => weight / sum) };
  });
}

/** Add up weighted pixels, which lie `stride` bytes apart from the byte `start` on, into one pixel. */
function gather(from, start, stride, { first, weights }, into, to) {
  let red = 0;
  let green = 0;
  let blue = 0;
  let at = start + first * stride;
  for (const weight of weights) {
    red += weight * from.data[at];
    green += weight * from.data[at + 1];
    blue += weight * from.data[at + 2];
    at += stride;
  }
  into.data[to] = Math.floor(red + 0.5);
  into.data[to + 1] = Math.floor(green + 0.5);
  into.data[to + 2] = Math.floor(blue + 0.5);
}

/**
 * Image.transform(AFFINE, BILINEAR) of a square without rotation: values are truncated, the outside is 0.
 *
 * @param {ImageData} image
 * @param {number} size side of the result, pixels
 * @param {number} left x of the border of the region, pixels from the image's border
 * @param {number} top y of it
 * @param {number} step image pixels per pixel of the result
 * @returns {Uint8Array} (size, size, 3)
 */
export function sample(image, size, left, top, step) {
  const { width, height, data } = image;
  const result = new Uint8Array(size * size * 3);
  for (let row = 0; row < size; row++) {
    const y = top + (row + 0.5) * step;
    if (y < 0 || y >= height) continue;
    const y0 = Math.floor(y - 0.5);
    const dy = y - 0.5 - y0;
    const upper = 4 * width * Math.max(y0, 0);
    const lower = 4 * width * Math.min(y0 + 1, height - 1);
    for (let column = 0; column < size; column++) {
      const x = left + (column + 0.5) * step;
      if (x < 0 || x >= width) continue;
      const x0 = Math.floor(x - 0.5);
      const dx = x - 0.5 - x0;
      const before = 4 * Math.max(x0, 0);
      const after = 4 * Math.min(x0 + 1, width - 1);
      for (let channel = 0; channel < 3; channel++) {
        const above = mix(data[upper + before + channel], data[upper + after + channel], dx);
        const below = mix(data[lower + before + channel], data[lower + after + channel], dx);
        result[3 * (row * size + column) + channel] = mix(above, below, dy); // storing it truncates
      }
    }
  }
  return result;
}

const mix = (a, b, share) => a + (b - a) * share;
