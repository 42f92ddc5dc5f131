// The colours of Okabe and Ito (2008), which people with any colour vision can tell apart, as in
// faceperc/draw.py. A colour is [red, green, blue] in 0 to 255.

const ORANGE = [230, 159, 0];
const SKY = [86, 180, 233];
const GREEN = [0, 158, 115];
const YELLOW = [240, 228, 66];
const BLUE = [0, 114, 178];
const VERMILION = [213, 94, 0];
const PURPLE = [204, 121, 167];

export const WHITE = [255, 255, 255];
export const BLACK = [0, 0, 0];
export const POINT_COLOURS = [YELLOW, SKY, PURPLE, GREEN];
/** Of the head's axes: to the image's right, up, out of the face. */
export const AXIS_COLOURS = [VERMILION, GREEN, BLUE];
const MASK_COLOURS = [SKY, ORANGE, YELLOW, GREEN, BLUE, VERMILION, PURPLE];

/** Colour of a class of a mask, not of 0, the background; beyond the seventh, lighter shades of the hues. */
export function maskColour(index) {
  const turn = Math.floor((index - 1) / MASK_COLOURS.length);
  const lightness = 1 - 0.5 ** turn;
  return MASK_COLOURS[(index - 1) % MASK_COLOURS.length].map(
    (value) => value * (1 - lightness) + 255 * lightness,
  );
}

export const css = ([red, green, blue], opacity = 1) => `rgb(${red} ${green} ${blue} / ${opacity})`;
