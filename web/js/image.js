// A photograph or a video frame -> the pixels that the models see.

/** What a canvas holds on every phone; larger photographs are shrunk to it. */
const MAX_PIXELS = 16_000_000;

/**
 * Decode a photograph as the Python package does: upright, no colour management, transparency over white.
 *
 * @param {Blob} file
 * @returns {Promise<ImageData>}
 * @throws {Error} if it is no image that this browser can read
 */
export async function readImage(file) {
  const bitmap = await createImageBitmap(file, { colorSpaceConversion: 'none' }).catch(() => {
    throw new Error(`${file.name ?? 'This file'} is not an image that this browser can read`);
  });
  const shrink = Math.min(1, Math.sqrt(MAX_PIXELS / (bitmap.width * bitmap.height)));
  const pixels = grab(bitmap, Math.round(bitmap.width * shrink), Math.round(bitmap.height * shrink));
  bitmap.close();
  return pixels;
}

/**
 * The pixels of anything that a canvas can draw.
 *
 * @param {CanvasImageSource} source an image or a video
 * @param {number} width pixels of the result
 * @param {number} height pixels of the result
 * @returns {ImageData}
 */
export function grab(source, width, height) {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext('2d', { willReadFrequently: true });
  context.imageSmoothingQuality = 'high';
  context.fillStyle = 'white';
  context.fillRect(0, 0, width, height);
  context.drawImage(source, 0, 0, width, height);
  return context.getImageData(0, 0, width, height);
}
