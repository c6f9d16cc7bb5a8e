// Post-processing: from the outputs of a graph to detections in image pixels.  No page and no engine here:
// tests/golden/postprocess.json holds these functions, and the Python ones that they stand for.

import { iou, isConvex, prepare, sharedArea } from "./quads.js";

const COVERED = 0.5; // share of a part, cut by a tile, that another covers and is therefore the same object
const COMPARABLE = 0.6; // of the score of a part: what is whole speaks first
const TOLERANCE = 1.02; // of a scale: nobody sees the difference

/** Returns rounded to the even number where two are as near, as Python does. */
export function roundHalfEven(value) {
  const low = Math.floor(value);
  return value - low === 0.5 ? low + (low % 2) : Math.round(value);
}

/**
 * Returns how an image is shown: {scale, windows}, windows of the scaled image by their left upper corners
 * [x, y]; one of them, which may begin beside the image, where it is shown whole.
 * size, target: [height, width]; rules: of `contract.js`.
 */
export function layout(size, target, rules) {
  const filling = Math.min(target[0] / size[0], target[1] / size[1]);
  const [low, middle, high] = rules.trainingScale ?? [null, 1, Infinity];
  const least = rules.maxDownscale === null ? (low === null ? 0.5 : low / TOLERANCE) : 1 / rules.maxDownscale;
  if (filling >= least) {
    const scale = filling <= high * TOLERANCE ? filling : high;
    const margin = (axis) => Math.max(0, Math.floor((target[axis] - scale * size[axis] + 1e-6) / 2));
    return { scale, isWhole: true, windows: [rules.isCentred ? [-margin(1), -margin(0)] : [0, 0]] };
  }
  const scaled = size.map((length) => Math.max(1, Math.ceil(length * middle - 1e-6)));
  const [rows, columns] = [0, 1].map((axis) => tileStarts(scaled[axis], target[axis], rules.overlap));
  return { scale: middle, isWhole: false, windows: rows.flatMap((y) => columns.map((x) => [x, y])) };
}

/** Returns where tiles begin along a side; the last is shifted inside.  overlap: share of a tile, or px. */
export function tileStarts(length, side, overlap) {
  const step = side - Math.min(side - 1, roundHalfEven(overlap < 1 ? overlap * side : overlap));
  const starts = [];
  for (let at = 0; at < length - side; at += step) starts.push(at);
  return [...starts, Math.max(length - side, 0)];
}

/**
 * Returns the candidates of one image: [{quad, score, label}], px of the input.
 * outputs: {quads, scores, labels?, count?}, flat arrays of one image, of scores without labels one each class.
 */
export function candidatesOf({ quads, scores, labels, count }, rules) {
  const found = [];
  const each = labels ? 1 : rules.classes.length;
  for (let row = 0; row < (count ?? scores.length / each); row++) {
    let label = 0;
    for (let k = 1; k < each; k++) if (scores[row * each + k] > scores[row * each + label]) label = k;
    const score = scores[row * each + label];
    if (count === undefined && !(score > rules.scoreThreshold)) continue;
    const quad = Array.from(quads.slice(8 * row, 8 * row + 8));
    if (quad.every(Number.isFinite)) found.push({ quad, score, label: labels ? Number(labels[row]) : label });
  }
  return count === undefined ? byScore(found).slice(0, rules.preNms) : found;
}

/** Returns detections by falling score; those of one score stay in their order. */
export const byScore = (found) => [...found].sort((a, b) => b.score - a.score);

/** Returns detections with quads of a window in pixels of the image. */
export function toImage(found, scale, [x, y]) {
  const back = (value, k) => (value + (k % 2 ? y : x)) / scale;
  return found.map((one) => ({ ...one, quad: one.quad.map(back) }));
}

/**
 * Returns groups of greedy NMS, class by class, best first: [[kept, removed, ..], ..] of prepared detections.
 * isSame(kept, other): whether the better one removes the other.
 */
function groupsOf(ranked, isSame) {
  const groups = [];
  for (const one of ranked) {
    const shape = { ...one, ...prepare(one.quad) };
    const own = groups.find(([kept]) => kept.label === shape.label && isSame(kept, shape));
    if (own) own.push(shape);
    else groups.push([shape]);
  }
  return groups;
}

/** Returns what greedy NMS keeps of one input, moved by the votes of what it removes (`voteIou` below 1). */
export function suppress(found, rules) {
  const groups = groupsOf(byScore(found), (kept, other) => iou(kept, other) > rules.nmsIou);
  return byScore(groups.slice(0, rules.maxDetections).map((group) => voted(group, rules)));
}

/** Returns the mean of a group about its best, weighted by squared scores; the best where it is not convex. */
function voted([best, ...others], rules) {
  const { quad, score, label } = best;
  const voters = others.map((one) => ({ ...one, iou: iou(best, one) })).filter((one) => one.iou > rules.voteIou);
  const total = voters.reduce((sum, one) => sum + one.score ** 2, score ** 2);
  const moves = voters.map((one) => nearestMove(one.quad, quad).map((move) => (move * one.score ** 2) / total));
  const mean = quad.map((value, k) => moves.reduce((sum, move) => sum + move[k], value));
  const votes = rules.support * voters.reduce((sum, one) => sum + one.score * one.iou, 0);
  const raised = votes > 0 ? -Math.expm1(Math.log1p(-score) * (1 + votes)) : score;
  return { quad: isConvex(mean) ? mean : quad, score: raised, label };
}

/** Returns by how much vertices move from one quad to another, in the rotation that moves them least. */
function nearestMove(quad, to) {
  const squares = (move) => move.reduce((sum, value) => sum + value * value, 0);
  const turned = [0, 6, 4, 2].map((by) => to.map((value, k) => quad[(k + by) % 8] - value));
  return turned.reduce((least, move) => (squares(move) < squares(least) ? move : least));
}

/** Says whether a quad reaches a border of its window behind which the image goes on.  edge: px, how near. */
export function isCut(quad, [x, y], target, scaled, edge) {
  const reaches = (value, start, side, end) =>
    (start > 0 && value < start + edge) || (start + side < end && value > start + side - edge);
  return quad.some((value, k) =>
    k % 2 ? reaches(value + y, y, target[0], scaled[0]) : reaches(value + x, x, target[1], scaled[1]),
  );
}

/**
 * Returns each object once of what all tiles show, in image pixels: greedy NMS, in which a part that a tile cuts
 * counts less, and goes as well where half of it lies in a better one.
 */
export function mergeTiles(found, rules) {
  const rank = (one) => one.score * (one.isCut ? COMPARABLE : 1);
  const ranked = [...found].sort((a, b) => rank(b) - rank(a));
  const groups = groupsOf(ranked, (kept, other) => {
    const isPart = other.isCut && sharedArea(kept, other) > COVERED * other.area;
    return isPart || iou(kept, other) > rules.mergeIou;
  });
  return byScore(groups.map(([{ quad, score, label }]) => ({ quad, score, label })));
}
