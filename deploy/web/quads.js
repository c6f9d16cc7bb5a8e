// Geometry of quads: exact overlap of any two, in pixels, y down.  A quad is [x1, y1, .. x4, y4].

const FLAT = 1e-14; // an area below this share of (coordinate x size) is rounding
const WHOLE = [[0, 1, 2, 3]];

const turn = (ax, ay, bx, by, cx, cy) => (bx - ax) * (cy - ay) - (by - ay) * (cx - ax);

/** Returns twice the signed area of a polygon [[x, y], ..], relative to its first vertex. */
function twiceArea(points) {
  let sum = 0;
  for (let k = 2; k < points.length; k++) sum += turn(...points[0], ...points[k - 1], ...points[k]);
  return sum;
}

/** Returns the vertices of the convex parts: of a concave quad two triangles, of a self-crossing one its hull. */
function cut(quad) {
  const at = (k) => [quad[2 * k], quad[2 * k + 1]];
  const corner = (p, q, r) => turn(...at(p), ...at(q), ...at(r));
  const [t012, t023, t123, t130] = [corner(0, 1, 2), corner(0, 2, 3), corner(1, 2, 3), corner(1, 3, 0)];
  if (t012 * t023 >= 0) return t123 * t130 >= 0 ? WHOLE : [[0, 1, 2], [0, 2, 3]];
  if (t123 * t130 >= 0) return [[1, 2, 3], [1, 3, 0]];
  return t012 * t123 > 0 ? [[0, 2, 1, 3]] : [[0, 1, 3, 2]];
}

/** Returns a quad with what its overlaps need: box, area (0 where it has none) and convex parts. */
export function prepare(quad) {
  const xs = [quad[0], quad[2], quad[4], quad[6]];
  const ys = [quad[1], quad[3], quad[5], quad[7]];
  const box = [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
  const parts = cut(quad).map((vertices) => {
    const points = vertices.map((k) => [quad[2 * k], quad[2 * k + 1]]);
    return twiceArea(points) < 0 ? points.reverse() : points;
  });
  const area = parts.reduce((sum, points) => sum + twiceArea(points) / 2, 0);
  const farthest = Math.max(-box[0], box[2]) + Math.max(-box[1], box[3]);
  const isFlat = area <= FLAT * farthest * (box[2] - box[0] + box[3] - box[1]);
  return { box, area: isFlat ? 0 : area, parts };
}

/** Returns the area of two convex polygons of positive shoelace: one is cut by the sides of the other. */
function sharedOfParts(first, second) {
  let points = first;
  for (let k = 0; k < second.length && points.length; k++) {
    const [p, q] = [second[k], second[(k + 1) % second.length]];
    const sides = points.map((point) => turn(...p, ...q, ...point));
    const kept = [];
    points.forEach((point, i) => {
      const j = (i + 1) % points.length;
      if (sides[i] >= 0) kept.push(point);
      if (sides[i] * sides[j] < 0) {
        const share = sides[i] / (sides[i] - sides[j]);
        kept.push([point[0] + share * (points[j][0] - point[0]), point[1] + share * (points[j][1] - point[1])]);
      }
    });
    points = kept;
  }
  return Math.max(0, twiceArea(points) / 2);
}

/** Returns the area that two prepared quads share; a quad without area shares none. */
export function sharedArea(a, b) {
  const [p, q] = [a.box, b.box];
  if (p[0] >= q[2] || q[0] >= p[2] || p[1] >= q[3] || q[1] >= p[3] || !a.area || !b.area) return 0;
  let sum = 0;
  for (const first of a.parts) for (const second of b.parts) sum += sharedOfParts(first, second);
  return sum;
}

/** Returns intersection over union of two prepared quads, 0 to 1. */
export function iou(a, b) {
  const shared = sharedArea(a, b);
  return shared > 0 ? shared / (a.area + b.area - shared) : 0;
}

/** Says whether no two corners of a quad turn different ways; vertices in a line turn neither way. */
export function isConvex(quad) {
  const at = (k) => [quad[2 * (k % 4)], quad[2 * (k % 4) + 1]];
  const turns = [0, 1, 2, 3].map((k) => turn(...at(k), ...at(k + 1), ...at(k + 2)));
  return turns.every((value) => value >= 0) || turns.every((value) => value <= 0);
}
