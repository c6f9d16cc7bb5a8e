// Metadata of an exported file, read from the bytes of the ONNX protobuf, and the rules that they state.

const FORMAT = "quad-detector";
const MAJOR = "1";
const REQUIRED = ["format", "task", "classes", "input", "letterbox", "outputs", "score", "nms"];
const METADATA = 14; // of ModelProto; each a StringStringEntryProto: key = 1, value = 2
const GRAPH = 7;
const [VARINT, FIXED64, BYTES, FIXED32] = [0, 1, 2, 5];
const SHOWN = 40; // characters of a value in a message

/** Yields [number, bytes or value] of the fields of a protobuf message; throws where the bytes are none. */
function* fieldsOf(bytes) {
  let at = 0;
  const varint = () => {
    for (let value = 0, scale = 1; at < bytes.length; scale *= 128) {
      const byte = bytes[at++];
      value += (byte & 127) * scale;
      if (byte < 128) return value;
      if (scale > 2 ** 63) break;
    }
    throw new Error("damaged");
  };
  while (at < bytes.length) {
    const tag = varint();
    const kind = tag % 8;
    if (kind === VARINT) {
      yield [Math.floor(tag / 8), varint()];
      continue;
    }
    if (![FIXED64, BYTES, FIXED32].includes(kind)) throw new Error("damaged");
    const length = kind === BYTES ? varint() : kind === FIXED64 ? 8 : 4;
    if (at + length > bytes.length || tag < 8) throw new Error("damaged");
    yield [Math.floor(tag / 8), bytes.subarray(at, at + length)];
    at += length;
  }
}

/** Returns the metadata of an ONNX file, texts by key. */
export function readMetadata(bytes) {
  const texts = {};
  const decoder = new TextDecoder();
  let hasGraph = false;
  try {
    for (const [number, value] of fieldsOf(bytes)) {
      hasGraph ||= number === GRAPH;
      if (number !== METADATA) continue;
      const entry = Object.fromEntries(fieldsOf(value));
      texts[decoder.decode(entry[1])] = decoder.decode(entry[2] ?? new Uint8Array());
    }
  } catch {
    hasGraph = false;
  }
  if (!hasGraph) throw new Error("no ONNX file, or a damaged one; expected one that export.py wrote");
  return texts;
}

/** Returns the rules of a file: classes, input and all that post-processing needs; throws one line. */
export function readContract(texts) {
  if (!("format" in texts)) throw new Error("no metadata of export.py: expected the key 'format'");
  const format = texts.format.trim().replace(/^"|"$/g, "");
  const [name, version = ""] = format.split("/");
  if (name !== FORMAT || version.split(".")[0] !== MAJOR) {
    throw new Error(`metadata: expected format ${FORMAT}/${MAJOR}, found ${format.slice(0, SHOWN)}`);
  }
  const missing = REQUIRED.filter((key) => !(key in texts));
  if (missing.length) throw new Error(`metadata: no ${missing.join(", ")}; export the checkpoint again`);
  try {
    return rulesOf(texts);
  } catch (error) {
    throw new Error(`metadata: damaged: ${error.message}; export the checkpoint again`);
  }
}

function rulesOf(texts) {
  const parsed = (key) => JSON.parse(texts[key]);
  const [classes, input, letterbox, score, nms] = ["classes", "input", "letterbox", "score", "nms"].map(parsed);
  const setting = settingsOf("config" in texts ? String(parsed("config")) : "");
  const best = "thresholds" in texts ? parsed("thresholds")["*"] : undefined;
  const shown = setting("predict.score_threshold", null);
  const number = (value, what) => {
    if (!Number.isFinite(value)) throw new Error(`${what}: expected a number, found ${JSON.stringify(value)}`);
    return value;
  };
  if (!Array.isArray(classes) || !classes.length) throw new Error("classes: expected names");
  if (!["centre", "right-bottom"].includes(letterbox.place)) throw new Error(`letterbox.place: ${letterbox.place}`);
  return {
    classes,
    size: [number(input.size[0], "input.size"), number(input.size[1], "input.size")],
    fill: letterbox.fill ?? 128,
    isCentred: letterbox.place === "centre",
    trainingScale: letterbox.training_scale ?? null,
    maxDownscale: setting("data.max_downscale", null),
    overlap: setting("predict.overlap", 0.25),
    edge: Math.min(...("strides" in texts ? parsed("strides") : [8])) / 2, // half a cell of the finest level
    scoreThreshold: number(score.threshold, "score.threshold"),
    shownThreshold: typeof shown === "number" ? shown : (best ?? 0.3),
    preNms: nms.candidates ?? 3000,
    nmsIou: number(nms.iou, "nms.iou"),
    mergeIou: setting("eval.merge_iou", 0.3),
    voteIou: nms.vote_iou ?? 1,
    support: nms.support ?? 0,
    maxDetections: number(nms.max_detections, "nms.max_detections"),
  };
}

/** Returns what looks settings up in lines `section.key: JSON`. */
function settingsOf(text) {
  const lines = text.split("\n").map((line) => /^([\w.]+): (.*)$/.exec(line)).filter(Boolean);
  const settings = new Map(lines.map(([, key, value]) => [key, value]));
  return (key, fallback) => (settings.has(key) ? JSON.parse(settings.get(key)) : fallback);
}
