// Protocol: a page of a lot or of all results, to be printed, as PDF too, and signed.

import { get, query } from "../lib/api.js";
import { fill, h } from "../lib/dom.js";
import { count, t, time } from "../lib/words.js";

let lot = "";

class Protocol {
  constructor(root, page) {
    Object.assign(this, { root, page });
    this.load();
  }

  async load() {
    try {
      this.told = await get(`/api/protocol?${query({ lot })}`);
      this.draw();
    } catch (error) {
      this.page.tell(error);
    }
  }

  update() {
    if (!this.root.contains(document.activeElement)) this.load();
  }

  draw() {
    const { told } = this;
    const { lots } = this.page.state;
    const choose = (event) => {
      lot = event.target.value;
      this.load();
    };
    const options = [h("option", { value: "" }, t("protocol.all")), ...lots.map((one) => h("option", { value: one.value, selected: one.value === lot }, `${one.shown} (${count(one.count)})`))];
    fill(
      this.root,
      h(
        "article",
        { class: "sheet protocol" },
        h(
          "div",
          { class: "heading no-print" },
          lots.length > 1 ? h("label", {}, h("span", {}, t("filter.lot")), h("select", { onchange: choose }, options)) : null,
          h("button", { type: "button", class: "primary", onclick: () => print() }, t("protocol.print")),
          h("span", { class: "quiet" }, t("protocol.pdf")),
        ),
        h("h2", {}, t("protocol.title"), " ", h("bdi", {}, [told.folder, told.lot].filter(Boolean).join(", "))),
        h("p", { class: "quiet" }, t("protocol.made", { time: time(told.made), version: told.version })),
        this.card(),
        this.results(),
        this.decisions(),
        this.signatures(),
      ),
    );
  }

  card() {
    const { card } = this.told;
    if (!card) return h("p", { class: "quiet" }, t("protocol.noModel"));
    return [
      h("h3", {}, t("protocol.model")),
      facts(Object.entries(card.facts).map(([name, value]) => [t(`protocol.${name}`), value])),
      h("div", { class: "certified" }, card.statement.map((sentence, place) => h("p", { class: place ? "" : "bound" }, sentence))),
      card.evidence.length ? [h("h3", {}, t("protocol.evidence")), card.evidence.map((sentence) => h("p", {}, sentence))] : null,
      card.choices.length ? [h("h3", {}, t("operating.choices")), h("ul", {}, card.choices.map((one) => h("li", {}, one)))] : null,
    ].flat();
  }

  results() {
    const { results } = this.told;
    return [
      h("h3", {}, t("protocol.results")),
      facts([
        [t("protocol.images"), count(results.images)],
        ...(results.parts ? [[t("protocol.parts"), count(results.parts)]] : []),
        ...Object.entries(results.verdicts).map(([verdict, number]) => [verdict, count(number)]),
        [t("protocol.when"), `${time(results.first)} – ${time(results.last)}`],
        [t("protocol.models"), results.models.join(", ") || "–"],
      ]),
    ];
  }

  decisions() {
    const { decisions } = this.told;
    const lines = decisions.listed.map((one) =>
      h(
        "tr",
        {},
        [count(one.line), time(one.time), one.operator, one.image, one.verdict, one.label === "defect" && one.kind !== "defect" ? `${t("label.defect")}: ${one.kind}` : t(`label.${one.label}`), one.note].map((text) => h("td", {}, h("bdi", {}, text))),
      ),
    );
    return [
      h("h3", {}, t("protocol.decisions"), " ", h("span", { class: "quiet" }, count(decisions.of))),
      decisions.problem ? h("p", { class: "red" }, decisions.problem) : null,
      lines.length ? h("div", { class: "scroll" }, h("table", {}, h("thead", {}, h("tr", {}, ["line", "time", "operator", "image", "verdict", "decision", "note"].map((name) => h("th", { scope: "col" }, t(`column.${name}`))))), h("tbody", {}, lines))) : h("p", { class: "quiet" }, t("protocol.undecided")),
      decisions.of > lines.length ? h("p", { class: "quiet" }, t("protocol.first", { count: count(lines.length), of: count(decisions.of) })) : null,
      decisions.lines ? h("p", { class: "digest" }, t("protocol.digest", { lines: count(decisions.lines) }), " ", h("code", {}, decisions.digest)) : null,
    ];
  }

  signatures() {
    const one = (role) => h("div", {}, h("i", {}), h("span", {}, t(`protocol.${role}`)));
    return h("div", { class: "signatures" }, one("checked"), one("released"));
  }
}

const facts = (entries) => h("dl", { class: "facts-table" }, entries.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, h("bdi", {}, value)))));

export default {
  name: "protocol",
  keys: [],
  show: (root, page) => new Protocol(root, page),
};
