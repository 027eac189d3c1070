// The texts of the page in the language that is chosen: all from words.json, the one table of them.

import { get } from "./api.js";

export const LANGUAGES = { en: "English", de: "Deutsch" };
let table = {};
let chosen = "en";

export async function load() {
  table = await get("/static/words.json");
  const kept = localStorage.getItem("language") ?? navigator.language.slice(0, 2);
  choose(kept in LANGUAGES ? kept : "en");
}

export function choose(language) {
  chosen = language;
  localStorage.setItem("language", language);
  document.documentElement.lang = language;
}

export const language = () => chosen;

export function t(key, values = {}) {
  const text = table[key]?.[chosen] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

export const has = (key) => key in table;
export const count = (value) => new Intl.NumberFormat(chosen).format(value);
export const digits = (value) =>
  value === null || value === undefined ? "–" : new Intl.NumberFormat(chosen, { maximumSignificantDigits: 5 }).format(value);
export const percent = (value, most = 2) =>
  new Intl.NumberFormat(chosen, { style: "percent", maximumFractionDigits: most }).format(value);
export const time = (seconds) =>
  seconds === null || seconds === undefined
    ? "–"
    : new Intl.DateTimeFormat(chosen, { dateStyle: "short", timeStyle: "medium" }).format(new Date(seconds * 1000));
