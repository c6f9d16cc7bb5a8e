// Page: files in, a picture, a list and texts out; the worker does what takes time.
// Addresses may name the files: ?model=URL&image=URL, and ?engine=wasm keeps WebGPU out.

import { colourOf, dotaText, geoJson } from "./texts.js";

const ROWS = 200; // of the list; the texts have all
const LARGEST = 4096; // px of the picture's long side; objects of larger images are drawn on a smaller one
const SMALLEST = 1200; // px; pictures of smaller images are enlarged
const CAPTIONS = 300; // of the best objects
const at = (name) => document.getElementById(name);
const context = at("canvas").getContext("2d");
const words = new URLSearchParams(location.search);

let rules = null;
let image = null; // {blob, name, picture}
let found = [];
let isBusy = false;
let isOpening = false; // a model, which looks at the image when it is there
let reads = 0; // images that were asked for
let latest = 0; // number of what was asked last; answers to what was asked before are nobody's

const worker = new Worker("worker.js", { type: "module" });
worker.onmessage = ({ data }) => {
  if (data.number !== latest) return;
  if (data.error || data.rules) isOpening = false;
  if (data.error) fail(data.error);
  else if (data.rules) ready(data);
  else if (data.total) step(data);
  else finish(data);
};
worker.onerror = () => fail("this browser cannot run the page: it needs modules in workers");

function say(text, state, isError = false) {
  at("status").textContent = text;
  at("status").classList.toggle("error", isError);
  document.body.dataset.state = state; // idle, busy, done, error
  isBusy = state === "busy";
  at("progress").hidden = !isBusy;
}

function fail(text) {
  const name = isBusy && document.body.dataset.about ? `${document.body.dataset.about}: ` : "";
  say(name + text, "error", true);
}

function about(name) {
  document.body.dataset.about = name;
}

async function takeModel(blob, name) {
  about(name);
  say(`Opening ${name} …`, "busy");
  at("progress").removeAttribute("value");
  rules = null;
  isOpening = true;
  const number = ++latest;
  show([]);
  const model = await blob.arrayBuffer().catch(() => null);
  if (number !== latest) return;
  isOpening = model !== null;
  if (!model) fail("cannot be read");
  else worker.postMessage({ model, engine: words.get("engine"), number }, [model]);
}

function ready(data) {
  rules = data.rules;
  at("threshold").value = rules.shownThreshold;
  const classes = rules.classes.length === 1 ? "1 class" : `${rules.classes.length} classes`;
  const [height, width] = rules.size;
  say(`${document.body.dataset.about}: ${classes}, input ${width} x ${height} px, engine ${data.engine}.`, "idle");
  if (image) search();
}

async function takeImage(blob, name) {
  const number = ++reads;
  image = null;
  if (!isOpening) {
    latest++;
    about(name);
    say(`Reading ${name} …`, "busy");
  }
  show([]);
  const picture = await pictureOf(blob).catch(() => null);
  if (number !== reads) return;
  if (!picture) {
    say(`${name}: cannot be read as an image (PNG, JPEG, WebP and what else this browser knows)`, "error", true);
    return;
  }
  image = { blob, name, picture };
  show([]);
  if (rules) search();
  else if (!isOpening) say(`${name}: ${picture.width} x ${picture.height} px. Choose a model.`, "idle");
}

/** Returns {bitmap, width, height, scale}: the pixels as the file has them, smaller where they are too many. */
async function pictureOf(blob) {
  const whole = await createImageBitmap(blob, { imageOrientation: "none" });
  const { width, height } = whole;
  const scale = Math.min(1, LARGEST / Math.max(width, height));
  if (scale === 1) return { bitmap: whole, width, height, scale };
  const [resizeWidth, resizeHeight] = [width, height].map((side) => Math.max(1, Math.round(side * scale)));
  const bitmap = await createImageBitmap(whole, { resizeWidth, resizeHeight, resizeQuality: "high" });
  whole.close();
  return { bitmap, width, height, scale };
}

function search() {
  about(image.name);
  say(`Looking at ${image.name} …`, "busy");
  worker.postMessage({ image: image.blob, number: ++latest });
}

function step({ done, total }) {
  at("progress").value = done / total;
  if (total > 1) at("status").textContent = `Looking at ${image.name}: tile ${done + 1} of ${total} …`;
}

function finish(data) {
  show(data.found);
  const [height, width] = data.size;
  const tiles = data.tiles > 1 ? `, ${data.tiles} tiles` : "";
  say(`${image.name}: ${width} x ${height} px${tiles}, ${data.seconds.toFixed(1)} s.`, "done");
}

const shown = () => found.filter((one) => one.score >= Number(at("threshold").value));

function show(all) {
  found = all;
  update();
}

function update() {
  at("least").textContent = Number(at("threshold").value).toFixed(2);
  const chosen = rules ? shown() : [];
  draw(chosen);
  fillLegend(chosen);
  at("list").replaceChildren(...chosen.slice(0, ROWS).map(rowOf));
  at("more").textContent = chosen.length > ROWS ? `The first ${ROWS} of ${chosen.length}; the texts have all.` : "";
  for (const name of ["dota", "geojson"]) at(name).disabled = !(image && rules);
  at("text").hidden = true;
}

function draw(chosen) {
  if (!image) return;
  const { bitmap, scale } = image.picture;
  const canvas = at("canvas");
  const ratio = Math.max(1, SMALLEST / Math.max(bitmap.width, bitmap.height));
  Object.assign(canvas, { width: bitmap.width * ratio, height: bitmap.height * ratio });
  context.imageSmoothingEnabled = false;
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  const seen = Math.min(canvas.clientWidth / canvas.width, canvas.clientHeight / canvas.height);
  const unit = 1 / Math.min(1, seen || 1); // px of the canvas that are one of the screen
  context.lineWidth = 2 * unit;
  context.font = `${12 * unit}px system-ui, sans-serif`;
  context.textBaseline = "bottom";
  const shapes = chosen.map((one) => ({ ...one, points: cornersOf(one.quad, scale * ratio) }));
  [...shapes].reverse().forEach(outline);
  const taken = [];
  for (const shape of shapes) caption(shape, unit, taken);
}

const cornersOf = (quad, scale) => [0, 2, 4, 6].map((k) => [quad[k] * scale, quad[k + 1] * scale]);

function outline({ points, label }) {
  context.strokeStyle = colourOf(label);
  context.beginPath();
  points.forEach(([x, y], k) => (k ? context.lineTo(x, y) : context.moveTo(x, y)));
  context.closePath();
  context.stroke();
}

/** Writes class and score above an object, where those of better ones leave room. */
function caption({ points, label, score }, unit, taken) {
  if (taken.length >= CAPTIONS) return;
  const text = `${rules.classes[label]} ${score.toFixed(2)}`;
  const [x, y] = points.reduce((top, point) => (point[1] < top[1] ? point : top));
  const [width, height] = [context.measureText(text).width + 6 * unit, 16 * unit];
  const left = Math.max(0, Math.min(x - width / 2, at("canvas").width - width));
  const box = [left, Math.max(0, y - height), left + width, Math.max(height, y)];
  if (taken.some((other) => [0, 1].every((k) => box[k] < other[k + 2] && other[k] < box[k + 2]))) return;
  taken.push(box);
  const colour = colourOf(label);
  context.fillStyle = colour;
  context.fillRect(left, box[1], width, height);
  const [red, green, blue] = [1, 3, 5].map((k) => parseInt(colour.slice(k, k + 2), 16));
  context.fillStyle = 0.3 * red + 0.59 * green + 0.11 * blue > 110 ? "#000" : "#fff";
  context.fillText(text, left + 3 * unit, box[3] - unit);
}

function element(name, ...children) {
  const made = document.createElement(name);
  made.append(...children);
  return made;
}

function patch(label) {
  const made = element("span");
  made.className = "patch";
  made.style.background = colourOf(label);
  return made;
}

function fillLegend(chosen) {
  const counts = new Map();
  for (const { label } of chosen) counts.set(label, (counts.get(label) ?? 0) + 1);
  const entries = [...counts].sort(([a], [b]) => a - b);
  const rows = entries.map(([label, count]) => element("li", patch(label), `${rules.classes[label]} ${count}`));
  const isEmpty = document.body.dataset.state === "done" || found.length;
  at("legend").replaceChildren(...(rows.length || !isEmpty ? rows : [element("li", "no objects")]));
}

function rowOf({ quad, score, label }) {
  const centre = [0, 1].map((k) => (quad[k] + quad[k + 2] + quad[k + 4] + quad[k + 6]) / 4);
  return element(
    "tr",
    element("td", patch(label), rules.classes[label]),
    element("td", score.toFixed(3)),
    element("td", centre.map((value) => (Math.round(value * 10) / 10 + 0).toFixed(1)).join(", ")),
  );
}

/** Copies a text, and shows it: not every browser lets a page write to the clipboard. */
async function copy(text) {
  const area = at("text");
  area.value = text;
  area.hidden = false;
  area.select();
  try {
    await navigator.clipboard.writeText(text);
    at("more").textContent = "Copied.";
  } catch {
    at("more").textContent = "Copy it from the field above.";
  }
}

function take(files) {
  for (const file of files) {
    if (file.name.toLowerCase().endsWith(".onnx")) takeModel(file, file.name);
    else takeImage(file, file.name);
  }
}

async function fetched(url, taker) {
  const name = decodeURIComponent(new URL(url, location.href).pathname.split("/").pop());
  about(name);
  say(`Fetching ${name} …`, "busy");
  let answer;
  try {
    answer = await fetch(url);
  } catch {
    fail("cannot be fetched");
    return;
  }
  if (answer.ok) await taker(await answer.blob(), name);
  else fail(`cannot be fetched: ${answer.status} ${answer.statusText}`);
}

at("model").onchange = ({ target }) => target.files.length && takeModel(target.files[0], target.files[0].name);
at("image").onchange = ({ target }) => target.files.length && takeImage(target.files[0], target.files[0].name);
at("threshold").oninput = update;
at("dota").onclick = () => copy(dotaText(shown(), rules.classes));
at("geojson").onclick = () => copy(geoJson(shown(), rules.classes, image.name));
document.ondragover = (event) => {
  event.preventDefault();
  document.querySelector(".picture").classList.add("over");
};
document.ondragleave = () => document.querySelector(".picture").classList.remove("over");
document.ondrop = (event) => {
  event.preventDefault();
  document.ondragleave();
  take(event.dataTransfer.files);
};
window.onresize = update;
document.body.dataset.state = "idle";
if (words.get("model")) await fetched(words.get("model"), takeModel);
if (words.get("image")) await fetched(words.get("image"), takeImage);
