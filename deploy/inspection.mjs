// One image to one result row, for Node.js and for browsers. The model must have its resize inside:
// anomalib-lite export MODEL --out part --source-size HEIGHTxWIDTH
// The same verdicts as the Python runtime; regions are not computed here, and models that compare with golden images,
// which have to be seen as a whole, are refused.

const TYPES = { uint8: Uint8Array, uint16: Uint16Array };
const GATED = 3; // manifest schema of models with a gate

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
  // read: the name of a file of the model -> its bytes
  static async load({ ort, crypto, decode }, read) {
    const manifestBytes = await read("manifest.json");
    const manifest = JSON.parse(new TextDecoder().decode(manifestBytes));
    if (Object.keys(manifest.guards ?? {}).length || (manifest.readers ?? []).some((one) => one.options != null))
      throw new Error("the model heeds what its readers say of a file (guards, options), which nothing here does");
    const gate = manifest.gate?.enabled ? manifest.gate : null;
    const [version, expected] = [manifest.schema_version, gate ? GATED : 1];
    if (version !== expected) throw new Error(`manifest schema ${version}: expected ${expected}`);
    const strange = Object.keys(gate?.limits ?? {}).filter((name) => !(name in WORDS));
    if (strange.length) throw new Error(`the gate limits '${strange[0]}', which is not known here: take a newer runner`);
    const graph = async (name) => {
      const bytes = await read(name);
      if ((await hash(crypto, bytes)) !== manifest.files[name])
        throw new Error(`${name} is not the file that manifest.json describes (SHA-256)`);
      return ort.InferenceSession.create(bytes);
    };
    if (manifest.graph.inputs.join() !== "image" || !manifest.framing.source)
      throw new Error("export the model with --source-size, without region of interest and golden images");
    const { dtype, channels } = manifest.image;
    if (!TYPES[dtype] || ![1, 3].includes(channels))
      throw new Error(`the model takes ${dtype} with ${channels} channels: expected uint8 or uint16 with 1 or 3`);
    const session = await graph("model.onnx");
    const glance = gate?.limits.features ? await graph("gate.onnx") : null;
    const id = (await hash(crypto, manifestBytes)).slice(0, 12);
    return new Inspection({ ort, crypto, decode, glance }, manifest, session, id);
  }

  constructor(parts, manifest, session, modelId) {
    Object.assign(this, parts, { manifest, session, modelId });
    const { thresholds, scores, refused = 0 } = manifest.calibration;
    this.reject = thresholds.reject.value;
    this.review = thresholds.review.value;
    this.scores = scores;
    this.refused = refused;
    this.gate = manifest.gate ?? null;
    if (!(Number.isFinite(this.reject) && this.reject >= this.review)) throw new Error("the thresholds make no sense");
  }

  async inspect(name, bytes) {
    const started = performance.now();
    const row = {
      image: name, sha256: "", time: new Date().toISOString(), verdict: "ERROR", score: null, p_value: null,
      reject_threshold: this.reject, review_threshold: this.review, model_id: this.modelId, ms: 0,
      error_code: null, error: null, note: this.gate && !this.gate.enabled ? "gate off" : "", seen: null, seconds: null,
    };
    try {
      row.sha256 = await hash(this.crypto, bytes);
      const pixels = this.pixels(await this.decoded(bytes));
      const objection = this.gate?.enabled ? await this.objection(pixels) : null;
      if (objection && this.gate.verdict === "error") throw new Refused(objection, "not_alike");
      const score = await this.score(pixels);
      row.verdict = score > this.reject ? "NG" : score > this.review || objection ? "REVIEW" : "OK";
      row.note = objection ?? row.note;
      row.score = score;
      const least = this.scores.filter((one) => one >= score).length + this.refused;
      row.p_value = (1 + least) / (this.scores.length + this.refused + 1);
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

  async score(pixels) {
    const { dtype, channels } = this.manifest.image;
    const feed = { image: new this.ort.Tensor(dtype, pixels, [1, ...this.manifest.framing.source, channels]) };
    const outputs = await this.session.run(feed);
    const score = outputs.score.data[0];
    if (!Number.isFinite(score) || !outputs.anomaly_map.data.every(Number.isFinite))
      throw new Refused("the model's result is not finite: the image cannot be judged", "not_finite");
    return score;
  }

  // RGBA to the model's channels; grey from colour (ITU-R BT.601) only where the model was trained so.
  pixels({ width, height, data: rgba }) {
    const [rows, columns] = this.manifest.framing.source;
    if (height !== rows || width !== columns)
      throw new Refused(`the image is ${width} x ${height} pixels, expected ${columns} x ${rows}`, "wrong_size");
    const { dtype, channels } = this.manifest.image;
    if (!(rgba instanceof TYPES[dtype]) && !(dtype === "uint8" && rgba instanceof Uint8ClampedArray))
      throw new Refused(`the image is not ${dtype}`, "wrong_dtype");
    const count = height * width;
    const pixels = new TYPES[dtype](count * channels);
    const opaque = dtype === "uint8" ? 255 : 65535;
    for (let index = 0; index < count; index++) {
      if (rgba[4 * index + 3] !== opaque) // browsers leave the missing rows of a truncated file transparent
        throw new Refused("an image with transparent or missing parts", "unsupported_mode");
      const [r, g, b] = [rgba[4 * index], rgba[4 * index + 1], rgba[4 * index + 2]];
      if (channels === 3) pixels.set([r, g, b], 3 * index);
      else if (r === g && g === b) pixels[index] = r;
      else if (this.manifest.framing.convert) pixels[index] = luma(r, g, b);
      else throw new Refused("the image is colour, the model takes grey", "wrong_channels");
    }
    return pixels;
  }

  // How far its features lie from the middle of the training. As Glance in anomalib_lite/edge/runtime.py.
  async distance(pixels) {
    const { channels, black = 0, white } = this.manifest.image;
    const cells = thumbnail(pixels, ...this.manifest.framing.source, channels);
    const image = Float32Array.from(cells, (one) => (one - black) / (white - black));
    const feed = { image: new this.ort.Tensor("float32", image, [1, CELLS, CELLS, channels]) };
    return Math.hypot(...(await this.glance.run(feed)).features.data);
  }

  // Why an image looks like none of the training; null where it does. As anomalib_lite/edge/gate.py.
  async objection(pixels) {
    const { image, framing } = this.manifest;
    const { limits, coarse } = this.gate;
    const values = statistics(appearance(pixels, ...framing.source, image.channels), image, coarse);
    if (this.glance) values.features = await this.distance(pixels);
    const within = (name) => limits[name][0] <= values[name] && values[name] <= limits[name][1];
    const [name, ...others] = Object.keys(WORDS).filter((one) => one in limits && !within(one));
    if (!name) return null;
    const [called, below, above] = WORDS[name];
    const [value, low, high] = [values[name], ...limits[name]].map((one) =>
      Math.abs(one) < 100 ? Number(one.toPrecision(3)) : Math.round(one),
    );
    const count = Object.keys(limits).length;
    const more = others.length ? `, and ${others.length} more of ${count} statistics are beyond theirs` : "";
    return (
      `the image is ${values[name] < limits[name][0] ? below : above} than any of the training: ${called} ${value}, ` +
      `limits ${low} to ${high}${more}. Check light, camera and product; where such images are to be judged, train ` +
      "with them"
    );
  }
}

// The gate sees a whole image in a few numbers, from sums of whole numbers, so that all runtimes find the same:
// anomalib_lite/edge/images/appearance.py says what each of them is.

const SIDE = 8; // pixels of a band, and cells of the coarse picture along each side
const PIXELS = 2 ** 18; // that are looked at, or less than a band more

const WORDS = {
  width: ["width", "narrower", "wider"],
  height: ["height", "lower", "higher"],
  brightness: ["mean", "darker", "brighter"],
  dark: ["level of the darkest 5 %", "darker in its shadows", "brighter in its shadows"],
  bright: ["level of the brightest 5 %", "darker in its lights", "brighter in its lights"],
  darkest: ["share at the lowest level", "less clipped in the dark", "more clipped in the dark"],
  brightest: ["share at the highest level", "less clipped in the light", "more clipped in the light"],
  middle: ["place of the median", "darker in most places", "brighter in most places"],
  detail: ["step between pixels", "poorer in detail", "richer in detail"],
  blur: ["step over 2 pixels by step over 1", "sharper, or noisier,", "less sharp"],
  coarseness: ["step over 8 pixels by step over 4", "finer in structure", "coarser in structure"],
  grain: ["noise by detail", "less noisy", "noisier"],
  direction: ["detail across by detail down", "poorer in upright edges", "richer in upright edges"],
  quiet: ["spread of its even parts", "emptier", "busier"],
  upper_lower: ["lower half less upper half", "darker below", "darker above"],
  left_right: ["right half less left half", "darker on the right", "darker on the left"],
  likeness: ["correlation with their mean", "otherwise divided into light and dark", "more like their mean"],
  red: ["red less green", "less red", "redder"],
  blue: ["blue less green", "less blue", "bluer"],
  features: ["distance of features", "nearer to the middle", "stranger in structure"],
};

const CELLS = 128; // of a thumbnail along each side
const SEEN = 4; // pixels of a cell along each side that are looked at, or fewer than twice as many

// Means of cells, row by row; a side of fewer pixels has them repeated. As anomalib_lite/edge/images/thumbnail.py.
export function thumbnail(pixels, height, width, channels) {
  const lines = (length) => {
    const step = Math.max(1, Math.floor(length / (SEEN * CELLS)));
    const count = Math.ceil(length / step);
    return Array.from({ length: CELLS }, (_, cell) => {
      const [from, to] = [cell, cell + 1].map((one) => Math.floor((one * count) / CELLS));
      return Array.from({ length: Math.max(1, to - from) }, (_, index) => (from + index) * step);
    });
  };
  const [rows, columns, cells] = [lines(height), lines(width), new Float64Array(CELLS * CELLS * channels)];
  rows.forEach((ys, row) => columns.forEach((xs, column) => {
    for (let channel = 0; channel < channels; channel++) {
      let sum = 0;
      for (const y of ys) for (const x of xs) sum += pixels[(y * width + x) * channels + channel];
      cells[(row * CELLS + column) * channels + channel] = sum / (ys.length * xs.length);
    }
  }));
  return cells;
}

const luma = (r, g, b) => Math.floor((r * 19595 + g * 38470 + b * 7471 + 0x8000) / 65536);

// Grey levels of bands of 8 rows, evenly over the height, row by row; and the sums of the channels.
function bands(pixels, height, width, channels) {
  const [rows, columns] = [height, width].map((side) => Math.max(SIDE, side - (side % SIDE)));
  const step = Math.ceil((rows * columns) / PIXELS);
  const count = Math.ceil(rows / SIDE / step);
  const [plane, sums] = [new Int32Array(count * SIDE * columns), [0, 0, 0]];
  for (let row = 0, index = 0; row < count * SIDE; row++) {
    const y = Math.min((row - (row % SIDE)) * step + (row % SIDE), height - 1); // what is too small goes on by its edge
    for (let column = 0; column < columns; column++, index++) {
      const from = channels * (y * width + Math.min(column, width - 1));
      if (channels === 1) plane[index] = pixels[from];
      else {
        plane[index] = luma(pixels[from], pixels[from + 1], pixels[from + 2]);
        for (let channel = 0; channel < 3; channel++) sums[channel] += pixels[from + channel];
      }
    }
  }
  return { plane, count, columns, sums };
}

// Mean of |of(index)| over two thirds of the bands of `rows` rows, those with the smallest; of places that are not in
// the first `down` rows of a band, and not in the first `across` columns. 0 where there are none.
function typical(plane, rows, columns, down, across, of) {
  const sums = new Float64Array(plane.length / columns / rows);
  for (let index = 0; index < plane.length; index++)
    if (index % columns >= across && Math.floor(index / columns) % rows >= down)
      sums[Math.floor(index / columns / rows)] += Math.abs(of(index));
  const kept = sums.sort().slice(0, Math.ceil((2 * sums.length) / 3));
  return kept.reduce((a, b) => a + b) / Math.max(kept.length * (rows - down) * (columns - across), 1);
}

// Sums of 2 x 2.
function halved(plane, columns) {
  const half = new Int32Array(plane.length / 4);
  for (let index = 0; index < plane.length; index++)
    half[(Math.floor(index / columns / 2) * columns) / 2 + Math.floor((index % columns) / 2)] += plane[index];
  return half;
}

function structure(plane, columns) {
  let [block, rows, wide, across] = [plane, SIDE, columns, 0];
  const steps = [1, 2, 4, 8].map((size) => {
    if (size > 1) [block, rows, wide] = [halved(block, wide), rows / 2, wide / 2];
    const sideways = typical(block, rows, wide, 0, 1, (at) => block[at] - block[at - 1]) / size ** 2;
    if (size === 4) across = sideways;
    return sideways + typical(block, rows, wide, 1, 0, (at) => block[at] - block[at - wide]) / size ** 2;
  });
  const square = (at) => plane[at] - plane[at - 1] - plane[at - columns] + plane[at - columns - 1];
  return { steps, across, grain: typical(plane, SIDE, columns, 1, 1, square) };
}

function levels(plane) {
  const counts = new Map();
  for (const level of plane) counts.set(level, (counts.get(level) ?? 0) + 1);
  const sorted = [...counts].sort((a, b) => a[0] - b[0]);
  const [dark, middle, bright] = [5, 50, 95].map((percent) => {
    let left = Math.ceil((plane.length * percent) / 100);
    return sorted.find(([, times]) => (left -= times) <= 0)[0];
  });
  const share = ([, times]) => times / plane.length;
  return { dark, middle, bright, darkest: share(sorted[0]), brightest: share(sorted.at(-1)) };
}

export function appearance(pixels, height, width, channels) {
  const { plane, count, columns, sums } = bands(pixels, height, width, channels);
  const [cells, squares, total] = [new Float64Array(SIDE ** 2), new Float64Array(SIDE ** 2), plane.length];
  for (let index = 0; index < total; index++) {
    const cell = SIDE * Math.floor(index / columns / count) + Math.floor(((index % columns) * SIDE) / columns);
    cells[cell] += plane[index];
    squares[cell] += plane[index] ** 2;
  }
  const add = (a, b) => a + b;
  const mean = cells.reduce(add) / total;
  const coarse = cells.map((one) => one / (total / SIDE ** 2));
  const within = squares.map((one, cell) => Math.sqrt(Math.max(one / (total / SIDE ** 2) - coarse[cell] ** 2, 0)));
  const [red, green, blue] = sums.map((one) => one / total);
  const colour = { red: red - green, blue: blue - green };
  const rest = { ...structure(plane, columns), ...levels(plane), ...colour };
  return { height, width, mean, coarse, quiet: within.sort()[16], ...rest };
}

function likeness(own, mean, unit) {
  const centred = (cells) => cells.map((one) => one - cells.reduce((a, b) => a + b) / cells.length);
  const product = (one, other) => one.reduce((total, value, cell) => total + value * other[cell], 0);
  const [a, b, flat] = [centred(Array.from(own)), centred(mean), SIDE ** 2 * unit ** 2];
  return product(a, b) / Math.sqrt((product(a, a) + flat) * (product(b, b) + flat));
}

export function statistics(found, { black = 0, white }, coarse) {
  const unit = (white - black) / 255;
  const [one, two, four, eight] = found.steps;
  const sum = (chosen) => found.coarse.reduce((total, value, cell) => total + (chosen(cell) ? value : 0), 0);
  const [upper, lower] = [sum((cell) => cell < 32), sum((cell) => cell >= 32)];
  const [left, right] = [sum((cell) => cell % SIDE < 4), sum((cell) => cell % SIDE >= 4)];
  const [span, light] = [found.bright - found.dark + 2 * unit, Math.max(found.mean - black, 0) + 5 * unit];
  const { width, height, dark, bright, darkest, brightest, quiet } = found;
  return {
    width, height, dark, bright, darkest, brightest, quiet,
    brightness: Math.max(found.mean, black),
    middle: (found.middle - dark + unit) / span,
    detail: one,
    blur: (two + 0.05 * unit) / (one + 0.05 * unit),
    coarseness: (eight + 0.05 * unit) / (four + 0.05 * unit),
    grain: (found.grain + 0.05 * unit) / (one + 0.05 * unit),
    direction: (found.across + 0.5 * unit) / (four - found.across + 0.5 * unit),
    upper_lower: (lower - upper) / 32 / span,
    left_right: (right - left) / 32 / span,
    likeness: coarse.length ? likeness(found.coarse, coarse, unit) : 0,
    red: found.red / light,
    blue: found.blue / light,
  };
}
