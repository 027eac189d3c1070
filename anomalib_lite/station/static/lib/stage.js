// A photograph with what lies over it: zoomed and moved together by wheel, pinch, drag and keys.

import { fill, h, svg } from "./dom.js";

const MOST = 32; // times its size
const KEY_STEP = 1.25;

export class Stage {
  constructor(root, label) {
    this.root = root;
    this.shown = null; // called once a photograph is there, or cannot be
    this.layers = {};
    for (const name of ["base", "over", "truth", "heat"]) {
      this.layers[name] = h("img", { class: `layer ${name}`, alt: "", draggable: "false", hidden: true });
    }
    for (const end of ["load", "error"]) this.layers.base.addEventListener(end, () => this.shown?.());
    this.outlines = svg("svg", { class: "layer outlines", "aria-hidden": "true" });
    this.world = h("div", { class: "world" }, ...Object.values(this.layers), this.outlines);
    this.handle = h("div", { class: "handle", hidden: true, role: "slider", tabindex: "0", "aria-label": label.swipe });
    this.said = h("p", { class: "stage-said", hidden: true });
    fill(root, this.world, this.handle, this.said);
    root.classList.add("stage");
    this.size = [1, 1];
    this.view = { x: 0, y: 0, scale: 1 };
    this.fitted = true;
    this.swipe = 0.5;
    this.pointers = new Map();
    this.listen();
    this.sizes = new ResizeObserver(() => (this.fitted ? this.fit() : this.apply()));
    this.sizes.observe(root);
  }

  leave() {
    this.sizes.disconnect();
  }

  // Shows a photograph of a size in pixels; where the size is that of the one before, the view stays.
  show(address, width, height, alt) {
    this.say("");
    const same = this.size[0] === width && this.size[1] === height;
    this.size = [width, height];
    Object.assign(this.world.style, { width: `${width}px`, height: `${height}px` });
    this.outlines.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const base = this.layers.base;
    const there = base.getAttribute("src") === address && base.complete; // then nothing is loaded
    this.layer("base", address, alt);
    if (there) this.shown?.();
    if (same && !this.fitted) this.apply();
    else this.fit();
  }

  // A layer with a picture, or without.
  layer(name, address, alt = "") {
    const picture = this.layers[name];
    picture.alt = alt;
    if (address) {
      if (picture.getAttribute("src") !== address) picture.src = address;
    } else picture.removeAttribute("src");
    picture.hidden = !address;
    if (name === "over") {
      this.handle.hidden = !address;
      this.clip();
    }
  }

  opacity(name, value) {
    this.layers[name].style.opacity = value;
  }

  outline(polygons, shown) {
    fill(
      this.outlines,
      ...(shown ? polygons : []).flatMap((points) => {
        const corners = points.map((point) => point.join(",")).join(" ");
        return [svg("polygon", { class: "under", points: corners }), svg("polygon", { points: corners })];
      }),
    );
  }

  // In the place of a photograph, why there is none.
  say(text) {
    this.said.textContent = text;
    this.said.hidden = !text;
    this.world.hidden = Boolean(text);
    if (text) this.handle.hidden = true;
  }

  get whole() {
    const { clientWidth, clientHeight } = this.root;
    return Math.min(clientWidth / this.size[0], clientHeight / this.size[1]) || 1;
  }

  fit() {
    this.fitted = true;
    const scale = Math.min(this.whole, MOST);
    const [x, y] = [(this.root.clientWidth - this.size[0] * scale) / 2, (this.root.clientHeight - this.size[1] * scale) / 2];
    this.view = { x, y, scale };
    this.apply();
  }

  // To a scale around a point of the stage, by default its middle.
  zoom(scale, x = this.root.clientWidth / 2, y = this.root.clientHeight / 2) {
    const kept = Math.min(MOST, Math.max(this.whole / 2, scale));
    const ratio = kept / this.view.scale;
    this.view = { x: x - (x - this.view.x) * ratio, y: y - (y - this.view.y) * ratio, scale: kept };
    this.fitted = false;
    this.apply();
  }

  toggle(x, y) {
    if (this.fitted) this.zoom(Math.max(1, this.whole * 3), x, y);
    else this.fit();
  }

  move(dx, dy) {
    this.view.x += dx;
    this.view.y += dy;
    this.fitted = false;
    this.apply();
  }

  key(event) {
    const steps = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] };
    if (event.key === "+" || event.key === "=") this.zoom(this.view.scale * KEY_STEP);
    else if (event.key === "-") this.zoom(this.view.scale / KEY_STEP);
    else if (event.key === "0") this.fit();
    else if (event.key === "1") this.zoom(1);
    else if (event.shiftKey && event.key in steps) this.move(...steps[event.key]);
    else return false;
    return true;
  }

  apply() {
    const { clientWidth, clientHeight } = this.root;
    const [wide, high] = [this.size[0] * this.view.scale, this.size[1] * this.view.scale];
    const within = (value, size, room) => Math.min(Math.max(value, Math.min(0, room - size) - room / 2), Math.max(0, room - size) + room / 2);
    if (!this.fitted) {
      this.view.x = within(this.view.x, wide, clientWidth);
      this.view.y = within(this.view.y, high, clientHeight);
    }
    this.world.style.transform = `translate(${this.view.x}px, ${this.view.y}px) scale(${this.view.scale})`;
    this.world.style.setProperty("--pixel", 1 / this.view.scale); // of the screen, in pixels of the photograph
    this.world.classList.toggle("pixels", this.view.scale >= 2);
    this.root.dataset.scale = this.view.scale.toFixed(3);
    this.clip();
    this.changed?.(this.view.scale);
  }

  clip() {
    const [left, wide] = [this.view.x, this.size[0] * this.view.scale];
    this.layers.over.style.clipPath = `inset(0 0 0 ${100 * this.swipe}%)`;
    this.handle.style.transform = `translateX(${left + wide * this.swipe}px)`;
    this.handle.setAttribute("aria-valuenow", Math.round(100 * this.swipe));
  }

  wipe(share) {
    this.swipe = Math.min(1, Math.max(0, share));
    this.clip();
  }

  listen() {
    const { root, handle, pointers } = this;
    const at = (event) => {
      const box = root.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    root.addEventListener(
      "wheel",
      (event) => {
        event.preventDefault();
        this.zoom(this.view.scale * Math.exp(-event.deltaY / 500), ...at(event));
      },
      { passive: false },
    );
    root.addEventListener("dblclick", (event) => this.toggle(...at(event)));
    root.addEventListener("pointerdown", (event) => {
      if (event.target === handle || event.button > 0) return;
      root.setPointerCapture(event.pointerId);
      pointers.set(event.pointerId, at(event));
    });
    root.addEventListener("pointermove", (event) => this.dragged(event.pointerId, at(event)));
    for (const end of ["pointerup", "pointercancel"]) {
      root.addEventListener(end, (event) => pointers.delete(event.pointerId));
    }
    handle.addEventListener("pointerdown", (event) => handle.setPointerCapture(event.pointerId));
    handle.addEventListener("pointermove", (event) => {
      if (handle.hasPointerCapture(event.pointerId)) this.wipe((at(event)[0] - this.view.x) / (this.size[0] * this.view.scale));
    });
    handle.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -0.05, ArrowRight: 0.05 }[event.key];
      if (step === undefined) return;
      event.preventDefault();
      event.stopPropagation();
      this.wipe(this.swipe + step);
    });
  }

  dragged(pointer, here) {
    const before = this.pointers.get(pointer);
    if (!before) return;
    const other = [...this.pointers].find(([id]) => id !== pointer)?.[1];
    if (other) {
      const far = (one) => Math.hypot(one[0] - other[0], one[1] - other[1]);
      this.zoom((this.view.scale * far(here)) / Math.max(far(before), 1), (here[0] + other[0]) / 2, (here[1] + other[1]) / 2);
    } else this.move(here[0] - before[0], here[1] - before[1]);
    this.pointers.set(pointer, here);
  }
}
