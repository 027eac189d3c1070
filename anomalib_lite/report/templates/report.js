"use strict";
// Lays the golden image over the aligned one, as far as the slider says: both are parts of one picture.
for (const figure of document.querySelectorAll("figure.compared")) {
  const picture = figure.querySelector("img"), start = Number(figure.dataset.start), share = Number(figure.dataset.share);
  const golden = document.createElement("div"), copy = picture.cloneNode(), label = document.createElement("label"), swipe = document.createElement("input");
  golden.className = "golden";
  Object.assign(golden.style, { left: `${100 * start}%`, width: `${100 * share}%` });
  Object.assign(copy.style, { width: `${100 / share}%`, maxWidth: "none" });
  copy.alt = "";
  golden.append(copy);
  Object.assign(swipe, { type: "range", min: 0, max: 100, value: 0 });
  const update = () => { golden.style.clipPath = `inset(0 ${100 - swipe.value}% 0 0)`; };
  swipe.addEventListener("input", update);
  label.className = "swipe";
  label.append("Aligned", swipe, "Golden");
  picture.parentElement.append(golden);
  picture.parentElement.after(label);
  update();
}
// Moves the reject threshold and counts what it would do. The rule is the one of edge/decision.py: NG if score > threshold.
(() => {
  const plot = JSON.parse(document.getElementById("plot-data").textContent);
  const element = (id) => document.getElementById(id);
  const slider = element("slider"), reset = element("reset"), state = element("state");
  if (!slider) return;

  // The axis maps scores to 0..1, as Python drew it; the slider has whole positions, one of which is the certified threshold itself.
  const map = plot.log ? Math.log : (value) => value;
  const back = plot.log ? Math.exp : (value) => value;
  const low = map(plot.low), high = map(plot.high), last = Number(slider.max);
  const fraction = (score) => (map(score) - low) / (high - low);
  const stops = plot.stops; // the rows of the menu; without them every position is one
  if (stops.length) slider.max = String(stops.length - 1);
  const home = stops.length ? stops.findIndex((stop) => stop.threshold === plot.certified) : Math.round(fraction(plot.certified) * last);
  const thresholdAt = (position) => {
    if (stops.length) return stops[position].threshold;
    return position === home ? plot.certified : back(low + (high - low) * position / last);
  };

  function above(line, threshold) {             // how many of the ascending scores are strictly greater
    const sorted = line.scores;
    let from = 0, to = sorted.length;
    while (from < to) {
      const middle = (from + to) >> 1;
      if (sorted[middle] > threshold) to = middle; else from = middle + 1;
    }
    if (line.above) return from < sorted.length ? line.above[from] : 0; // of many images some of the scores are here
    return sorted.length - from;
  }
  const count = (line, threshold) => line.escapes ? line.total - above(line, threshold) : above(line, threshold);
  const show = (count, of) => of ? `${count} (${(100 * count / of).toFixed(1)} %)` : "–";
  const digits = (value) => String(Number(value.toPrecision(5)));

  function update() {
    const position = Number(slider.value), threshold = thresholdAt(position), moved = position !== home;
    const percent = 100 * fraction(threshold);
    element("moved-line").style.left = element("zone").style.left = `${percent}%`;
    const label = element("moved-label");
    label.style.left = `${percent}%`;
    label.style.transform = `translateX(-${percent}%)`;
    label.textContent = moved ? `moved ${digits(threshold)}` : "";
    element("moved-line").hidden = !moved;
    const spoken = [];
    plot.counts.forEach((line, index) => {
      const now = count(line, threshold), cell = element(`count-${index}`);
      cell.textContent = show(now, line.total);
      cell.dataset.count = now;
      cell.classList.toggle("changed", now !== line.certified);
      if (index < 4) spoken.push(`${line.name} ${now} of ${line.total}`);
    });
    const said = stops.length ? `${stops[position].said} To take it: calibrate MODEL --row N.` : "NOT certified. No bound holds here.";
    const certified = stops.length ? `: ${stops[home].said}` : ".";
    state.textContent = moved ? `Threshold moved to ${digits(threshold)}: ${said}` : `At the certified threshold ${digits(threshold)}${certified}`;
    state.classList.toggle("moved", moved);
    reset.disabled = !moved;
    const standing = !moved ? "certified" : stops.length ? stops[position].said : "not certified";
    slider.setAttribute("aria-valuetext", `${digits(threshold)}, ${standing}. ${spoken.join(", ")}`);
  }

  function goHome() {
    slider.value = String(home);
    update();
  }
  slider.addEventListener("input", update);
  reset.addEventListener("click", () => { goHome(); slider.focus(); });
  slider.disabled = false;
  goHome();
  // Python's verdicts and this page must agree where the guarantee stands.
  element("disagree").hidden = plot.counts.every((line) => count(line, plot.certified) === line.certified);
})();
