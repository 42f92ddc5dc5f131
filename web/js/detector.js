// Boxes of all faces in an image, from a detector's ONNX file; faceperc/detect.py.

import { resize } from './resample.js';

/** Smaller images are enlarged to this longer side: on a thumbnail a face has too few cells. */
const MIN_SIDE = 160;
const MAX_FACES = 1000; // bounds the time of the suppression on a picture of a crowd

/**
 * Find the faces of one image.
 *
 * @param {import('./model.js').Model} model an opened detector
 * @param {ImageData} image
 * @returns {Promise<{box: number[], score: number}[]>} best first; a box is x0, y0, x1, y1 in image pixels,
 *     hairline to chin
 */
export async function detect(model, image) {
  const { max_side: maxSide, stride, nms, enlarge } = model.metadata;
  const input = fit(image, maxSide, stride, enlarge);
  const outputs = await model.run(input.data, [1, input.height, input.width, 3]);
  const boxes = outputs.boxes.data;
  const scores = outputs.scores.data;
  const found = [];
  for (let index = 0; index < scores.length; index++) {
    if (scores[index] < nms.score) continue;
    // the border, at -0.5, is what stays in place
    const box = [0, 1, 2, 3].map((side) => (boxes[4 * index + side] + 0.5) * input.scale[side % 2] - 0.5);
    const x = (box[0] + box[2]) / 2;
    const y = (box[1] + box[3]) / 2;
    const padding = x < -0.5 || x > image.width - 0.5 || y < -0.5 || y > image.height - 0.5;
    if (!padding) found.push({ box, score: scores[index] });
  }
  return suppress(found, nms.iou);
}

/**
 * Shrink an image to at most `maxSide`, or enlarge a small one, and pad it with 0 to a multiple of the stride.
 *
 * @returns {{width: number, height: number, data: Uint8Array, scale: number[]}} RGB pixels, and how many of
 *     the image's pixels one of them stands for, x and y
 */
export function fit(image, maxSide, stride, enlarge = 1) {
  const longer = Math.max(image.width, image.height);
  const wanted = Math.min(Math.max(enlarge * longer, MIN_SIDE), maxSide);
  const [inner, tall] = [image.width, image.height].map((side) =>
    Math.max(1, roundHalfEven((side * wanted) / longer)),
  );
  const resized = inner === image.width && tall === image.height ? image : resize(image, inner, tall);
  const width = Math.ceil(inner / stride) * stride;
  const height = Math.ceil(tall / stride) * stride;
  const data = new Uint8Array(width * height * 3);
  for (let y = 0; y < tall; y++) {
    for (let x = 0; x < inner; x++) {
      const from = 4 * (y * inner + x);
      const to = 3 * (y * width + x);
      data[to] = resized.data[from];
      data[to + 1] = resized.data[from + 1];
      data[to + 2] = resized.data[from + 2];
    }
  }
  return { width, height, data, scale: [image.width / inner, image.height / tall] };
}

/** Greedy non-maximum suppression: a face that overlaps a better one by more than `iou` is dropped. */
function suppress(found, iou) {
  const keep = [];
  for (const face of found.sort((a, b) => b.score - a.score)) {
    if (keep.length === MAX_FACES) break;
    if (keep.every((better) => overlap(better.box, face.box) <= iou)) keep.push(face);
  }
  return keep;
}

/** Intersection over union of two boxes. */
function overlap(a, b) {
  const width = Math.max(0, Math.min(a[2], b[2]) - Math.max(a[0], b[0]));
  const height = Math.max(0, Math.min(a[3], b[3]) - Math.max(a[1], b[1]));
  return (width * height) / (area(a) + area(b) - width * height);
}

const area = ([x0, y0, x1, y1]) => (x1 - x0) * (y1 - y0);

/** As Python rounds: 0.5 to the even neighbour. */
function roundHalfEven(value) {
  const rounded = Math.round(value);
  return rounded - value === 0.5 && rounded % 2 ? rounded - 1 : rounded;
}
