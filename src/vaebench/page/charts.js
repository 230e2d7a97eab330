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
const options = { actions: false, renderer: "svg", config, tooltip: { theme: "dark" } };
const charts = JSON.parse(document.getElementById("charts-data").textContent);
window.chartsReady = Promise.all(
  Object.entries(charts).map(([id, spec]) => drawChart(document.getElementById(id), spec, options)));

document.getElementById("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const chosen = root.dataset.theme ?? (dark ? "dark" : "light");
  root.dataset.theme = chosen === "dark" ? "light" : "dark";
});
