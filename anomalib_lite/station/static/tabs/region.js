// The region of interest: drawn on a photograph of the results, and saved as the mask that image.roi takes.

import { get, post } from "../lib/api.js";
import { fill, h, isTyping } from "../lib/dom.js";
import { Pen } from "../lib/pen.js";
import { Stage } from "../lib/stage.js";
import { count, percent, t } from "../lib/words.js";

const TOOLS = { p: "polygon", b: "brush", m: "move" };
const MOST = 60_000; // letters of a drawing that the station takes
const kept = { number: null, generation: null, tool: "polygon", inspect: true, radius: null, shapes: new Map() }; // drawings by the size that they are for

// What was drawn on these results outlives a reload of the page, in this tab alone.
const STORED = "region";

function stored(generation) {
  try {
    const found = JSON.parse(sessionStorage.getItem(STORED));
    return new Map(found.generation === generation ? found.shapes : []);
  } catch {
    return new Map(); // nothing, or nothing of ours
  }
}

function store(generation) {
  try {
    sessionStorage.setItem(STORED, JSON.stringify({ generation, shapes: [...kept.shapes] }));
  } catch {
    // full, or forbidden: it is there until the page is left
  }
}

export class Region {
  constructor(root, page, number) {
    Object.assign(this, { root, page });
    this.bar = h("div", { class: "bar" });
    this.place = h("div", { class: "canvas", "aria-label": t("region.title") });
    this.below = h("div", { class: "below-canvas" });
    fill(root, this.bar, this.place, this.below);
    this.stage = new Stage(this.place, { swipe: t("swipe") });
    this.pen = new Pen(this.stage);
    this.pen.use({ tool: kept.tool, inspect: kept.inspect });
    this.pen.changed = () => {
      this.saved = null; // what is drawn now is not what was saved
      store(kept.generation);
      this.drawn();
    };
    this.begin(number).catch((error) => this.page.tell(error));
  }

  leave() {
    this.stage.leave();
    this.dialog?.remove();
  }

  // The photograph that is asked for, the last one, or the most ordinary good one.
  async begin(number) {
    const { generation } = this.page.state;
    if (kept.generation === null) kept.shapes = stored(generation);
    if (kept.generation !== generation) kept.number = null;
    let wanted = Number.isInteger(number) ? number : kept.number;
    if (wanted === null) {
      const found = await get("/api/results?verdict=OK&order=score&count=1");
      wanted = found.rows[0]?.number ?? 0;
    }
    await this.open(wanted);
  }

  async open(number) {
    const { generation } = this.page.state;
    const where = `/api/results/${generation}/${number}`;
    this.where = where;
    const row = await get(where);
    if (this.where !== where) return;
    Object.assign(kept, { number, generation });
    this.row = row;
    this.page.go(`data/region/${number}`);
    const { picture } = row;
    this.pen.drawing.style.display = picture.why ? "none" : "";
    if (picture.why) {
      this.pen.size = null;
      this.stage.layer("base", null);
      this.stage.say(`${t(`why.${picture.why}`)} ${picture.said ?? ""}`);
    } else {
      const size = `${picture.width} × ${picture.height}`;
      if (!kept.shapes.has(size)) kept.shapes.set(size, []);
      this.stage.show(`${where}/whole`, picture.width, picture.height, row.image);
      kept.radius ??= Math.min(500, Math.max(2, Math.round(Math.max(picture.width, picture.height) / 40)));
      this.pen.use({ radius: kept.radius });
      this.pen.begin(picture.width, picture.height, kept.shapes.get(size));
    }
    this.drawn();
  }

  step(by) {
    const to = (this.row?.number ?? 0) + by;
    if (to >= 0 && to < this.page.state.rows) this.open(to).catch((error) => this.page.tell(error));
  }

  choose(values) {
    Object.assign(kept, values);
    this.pen.use(values);
    kept.radius = this.pen.radius;
    this.drawn();
    this.place.focus();
  }

  // The bar and what stands below, as they follow from what is drawn.
  drawn() {
    const { pen, row } = this;
    const photograph = row && !row.picture.why;
    this.place.classList.toggle("moves", pen.tool === "move");
    const press = (key, pressed, text, values) =>
      h("button", { type: "button", "aria-pressed": String(pressed), "aria-keyshortcuts": key, title: `${text} (${key})`, onclick: () => this.choose(values) }, text, h("kbd", { "aria-hidden": "true" }, key));
    const plain = (key, text, act, possible, kind) =>
      h("button", { type: "button", class: kind, disabled: !possible, "aria-keyshortcuts": key, onclick: () => { act(); this.place.focus(); } }, text, h("kbd", { "aria-hidden": "true" }, key));
    const size = h("input", { type: "range", min: 1, max: 100, value: 10 * Math.sqrt(pen.radius / 5), "aria-label": t("region.radius"), title: `${t("region.radius")} ([ ])`, disabled: pen.tool !== "brush", oninput: (event) => { pen.use({ radius: 5 * (event.target.value / 10) ** 2 }); kept.radius = pen.radius; } });
    fill(
      this.bar,
      h("span", { class: "tools-of", role: "group", "aria-label": t("region.tools") }, Object.entries(TOOLS).map(([key, tool]) => press(key, pen.tool === tool, t(`region.${tool}`), { tool }))),
      size,
      h("span", { class: "tools-of", role: "group", "aria-label": t("region.meaning") }, press("i", pen.inspect, t("region.inspect"), { inspect: true }), press("x", !pen.inspect, t("region.ignore"), { inspect: false })),
      plain("⏎", t("region.finish"), () => pen.finish(), pen.open.length > 2, "finish"),
      plain("z", t("region.undo"), () => pen.undo(), pen.open.length + pen.shapes.length, "undo"),
      this.page.state.readOnly ? null : plain("s", t("region.save"), () => this.save(), photograph && (pen.shapes.length || pen.open.length > 2), "primary save"),
      h(
        "span",
        { class: "steps" },
        h("button", { type: "button", class: "icon", title: t("key.step"), "aria-label": t("region.previous"), disabled: !row || row.number < 1, onclick: () => this.step(-1) }, "‹"),
        h("button", { type: "button", class: "icon", title: t("key.step"), "aria-label": t("region.next"), disabled: !row || row.number + 1 >= this.page.state.rows, onclick: () => this.step(1) }, "›"),
      ),
    );
    fill(this.below, row ? h("p", { class: "quiet" }, h("bdi", {}, row.image), photograph ? ` – ${count(row.picture.width)} × ${count(row.picture.height)}` : "") : null, h("p", { class: "quiet" }, t(pen.shapes.length || pen.open.length ? "region.meant" : "region.about")), this.saved ? this.told() : null);
  }

  told() {
    const { saved } = this;
    return h(
      "div",
      { class: "certified saved", role: "status" },
      h("p", { class: "done" }, `✓ ${t("region.saved", { name: `${saved.folder}/${saved.name}`, share: percent(saved.share, 1), width: count(saved.width), height: count(saved.height) })}`),
      h("p", {}, t("region.train")),
      h("pre", {}, h("code", {}, saved.command)),
    );
  }

  async save() {
    const { pen } = this;
    if (pen.open.length > 2) pen.finish();
    if (!pen.shapes.length || this.row?.picture.why || this.page.state.readOnly) return;
    if (JSON.stringify(pen.shapes).length > MOST) {
      this.page.say(t("region.much"), true);
      return;
    }
    try {
      const { masks } = await get("/api/data/masks");
      if (masks.length) this.ask(masks);
      else await this.write(0);
    } catch (error) {
      this.page.tell(error);
    }
  }

  // There are masks: nothing of them is overwritten but what is named here.
  ask(masks) {
    const chosen = h("select", { "aria-label": t("region.which") }, masks.map(({ number, name }) => h("option", { value: number, selected: number === this.last }, name)));
    const taken = async (replaces) => {
      this.dialog.close();
      try {
        await this.write(replaces);
      } catch (error) {
        this.page.tell(error);
      }
    };
    this.dialog?.remove();
    this.dialog = h(
      "dialog",
      { class: "asks" },
      h(
        "form",
        { method: "dialog" },
        h("h2", {}, t("region.exists")),
        h("p", {}, t("region.anew.about")),
        h("button", { type: "button", class: "primary anew", autofocus: true, onclick: () => taken(0) }, t("region.anew")),
        h("label", { class: "tall" }, h("span", {}, t("region.which")), chosen),
        h("button", { type: "button", class: "replace", onclick: () => taken(Number(chosen.value)) }, t("region.replace")),
        h("div", { class: "ends" }, h("button", { type: "button", onclick: () => this.dialog.close() }, t("cancel"))),
      ),
    );
    document.body.append(this.dialog);
    this.dialog.showModal();
  }

  async write(replaces) {
    this.saved = await post(`${this.where}/roi`, { shapes: this.pen.shapes, replaces });
    this.last = this.saved.number;
    this.drawn();
  }

  key(event) {
    if (isTyping(event.target) || this.dialog?.open) return;
    const pressed = event.target instanceof HTMLButtonElement && (event.key === " " || event.key === "Enter");
    const { key } = event;
    if (pressed) return;
    if (key in TOOLS) this.choose({ tool: TOOLS[key] });
    else if (key === "i" || key === "x") this.choose({ inspect: key === "i" });
    else if (key === "[" || key === "]") this.choose({ radius: this.pen.radius * (key === "[" ? 0.8 : 1.25) });
    else if (key === "s") this.save();
    else if (key === "j" || key === "k") this.step(key === "j" ? 1 : -1);
    else if (!this.row || this.row.picture.why || !this.pen.key(event)) return;
    event.preventDefault();
  }
}

export const KEYS = [
  ["p / b / m", "key.tool"],
  ["i / x", "key.meaning"],
  ["← ↑ → ↓ ␣", "key.cross"],
  ["⏎", "region.finish"],
  ["Esc", "key.discard"],
  ["z ⌫", "region.undo"],
  ["[ ]", "region.radius"],
  ["s", "region.save"],
  ["+ − 0 1", "key.zoom"],
  ["⇧ ← ↑ → ↓", "key.pan"],
  ["j / k", "key.step"],
];
