// Texts of what was found: DOTA and GeoJSON, both in pixels of the image, x right and y down.

import { roundHalfEven } from "./postprocess.js";

const DECIMALS = 1000; // 1 / px
const SHADES = [0, -0.5, 0.5, -0.7, 0.75]; // of every further round of colours: towards black or white
// of the classes, told apart with every kind of colour vision: the palette of predict.py
const PALETTE = [
  [230, 159, 0], [86, 180, 233], [0, 158, 115], [240, 228, 66], [0, 114, 178], [213, 94, 0], [204, 121, 167],
  [135, 60, 255], [0, 255, 0], [255, 165, 150], [255, 15, 60], [150, 150, 0], [210, 180, 255], [0, 255, 195],
  [150, 195, 120], [45, 195, 195], [120, 135, 255], [255, 0, 255], [60, 135, 0], [210, 15, 120],
];
// a reference system of nothing on the Earth, as predict.py writes it
const PIXEL_CRS = 'LOCAL_CS["pixels of an image",UNIT["pixel",1],AXIS["x",EAST],AXIS["y",SOUTH]]';

/** Returns #rrggbb of a class. */
export function colourOf(label) {
  const amount = SHADES[Math.floor(label / PALETTE.length) % SHADES.length];
  const end = amount > 0 ? 255 : 0;
  const parts = PALETTE[label % PALETTE.length].map((c) => roundHalfEven(c + (end - c) * Math.abs(amount)));
  return `#${parts.map((part) => part.toString(16).padStart(2, "0")).join("")}`;
}

/** Returns a line `x1 y1 .. x4 y4 class score` for each object. */
export function dotaText(found, classes) {
  const line = ({ quad, label, score }) => {
    const numbers = quad.map((value) => value.toFixed(2)).join(" ");
    return `${numbers} ${classes[label].replace(/\s+/g, "-")} ${score.toFixed(4)}\n`;
  };
  return found.map(line).join("");
}

/** Returns a FeatureCollection, which says in three places that its coordinates are pixels. */
export function geoJson(found, classes, image) {
  const features = found.map(({ quad, label, score }) => ({
    type: "Feature",
    geometry: { type: "Polygon", coordinates: [ringOf(quad)] },
    properties: { image, class: classes[label], score: Number(score.toFixed(4)), coordinates: "pixels, y down" },
  }));
  return JSON.stringify({
    type: "FeatureCollection",
    description: `pixels of ${image}, x right, y down; not longitude and latitude`,
    crs: { type: "name", properties: { name: PIXEL_CRS } },
    features,
  });
}

/** Returns a closed ring of positive shoelace, as the standard has outer rings. */
function ringOf(quad) {
  const points = [0, 2, 4, 6].map((k) => [quad[k], quad[k + 1]].map((v) => Math.round(v * DECIMALS) / DECIMALS));
  const after = (k) => points[(k + 1) % 4];
  const doubled = points.reduce((sum, [x, y], k) => sum + x * after(k)[1] - y * after(k)[0], 0);
  const ordered = doubled < 0 ? points.reverse() : points;
  return [...ordered, ordered[0]];
}
