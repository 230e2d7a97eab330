// What is explored: the models, and the state that all of the explorer is drawn from.

const data = JSON.parse(document.getElementById("explorer-data").textContent);
const byId = (id) => document.getElementById(id);
const labels = bytesOf(data.labels);
const originals = Float32Array.from(bytesOf(data.originals), (grey) => grey / 255);
const noun = data.noun; // of one image
const dimensions = Object.keys(data.models).map(Number);

const loaded = new Map(); // latent dimension → its model, and the test digits in its space
let panel; // the classifiers

const state = {
  dimension: dimensions.includes(2) ? 2 : dimensions[0],
  latents: null, // the point: Float32Array
  // How the point came there: { kind: "origin" | "draw" | "digit" | "free" }, { kind: "test", index } for one of
  // the test digits, { kind: "walk", share } of the way.
  at: { kind: "origin" },
  digit: null, // that was drawn or chosen: { pixels, name }, or null
  draw: normal(Math.max(...dimensions)), // of which a model takes the first as many as it has dimensions
  walk: { from: 0, to: 1 }, // each one of the first test digits, or "digit"
  turn: 0, // of the space, where three dimensions are shown: radians
  tilt: 0,
  behind: true, // whether decoded pictures lie behind the plane
};

// What a label says of an image: "a 7", or the name of its class.
function whatItIs(label) {
  return data.numbered ? `a ${data.classes[label]}` : data.classes[label];
}

// Whether the classes have names longer than a digit.
const longNames = data.classes.some((name) => name.length > 1);

function load(dimension) {
  if (!loaded.has(dimension)) {
    const found = data.models[dimension];
    const axes = found.axes[0].length; // shown: 2 or 3
    const points = new Float32Array(valuesOf(found.points, Int16Array)).map((n) => n * found.points_scale);
    let reach = 2.6;
    for (let start = 0; start < points.length; start += axes) {
      const point = points.subarray(start, start + axes);
      reach = Math.max(reach, axes === 3 ? Math.hypot(...point) : Math.max(...point.map(Math.abs)));
    }
    loaded.set(dimension, { ...found, values: null, points, shown: axes, reach: 1.06 * reach, model: new Model(found) });
  }
  return loaded.get(dimension);
}

function current() {
  return load(state.dimension);
}

// Where a way to the point leads in the space of the chosen model.
function pointOf({ kind, share, index }) {
  if (kind === "digit") return digitPosterior().mean;
  if (kind === "draw") return state.draw.slice(0, state.dimension);
  if (kind === "walk") return onWalk(share);
  if (kind === "test") return testPoint(index);
  return new Float32Array(state.dimension);
}

// Where the encoder puts the digit, and what is left of it.
function digitPosterior() {
  return once("posterior", [state.dimension, state.digit], () => {
    const { model } = current();
    const { mean, logVar } = model.encode(state.digit.pixels);
    const kl = mean.reduce((sum, value, unit) => sum + (value ** 2 + Math.exp(logVar[unit]) - 1 - logVar[unit]) / 2, 0);
    return { mean, kl, error: squaredError(state.digit.pixels, model.decode(mean)) };
  });
}

function goTo(at) {
  state.at = at;
  state.latents = pointOf(at);
  refresh();
}

function moveFreely(latents) {
  state.at = { kind: "free" };
  state.latents = latents;
  refresh();
}

function normal(count) {
  return Float32Array.from({ length: count }, () =>
    Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random()));
}

function squaredError(first, second) {
  return first.reduce((sum, value, index) => sum + (value - second[index]) ** 2, 0);
}

// What `make` returns; it is called again only where a value of `key` differs from the last time.
const made = new Map();
function once(name, key, make) {
  const before = made.get(name);
  if (before?.key.every((value, place) => value === key[place])) return before.found;
  const found = make();
  made.set(name, { key, found });
  return found;
}
