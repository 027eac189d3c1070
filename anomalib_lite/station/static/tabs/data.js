// Data: what the results are of, and the region of interest, as two views of one tab.

import { fill, h } from "../lib/dom.js";
import { t } from "../lib/words.js";
import { Contents } from "./contents.js";
import { KEYS, Region } from "./region.js";

const VIEWS = ["contents", "region"];
const kept = { view: "contents" };

class Data {
  constructor(root, page) {
    Object.assign(this, { root, page });
    const [, view, number] = location.hash.slice(1).split("/");
    this.show(VIEWS.includes(view) ? view : kept.view, number ? Number(number) : undefined);
  }

  show(view, number) {
    kept.view = view;
    this.view?.leave?.();
    const choose = VIEWS.map((name) => h("button", { type: "button", class: name, "aria-pressed": String(name === view), onclick: () => this.show(name) }, t(`data.${name}`)));
    const within = h("section", { class: view });
    fill(this.root, h("div", { class: "views", role: "group", "aria-label": t("tab.data") }, choose), within);
    this.page.go(`data/${view}`);
    this.view = view === "region" ? new Region(within, this.page, number) : new Contents(within, this.page);
  }

  update() {
    this.view.update?.();
  }

  key(event) {
    this.view.key?.(event);
  }

  leave() {
    this.view.leave?.();
  }
}

export default {
  name: "data",
  keys: KEYS,
  show: (root, page) => new Data(root, page),
};
