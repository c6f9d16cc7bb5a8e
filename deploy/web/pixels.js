// Resampling as Python does it: bilinear at pixel centres (i + 0.5), shrunk by whole factors before.

import { roundHalfEven } from "./postprocess.js";

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
    scale: [(scale * width) / image.width, (scale * height) / image.height],
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
  const data = new Uint8ClampedArray(4 * width * height);
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      for (let k = 0; k < 3; k++) {
        let sum = 0;
        for (const [j, part] of down[row]) {
          for (const [i, share] of across[column]) sum += share * part * image.data[4 * (j * image.width + i) + k];
        }
        data[4 * (row * width + column) + k] = sum; // rounded by the array
      }
    }
  }
  return { data, width, height };
}

/** Returns which pixels [index, share] each of `count` covers of `length`. */
function shares(length, count) {
  const step = length / count;
  return Array.from({ length: count }, (_, at) => {
    const [start, end] = [at * step, Math.min((at + 1) * step, length)];
    const covered = [];
    for (let i = Math.floor(start); i < end - 1e-9; i++) {
      covered.push([i, (Math.min(end, i + 1) - Math.max(start, i)) / step]);
    }
    return covered;
  });
}

function bilinear({ data, width, height }, { scale, offset, target, fill }) {
  const [rows, columns] = target;
  const planes = new Float32Array(3 * rows * columns);
  const across = taps(columns, scale[0], offset[0]);
  const down = taps(rows, scale[1], offset[1]);
  const value = (i, j, k) => (i < 0 || j < 0 || i >= width || j >= height ? fill : data[4 * (j * width + i) + k]);
  for (let row = 0; row < rows; row++) {
    const [j, v] = down[row];
    for (let column = 0; column < columns; column++) {
      const [i, u] = across[column];
      for (let k = 0; k < 3; k++) {
        const upper = value(i, j, k) * (1 - u) + value(i + 1, j, k) * u;
        const lower = value(i, j + 1, k) * (1 - u) + value(i + 1, j + 1, k) * u;
        planes[k * rows * columns + row * columns + column] = Math.round(upper * (1 - v) + lower * v);
      }
    }
  }
  return planes;
}

/** Returns, for each of `count` pixels, the first of the two that it lies between and its share of the second. */
function taps(count, scale, offset) {
  return Array.from({ length: count }, (_, at) => {
    const place = (at + 0.5 - offset) / scale - 0.5;
    return [Math.floor(place), place - Math.floor(place)];
  });
}
