// What the results are of: kinds, parts, the highest good ones, and copies among their photographs.

import { get, post } from "../lib/api.js";
import { fill, h } from "../lib/dom.js";
import { count, digits, t } from "../lib/words.js";

const LOOK = 500; // milliseconds between two looks at work that runs
const VERDICTS = ["OK", "REVIEW", "NG", "ERROR"];
const SAID = ["good", "unsure", "unusable"]; // kinds that the page has a word for

export class Contents {
  constructor(root, page) {
    Object.assign(this, { root, page });
    this.load();
  }

  async load() {
    clearTimeout(this.timer);
    try {
      this.told = await get("/api/data");
      if (!this.root.isConnected) return;
      this.draw();
      if (this.told.job?.state === "running") this.timer = setTimeout(() => this.load(), LOOK);
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
    fill(this.root, h("section", { class: "sheet" }, h("h2", {}, t("contents.kinds")), this.kinds(), h("h2", {}, t("contents.highest")), this.highest(), h("h2", {}, t("contents.photographs")), this.photographs(), h("h2", {}, t("scale.title")), this.scale(), this.told.parts.of ? [h("h2", {}, t("contents.parts")), this.parts()] : null));
  }

  word(kind) {
    return SAID.includes(kind) ? t(`label.${kind}`) : kind || t("group.open");
  }

  table(heads, rows) {
    return h("div", { class: "scroll" }, h("table", { class: "counts" }, h("thead", {}, h("tr", {}, heads.map((head) => h("th", { scope: "col" }, head)))), h("tbody", {}, rows)));
  }

  cells(verdicts) {
    return VERDICTS.map((verdict) => h("td", { class: verdicts[verdict] ? "" : "quiet" }, count(verdicts[verdict])));
  }

  kinds() {
    const { kinds, parts } = this.told;
    if (!kinds.length) return h("p", { class: "quiet" }, t("found.nothing"));
    const rows = kinds.map((one) => h("tr", {}, h("th", { scope: "row" }, h("bdi", {}, this.word(one.kind))), h("td", {}, count(one.images)), parts.of ? h("td", {}, count(one.parts)) : null, this.cells(one.verdicts)));
    return this.table([t("contents.kind"), t("protocol.images"), ...(parts.of ? [t("protocol.parts")] : []), ...VERDICTS], rows);
  }

  parts() {
    const { of, usual, others, listed } = this.told.parts;
    const rows = listed.map((one) =>
      h("tr", {}, h("th", { scope: "row" }, h("button", { type: "button", class: "link", onclick: () => this.page.open("inspect", one.number) }, h("bdi", {}, one.part))), h("td", { class: one.images === usual ? "" : "bad" }, count(one.images)), h("td", {}, h("bdi", {}, one.kinds.map(([kind, number]) => `${this.word(kind)} ${count(number)}`).join(", "))), this.cells(one.verdicts)));
    return [
      h("p", { class: others ? "" : "quiet" }, t("contents.usual", { of: count(of), usual: count(usual), others: count(others) })),
      this.table([t("fact.part"), t("protocol.images"), t("contents.kinds"), ...VERDICTS], rows),
      of > listed.length ? h("p", { class: "quiet" }, t("contents.listed", { count: count(listed.length), of: count(of) })) : null,
    ];
  }

  picture(number, text) {
    const { generation } = this.page.state;
    return h("button", { type: "button", class: "found-picture", title: text, onclick: () => this.page.open("inspect", number) }, h("img", { alt: text || t("show.photograph", { number: count(number + 1) }), src: `/api/results/${generation}/${number}/thumb`, loading: "lazy", onerror: (event) => event.target.classList.add("gone") }));
  }

  highest() {
    const { highest } = this.told;
    if (!highest.length) return h("p", { class: "quiet" }, t("contents.noGood"));
    return [
      h("p", { class: "quiet" }, t("contents.highest.about")),
      h("div", { class: "pictures highest" }, highest.map((one) => h("figure", {}, this.picture(one.number, one.image), h("figcaption", {}, h("span", { class: `verdict ${one.verdict}` }, one.verdict), ` ${digits(one.score)}`)))),
    ];
  }

  photographs() {
    const { job } = this.told;
    const running = job?.state === "running";
    return [
      h("p", { class: "quiet" }, t("contents.photographs.about")),
      this.page.state.readOnly ? null : h("div", {}, h("button", { type: "button", class: "primary look", disabled: running, onclick: () => this.look() }, t("contents.look"))),
      running ? h("p", { role: "status" }, h("progress", job.of ? { value: job.done, max: job.of } : {}), ` ${t("teach.running")} ${count(job.done)}${job.of ? ` / ${count(job.of)}` : ""}`) : null,
      job?.state === "failed" ? h("p", { class: "red", role: "alert" }, job.error) : null,
      job?.state === "done" && job.generation === this.page.state.generation ? this.looked(job) : null,
    ];
  }

  looked(job) {
    const smaller = job.smaller === null ? h("p", { class: "quiet" }, t("contents.noModel")) : job.smaller.length ? job.smaller.map((sentence) => h("p", {}, sentence)) : h("p", {}, t("contents.noSmaller"));
    return h(
      "div",
      { class: "certified looked" },
      h("p", {}, t("contents.read", { count: count(job.photographs) }), job.lost ? ` ${t("contents.lost", { count: count(job.lost) })}` : ""),
      smaller,
      job.of ? h("p", { class: "bound" }, t("contents.copies", { count: count(job.of) })) : h("p", {}, t("contents.noCopies")),
      job.sets.map((one) => h("div", { class: "pictures copies" }, one.numbers.map((number) => this.picture(number, "")), one.of > one.numbers.length ? h("span", { class: "quiet" }, `+ ${count(one.of - one.numbers.length)}`) : null)),
      job.of > job.sets.length ? h("p", { class: "quiet" }, t("contents.listed", { count: count(job.sets.length), of: count(job.of) })) : null,
    );
  }

  // Millimetres for each pixel and the smallest defect, as settings of a training or by a model beside this one.
  scale() {
    const { scale } = this.told;
    this.set ??= { mm: scale.mm ? String(scale.mm) : "", area: scale.mm && scale.area ? String(scale.area) : "", because: "" };
    const pixels = h("p", { role: "status" });
    const command = h("code", {});
    const write = h("button", { type: "button", class: "primary write", onclick: () => this.write() }, t("scale.write"));
    const told = () => {
      const [mm, area] = [Number(this.set.mm), Number(this.set.area || 0)];
      const sound = mm > 0 && mm < Infinity && area >= 0 && area < Infinity;
      pixels.textContent = sound ? t("scale.pixels", { pixels: digits(area / mm ** 2) }) : t("scale.wanted");
      command.textContent = `${scale.command} --set regions.mm_per_pixel=${sound ? mm : "MM"} --set regions.min_area_mm2=${sound ? area : "MM2"}`;
      write.disabled = !sound || !this.set.because.trim();
    };
    const field = (name, more) => h("label", { class: "tall" }, h("span", {}, t(`scale.${name}`)), h("input", { value: this.set[name], class: name, autocomplete: "off", ...more, oninput: (event) => { this.set[name] = name === "because" ? event.target.value : event.target.value.replace(",", ".").trim(); told(); } }));
    const number = { inputmode: "decimal", maxlength: 20 };
    const form = h(
      "div",
      { class: "step scale-of" },
      h("p", {}, t("scale.about")),
      h("div", { class: "fields" }, field("mm", number), field("area", number)),
      pixels,
      scale.model && !this.page.state.readOnly ? [field("because", { maxlength: 500 }), h("div", {}, write)] : null,
      this.wrote ? h("p", { class: "done" }, `✓ ${t("operating.written", this.wrote)}`) : null,
      h("p", {}, t("scale.train")),
      h("pre", {}, command),
    );
    told();
    return form;
  }

  async write() {
    const { mm, area, because } = this.set;
    try {
      this.wrote = await post("/api/data/scale", { operator: this.page.operator, mm, area: area || "0", because });
      await this.load();
    } catch (error) {
      this.page.tell(error);
    }
  }

  async look() {
    try {
      await post("/api/data/look", {});
      await this.load();
    } catch (error) {
      this.page.tell(error);
    }
  }
}
