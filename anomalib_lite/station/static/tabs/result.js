// One result: its photograph and what lies over it, what is known of it, and the decision on it.

import { get, post } from "../lib/api.js";
import { fill, h } from "../lib/dom.js";
import { Stage } from "../lib/stage.js";
import { count, digits, percent, t, time } from "../lib/words.js";

const LABELS = { g: "good", d: "defect", u: "unsure", x: "unusable" };
const shows = { heat: true, outlines: true, truth: false, compare: false, opacity: 0.8, advances: true };
let pinned = null; // {number, generation, image}: the photograph that others are compared with

export class Result {
  constructor(root, page, list) {
    Object.assign(this, { root, page, list, row: null });
    this.bar = h("div", { class: "bar" });
    this.place = h("div", {});
    this.strip = h("div", { class: "strip" });
    this.facts = h("div", { class: "facts" });
    this.deciding = h("div", { class: "deciding" });
    fill(root, this.bar, this.place, this.strip, this.deciding, this.facts);
    this.stage = new Stage(this.place, { swipe: t("swipe") });
    this.stage.shown = () => this.seen(this.drawing);
    this.stage.changed = (scale) => this.scale && (this.scale.textContent = percent(scale, 0));
    this.clear();
  }

  get advances() {
    return shows.advances;
  }

  leave() {
    this.wanted = null; // what is being written takes nobody back here
    this.stage.leave();
  }

  // Whether the result that was asked for is the one on the screen, with its photograph, and nothing is being written.
  get ready() {
    return !this.busy && this.wanted === this.where && this.onScreen === this.where;
  }

  seen(where) {
    this.onScreen = where;
    this.mark();
  }

  mark() {
    this.deciding.setAttribute("aria-busy", String(!this.ready));
  }

  clear() {
    Object.assign(this, { row: null, number: null, wanted: null, where: null, onScreen: null });
    fill(this.bar);
    fill(this.strip);
    fill(this.facts);
    fill(this.deciding);
    this.stage.say(t("result.none"));
  }

  async open(number, generation) {
    this.abort?.abort();
    this.abort = new AbortController();
    const where = `/api/results/${generation}/${number}`;
    Object.assign(this, { wanted: where, onScreen: null, last: null }); // until it is drawn, the old one is shown: no key decides
    if (where !== this.where && this.note) this.note.value = ""; // it was of the other one
    this.mark();
    try {
      const row = await get(where, this.abort.signal);
      Object.assign(this, { row, where, number, generation, maps: null, choosing: false, sent: null });
      this.draw();
      this.mark();
    } catch (error) {
      if (error.name === "AbortError") return;
      this.clear();
      this.page.tell(error);
    }
  }

  // The same result anew, as after a decision on it.
  async again() {
    if (!this.row) return;
    const { where, sent } = this;
    const row = await get(where);
    if (this.where !== where) return;
    const same = sent === this.drawnWith && JSON.stringify(row) === JSON.stringify(this.row);
    this.row = row;
    if (same) return; // whoever writes a note goes on writing
    this.drawFacts();
    this.drawDeciding();
  }

  update() {
    if (this.row && !this.choosing && !this.busy) this.again().catch(this.page.tell);
  }

  draw() {
    this.drawBar();
    this.drawStage();
    this.drawStrip();
    this.drawFacts();
    this.drawDeciding();
  }

  toggle(name, key, possible, why) {
    const press = () => this.turn(name);
    const title = possible ? `${t(`show.${name}`)} (${key})` : why;
    return h("button", { type: "button", "aria-pressed": String(shows[name] && possible), disabled: !possible, title, onclick: press }, t(`show.${name}`));
  }

  turn(name) {
    shows[name] = !shows[name];
    this.drawBar();
    this.drawStage();
  }

  drawBar() {
    const { row, page } = this;
    const photograph = !row.picture.why;
    const noHeat = row.maps ? t(`why.${row.maps}`) : "";
    this.scale = h("output", { class: "scale" });
    const opacity = h("input", {
      type: "range",
      min: 0,
      max: 1,
      step: 0.05,
      value: shows.opacity,
      disabled: Boolean(row.maps) || !shows.heat,
      "aria-label": t("opacity"),
      oninput: (event) => {
        shows.opacity = Number(event.target.value);
        this.stage.opacity("heat", shows.opacity);
      },
    });
    const zoom = (text, label, press) => h("button", { type: "button", class: "icon", title: label, "aria-label": label, disabled: !photograph, onclick: press }, text);
    fill(
      this.bar,
      h("button", { type: "button", class: "back", onclick: () => this.list.back() }, `‹ ${t("back")}`),
      this.toggle("heat", "h", photograph && !row.maps, noHeat),
      opacity,
      this.toggle("outlines", "o", photograph && row.regions.length > 0, t("no.outlines")),
      this.toggle("truth", "t", photograph && row.truth, t("no.truth")),
      this.toggle("compare", "c", photograph, ""),
      h("button", { type: "button", title: `${t("key.pin")} (p)`, disabled: !photograph, "aria-pressed": String(pinned?.number === row.number), onclick: () => this.pin() }, t("show.pin")),
      h(
        "span",
        { class: "zoom", role: "group", "aria-label": t("key.zoom") },
        zoom("−", t("zoom.out"), () => this.stage.zoom(this.stage.view.scale / 1.25)),
        this.scale,
        zoom("+", t("zoom.in"), () => this.stage.zoom(this.stage.view.scale * 1.25)),
        zoom("⤢", t("zoom.fit"), () => this.stage.fit()),
        zoom("1:1", t("zoom.one"), () => this.stage.zoom(1)),
      ),
    );
    this.compares = page.state.model?.compares && !row.maps;
  }

  pin() {
    const { row } = this;
    pinned = pinned?.number === row.number ? null : { number: row.number, generation: this.generation, image: row.image };
    this.page.say(pinned ? t("pinned", { image: pinned.image }) : t("unpinned"));
    this.drawBar();
    this.drawStage();
  }

  drawStage() {
    const { row, stage, where } = this;
    const { picture } = row;
    if (picture.why) {
      for (const name of ["base", "over", "heat", "truth"]) stage.layer(name, null);
      stage.outline([], false);
      stage.say(`${t(`why.${picture.why}`)} ${picture.said ?? ""}`);
      this.seen(where);
      return;
    }
    stage.opacity("heat", shows.opacity);
    if (shows.compare && this.compares) {
      this.drawCompared().catch((error) => {
        this.page.tell(error);
        if (this.where !== where) return;
        stage.layer("over", null);
        this.drawPlain(); // not the photograph of another one
      });
      return;
    }
    this.drawPlain();
    if (!shows.compare) stage.layer("over", null);
    else this.drawOther().catch((error) => this.page.tell(error));
  }

  drawPlain() {
    const { row, stage, where } = this;
    this.drawing = where;
    stage.show(`${where}/whole`, row.picture.width, row.picture.height, row.image);
    stage.layer("heat", shows.heat && !row.maps ? `${where}/heat` : null);
    stage.layer("truth", shows.truth && row.truth ? `${where}/truth` : null, t("show.truth"));
    stage.outline(row.regions, shows.outlines);
  }

  // Golden and aligned image of a model that compares, in the frame of the golden one.
  async drawCompared() {
    const { stage, where } = this;
    this.maps ??= await get(`${where}/maps`);
    if (this.where !== where) return;
    const { frame, placed } = this.maps;
    if (!frame) throw new Error(t("why.none"));
    this.drawing = where;
    stage.show(`${where}/aligned`, ...frame, t("aligned"));
    stage.layer("over", `${where}/golden`, t("golden"));
    stage.layer("heat", shows.heat ? `${where}/difference` : null);
    stage.layer("truth", null);
    stage.outline(placed, shows.outlines);
  }

  // The photograph that was pinned, or the most ordinary good one of the results.
  async drawOther() {
    const { stage, where } = this;
    if (pinned?.generation !== this.generation) pinned = null;
    let other = pinned;
    if (!other) {
      const [first] = (await get("/api/results?verdict=OK&order=score&count=1")).rows;
      if (!first) throw new Error(t("no.ok"));
      other = { number: first.number, image: first.image };
    }
    if (this.where !== where || !shows.compare) return;
    stage.layer("over", `/api/results/${this.generation}/${other.number}/whole`, t("compared", { image: other.image }));
    this.page.say(t("compared", { image: other.image }));
  }

  drawStrip() {
    const { row } = this;
    fill(
      this.strip,
      row.photographs.map((one) =>
        h(
          "button",
          { type: "button", "aria-current": one.number === row.number ? "true" : false, title: one.image, onclick: () => this.list.goto(one.number).catch(this.page.tell) },
          h("img", { alt: one.image, src: `/api/results/${this.generation}/${one.number}/thumb`, loading: "lazy" }),
          h("span", { class: `verdict ${one.verdict}` }, one.verdict),
        ),
      ),
    );
    this.strip.hidden = !row.photographs.length;
  }

  drawFacts() {
    const { row } = this;
    const entries = [
      ["score", digits(row.score)],
      ["thresholds", `${digits(row.review_threshold)} / ${digits(row.reject_threshold)}`],
      ["p_value", row.p_value === null ? null : digits(row.p_value)],
      ["truth", row.kind],
      ["part", row.part],
      ["lot", row.lot],
      ["time", time(row.when)],
      ["model", row.model],
      ["error", row.error],
      ["note", row.note],
      ["seen", row.seen === null ? null : percent(row.seen)],
      ["pixels", row.picture.why ? null : `${count(row.picture.width)} × ${count(row.picture.height)}, ${row.picture.dtype}; ${t("levels", { black: digits(row.picture.black), white: digits(row.picture.white) })}`],
      ["sha256", row.sha256 ? `${row.sha256.slice(0, 16)}…` : null],
    ];
    fill(
      this.facts,
      h("h2", {}, h("span", { class: `verdict ${row.verdict}` }, row.verdict), " ", h("bdi", {}, row.image)),
      scoreLine(row),
      h("dl", {}, entries.filter(([, value]) => value).map(([name, value]) => h("div", {}, h("dt", {}, t(`fact.${name}`)), h("dd", {}, h("bdi", {}, value))))),
      row.history.length ? h("section", { class: "history" }, h("h3", {}, t("history")), h("ol", { reversed: true }, row.history.toReversed().map((line) => this.said(line)))) : null,
    );
  }

  said(line) {
    const what = line.undoes ? t("undid", { line: line.undoes }) : `${t(`label.${line.label}`)}${line.kind && line.kind !== "defect" ? `: ${line.kind}` : ""}`;
    return h("li", { value: line.line }, h("b", {}, what), ` – ${line.operator}, ${time(line.time)}`, line.note ? h("q", {}, line.note) : null);
  }

  drawDeciding() {
    const { row, page } = this;
    if (page.state.readOnly) return fill(this.deciding);
    const now = row.decision;
    const closed = Boolean(page.state.problem);
    const button = ([key, label]) =>
      h(
        "button",
        { type: "button", class: `decide ${label}`, disabled: closed, "aria-pressed": String(now?.label === label), "aria-keyshortcuts": key, onclick: () => this.press(label) },
        h("span", {}, t(`label.${label}`)),
        h("kbd", { "aria-hidden": "true" }, key),
      );
    const noted = this.note?.value ?? "";
    const writing = document.activeElement === this.note ? this.note.selectionStart : null;
    this.drawnWith = this.sent;
    this.note = h("input", { class: "note", value: noted, maxlength: 2000, placeholder: t("note"), "aria-label": t("note"), disabled: closed, onkeydown: (event) => this.noting(event) });
    fill(
      this.deciding,
      h("div", { class: "buttons", role: "group", "aria-label": t("decide") }, Object.entries(LABELS).map(button)),
      this.choosing ? this.kinds() : null,
      h(
        "div",
        { class: "beside" },
        this.note,
        h("button", { type: "button", disabled: closed || !(now || this.last), "aria-keyshortcuts": "z", onclick: () => this.undo() }, t("undo"), h("kbd", { "aria-hidden": "true" }, "z")),
        h("label", {}, h("input", { type: "checkbox", checked: shows.advances, onchange: (event) => (shows.advances = event.target.checked) }), h("span", {}, t("advance"))),
        h("output", { class: `confirmed ${this.sent?.waiting ? "waiting" : now ? "tick" : ""}` }, this.confirmed(now)),
      ),
    );
    if (writing !== null) {
      this.note.focus();
      this.note.setSelectionRange(writing, writing);
    }
    return undefined;
  }

  confirmed(now) {
    if (this.sent?.waiting) return t("writing");
    return now ? t("confirmed", { label: this.named(now), line: count(now.line) }) : t("undecided");
  }

  named({ label, kind }) {
    return label === "defect" && kind && kind !== "defect" ? `${t("label.defect")} (${kind})` : t(`label.${label}`);
  }

  noting(event) {
    if (event.key !== "Enter") return;
    event.preventDefault();
    event.target.blur();
    this.page.say(t("note.kept"));
  }

  // The kinds of defects that are known, each with a number, and a field for another one.
  kinds() {
    const known = [...new Set([...this.page.state.kinds.map((one) => one.value).filter((kind) => kind !== "good"), ...(this.used ?? [])])].slice(0, 9);
    this.known = known;
    const other = h("input", {
      class: "kind",
      maxlength: 100,
      placeholder: t("kind.other"),
      "aria-label": t("kind.other"),
      onkeydown: (event) => {
        if (event.repeat && /^(Enter|[1-9])$/.test(event.key)) return; // held: it decides once
        if (event.key === "Enter") this.send("defect", event.target.value.trim());
        else if (event.key === "Escape") this.press("defect");
        else if (/^[1-9]$/.test(event.key) && !event.target.value && known[event.key - 1]) this.send("defect", known[event.key - 1]);
        else return;
        event.preventDefault();
        event.stopPropagation();
      },
    });
    queueMicrotask(() => other.focus());
    return h(
      "div",
      { class: "kinds", role: "group", "aria-label": t("kind.which") },
      known.map((kind, place) => h("button", { type: "button", onclick: () => this.send("defect", kind) }, kind, h("kbd", { "aria-hidden": "true" }, place + 1))),
      other,
      h("button", { type: "button", onclick: () => this.send("defect", other.value.trim()) }, t("kind.take")),
    );
  }

  press(label) {
    if (!this.ready) return undefined;
    if (label !== "defect") return this.send(label, "");
    this.choosing = !this.choosing;
    if (!this.choosing) document.activeElement?.blur();
    return this.drawDeciding();
  }

  async send(label, kind) {
    const { number } = this;
    const body = { operator: this.page.operator, label, kind, note: this.note?.value ?? "" };
    const line = await this.write(`${this.where}/decision`, body, t(`label.${label}`), () => this.list.decided());
    if (line !== null) {
      this.last = { line, number };
      this.redraw();
    }
    if (kind) this.used = [kind, ...(this.used ?? []).filter((one) => one !== kind)].slice(0, 9);
  }

  // Takes back the line that was just written, also where the next result has come since; else what is said of this one.
  async undo() {
    const now = this.row?.decision;
    const taken = this.last ?? (now && { line: now.line, number: this.number });
    if (!taken) return;
    await this.write("/api/undo", { operator: this.page.operator, line: taken.line }, t("undo"), () => {
      this.last = null;
      return this.list.undone(taken.number);
    });
  }

  // A tick is drawn where the station has answered: then the line is on its disk. The line; null where whoever decided
  // has gone elsewhere meanwhile, or nothing is written.
  async write(address, body, what, then) {
    if (!this.ready) return null;
    const { where } = this;
    let line = null;
    this.busy = true;
    this.sent = { waiting: true };
    this.choosing = false;
    if (this.note) this.note.value = "";
    this.redraw();
    try {
      ({ line } = await post(address, body));
      this.page.say(t("written", { what, line: count(line) }));
      this.sent = { waiting: false };
      if (this.wanted !== where) return null;
      await then();
      return line;
    } catch (error) {
      if (line === null && this.note && this.wanted === where) this.note.value ||= body.note ?? "";
      if (error.status) this.last = null; // it cannot be taken back, as where somebody else decided since
      this.page.tell(error);
      return null;
    } finally {
      this.busy = false;
      this.sent = null;
      this.redraw();
    }
  }

  redraw() {
    if (this.row) this.drawDeciding();
    this.mark();
  }

  key(event) {
    const { key } = event;
    const writes = !this.page.state.readOnly && !this.page.state.problem;
    if (event.repeat && (key in LABELS || key === "z" || this.choosing)) return true; // held: it decides once
    if (!this.row && !(writes && key === "z" && this.last)) return false;
    if (writes && key in LABELS) this.press(LABELS[key]);
    else if (writes && key === "z") this.undo();
    else if (writes && key === "n") this.note.focus();
    else if (this.choosing && key === "Escape") this.press("defect");
    else if (this.choosing && this.known[key - 1]) this.send("defect", this.known[key - 1]);
    else if (key === "h") this.turn("heat");
    else if (key === "o") this.turn("outlines");
    else if (key === "t") this.turn("truth");
    else if (key === "c") this.turn("compare");
    else if (key === "p") this.pin();
    else return this.stage.key(event);
    return true;
  }
}

// Where the score lies among the thresholds.
function scoreLine(row) {
  const values = [row.score, row.review_threshold, row.reject_threshold];
  if (values.includes(null)) return null;
  const low = Math.min(0, ...values);
  const span = Math.max(...values) * 1.15 - low || 1;
  const at = (value) => `${(100 * (value - low)) / span}%`;
  return h(
    "div",
    { class: "score", "aria-hidden": "true" },
    h("i", { class: "band ok", style: { left: "0%", right: `calc(100% - ${at(row.review_threshold)})` } }),
    h("i", { class: "band review", style: { left: at(row.review_threshold), right: `calc(100% - ${at(row.reject_threshold)})` } }),
    h("i", { class: "band ng", style: { left: at(row.reject_threshold), right: "0%" } }),
    h("i", { class: "here", style: { left: at(row.score) } }),
  );
}
