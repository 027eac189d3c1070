// A list or a grid of any length: only what is seen has elements, and only what is seen long enough is asked for.

import { h } from "./dom.js";

const PAGE = 100; // results that are asked for at once
const PAGES = 8; // that are kept
const SETTLE = 90; // milliseconds without scrolling after which rows and pictures are asked for

const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);

export class Scroller {
  // root: an element that scrolls. load(start, count, signal) -> {total, rows}. draw(node, row, index) fills the element
  // of a row, or of null while that is on its way. open(row, index) when one is chosen. label: its accessible name.
  constructor(root, { load, draw, open, label }) {
    Object.assign(this, { root, load, draw, open, total: 0, chosen: -1, cell: { width: 0, height: 52 } });
    this.pages = new Map();
    this.nodes = new Map();
    this.space = h("div", { class: "space" });
    root.replaceChildren(this.space);
    root.classList.add("scroller");
    for (const [name, value] of Object.entries({ role: "listbox", tabindex: "0", "aria-label": label })) {
      root.setAttribute(name, value);
    }
    root.addEventListener("scroll", () => this.scrolled());
    this.sizes = new ResizeObserver(() => this.redraw());
    this.sizes.observe(root);
  }

  // Cells of so many pixels; a width of 0 is that of the list.
  shape(width, height) {
    this.cell = { width, height };
    this.clear();
  }

  get columns() {
    return this.cell.width ? Math.max(1, Math.floor(this.root.clientWidth / this.cell.width)) : 1;
  }

  // Asks for everything anew and begins where `keep` says: at the top, or where it is.
  async reset({ keep = false } = {}) {
    this.stop();
    if (keep) {
      for (const page of this.pages.values()) page.stale = true; // shown until the new one is there
    } else {
      this.pages.clear();
      this.root.scrollTop = 0;
      this.chosen = -1;
    }
    const first = keep ? Math.floor(this.seen().first / PAGE) : 0;
    await this.fetch(first);
  }

  stop() {
    for (const page of this.pages.values()) page.abort?.abort();
  }

  leave() {
    this.stop();
    this.sizes.disconnect();
    clearTimeout(this.timer);
  }

  row(index) {
    return this.pages.get(Math.floor(index / PAGE))?.rows?.[index % PAGE] ?? null;
  }

  // The row of an index, asked for where it is not there.
  async wanted(index) {
    if (index < 0 || index >= this.total) return null;
    const page = Math.floor(index / PAGE);
    if (!this.row(index) || this.pages.get(page).stale) await this.fetch(page);
    return this.row(index);
  }

  choose(index, { scroll = true } = {}) {
    if (index < 0 || index >= this.total) return;
    this.chosen = index;
    const line = Math.floor(index / this.columns);
    const top = line * this.cell.height;
    if (scroll && top < this.root.scrollTop) this.root.scrollTop = top;
    const below = top + this.cell.height - this.root.clientHeight;
    if (scroll && below > this.root.scrollTop) this.root.scrollTop = below;
    this.redraw();
  }

  scrolled() {
    requestAnimationFrame(() => this.redraw());
  }

  seen(margin = 0) {
    const { height } = this.cell;
    const first = Math.max(0, Math.floor(this.root.scrollTop / height) - margin) * this.columns;
    const lines = Math.ceil((this.root.scrollTop + this.root.clientHeight) / height) + margin;
    return { first, last: Math.min(this.total, lines * this.columns) };
  }

  clear() {
    for (const node of this.nodes.values()) node.remove();
    this.nodes.clear();
    this.redraw();
  }

  redraw() {
    const columns = this.columns;
    const wide = this.cell.width ? Math.floor(this.root.clientWidth / columns) : this.root.clientWidth;
    this.space.style.height = `${Math.ceil(this.total / columns) * this.cell.height}px`;
    const { first, last } = this.seen(2);
    for (const [index, node] of this.nodes) {
      if (index < first || index >= last) {
        node.remove();
        this.nodes.delete(index);
      }
    }
    for (let index = first; index < last; index++) this.place(index, columns, wide);
    this.root.setAttribute("aria-activedescendant", this.nodes.has(this.chosen) ? `row-${this.chosen}` : "");
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.settle(), SETTLE);
  }

  place(index, columns, wide) {
    let node = this.nodes.get(index);
    if (!node) {
      node = h("div", { role: "option", id: `row-${index}`, class: "cell", "aria-posinset": index + 1 });
      node.addEventListener("click", async () => {
        const row = await this.wanted(index);
        if (row) this.open(row, index);
      });
      this.nodes.set(index, node);
      this.space.append(node);
    }
    const row = this.row(index);
    if (node.drawn !== row || row === null) {
      node.drawn = row;
      this.draw(node, row, index);
    }
    node.setAttribute("aria-setsize", this.total);
    node.setAttribute("aria-selected", String(index === this.chosen));
    Object.assign(node.style, {
      width: `${wide}px`,
      height: `${this.cell.height}px`,
      transform: `translate(${(index % columns) * wide}px, ${Math.floor(index / columns) * this.cell.height}px)`,
    });
  }

  // Scrolling has come to rest: what is seen now is asked for, with its pictures.
  settle() {
    const { first, last } = this.seen();
    for (let page = Math.floor(first / PAGE); page * PAGE < last; page++) {
      const there = this.pages.get(page);
      if (!there || (there.stale && !there.abort)) this.fetch(page).catch(() => undefined);
    }
    for (let index = first; index < last; index++) {
      const picture = this.nodes.get(index)?.querySelector("img[data-src]");
      if (picture) {
        picture.src = picture.dataset.src;
        delete picture.dataset.src;
      }
    }
  }

  async fetch(page) {
    const before = this.pages.get(page)?.rows ?? null;
    const held = { abort: new AbortController(), rows: before, stale: true };
    this.pages.delete(page);
    this.pages.set(page, held);
    for (const [old, one] of this.pages) {
      if (this.pages.size <= PAGES) break;
      one.abort?.abort();
      this.pages.delete(old);
    }
    try {
      const told = await this.load(page * PAGE, PAGE, held.abort.signal);
      if (this.pages.get(page) !== held) return;
      const rows = told.rows.map((row, at) => (before && same(before[at], row) ? before[at] : row));
      Object.assign(held, { rows, abort: null, stale: false });
      this.total = told.total;
      this.redraw();
    } catch (error) {
      if (this.pages.get(page) === held) this.pages.delete(page);
      if (error.name !== "AbortError") throw error;
    }
  }
}
