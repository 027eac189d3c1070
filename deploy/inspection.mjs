// One image to one result row, for Node.js and for browsers. The model must have its resize inside:
// anomalib-lite export MODEL --out part --source-size HEIGHTxWIDTH
// The same verdicts as the Python runtime; regions are not computed here, and models that compare with golden images,
// which have to be seen as a whole, are refused.

const TYPES = { uint8: Uint8Array, uint16: Uint16Array };

export class Refused extends Error {
  constructor(message, code) {
    super(message);
    this.code = code; // those of the Python runtime: wrong_size, wrong_channels, unreadable, not_finite, ...
  }
}

async function hash(crypto, bytes) {
  const digest = await crypto.subtle.digest("SHA-256", bytes);
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export class Inspection {
  // ort: onnxruntime-web or -node; crypto: the Web Crypto API; decode: bytes -> {width, height, data: RGBA}
  static async load({ ort, crypto, decode }, manifestBytes, graphBytes) {
    const manifest = JSON.parse(new TextDecoder().decode(manifestBytes));
    if (Object.keys(manifest.guards ?? {}).length || (manifest.readers ?? []).some((one) => one.options != null))
      throw new Error("the model heeds what its readers say of a file (guards, options), which nothing here does");
    if (manifest.schema_version !== 1) throw new Error(`manifest schema ${manifest.schema_version}: expected 1`);
    if ((await hash(crypto, graphBytes)) !== manifest.files["model.onnx"])
      throw new Error("model.onnx is not the file that manifest.json describes (SHA-256)");
    if (manifest.graph.inputs.join() !== "image" || !manifest.framing.source)
      throw new Error("export the model with --source-size, without region of interest and golden images");
    const { dtype, channels } = manifest.image;
    if (!TYPES[dtype] || ![1, 3].includes(channels))
      throw new Error(`the model takes ${dtype} with ${channels} channels: expected uint8 or uint16 with 1 or 3`);
    const session = await ort.InferenceSession.create(graphBytes);
    const id = (await hash(crypto, manifestBytes)).slice(0, 12);
    return new Inspection({ ort, crypto, decode }, manifest, session, id);
  }

  constructor(parts, manifest, session, modelId) {
    Object.assign(this, parts, { manifest, session, modelId });
    const { thresholds, scores } = manifest.calibration;
    this.reject = thresholds.reject.value;
    this.review = thresholds.review.value;
    this.scores = scores;
    if (!(Number.isFinite(this.reject) && this.reject >= this.review)) throw new Error("the thresholds make no sense");
  }

  async inspect(name, bytes) {
    const started = performance.now();
    const row = {
      image: name, sha256: "", time: new Date().toISOString(), verdict: "ERROR", score: null, p_value: null,
      reject_threshold: this.reject, review_threshold: this.review, model_id: this.modelId, ms: 0,
      error_code: null, error: null, seen: null,
    };
    try {
      row.sha256 = await hash(this.crypto, bytes);
      const score = await this.score(await this.decoded(bytes));
      row.verdict = score > this.reject ? "NG" : score > this.review ? "REVIEW" : "OK";
      row.score = score;
      row.p_value = (1 + this.scores.filter((one) => one >= score).length) / (this.scores.length + 1);
    } catch (error) {
      row.error_code = error instanceof Refused ? error.code : "internal";
      row.error = String(error.message ?? error);
    }
    row.ms = performance.now() - started;
    return row;
  }

  async decoded(bytes) {
    try {
      return await this.decode(bytes);
    } catch (error) {
      if (error instanceof Refused) throw error;
      throw new Refused(`cannot be decoded (${error.message ?? error})`, "unreadable");
    }
  }

  async score(image) {
    const [height, width] = this.manifest.framing.source;
    if (image.height !== height || image.width !== width)
      throw new Refused(`the image is ${image.width} x ${image.height} pixels, expected ${width} x ${height}`, "wrong_size");
    const pixels = this.pixels(image.data, height * width);
    const { dtype, channels } = this.manifest.image;
    const feed = { image: new this.ort.Tensor(dtype, pixels, [1, height, width, channels]) };
    const outputs = await this.session.run(feed);
    const score = outputs.score.data[0];
    if (!Number.isFinite(score) || !outputs.anomaly_map.data.every(Number.isFinite))
      throw new Refused("the model's result is not finite: the image cannot be judged", "not_finite");
    return score;
  }

  // RGBA to the model's channels; grey from colour (ITU-R BT.601) only where the model was trained so.
  pixels(rgba, count) {
    const { dtype, channels } = this.manifest.image;
    if (!(rgba instanceof TYPES[dtype]) && !(dtype === "uint8" && rgba instanceof Uint8ClampedArray))
      throw new Refused(`the image is not ${dtype}`, "wrong_dtype");
    const pixels = new TYPES[dtype](count * channels);
    const opaque = dtype === "uint8" ? 255 : 65535;
    for (let index = 0; index < count; index++) {
      if (rgba[4 * index + 3] !== opaque) // browsers leave the missing rows of a truncated file transparent
        throw new Refused("an image with transparent or missing parts", "unsupported_mode");
      const [r, g, b] = [rgba[4 * index], rgba[4 * index + 1], rgba[4 * index + 2]];
      if (channels === 3) pixels.set([r, g, b], 3 * index);
      else if (r === g && g === b) pixels[index] = r;
      else if (this.manifest.framing.convert)
        pixels[index] = Math.floor((r * 19595 + g * 38470 + b * 7471 + 0x8000) / 65536);
      else throw new Refused("the image is colour, the model takes grey", "wrong_channels");
    }
    return pixels;
  }
}
