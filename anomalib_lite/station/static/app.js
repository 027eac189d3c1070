// The frame of the page: its tabs, its state, who decides, language and light, and what is wrong.

import { get } from "./lib/api.js";
import { fill, h, isTyping } from "./lib/dom.js";
import * as words from "./lib/words.js";
import data from "./tabs/data.js";
import inspect from "./tabs/inspect.js";
import operating from "./tabs/operating.js";
import protocol from "./tabs/protocol.js";
import teach from "./tabs/teach.js";
import trend from "./tabs/trend.js";

const TABS = [inspect, operating, teach, trend, data, protocol];
const LOOK = 2000; // milliseconds between two looks at the state
const { t } = words;
const part = (id) => document.getElementById(id);

const page = {
  state: null,
  shown: null,
  get operator() {
    return localStorage.getItem("operator") || this.state.operator;
  },
  // One line for who listens as well as for who looks; `wrong` stays until the next one.
  say(text, wrong = false) {
    clearTimeout(page.quiet);
    part("said").textContent = text;
    part("said").className = text ? (wrong ? "wrong" : "done") : "";
    if (!wrong) page.quiet = setTimeout(() => page.say(""), 6000);
  },
  // What a refusal means: the page's own sentence where it has one, else that of the station.
  tell(error) {
    if (error.name === "AbortError") return;
    const own = `why.${error.why}`;
    page.say(error.why && words.has(own) ? t(own) : error.message || String(error), true);
  },
  go(hash) {
    history.replaceState(null, "", `#${hash}`);
  },
  // Another tab, at one of the results.
  open(name, number) {
    page.go(`${name}/${number}`);
    show(TABS.find((tab) => tab.name === name));
  },
  look,
};

function banners() {
  const { state } = page;
  const lines = [];
  const line = (kind, text) => lines.push(h("p", { class: kind }, text));
  if (page.silent) line("wrong", t("banner.silent"));
  if (state.problem) line("wrong", `${t("banner.problem")} ${state.problem}`);
  if (state.broken) line("warn", t("banner.broken", { count: words.count(state.broken) }));
  if (state.model && !state.model.own && state.rows) {
    line("warn", t("banner.model", { model: state.model.id, models: state.models.slice(0, 3).join(", ") }));
  }
  if (state.readOnly) line("plain", t("banner.readOnly"));
  for (const note of state.notes) line("plain", note);
  const told = lines.map((one) => one.textContent).join("\n");
  if (told === page.told) return;
  page.told = told;
  fill(part("banners"), lines);
}

async function look() {
  try {
    const state = await get("/api/state");
    const anew = page.state && page.state.generation !== state.generation;
    const silent = page.silent;
    page.silent = false;
    const changed = JSON.stringify(state) !== JSON.stringify(page.state);
    page.state = state;
    banners();
    if (anew) show(page.tab);
    else if (changed || silent) page.shown?.update?.(state);
  } catch (error) {
    page.silent = true;
    if (page.state) banners();
    else page.tell(error);
  }
}

function header() {
  const { state } = page;
  document.title = `${state.folder} – ${t("title")}`;
  const tabs = TABS.map((tab) =>
    h(
      "button",
      { type: "button", class: "tab", "aria-current": tab === page.tab ? "page" : false, onclick: () => show(tab) },
      t(`tab.${tab.name}`),
    ),
  );
  const languages = h(
    "select",
    {
      "aria-label": t("language"),
      onchange: (event) => {
        words.choose(event.target.value);
        page.told = null;
        header();
        banners();
        show(page.tab);
      },
    },
    Object.entries(words.LANGUAGES).map(([code, name]) =>
      h("option", { value: code, selected: code === words.language() }, name),
    ),
  );
  const operator = h("input", {
    value: page.operator,
    maxlength: 100,
    size: 12,
    autocomplete: "off",
    onchange: (event) => localStorage.setItem("operator", event.target.value.trim()),
  });
  fill(
    part("top"),
    h("h1", {}, h("span", { class: "brand" }, t("title")), h("bdi", {}, state.folder)),
    h("nav", { "aria-label": t("tabs") }, tabs),
    h(
      "div",
      { class: "tools" },
      state.readOnly ? null : h("label", {}, h("span", {}, t("operator")), operator),
      languages,
      h("button", { type: "button", class: "icon", title: t("light"), "aria-label": t("light"), onclick: turn }, "◐"),
      h("button", { type: "button", class: "icon", title: t("help"), "aria-label": t("help"), onclick: help }, "?"),
    ),
  );
}

function light(chosen) {
  document.documentElement.dataset.light = chosen ?? "";
}

function turn() {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const now = localStorage.getItem("light") ?? (dark ? "dark" : "light");
  const next = now === "dark" ? "light" : "dark";
  localStorage.setItem("light", next);
  light(next);
}

function help() {
  const dialog = part("help");
  const keys = (page.tab.keys ?? []).map(([key, text]) =>
    h("div", {}, h("dt", {}, h("kbd", {}, key)), h("dd", {}, t(text))),
  );
  fill(
    dialog,
    h("h2", {}, t("help.keys")),
    h("dl", { class: "keys" }, keys),
    h("form", { method: "dialog" }, h("button", { autofocus: true }, t("close"))),
  );
  dialog.showModal();
}

function show(tab) {
  page.shown?.leave?.();
  if (page.tab !== tab) page.say("");
  page.tab = tab;
  if (location.hash.slice(1).split("/")[0] !== tab.name) page.go(tab.name);
  header();
  const root = part("tab");
  root.className = tab.name;
  fill(root);
  page.shown = tab.show(root, page);
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || part("help").open) return;
  if (event.key === "?" && !isTyping(event.target)) help();
  else page.shown?.key?.(event);
});

light(localStorage.getItem("light"));
await words.load();
await look();
if (page.state) {
  show(TABS.find((tab) => tab.name === location.hash.slice(1).split("/")[0]) ?? TABS[0]);
  setInterval(() => document.hidden || look(), LOOK);
  document.addEventListener("visibilitychange", () => document.hidden || look());
}
