// FaceCrop: where image pixels become crop pixels and back; faceperc/crop.py, for upright crops.
//
// Coordinates are (x, y) in pixels; (0, 0) is the CENTRE of the top left pixel, in the image and in the crop.

import { reduce, sample } from './resample.js';

export class FaceCrop {
  /**
   * @param {number[]} centre of the region in image pixels, x, y
   * @param {number} side of the region in image pixels
   * @param {number} size side of the crop in pixels
   */
  constructor(centre, side, size) {
    Object.assign(this, { centre, side, size });
  }

  /**
   * The crop of a face box.
   *
   * @param {number[]} box x0, y0, x1, y1 in image pixels, hairline to chin
   * @param {{size: number, scale: number, shift: number[]}} rule `crop` of the model's metadata
   */
  static fromBox([x0, y0, x1, y1], rule) {
    const longer = Math.max(x1 - x0, y1 - y0);
    const centre = [(x0 + x1) / 2 + rule.shift[0] * longer, (y0 + y1) / 2 + rule.shift[1] * longer];
    return new FaceCrop(centre, rule.scale * longer, rule.size);
  }

  /** Image pixels per crop pixel. */
  get step() {
    return this.side / this.size;
  }

  /** x0, y0, x1, y1: the region's outer border in image pixels. */
  get region() {
    const [x, y] = this.centre;
    const half = this.side / 2;
    return [x - half, y - half, x + half, y + half];
  }

  /** Crop pixels -> image pixels. */
  toImage(x, y) {
    const middle = (this.size - 1) / 2;
    return [this.centre[0] + (x - middle) * this.step, this.centre[1] + (y - middle) * this.step];
  }

  /**
   * Resample the region, bilinearly; large regions are area-averaged first, so nothing aliases.
   *
   * @param {ImageData} image
   * @returns {Uint8Array} (size, size, 3) RGB; 0 outside the image
   */
  warp(image) {
    const factor = Math.max(1, Math.floor(this.step));
    const [x0, y0, x1, y1] = this.region;
    const part = {
      left: floorTo(factor, Math.max(0, Math.floor(x0) - factor)),
      top: floorTo(factor, Math.max(0, Math.floor(y0) - factor)),
      right: Math.min(image.width, Math.ceil(x1) + factor),
      bottom: Math.min(image.height, Math.ceil(y1) + factor),
    };
    if (part.right <= part.left || part.bottom <= part.top) return new Uint8Array(this.size * this.size * 3);
    const small = reduce(image, factor, factor, part);
    // + 0.5: `sample` counts from the border of the first pixel, not from its centre
    const left = (x0 + 0.5 - part.left) / factor;
    const top = (y0 + 0.5 - part.top) / factor;
    return sample(small, this.size, left, top, this.step / factor);
  }
}

const floorTo = (unit, value) => Math.floor(value / unit) * unit;
