// Draws polygons and strokes of a brush over a photograph: with a pointer, a finger, or a cross that keys move.

import { fill, svg } from "./dom.js";

const NEAR = 14; // pixels of the screen: the first point of a polygon is met, and closes it
const SAME = 3; // likewise a point that is set twice, as by a double click
const KEY_STEP = 12; // likewise what an arrow key moves the cross by
const WIDEST = 500; // pixels of the photograph, the radius of the brush

export class Pen {
  constructor(stage) {
    Object.assign(this, { stage, shapes: [], open: [], tool: "polygon", inspect: true, radius: 10, live: null, at: null, passing: false });
    this.pointers = new Set();
    this.shade = svg("g", { fill: "none", "stroke-linecap": "round", "stroke-linejoin": "round" });
    this.edges = svg("g", {});
    this.stripes = svg("pattern", { id: "stripes", patternUnits: "userSpaceOnUse", width: 9, height: 9 }, svg("rect", { class: "stripe dark", width: 9, height: 9 }), svg("rect", { class: "stripe light", width: 9, height: 2 }));
    this.covered = svg("rect", { fill: "url(#stripes)", mask: "url(#left-out)" });
    this.drawing = svg("svg", { class: "layer drawing", "aria-hidden": "true" }, this.stripes, svg("mask", { id: "left-out" }, this.shade), this.covered, this.edges);
    stage.world.append(this.drawing);
    stage.changed = () => this.draw(); // points and stripes keep their size on the screen
    stage.root.tabIndex = 0;
    for (const name of ["pointerdown", "pointermove", "pointerup", "pointercancel", "pointerleave", "dblclick"]) {
      stage.root.addEventListener(name, (event) => this[name](event), { capture: true });
    }
  }

  // Begins on a photograph of this size, with what was drawn on one before.
  begin(width, height, shapes) {
    this.size = [width, height];
    Object.assign(this, { shapes, open: [], live: null, at: null });
    this.drawing.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.covered.setAttribute("width", width);
    this.covered.setAttribute("height", height);
    this.draw();
  }

  get screen() {
    return 1 / this.stage.view.scale; // a pixel of the screen in pixels of the photograph
  }

  use(values) {
    if (values.tool && values.tool !== this.tool) this.open = [];
    Object.assign(this, values);
    this.radius = Math.min(WIDEST, Math.max(0.5, this.radius));
    this.draw();
  }

  add(shape) {
    this.shapes.push(shape);
    this.changed?.();
    this.draw();
  }

  point(place) {
    const [first, last] = [this.open[0], this.open.at(-1)];
    const near = (one, pixels) => one && Math.hypot(one[0] - place[0], one[1] - place[1]) < pixels * this.screen;
    if (near(last, SAME)) return;
    if (this.open.length > 2 && near(first, NEAR)) this.finish();
    else this.open.push(place);
    this.changed?.();
    this.draw();
  }

  // Closes the polygon; fewer than three points are none.
  finish() {
    const points = this.open;
    this.open = [];
    if (points.length > 2) this.add({ inspect: this.inspect, radius: 0, points });
    else this.draw();
    this.changed?.();
  }

  undo() {
    (this.open.length ? this.open : this.shapes).pop();
    this.changed?.();
    this.draw();
  }

  cancel() {
    this.open = [];
    this.live = null;
    this.changed?.();
    this.draw();
  }

  key(event) {
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const draws = this.tool !== "move";
    if (event.key === "Enter") this.finish();
    else if (event.key === "Escape") this.cancel();
    else if (event.key === "z" || event.key === "Backspace") this.undo();
    else if (draws && event.key in steps && !event.shiftKey) {
      const [x, y] = this.at ?? this.size.map((side) => side / 2);
      this.at = this.within([x + KEY_STEP * this.screen * steps[event.key][0], y + KEY_STEP * this.screen * steps[event.key][1]]);
      this.draw();
    } else if (draws && event.key === " ") {
      this.at ??= this.size.map((side) => side / 2);
      if (this.tool === "polygon") this.point(this.at);
      else this.add({ inspect: this.inspect, radius: this.radius, points: [this.at] });
    } else return this.stage.key(event);
    return true;
  }

  within([x, y]) {
    const margin = this.tool === "brush" ? this.radius : 0;
    const kept = (value, side) => Math.round(10 * Math.min(side + margin, Math.max(-margin, value))) / 10;
    return [kept(x, this.size[0]), kept(y, this.size[1])];
  }

  place(event) {
    const box = this.stage.root.getBoundingClientRect();
    const { x, y, scale } = this.stage.view;
    return this.within([(event.clientX - box.left - x) / scale, (event.clientY - box.top - y) / scale]);
  }

  // A second finger moves and zooms: what the first one began is taken back, and the stage gets both.
  pointerdown(event) {
    if (event.button > 0 || this.tool === "move" || !this.size) return;
    this.pointers.add(event.pointerId);
    if (this.pointers.size > 1) {
      if (!this.passing) this.stage.pointers.set(this.began.id, this.began.at);
      this.passing = true;
      this.live = null;
      this.draw();
      return;
    }
    event.stopImmediatePropagation();
    event.preventDefault();
    this.stage.root.focus();
    this.stage.root.setPointerCapture(event.pointerId);
    const box = this.stage.root.getBoundingClientRect();
    this.began = { id: event.pointerId, at: [event.clientX - box.left, event.clientY - box.top] };
    this.at = this.place(event);
    if (this.tool === "brush") this.live = { inspect: this.inspect, radius: this.radius, points: [this.at] };
    this.draw();
  }

  pointermove(event) {
    if (this.passing || this.tool === "move" || !this.size) return;
    event.stopImmediatePropagation();
    for (const one of event.getCoalescedEvents?.() ?? []) this.stroke(this.place(one));
    this.at = this.place(event);
    this.stroke(this.at);
    this.draw();
  }

  stroke(place) {
    if (!this.live) return;
    const [x, y] = this.live.points.at(-1);
    if (Math.hypot(place[0] - x, place[1] - y) >= Math.max(this.screen, this.radius / 5)) this.live.points.push(place);
  }

  pointerup(event) {
    if (!this.pointers.delete(event.pointerId)) return;
    if (this.passing) {
      this.passing = this.pointers.size > 0;
      return;
    }
    event.stopImmediatePropagation();
    const { live } = this;
    this.live = null;
    if (live) this.add(live);
    else if (this.tool === "polygon") this.point(this.place(event));
  }

  pointercancel(event) {
    if (!this.pointers.delete(event.pointerId)) return;
    this.passing = this.passing && this.pointers.size > 0;
    this.live = null;
    this.draw();
  }

  pointerleave() {
    if (this.live || this.tool === "move") return;
    this.at = null;
    this.draw();
  }

  dblclick(event) {
    if (this.tool === "move") return;
    event.stopImmediatePropagation();
    this.finish();
  }

  draw() {
    if (!this.size) return;
    const [width, height] = this.size;
    const shapes = [...this.shapes, ...(this.live ? [this.live] : [])];
    const [white, black] = ["#fff", "#000"];
    const inside = !shapes.length || !shapes[0].inspect;
    const corners = (points) => points.map((point) => point.join(",")).join(" ");
    const filled = ({ inspect, radius, points }) => {
      const colour = inspect ? black : white;
      if (!radius) return svg("polygon", { points: corners(points), fill: colour, "fill-rule": "evenodd" });
      return svg("polyline", { points: corners(points.length > 1 ? points : [points[0], points[0]]), stroke: colour, "stroke-width": 2 * radius });
    };
    this.stripes.setAttribute("patternTransform", `scale(${this.screen}) rotate(-45)`);
    fill(this.shade, svg("rect", { width, height, fill: inside ? black : white }), shapes.map(filled));
    const { open, at } = this;
    const line = open.length && at ? [...open, at] : open;
    const edge = (tag, points, kind) => [svg(tag, { class: "under", points: corners(points) }), svg(tag, { class: kind, points: corners(points) })];
    const dot = ([x, y], kind) => svg("circle", { class: kind, cx: x, cy: y, r: 5 * this.screen });
    const kind = this.inspect ? "kept" : "dropped";
    fill(
      this.edges,
      this.shapes.filter((shape) => !shape.radius).map((shape) => edge("polygon", shape.points, shape.inspect ? "kept" : "dropped")),
      line.length > 1 ? edge("polyline", line, kind) : null,
      open.map((point, place) => dot(point, place || open.length < 3 ? kind : `${kind} first`)),
      at && this.tool === "brush" ? svg("circle", { class: `brush ${kind}`, cx: at[0], cy: at[1], r: this.radius }) : null,
      at && this.tool === "polygon" ? dot(at, `cross ${kind}`) : null,
    );
  }
}
