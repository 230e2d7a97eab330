// The charts, by Vega-Lite. Text takes the colour of the page, so that nothing is drawn anew for another theme.

const grid = "#88888833";
const config = {
  background: "transparent",
  view: { stroke: null },
  font: "system-ui, sans-serif",
  axis: {
    labelColor: "currentColor", titleColor: "currentColor", domainColor: "currentColor", tickColor: "currentColor",
    gridColor: grid, titleFontWeight: "normal", labelFontSize: 11, titleFontSize: 12,
  },
  legend: { labelColor: "currentColor", titleColor: "currentColor", titleFontWeight: "normal", symbolStrokeWidth: 2 },
  text: { color: "currentColor" },
};
// Vega places names so that none covers another or a point, which Vega-Lite cannot ask for.
function placeNames(spec) {
  const points = spec.marks.filter(({ type }) => type === "symbol").map(({ name }) => name);
  const names = spec.marks.find(({ name }) => name === "names_marks");
  const steps = [4, 10, 16];
  if (names) {
    names.transform = [{
      type: "label",
      size: { signal: "[width, height]" },
      anchor: steps.flatMap(() => ["top-right", "bottom-left", "top", "bottom", "right", "left", "top-left", "bottom-right"]),
      offset: steps.flatMap((step) => Array(8).fill(step)),
      avoidMarks: points,
    }];
  }
  return spec;
}
const options = { patch: placeNames, actions: false, renderer: "svg", config, tooltip: { theme: "dark" } };
const charts = JSON.parse(document.getElementById("charts-data").textContent);
window.chartsReady = Promise.all(
  Object.entries(charts).map(([id, spec]) => drawChart(document.getElementById(id), spec, options)));

// Charts take the width of their place, which in some browsers has none while it is folded away.
document.querySelectorAll("details").forEach((fold) =>
  fold.addEventListener("toggle", () => fold.open && dispatchEvent(new Event("resize"))));

document.getElementById("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const chosen = root.dataset.theme ?? (dark ? "dark" : "light");
  root.dataset.theme = chosen === "dark" ? "light" : "dark";
});
