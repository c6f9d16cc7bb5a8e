// Letterboxing of an image that is a list of RGB bytes, with the page's own functions.

import { windowOf } from "../../deploy/web/pixels.js";
import { layout } from "../../deploy/web/postprocess.js";

const RULES = { trainingScale: null, maxDownscale: 1000, isCentred: true, overlap: 0.25 };

export function wholeOf({ pixels, size, target }) {
  const read = (x, y, width, height) => {
    const part = new Uint8ClampedArray(4 * width * height);
    for (let row = 0; row < height; row++) {
      for (let column = 0; column < width; column++) {
        const from = 3 * ((row + y) * size[1] + column + x);
        part.set(pixels.slice(from, from + 3), 4 * (row * width + column));
      }
    }
    return part;
  };
  const { scale, windows } = layout(size, target, RULES);
  return Array.from(windowOf(read, size, scale, windows[0], target, 128));
}
