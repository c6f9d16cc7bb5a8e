// Resampling as Python does it: bilinear at pixel centres (i + 0.5), shrunk by whole factors before, with the
// float32 steps and the rounding of OpenCV: one grey level moves quads.

import { roundHalfEven } from "./postprocess.js";

const CROSSED = 1e-3; // px; less of a pixel is not looked at
const float = Math.fround;

/**
 * Returns a window of a scaled image as the network takes it, Float32Array (3, H, W), RGB from 0 to 255.
 *
 * read: (x, y, width, height) -> RGBA bytes of this part of the image.
 * size, target: [height, width] of the image and of the window; corner: [x, y] of the window, px of the scaled image.
 */
export function windowOf(read, size, scale, [x, y], target, fill) {
  const factor = Math.max(Math.floor(1 / Math.max(scale, 1e-6)), 1);
  const part = [
    sourcePart(x, target[1], scale, size[1], factor),
    sourcePart(y, target[0], scale, size[0], factor),
  ];
  const [[left, width], [top, height]] = part;
  const image = shrink({ data: read(left, top, width, height), width, height }, factor);
  return bilinear(image, {
    step: [image.width / (scale * width), image.height / (scale * height)],
    offset: [scale * left - x, scale * top - y],
    target,
    fill,
  });
}

/** Returns start and length of what a window shows along one side, with a margin, in whole steps of the factor. */
function sourcePart(start, side, scale, length, factor) {
  const low = Math.max(0, Math.floor((start / scale - 2 * factor) / factor) * factor);
  const high = Math.ceil(((start + side) / scale + 2 * factor) / factor) * factor;
  return [Math.min(low, length - 1), Math.max(1, Math.min(high, length) - low)];
}

/** Returns an image {data, width, height} shrunk by a whole factor: each pixel the mean of what it covers. */
function shrink(image, factor) {
  if (factor < 2) return image;
  const width = Math.max(roundHalfEven(image.width / factor), 1);
  const height = Math.max(roundHalfEven(image.height / factor), 1);
  const [across, down] = [shares(image.width, width), shares(image.height, height)];
  const isHalf = image.width === 2 * width && image.height === 2 * height;
  const rounded = isHalf ? (value) => Math.floor(value + 0.5) : roundHalfEven;
  const data = new Uint8ClampedArray(4 * width * height);
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      for (let k = 0; k < 3; k++) {
        let sum = 0;
        for (const [j, part] of down[row]) {
          let mean = 0;
          for (const [i, share] of across[column]) {
            mean = float(mean + float(share * image.data[4 * (j * image.width + i) + k]));
          }
          sum = float(sum + float(part * mean));
        }
        data[4 * (row * width + column) + k] = rounded(sum);
      }
    }
  }
  return { data, width, height };
}

/** Returns which pixels [index, share] each of `count` covers of `length`. */
function shares(length, count) {
  const step = length / count;
  return Array.from({ length: count }, (_, at) => {
    const start = at * step;
    const end = start + step;
    const width = Math.min(step, length - start);
    const last = Math.min(Math.floor(end), length - 1);
    const first = Math.min(Math.ceil(start), last);
    const covered = [];
    if (first - start > CROSSED) covered.push([first - 1, float((first - start) / width)]);
    for (let i = first; i < last; i++) covered.push([i, float(1 / width)]);
    if (end - last > CROSSED) covered.push([last, float(Math.min(end - last, 1, width) / width)]);
    return covered;
  });
}

function bilinear({ data, width, height }, { step, offset, target, fill }) {
  const [rows, columns] = target;
  const planes = new Float32Array(3 * rows * columns);
  const across = taps(columns, step[0], offset[0]);
  const down = taps(rows, step[1], offset[1]);
  const value = (i, j, k) => (i < 0 || j < 0 || i >= width || j >= height ? fill : data[4 * (j * width + i) + k]);
  const between = (a, b, share) => float(a + share * float(b - a));
  for (let row = 0; row < rows; row++) {
    const [j, v] = down[row];
    for (let column = 0; column < columns; column++) {
      const [i, u] = across[column];
      for (let k = 0; k < 3; k++) {
        const upper = between(value(i, j, k), value(i + 1, j, k), u);
        const lower = between(value(i, j + 1, k), value(i + 1, j + 1, k), u);
        planes[(k * rows + row) * columns + column] = roundHalfEven(between(upper, lower, v));
      }
    }
  }
  return planes;
}

/** Returns, for each of `count` pixels, the first of the two that it lies between and its share of the second. */
function taps(count, step, offset) {
  const start = float((0.5 - offset) * step - 0.5);
  return Array.from({ length: count }, (_, at) => {
    const place = float(float(step) * at + start);
    return [Math.floor(place), float(place - Math.floor(place))];
  });
}
