// Runs the model in this page: nothing is sent anywhere. Beside this file: inspection.mjs, the exported bundle as model/,
// and of onnxruntime-web: ort.wasm.min.mjs, ort-wasm-simd-threaded.mjs, ort-wasm-simd-threaded.wasm.

import * as ort from "./ort.wasm.min.mjs";
import { Inspection, Refused } from "./inspection.mjs";

const show = (id, text) => (document.getElementById(id).textContent = text);

ort.env.wasm.numThreads = 1;
ort.env.wasm.wasmPaths = new URL("./", import.meta.url).href;

async function decode(bytes) {
  if (bytes[0] === 0xff && bytes[1] === 0xd8 && !(bytes.at(-2) === 0xff && bytes.at(-1) === 0xd9))
    throw new Refused("the JPEG file ends before its image does", "truncated"); // browsers fill the rest with grey
  const options = { colorSpaceConversion: "none", premultiplyAlpha: "none" };
  const bitmap = await createImageBitmap(new Blob([bytes]), options);
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  return context.getImageData(0, 0, bitmap.width, bitmap.height);
}

async function fetched(name) {
  const response = await fetch(name);
  if (!response.ok) throw new Error(`${name}: ${response.status} ${response.statusText}`);
  return new Uint8Array(await response.arrayBuffer());
}

async function start() {
  if (!globalThis.crypto?.subtle) throw new Error("open this page over https, or from localhost");
  const inspection = await Inspection.load({ ort, crypto, decode }, (name) => fetched(`model/${name}`));
  const [height, width] = inspection.manifest.framing.source;
  show("state", `Model ${inspection.modelId}: choose an image of ${width} x ${height} pixels.`);
  const input = document.getElementById("file");
  input.disabled = false;
  input.addEventListener("change", () => input.files[0] && judge(inspection, input.files[0]));
}

async function judge(inspection, file) {
  show("verdict", "");
  show("row", "");
  const row = await inspection.inspect(file.name, new Uint8Array(await file.arrayBuffer()));
  const picture = document.getElementById("image");
  URL.revokeObjectURL(picture.src);
  picture.src = URL.createObjectURL(file);
  document.getElementById("verdict").dataset.verdict = row.verdict;
  show("verdict", row.verdict);
  show("row", JSON.stringify(row, null, 1));
}

start().catch((error) => show("state", `The model cannot be used: ${error.message}`));
