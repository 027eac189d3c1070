// Operating point: the rows of the menu, what each would say of these results, and a model that takes another one.

import { get, post } from "../lib/api.js";
import { fill, h, svg } from "../lib/dom.js";
import { count, digits, t } from "../lib/words.js";

const GROUPS = ["good", "defect", "open"];

class Operating {
  constructor(root, page) {
    Object.assign(this, { root, page, chosen: null });
    this.load();
  }

  async load() {
    try {
      this.menu = await get("/api/operating");
      const taken = this.menu.rows.findIndex((row) => row.taken);
      this.chosen ??= Math.max(taken, 0);
      this.draw();
    } catch (error) {
      fill(this.root, h("section", { class: "sheet" }, h("p", { class: "quiet" }, error.message || t("why.silent"))));
    }
  }

  update() {
    if (!this.dialog?.open) this.load();
  }

  leave() {
    this.dialog?.remove();
  }

  get row() {
    return this.menu.rows[this.chosen];
  }

  draw() {
    const { menu } = this;
    const focused = document.activeElement?.dataset?.row;
    fill(
      this.root,
      h(
        "section",
        { class: "sheet" },
        h("h2", {}, t("operating.title"), " ", h("bdi", { class: "quiet" }, `${menu.path} (${menu.model})`)),
        h("div", { class: "certified" }, menu.statement.map((sentence, place) => h("p", { class: place ? "" : "bound" }, sentence))),
        menu.rows.length > 1 ? null : h("p", { class: "quiet" }, t("operating.none")),
        this.histogram(),
        menu.rows.length > 1 ? [this.table(), this.says(), h("p", { class: "quiet" }, menu.advice)] : null,
        menu.choices.length ? h("section", {}, h("h3", {}, t("operating.choices")), h("ul", {}, menu.choices.map((one) => h("li", {}, `${one.time} – ${one.operator}: ${one.what}. `, h("q", {}, one.because))))) : null,
      ),
    );
    if (focused !== undefined) this.root.querySelector(`[data-row="${focused}"]`)?.focus();
  }

  histogram() {
    const { menu, row } = this;
    const panel = (name) => {
      const drawn = menu.panels[name];
      if (!drawn) return null;
      return h(
        "div",
        { class: `panel ${name}` },
        h("span", { class: "what" }, t(`group.${name}`), " ", h("b", {}, count(menu.groups[name]))),
        svg("svg", { viewBox: "0 0 1000 100", preserveAspectRatio: "none", "aria-hidden": "true" }, drawn.bars.map(([x, width, height]) => svg("rect", { x, width, y: 100 - height, height }))),
      );
    };
    const line = (kind, place, text) => h("div", { class: `limit ${kind}`, style: { left: `${place}%` } }, h("span", {}, text));
    return h(
      "figure",
      { class: "plot", role: "img", "aria-label": t("operating.plot") },
      GROUPS.map(panel),
      line("taken", menu.taken, t("operating.taken")),
      row && !row.taken ? line("moved", row.place, t("operating.row", { row: row.rank })) : null,
      h("div", { class: "ticks" }, menu.ticks.map(([place, text]) => h("span", { style: { left: `${place}%` } }, text))),
    );
  }

  table() {
    const { menu } = this;
    // Those that are not NG of all; of the chosen row, of each kind.
    const shares = (name) => {
      if (!menu.rows[0][name].length) return null;
      const sum = (row, what) => row[name].reduce((total, one) => total + one[what], 0);
      const kinds = (row) => row[name].map((one) => h("span", { class: one.escapes ? "bad" : "" }, `${one.kind} ${count(one.escapes)}/${count(one.of)}`));
      return {
        title: t(`escapes.${name}`),
        cell: (row) => [h("b", {}, `${count(sum(row, "escapes"))}/${count(sum(row, "of"))}`), row === this.row ? kinds(row) : null],
      };
    };
    const inResults = GROUPS.filter((name) => menu.groups[name]).map((name) => ({
      title: t(`results.${name}`),
      cell: (row) => (name === "defect" ? `${count(menu.groups.defect - row.rejected.defect)}/${count(menu.groups.defect)}` : `${count(row.rejected[name])}/${count(menu.groups[name])}`),
    }));
    const columns = [
      { title: t("operating.threshold"), cell: (row) => digits(row.threshold) },
      { title: t("operating.bound"), cell: (row) => `≤ ${row.bound}` },
      { title: t("operating.expected"), cell: (row) => row.expected },
      ...["planted", "labelled", "known"].map(shares).filter(Boolean),
      ...inResults,
    ];
    const line = (row, place) =>
      h(
        "tr",
        { class: row.passing.length ? "passing" : "", "aria-selected": String(place === this.chosen), onclick: () => this.choose(place) },
        h("th", { scope: "row" }, h("label", {}, h("input", { type: "radio", name: "row", "data-row": place, checked: place === this.chosen, onchange: () => this.choose(place) }), count(row.rank), row.taken ? ` ${t("operating.now")}` : "")),
        columns.map((one) => h("td", {}, one.cell(row))),
      );
    return h("div", { class: "scroll" }, h("table", { class: "menu" }, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, t("operating.rows")), columns.map((one) => h("th", { scope: "col" }, one.title)))), h("tbody", {}, menu.rows.map(line))));
  }

  choose(place) {
    if (place === this.chosen) return;
    this.chosen = place;
    this.draw();
    this.root.querySelector(`[data-row="${place}"]`)?.focus();
  }

  // What the chosen row would change, in words.
  says() {
    const { menu, row } = this;
    const now = menu.rows.find((one) => one.taken);
    const change = (name) => t(`change.${name}`, { now: count(now ? now.rejected[name] : 0), then: count(row.rejected[name]), of: count(menu.groups[name]) });
    return h(
      "div",
      { class: "says", role: "status" },
      row.taken ? h("p", {}, t("operating.isTaken")) : GROUPS.filter((name) => now && menu.groups[name]).map((name) => h("p", {}, change(name))),
      row.passing.length ? h("p", { class: "red" }, t("operating.passing", { count: count(row.passing.length), names: row.passing.slice(0, 5).map((one) => `${one.image} (${one.kind})`).join(", ") })) : null,
      row.taken || this.page.state.readOnly ? null : h("button", { type: "button", class: "primary", onclick: () => this.ask() }, t("operating.use", { row: row.rank })),
    );
  }

  // The reason for a row, and the one for known defects that pass it.
  ask() {
    const { row } = this;
    const because = h("input", { required: true, maxlength: 500, autofocus: true });
    const accept = h("input", { required: true, maxlength: 500 });
    const said = h("p", { class: "red", role: "alert" });
    const take = h("button", { class: "primary" }, t("operating.use", { row: row.rank }));
    const form = h(
      "form",
      {
        method: "dialog",
        onsubmit: async (event) => {
          event.preventDefault();
          take.disabled = true;
          try {
            const body = { operator: this.page.operator, row: row.rank, because: because.value, accept: row.passing.length ? accept.value : "" };
            const written = await post("/api/operating/use", body);
            this.dialog.close();
            this.page.say(t("operating.written", { name: written.name, id: written.id }), false);
            this.wrote(written);
          } catch (error) {
            take.disabled = false;
            said.textContent = error.message || t("why.silent");
          }
        },
      },
      h("h2", {}, t("operating.use", { row: row.rank })),
      h("p", {}, t("operating.beside")),
      h("label", { class: "tall" }, h("span", {}, t("operating.because")), because),
      row.passing.length ? [h("p", { class: "red" }, t("operating.accepting")), h("ul", {}, row.passing.map((one) => h("li", {}, h("bdi", {}, `${one.image} (${one.kind})`)))), h("label", { class: "tall" }, h("span", {}, t("operating.accept")), accept)] : null,
      said,
      h("div", { class: "ends" }, h("button", { type: "button", onclick: () => this.dialog.close() }, t("cancel")), take),
    );
    this.dialog?.remove();
    this.dialog = h("dialog", { class: "asks" }, form);
    document.body.append(this.dialog);
    this.dialog.showModal();
  }

  wrote(written) {
    this.root.querySelector(".says")?.append(h("p", { class: "done" }, `✓ ${t("operating.written", { name: written.name, id: written.id })}`));
  }

  key(event) {
    const step = { j: 1, k: -1 }[event.key];
    if (step && this.menu?.rows.length) this.choose(Math.min(Math.max(this.chosen + step, 0), this.menu.rows.length - 1));
  }
}

export default {
  name: "operating",
  keys: [["j ↓ / k ↑", "key.row"]],
  show: (root, page) => new Operating(root, page),
};
