// One result per KIND of output, in the frame of the image (docs/contract.md). Which task it is makes no
// difference.
//
// Each function takes the fields of one face, {name: Float32Array}, the task's metadata, and the crop.

export const KINDS = {
  points(fields, info, crop) {
    const points = pairs(fields.points).map(([x, y]) => crop.toImage(x, y));
    const sigma = fields.sigma && Array.from(fields.sigma, (length) => length * crop.step);
    const visibility = fields.visibility && Array.from(fields.visibility);
    return { points, sigma, visibility, lines: info.lines ?? [] };
  },

  rotation({ matrix: r }) {
    // of the two solutions the one with |pitch| <= 90
    const away = r[8] < 0 ? -1 : 1;
    const yaw = degrees(Math.atan2(-r[2], away * Math.hypot(r[5], r[8])));
    const pitch = degrees(Math.atan2(away * r[5], away * r[8]));
    const roll = degrees(Math.atan2(away * r[1], away * r[0]));
    return { matrix: [[...r.slice(0, 3)], [...r.slice(3, 6)], [...r.slice(6, 9)]], yaw, pitch, roll };
  },

  mask({ scores }, info, crop) {
    const [height, width] = info.fields.scores.shape.slice(-2);
    return {
      ...bestClass(scores, width, height, info.labels.length),
      scores,
      box: crop.region,
      labels: info.labels,
    };
  },

  classes({ probabilities }, { labels }) {
    const best = probabilities.indexOf(Math.max(...probabilities));
    return { label: labels[best], score: probabilities[best], probabilities: byLabel(probabilities, labels) };
  },

  probabilities({ probabilities }, { labels }) {
    return { probabilities: byLabel(probabilities, labels) };
  },

  scalar({ value, distribution }, { unit, bins }) {
    return { value: value[0], unit, std: distribution ? spread(distribution, bins) : null };
  },
};

/**
 * The most probable class of each pixel, on a grid that may be finer than the scores': they are interpolated
 * first, so that borders come out smooth.
 *
 * @param {Float32Array} scores (count, height, width)
 * @param {number} width of the scores
 * @param {number} height of the scores
 * @param {number} count of classes
 * @param {number} finer pixels of the result per score, along each side
 * @returns {{classes: Uint8Array, width: number, height: number}}
 */
export function bestClass(scores, width, height, count, finer = 1) {
  const result = {
    classes: new Uint8Array(width * height * finer ** 2),
    width: width * finer,
    height: height * finer,
  };
  const columns = neighbours(width, finer);
  const rows = neighbours(height, finer);
  rows.forEach(([y0, y1, dy], y) =>
    columns.forEach(([x0, x1, dx], x) => {
      let best = -Infinity;
      for (let index = 0; index < count; index++) {
        const plane = index * width * height;
        const above = scores[plane + y0 * width + x0] * (1 - dx) + scores[plane + y0 * width + x1] * dx;
        const below = scores[plane + y1 * width + x0] * (1 - dx) + scores[plane + y1 * width + x1] * dx;
        const value = above * (1 - dy) + below * dy;
        if (value > best) [best, result.classes[y * result.width + x]] = [value, index];
      }
    }),
  );
  return result;
}

/** For each of length * finer positions: the old ones before and after it, and the share of the latter. */
function neighbours(length, finer) {
  return Array.from({ length: length * finer }, (_, index) => {
    const at = Math.min(Math.max((index + 0.5) / finer - 0.5, 0), length - 1);
    const before = Math.floor(at);
    return [before, Math.min(before + 1, length - 1), at - before];
  });
}

/** Standard deviation of a distribution over bins. */
function spread(weights, bins) {
  const sum = (of) => weights.reduce((total, weight, index) => total + weight * of(bins[index]), 0);
  const total = sum(() => 1);
  const mean = sum((bin) => bin) / total;
  return Math.sqrt(sum((bin) => (bin - mean) ** 2) / total);
}

const pairs = (flat) =>
  Array.from({ length: flat.length / 2 }, (_, index) => [flat[2 * index], flat[2 * index + 1]]);
const byLabel = (values, labels) => Object.fromEntries(labels.map((label, index) => [label, values[index]]));
const degrees = (radians) => (radians * 180) / Math.PI;
