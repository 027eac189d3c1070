// Inspect: the list with its filters on one side, one result on the other.

import { get, query } from "../lib/api.js";
import { fill, h, isTyping } from "../lib/dom.js";
import { Scroller } from "../lib/scroller.js";
import { count, digits, t, time } from "../lib/words.js";
import { Result } from "./result.js";

const ORDERS = ["row", "-row", "-score", "score", "-time", "time", "image", "part"];
const DECIDED = ["any", "no", "yes", "good", "defect", "unsure", "unusable"];
const LIST = 58; // pixels of a line
const GRID = [148, 176]; // of a cell

const kept = { filter: { order: "row", decided: "any" }, grid: false };

const badge = (verdict) => h("span", { class: `verdict ${verdict}` }, verdict);

export function address(row, generation, which) {
  return `/api/results/${generation}/${row.number}/${which}`;
}

function decisionOf(row) {
  if (!row.decision) return null;
  const { label, kind } = row.decision;
  const text = label === "defect" && kind && kind !== "defect" ? kind : t(`label.${label}`);
  return h("span", { class: `decided ${label}` }, h("span", { "aria-hidden": "true" }, "✓ "), text);
}

const last = (name) => name.split(/[\\/]/).at(-1);

class Inspect {
  constructor(root, page) {
    Object.assign(this, { root, page, filter: { ...kept.filter }, grid: kept.grid });
    this.filters = h("form", { class: "filters", onsubmit: (event) => event.preventDefault() });
    this.list = h("div", {});
    this.total = h("p", { class: "total", role: "status" });
    this.found = h("section", { class: "found", "aria-label": t("list") }, this.total, this.list);
    this.one = h("section", { class: "one", "aria-label": t("result") });
    fill(root, this.filters, h("div", { class: "panes" }, this.found, this.one));
    this.scroller = new Scroller(this.list, {
      label: t("list"),
      load: (start, number, signal) => this.load(start, number, signal),
      draw: (node, row) => this.draw(node, row),
      open: (row, index) => this.open(row, index),
    });
    this.result = new Result(this.one, page, {
      back: () => this.back(),
      step: (by) => this.step(by),
      goto: (number) => this.goto(number),
      decided: () => this.decided(),
      undone: (number) => this.undone(number),
    });
    this.drawFilters();
    this.arrange();
    this.start().catch(page.tell);
  }

  async start() {
    await this.scroller.reset();
    const number = Number(location.hash.split("/")[1]);
    if (Number.isInteger(number) && location.hash.includes("/")) await this.goto(number);
    else if (matchMedia("(min-width: 900px)").matches) await this.select(0);
  }

  async load(start, number, signal) {
    const told = await get(`/api/results?${query({ ...this.filter, start, count: number })}`, signal);
    this.generation = told.generation;
    this.total.textContent = t("found", { count: count(told.total), all: count(this.page.state.rows) });
    this.root.classList.toggle("empty", told.total === 0);
    if (!told.total) this.total.textContent = this.page.state.rows ? t("found.none") : t("found.nothing");
    return told;
  }

  draw(node, row) {
    if (!row) return fill(node, h("span", { class: "waiting", "aria-label": t("waiting") }));
    const name = h("bdi", { class: "name" }, last(row.image));
    const facts = [row.kind && t("truth.is", { kind: row.kind }), row.part && t("part.is", { part: row.part }), time(row.when)];
    const picture = h("img", { alt: "", "data-src": address(row, this.generation, "thumb"), width: 44, height: 44 });
    picture.addEventListener("error", () => picture.classList.add("gone"));
    if (this.grid) {
      return fill(node, h("div", { class: "thumb" }, picture), h("div", { class: "marks" }, badge(row.verdict), decisionOf(row)), name);
    }
    const line = h("div", { class: "line" }, badge(row.verdict), name, decisionOf(row));
    const below = h("div", { class: "below" }, h("span", { class: "number" }, digits(row.score)), facts.filter(Boolean).map((fact) => h("span", {}, fact)));
    return fill(node, picture, h("div", { class: "text" }, line, below));
  }

  arrange() {
    this.root.classList.toggle("grid", this.grid);
    this.scroller.shape(...(this.grid ? GRID : [0, LIST]));
    kept.grid = this.grid;
  }

  set(changes) {
    Object.assign(this.filter, changes);
    kept.filter = { ...this.filter };
    this.drawFilters();
    this.scroller
      .reset()
      .then(() => this.select(0))
      .catch(this.page.tell);
  }

  drawFilters() {
    const { state } = this.page;
    const { filter } = this;
    const focused = document.activeElement?.name;
    const chosen = new Set((filter.verdict ?? "").split(",").filter(Boolean));
    const chips = Object.entries(state.verdicts).map(([verdict, number]) =>
      h(
        "button",
        {
          type: "button",
          class: `chip ${verdict}`,
          "aria-pressed": String(chosen.has(verdict)),
          onclick: () => {
            chosen[chosen.has(verdict) ? "delete" : "add"](verdict);
            this.set({ verdict: [...chosen].join(",") });
          },
        },
        verdict,
        h("span", { class: "count" }, count(number)),
      ),
    );
    const select = (name, options) =>
      h("label", {}, h("span", {}, t(`filter.${name}`)), h("select", { name, onchange: (event) => this.set({ [name]: event.target.value }) }, options));
    const option = (name, value, text) => h("option", { value, selected: (filter[name] ?? "") === value }, text);
    const listed = (name, found) => [option(name, "", t("filter.all")), ...found.map((one) => option(name, one.value, `${one.shown} (${count(one.count)})`))];
    const number = (name) =>
      h("input", { name, type: "number", step: "any", value: filter[name] ?? "", "aria-label": t(`filter.${name}`), onchange: (event) => this.set({ [name]: event.target.value }) });
    const when = (name) =>
      h("input", {
        name,
        type: "datetime-local",
        value: filter[name] ? local(Number(filter[name])) : "",
        "aria-label": t(`filter.${name}`),
        onchange: (event) => this.set({ [name]: event.target.value ? String(new Date(event.target.value).getTime() / 1000) : "" }),
      });
    const more = ["low", "high", "since", "until", "lot"].some((name) => filter[name]);
    const open = this.filters.querySelector("details")?.open;
    fill(
      this.filters,
      h("div", { class: "chips", role: "group", "aria-label": t("filter.verdict") }, chips),
      h("input", { name: "text", type: "search", value: filter.text ?? "", placeholder: t("filter.text"), "aria-label": t("filter.text"), maxlength: 300, onchange: (event) => this.set({ text: event.target.value }) }),
      select("decided", DECIDED.map((one) => option("decided", one, t(`decided.${one}`)))),
      select("order", ORDERS.map((one) => option("order", one, t(`order.${one}`)))),
      state.kinds.length ? select("kind", listed("kind", state.kinds)) : null,
      h(
        "details",
        { open: more || open, class: "more" },
        h("summary", {}, t("filter.more")),
        h(
          "div",
          {},
          h("fieldset", {}, h("legend", {}, t("filter.score")), number("low"), "–", number("high")),
          h("fieldset", {}, h("legend", {}, t("filter.time")), when("since"), "–", when("until")),
          state.lots.length > 1 ? select("lot", listed("lot", state.lots)) : null,
        ),
      ),
      h(
        "div",
        { class: "shape", role: "group", "aria-label": t("shape") },
        [false, true].map((grid) =>
          h("button", { type: "button", "aria-pressed": String(this.grid === grid), onclick: () => this.reshape(grid) }, t(grid ? "shape.grid" : "shape.list")),
        ),
      ),
    );
    if (focused) this.filters.querySelector(`[name="${CSS.escape(focused)}"]`)?.focus();
  }

  reshape(grid) {
    this.grid = grid;
    this.arrange();
    this.drawFilters();
  }

  async select(index) {
    const row = await this.scroller.wanted(index);
    if (row) this.open(row, index);
    else if (index === 0) this.result.clear();
  }

  open(row, index) {
    this.scroller.choose(index);
    this.root.classList.add("opened");
    this.page.go(`inspect/${row.number}`);
    return this.result.open(row.number, this.generation);
  }

  back() {
    this.root.classList.remove("opened");
    this.page.go("inspect");
    this.list.focus();
  }

  step(by) {
    return this.select(Math.min(Math.max(this.scroller.chosen + by, 0), this.scroller.total - 1)).catch(this.page.tell);
  }

  // A result by its number, in the list where it is there.
  async goto(number) {
    const generation = this.generation ?? this.page.state.generation;
    const { place } = await get(`/api/results/${generation}/${number}/place?${query(this.filter)}`);
    this.root.classList.add("opened");
    if (place !== null) this.scroller.choose(place);
    this.page.go(`inspect/${number}`);
    await this.result.open(number, generation);
  }

  // A decision is on disk: the list shows it, and the next result comes.
  async decided() {
    const { scroller } = this;
    const [index, before] = [scroller.chosen, scroller.total];
    await scroller.reset({ keep: true });
    const left = scroller.total < before; // the list does not show what is decided like that
    const next = left ? Math.min(index, scroller.total - 1) : index + 1;
    if (!scroller.total) this.result.clear();
    else if (left || (this.result.advances && next < scroller.total)) await this.select(next);
    else await this.result.again();
    await this.page.look();
  }

  // A decision was taken back: the result is shown again.
  async undone(number) {
    await this.scroller.reset({ keep: true });
    if (number === this.result.number) await this.result.again();
    else await this.goto(number);
    await this.page.look();
  }

  update() {
    if (!this.filters.contains(document.activeElement)) this.drawFilters(); // nobody's choice is taken away
    const { scroller } = this;
    scroller.reset({ keep: true }).catch(this.page.tell);
    this.result.update();
  }

  key(event) {
    if (isTyping(event.target)) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const columns = this.scroller.columns;
    const steps = { j: 1, k: -1, ArrowDown: columns, ArrowUp: -columns, PageDown: 10 * columns, PageUp: -10 * columns };
    if (this.grid) Object.assign(steps, { ArrowRight: 1, ArrowLeft: -1 });
    if (this.result.key(event)) event.preventDefault();
    else if (event.key in steps && !event.shiftKey) {
      event.preventDefault();
      this.step(steps[event.key]);
    } else if (event.key === "Home" || event.key === "End") {
      event.preventDefault();
      this.select(event.key === "Home" ? 0 : this.scroller.total - 1).catch(this.page.tell);
    } else if (event.key === "/") {
      event.preventDefault();
      this.filters.elements.text.focus();
    } else if (event.key === "v") this.reshape(!this.grid);
    else if (event.key === "Escape" && this.root.classList.contains("opened")) this.back();
  }

  leave() {
    this.scroller.leave();
    this.result.leave();
  }
}

function local(seconds) {
  const date = new Date(seconds * 1000);
  return new Date(date - date.getTimezoneOffset() * 60000).toISOString().slice(0, 16);
}

export default {
  name: "inspect",
  keys: [
    ["j ↓ / k ↑", "key.step"],
    ["g", "label.good"],
    ["d", "key.defect"],
    ["u", "label.unsure"],
    ["x", "label.unusable"],
    ["z", "key.undo"],
    ["n", "key.note"],
    ["h", "key.heat"],
    ["o", "key.outlines"],
    ["t", "key.truth"],
    ["c", "key.compare"],
    ["p", "key.pin"],
    ["+ − 0 1", "key.zoom"],
    ["⇧ ← ↑ → ↓", "key.pan"],
    ["/", "key.search"],
    ["v", "key.shape"],
    ["?", "help"],
  ],
  show: (root, page) => new Inspect(root, page),
};
