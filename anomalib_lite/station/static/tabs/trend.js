// Trend: shares of verdicts over time or by lot, the scores, and since when they drift.

import { get, query } from "../lib/api.js";
import { fill, h, svg } from "../lib/dom.js";
import { count, digits, language, percent, t } from "../lib/words.js";

const BY = ["hour", "shift", "day", "lot"];
const VERDICTS = ["NG", "REVIEW", "ERROR", "OK"]; // from the bottom up: what people look for first
const [WIDE, HIGH] = [1000, 160];
const kept = { by: "hour" };

const at = (seconds) => new Intl.DateTimeFormat(language(), { dateStyle: "short", timeStyle: "short" }).format(new Date(seconds * 1000));

class Trend {
  constructor(root, page) {
    Object.assign(this, { root, page });
    this.load();
  }

  async load() {
    try {
      this.told = await get(`/api/trend?${query({ by: kept.by, offset: -new Date().getTimezoneOffset() })}`);
      this.draw();
    } catch (error) {
      this.page.tell(error);
    }
  }

  update() {
    this.load();
  }

  draw() {
    const { told } = this;
    const choose = BY.map((by) =>
      h("button", { type: "button", "aria-pressed": String(by === kept.by), onclick: () => { kept.by = by; this.load(); } }, t(`trend.${by}`)));
    fill(
      this.root,
      h(
        "section",
        { class: "sheet" },
        h("div", { class: "heading" }, h("h2", {}, t("trend.shares")), h("div", { class: "shape", role: "group", "aria-label": t("trend.by") }, choose)),
        this.shares(),
        h("h2", {}, t("trend.scores")),
        this.said(),
        told.points.length ? [this.scores(), this.money()] : null,
      ),
    );
  }

  shares() {
    const { bars, of } = this.told;
    if (!bars.length) return h("p", { class: "quiet" }, t("trend.none"));
    const wide = Math.min(WIDE / bars.length, 90);
    const total = (bar) => VERDICTS.reduce((sum, verdict) => sum + bar.counts[verdict], 0);
    const stack = (bar, place) => {
      let from = HIGH;
      const name = bar.lot || at(bar.when ?? 0);
      const parts = VERDICTS.map((verdict) => {
        const height = (HIGH * bar.counts[verdict]) / total(bar);
        from -= height;
        return svg("rect", { class: `share ${verdict}`, x: place * wide, y: from, width: wide * 0.92, height });
      });
      const words = VERDICTS.filter((verdict) => bar.counts[verdict]).map((verdict) => `${verdict} ${count(bar.counts[verdict])} (${percent(bar.counts[verdict] / total(bar), 1)})`);
      return svg("g", {}, svg("title", {}, `${name}: ${words.join(", ")}`), parts);
    };
    const name = (bar) => bar.lot || at(bar.when ?? 0);
    return h(
      "figure",
      { class: "trend" },
      svg("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, preserveAspectRatio: "none", role: "img", "aria-label": t("trend.shares") }, bars.map(stack)),
      h("figcaption", { class: "ends" }, h("bdi", {}, name(bars[0])), h("span", { class: "legend" }, VERDICTS.map((verdict) => h("span", { class: verdict }, `■ ${verdict}`))), h("bdi", {}, bars.length > 1 ? name(bars.at(-1)) : "")),
      of > bars.length ? h("p", { class: "quiet" }, t("trend.last", { count: count(bars.length), of: count(of) })) : null,
    );
  }

  said() {
    const { told } = this;
    if (told.why) return h("p", { class: "quiet" }, told.why);
    if (!told.parts) return h("p", { class: "quiet" }, t("trend.none"));
    if (!told.alarm) return h("p", { role: "status" }, t("trend.still", { parts: count(told.parts), value: digits(told.value), limit: count(told.limit) }));
    const { since, when, higher, number } = told.alarm;
    const time = when ? at(Date.parse(when) / 1000) : "–";
    return h(
      "div",
      { class: "certified alarm", role: "alert" },
      h("p", { class: "red" }, t(higher ? "trend.higher" : "trend.lower", { since: count(since), time })),
      h("p", {}, t("trend.remedy", { at: count(told.alarm.at) })),
      h("button", { type: "button", onclick: () => this.page.open("inspect", number) }, t("trend.look")),
    );
  }

  scores() {
    const { points, thresholds, alarm, parts } = this.told;
    const limits = thresholds ? [thresholds.review, thresholds.reject] : [];
    const values = [...points.map((point) => point[2]), ...limits];
    const log = Math.min(...values) > 0 && Math.max(...values) > 20 * Math.min(...values);
    const scale = (value) => (log ? Math.log(value) : value);
    const [low, high] = [scale(Math.min(...values)), scale(Math.max(...values))];
    const up = (value) => HIGH - 6 - ((HIGH - 12) * (scale(value) - low)) / (high - low || 1);
    const across = (place) => (WIDE * place) / Math.max(parts, 2);
    const line = (kind, value) => svg("line", { class: kind, x1: 0, x2: WIDE, y1: up(value), y2: up(value) });
    return this.chart(t("trend.scores"), [
      thresholds ? [line("review", thresholds.review), line("reject", thresholds.reject)] : null,
      alarm ? svg("line", { class: "since", x1: across(alarm.since), x2: across(alarm.since), y1: 0, y2: HIGH }) : null,
      points.map(([place, , score]) => svg("line", { class: "dot", x1: across(place), x2: across(place), y1: up(score), y2: up(score) })),
    ], thresholds ? t("trend.limits", { review: digits(thresholds.review), reject: digits(thresholds.reject) }) : "");
  }

  money() {
    const { points, limit, parts, alarm } = this.told;
    const level = Math.log10(limit);
    const high = Math.max(level * 1.2, ...points.map((point) => point[3]));
    const low = Math.min(-0.5, ...points.map((point) => point[3]));
    const up = (value) => HIGH - 6 - ((HIGH - 12) * (value - low)) / (high - low);
    const across = (place) => (WIDE * place) / Math.max(parts, 2);
    return this.chart(t("trend.money"), [
      svg("line", { class: "reject", x1: 0, x2: WIDE, y1: up(level), y2: up(level) }),
      alarm ? svg("line", { class: "since", x1: across(alarm.since), x2: across(alarm.since), y1: 0, y2: HIGH }) : null,
      svg("polyline", { class: "money", points: points.map((point) => `${across(point[0])},${up(point[3])}`).join(" ") }),
    ], t("trend.money.about", { limit: count(limit) }));
  }

  chart(label, children, caption) {
    return h("figure", { class: "trend" }, h("figcaption", {}, h("b", {}, label), " ", h("span", { class: "quiet" }, caption)), svg("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, preserveAspectRatio: "none", role: "img", "aria-label": label }, children.flat(2).filter(Boolean)));
  }
}

export default {
  name: "trend",
  keys: [],
  show: (root, page) => new Trend(root, page),
};
