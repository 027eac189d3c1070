// node inspect.mjs MODEL_FOLDER IMAGE.png...   prints one JSON row per image; exit code 3 if one is ERROR.
// npm install onnxruntime-web pngjs

import { webcrypto } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import * as ort from "onnxruntime-web";
import pngjs from "pngjs";

const shared = join(fileURLToPath(import.meta.url), "../../inspection.mjs");
const { Inspection, Refused } = await import(pathToFileURL(shared));

ort.env.wasm.numThreads = 1;

function decode(bytes) {
  const header = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 33 || header.getUint32(0) !== 0x89504e47) throw new Refused("not a PNG file", "unreadable");
  if (header.getUint32(16) * header.getUint32(20) > 1e8) throw new Refused("more than 100,000,000 pixels", "too_large");
  const deep = bytes[24] === 16; // bits per sample; fewer are spread over 0..255
  const image = pngjs.PNG.sync.read(Buffer.from(bytes), { skipRescale: deep, checkCRC: true });
  return { width: image.width, height: image.height, data: deep ? image.data : new Uint8Array(image.data) };
}

const [folder, ...images] = process.argv.slice(2);
if (!folder || images.length === 0) {
  console.error("usage: node inspect.mjs MODEL_FOLDER IMAGE.png...");
  process.exit(2);
}

const read = async (name) => new Uint8Array(await readFile(join(folder, name)));
const inspection = await Inspection.load({ ort, crypto: webcrypto, decode }, read);

let failed = false;
for (const path of images) {
  const bytes = await readFile(path).then((data) => new Uint8Array(data), () => null);
  const row = bytes
    ? await inspection.inspect(path, bytes)
    : { image: path, verdict: "ERROR", score: null, error_code: "missing", error: `${path}: cannot be read` };
  failed ||= row.verdict === "ERROR";
  console.log(JSON.stringify(row));
}
process.exit(failed ? 3 : 0);
