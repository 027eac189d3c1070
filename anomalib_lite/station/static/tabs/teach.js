// Teach: what is decided becomes golden images, known defects, and thresholds that count them.

import { get, post } from "../lib/api.js";
import { fill, h } from "../lib/dom.js";
import { count, t } from "../lib/words.js";

const LABELS = ["good", "defect", "unsure", "unusable"];
const LOOK = 500; // milliseconds between two looks at work that runs

class Teach {
  constructor(root, page) {
    Object.assign(this, { root, page, written: null, split: "calibrate", accept: "" });
    this.load();
  }

  async load() {
    clearTimeout(this.timer);
    try {
      this.state = await get("/api/teach");
      this.draw();
      if (this.state.job?.state === "running" && this.root.isConnected) this.timer = setTimeout(() => this.load(), LOOK);
    } catch (error) {
      this.page.tell(error);
    }
  }

  update() {
    if (!this.root.contains(document.activeElement) || document.activeElement.tagName !== "INPUT") this.load();
  }

  leave() {
    clearTimeout(this.timer);
  }

  draw() {
    const { counts, job, model } = this.state;
    const reads = this.page.state.readOnly;
    const nothing = !counts.good && !counts.defect;
    const tiles = LABELS.map((label) => h("div", { class: `tile ${label}` }, h("b", {}, count(counts[label])), h("span", {}, t(`teach.${label}`))));
    const split = (name) => h("label", { class: "choice" }, h("input", { type: "radio", name: "split", checked: this.split === name, onchange: () => (this.split = name) }), h("span", {}, t(`teach.split.${name}`)));
    fill(
      this.root,
      h(
        "section",
        { class: "sheet" },
        h("h2", {}, t("teach.title")),
        h("p", { class: "quiet" }, t("teach.about")),
        h("div", { class: "tiles" }, tiles),
        nothing ? h("p", {}, t("teach.nothing")) : null,
        reads || nothing ? null : [
          h("section", { class: "step" }, h("h3", {}, t("teach.thresholds")), h("p", {}, t("teach.thresholds.about")), model ? this.starter(job) : h("p", { class: "quiet" }, t("teach.noModel")), job ? this.told(job) : null),
          h("section", { class: "step" }, h("h3", {}, t("teach.tables")), h("p", {}, t("teach.tables.about")), split("calibrate"), split("train"), h("div", {}, h("button", { type: "button", class: "tables", onclick: () => this.tables() }, t("teach.write"))), this.written ? this.tabled() : null),
        ],
      ),
    );
  }

  starter(job) {
    const refused = job?.state === "failed" && job.error.includes("--accept");
    const accept = refused ? h("label", { class: "tall" }, h("span", { class: "red" }, t("operating.accept")), h("input", { maxlength: 500, value: this.accept, oninput: (event) => (this.accept = event.target.value) })) : null;
    return h("div", { class: "starter" }, accept, h("button", { type: "button", class: "primary start", disabled: job?.state === "running", onclick: () => this.start() }, t("teach.start")));
  }

  told(job) {
    if (job.state === "running") {
      return h("p", { role: "status" }, h("progress", job.of ? { value: job.done, max: job.of } : {}), ` ${t("teach.running")} ${job.label} ${count(job.done)}${job.of ? ` / ${count(job.of)}` : ""}`);
    }
    if (job.state === "failed") return h("p", { class: "red", role: "alert" }, job.error);
    const changes = job.changes.map((one) => h("li", {}, t("teach.change", { count: count(one.count), was: one.was, now: one.is })));
    return h(
      "div",
      { class: "certified taught" },
      h("p", { class: "done" }, `✓ ${t("operating.written", { name: job.model, id: job.id })}`),
      h("p", { class: "bound" }, job.statement[0]),
      changes.length ? [h("p", {}, t("teach.changes")), h("ul", {}, changes)] : h("p", {}, t("teach.same")),
      job.notes.map((note) => h("p", { class: "quiet" }, note)),
    );
  }

  tabled() {
    const { written } = this;
    return h(
      "div",
      { class: "certified written" },
      h("p", { class: "done" }, `✓ ${t("teach.written", { folder: written.folder, good: count(written.good), defects: count(written.defects) })}`),
      written.exclusions.length ? [h("p", {}, t("teach.exclusions")), h("ul", {}, written.exclusions.map((one) => h("li", {}, h("bdi", {}, one.image), " – ", one.because)))] : null,
      written.notes.map((note) => h("p", { class: "quiet" }, note)),
      written.command ? [h("p", {}, t("teach.command")), h("pre", {}, h("code", {}, written.command))] : null,
    );
  }

  async start() {
    const { accept } = this;
    this.accept = ""; // a reason is for the defects that were named before it was given, and for no later run
    try {
      await post("/api/teach/calibrate", { operator: this.page.operator, accept });
      await this.load();
    } catch (error) {
      this.page.tell(error);
    }
  }

  async tables() {
    try {
      this.written = await post("/api/teach/tables", { split: this.split });
      this.draw();
    } catch (error) {
      this.page.tell(error);
    }
  }
}

export default {
  name: "teach",
  keys: [],
  show: (root, page) => new Teach(root, page),
};
