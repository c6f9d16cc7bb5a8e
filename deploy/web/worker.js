// Worker: holds the engine, so that the page answers while the network computes.
// Messages in: {model: ArrayBuffer, engine} and {image: Blob}; out: {rules, engine}, {done, total},
// {found, size, tiles, seconds} and {error}.  All carry the `number` of what was asked; a later one ends a search.

import { readContract, readMetadata } from "./contract.js";
import { windowOf } from "./pixels.js";
import { candidatesOf, isCut, layout, mergeTiles, suppress, toImage } from "./postprocess.js";

const LIBRARY = new URL("./node_modules/onnxruntime-web/dist/", import.meta.url).href;
const AS_STORED = { imageOrientation: "none", colorSpaceConversion: "none", premultiplyAlpha: "none" };

let detector = null; // {ort, session, rules, engine}
let queue = Promise.resolve();
let latest = 0; // number of what was asked last

self.onmessage = ({ data }) => {
  latest = data.number;
  queue = queue.then(async () => {
    try {
      await (data.model ? load(data) : find(data));
    } catch (error) {
      self.postMessage({ number: data.number, error: error.message });
    }
  });
};

/** Opens a file with WebGPU where there is one, else with wasm. */
async function load({ model, engine, number }) {
  detector = null;
  const bytes = new Uint8Array(model);
  const rules = readContract(readMetadata(bytes));
  const wanted = engine === "wasm" || !(await navigator.gpu?.requestAdapter()) ? "wasm" : "webgpu";
  for (const name of wanted === "webgpu" ? ["webgpu", "wasm"] : ["wasm"]) {
    try {
      detector = { rules, engine: name, ...(await open(bytes, name)) };
      break;
    } catch (error) {
      if (name === "wasm") throw new Error(`the engine cannot open it: ${firstLine(error)}`);
    }
  }
  const { inputNames, outputNames } = detector.session;
  const names = new Set([...inputNames, ...outputNames]);
  const missing = ["images", "quads", "scores"].filter((name) => !names.has(name));
  if (missing.length) {
    detector = null;
    throw new Error(`no exported detector: no ${missing.join(", ")}`);
  }
  self.postMessage({ number, rules, engine: detector.engine });
}

async function open(bytes, name) {
  let ort;
  try {
    ort = await import(`${LIBRARY}ort.${name}.min.mjs`);
  } catch {
    throw new Error("onnxruntime-web is not there: run npm ci in the folder of this page");
  }
  ort.env.wasm.wasmPaths = LIBRARY;
  if (!self.crossOriginIsolated) ort.env.wasm.numThreads = 1;
  ort.env.logLevel = "error";
  return { ort, session: await ort.InferenceSession.create(bytes, { executionProviders: [name] }) };
}

/** Finds the objects of an image, window by window. */
async function find({ image, number }) {
  if (!detector) throw new Error("no model yet");
  const start = performance.now();
  const bitmap = await decoded(image);
  const { rules } = detector;
  const size = [bitmap.height, bitmap.width];
  const { scale, isWhole, windows } = layout(size, rules.size, rules);
  const scaled = size.map((length) => length * scale);
  const all = [];
  for (const [done, corner] of windows.entries()) {
    self.postMessage({ number, done, total: windows.length });
    await new Promise((resolve) => setTimeout(resolve)); // lets messages in
    if (number !== latest) break;
    const pixels = windowOf(readerOf(bitmap), size, scale, corner, rules.size, rules.fill);
    const outputs = await run(pixels);
    const candidates = candidatesOf(outputs, rules);
    if (isWhole) {
      const found = toImage(candidates, scale, corner);
      all.push(...(outputs.count === undefined ? suppress(found, rules) : found));
      continue;
    }
    const found = outputs.count === undefined ? suppress(candidates, rules) : candidates;
    const told = found.map((one) => ({ ...one, isCut: isCut(one.quad, corner, rules.size, scaled, rules.edge) }));
    all.push(...toImage(told, scale, corner));
  }
  bitmap.close();
  if (number !== latest) return;
  const found = isWhole ? all : mergeTiles(all, rules);
  const seconds = (performance.now() - start) / 1000;
  self.postMessage({ number, found, size, tiles: windows.length, seconds });
}

async function decoded(image) {
  try {
    return await createImageBitmap(image, AS_STORED);
  } catch {
    throw new Error("cannot be read as an image (PNG, JPEG, WebP and what else this browser knows)");
  }
}

/** Returns what reads a part of an image, so that no copy of a large one is made. */
function readerOf(bitmap) {
  return (x, y, width, height) => {
    const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
    context.drawImage(bitmap, -x, -y);
    return context.getImageData(0, 0, width, height).data;
  };
}

/** Returns the outputs of one image, flat arrays. */
async function run(pixels) {
  const { ort, session, rules, engine } = detector;
  const images = new ort.Tensor("float32", pixels, [1, 3, ...rules.size]);
  let found;
  try {
    found = await session.run({ images });
  } catch (error) {
    const advice = engine === "webgpu" ? "; ?engine=wasm in the address does without WebGPU" : "";
    throw new Error(`the engine failed: ${firstLine(error)}${advice}`);
  }
  const { quads, scores, labels, count } = found;
  const outputs = {
    quads: quads.data,
    scores: scores.data,
    labels: labels?.data,
    count: count ? Number(count.data[0]) : undefined,
  };
  images.dispose();
  return outputs;
}

const firstLine = (error) => String(error.message ?? error).split("\n")[0];
