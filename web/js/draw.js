// Drawing by KIND: which task a result belongs to makes no difference. Every stroke has a dark rim, so that
// it shows on dark and on bright images; sizes follow the size of the face.

import { AXIS_COLOURS, BLACK, POINT_COLOURS, WHITE, css, maskColour } from './colours.js';
import { bestClass } from './kinds.js';

const SHARP = 1400; // longer side of the drawing of a small photograph, so that strokes look smooth on it
const MASK_OPACITY = 0.4;
const MASK_FINER = 4; // pixels of the drawn mask per pixel of the network's, along each side

/** Kinds that are drawn; the others are only listed. Masks lie under the strokes. */
const LAYERS = { mask: drawMask, points: drawPoints, rotation: drawAxes };
export const DRAWN = Object.keys(LAYERS);

/**
 * Draw an image and its faces on a canvas, which takes the image's proportions.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {ImageData} image
 * @param {object[]} faces from `analyse`
 * @param {Set<string>} hidden names of the tasks that are not drawn
 */
export async function draw(canvas, image, faces, hidden) {
  const bitmap = await createImageBitmap(image);
  const zoom = Math.max(1, SHARP / Math.max(image.width, image.height));
  canvas.width = Math.round(image.width * zoom);
  canvas.height = Math.round(image.height * zoom);
  const context = canvas.getContext('2d');
  context.imageSmoothingQuality = 'high';
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  context.setTransform(zoom, 0, 0, zoom, zoom / 2, zoom / 2); // (0, 0) is the centre of the top left pixel
  context.lineCap = context.lineJoin = 'round';
  for (const [kind, layer] of Object.entries(LAYERS)) {
    for (const face of faces) {
      const shown = Object.entries(face.tasks).filter(
        ([name, each]) => each.kind === kind && !hidden.has(name),
      );
      shown.forEach(([, result], index) => layer(context, result, face, index));
    }
  }
  faces.forEach((face, index) => drawBox(context, face, faces.length > 1 ? `${index + 1}` : ''));
}

/** Width of a stroke of width 1 on this face, image pixels. */
const stroke = ({ box }) => 0.2 + side(box) / 190;
const side = ([x0, y0, x1, y1]) => Math.max(x1 - x0, y1 - y0);

function drawBox(context, face, number) {
  const [x0, y0, x1, y1] = face.box;
  const width = stroke(face);
  const path = new Path2D();
  path.roundRect(x0, y0, x1 - x0, y1 - y0, 0.06 * side(face.box));
  rimmed(context, path, WHITE, width);
  if (!number) return;
  const height = 0.13 * side(face.box);
  context.font = `600 ${height}px system-ui, sans-serif`;
  context.lineWidth = 0.2 * height;
  context.strokeStyle = css(BLACK, 0.6);
  context.strokeText(number, x0 + 0.4 * height, y0 + 1.1 * height);
  context.fillStyle = 'white';
  context.fillText(number, x0 + 0.4 * height, y0 + 1.1 * height);
}

function drawMask(context, { scores, width, height, labels, box }) {
  const mask = bestClass(scores, width, height, labels.length, MASK_FINER);
  const sheet = new ImageData(mask.width, mask.height);
  const colours = labels.map((_, index) =>
    index ? [...maskColour(index), 255 * MASK_OPACITY] : [0, 0, 0, 0],
  );
  mask.classes.forEach((index, pixel) => sheet.data.set(colours[index], 4 * pixel));
  const canvas = new OffscreenCanvas(mask.width, mask.height);
  canvas.getContext('2d').putImageData(sheet, 0, 0);
  context.drawImage(canvas, box[0], box[1], box[2] - box[0], box[3] - box[1]);
}

function drawPoints(context, { points, lines }, face, index) {
  const width = stroke(face);
  const radius = side(face.box) / 150;
  const strokes = new Path2D();
  const dots = new Path2D();
  for (const line of lines) line.forEach((point, at) => strokes[at ? 'lineTo' : 'moveTo'](...points[point]));
  rimmed(context, strokes, WHITE, 0.6 * width);
  for (const [x, y] of points) {
    dots.moveTo(x + radius, y);
    dots.arc(x, y, radius, 0, 2 * Math.PI);
  }
  context.lineWidth = width;
  context.strokeStyle = css(BLACK, 0.5);
  context.stroke(dots);
  context.fillStyle = css(POINT_COLOURS[index % POINT_COLOURS.length]);
  context.fill(dots);
}

function drawAxes(context, { matrix }, face) {
  const [x0, y0, x1, y1] = face.box;
  const x = (x0 + x1) / 2;
  const y = (y0 + y1) / 2;
  const length = 0.55 * side(face.box);
  AXIS_COLOURS.forEach((colour, axis) => {
    const path = new Path2D(); // the camera's y points up, the image's down
    path.moveTo(x, y);
    path.lineTo(x + length * matrix[0][axis], y - length * matrix[1][axis]);
    rimmed(context, path, colour, 2 * stroke(face));
  });
}

/** Stroke a path in a colour, with a dark rim around it. */
function rimmed(context, path, colour, width) {
  context.lineWidth = width + 1.2 * Math.min(width, 2);
  context.strokeStyle = css(BLACK, 0.4);
  context.stroke(path);
  context.lineWidth = width;
  context.strokeStyle = css(colour);
  context.stroke(path);
}
