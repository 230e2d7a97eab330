// The explorer: a point of the latent space, its picture, a digit drawn by hand, and all models beside each other.

const data = JSON.parse(document.getElementById("explorer-data").textContent);
const byId = (id) => document.getElementById(id);
const labels = bytesOf(data.labels);
const originals = Float32Array.from(bytesOf(data.originals), (grey) => grey / 255);
const dimensions = Object.keys(data.models).map(Number);

const loaded = new Map(); // latent dimension → { model, points, scale of the plane }
let current; // the one that is shown
let latents; // its point, Float32Array
let drawn = null; // the digit that was drawn or chosen: 784 pixels in [0, 1], or null

function load(dimension) {
  if (!loaded.has(dimension)) {
    const found = data.models[dimension];
    const integers = valuesOf(found.points, Int16Array);
    const points = Float32Array.from(integers, (n) => n * found.points_scale);
    const reach = 1.06 * Math.max(2.6, points.reduce((most, value) => Math.max(most, Math.abs(value)), 0));
    loaded.set(dimension, { ...found, values: null, points, reach, model: new Model(found) });
  }
  return loaded.get(dimension);
}

// ---- The plane of two axes, on which every latent has a place.

function placeOf(point) {
  const place = [0, 0];
  current.axes.forEach((axis, unit) => {
    for (const side of [0, 1]) place[side] += (point[unit] - current.centre[unit]) * axis[side];
  });
  return place;
}

function moveTo(place) {
  const before = placeOf(latents);
  latents = latents.map((value, unit) => {
    const axis = current.axes[unit];
    return value + (place[0] - before[0]) * axis[0] + (place[1] - before[1]) * axis[1];
  });
  refresh();
}

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

let cloud = null; // the test digits, drawn once a model and size

function paintCloud(side) {
  const key = [current.latent_dim, side, isDark()].join();
  if (cloud?.key === key) return cloud.canvas;
  const canvas = Object.assign(document.createElement("canvas"), { width: side, height: side });
  const context = canvas.getContext("2d");
  const colours = data.digit_colours[isDark() ? "dark" : "light"];
  const zoom = side / 2 / current.reach;
  const size = Math.max(1.2, side / 330);
  context.globalAlpha = 0.55;
  for (let index = 0; index < labels.length; index++) {
    context.fillStyle = colours[labels[index]];
    const x = side / 2 + zoom * current.points[2 * index];
    const y = side / 2 - zoom * current.points[2 * index + 1];
    context.fillRect(x - size / 2, y - size / 2, size, size);
  }
  context.globalAlpha = 1;
  context.font = `bold ${side / 28}px system-ui, sans-serif`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.lineWidth = side / 110;
  context.strokeStyle = isDark() ? "#14161a" : "#ffffff";
  namePlaces(side / 22 / zoom).forEach(([digit, x, y]) => {
    context.fillStyle = colours[digit];
    context.strokeText(digit, side / 2 + zoom * x, side / 2 - zoom * y);
    context.fillText(digit, side / 2 + zoom * x, side / 2 - zoom * y);
  });
  cloud = { key, canvas };
  return canvas;
}

// Where the names of the digits stand: at their medians, moved apart where one would cover another.
function namePlaces(gap) {
  const names = [...Array(10).keys()]
    .filter((digit) => labels.includes(digit))
    .map((digit) => [digit, median(digit, 0), median(digit, 1)]);
  for (let round = 0; round < 20; round++) {
    for (const first of names) {
      for (const second of names) {
        const [x, y] = [second[1] - first[1], second[2] - first[2]];
        const distance = Math.hypot(x, y);
        if (first === second || distance >= gap) continue;
        const push = (gap - distance) / 2 / (distance || 1);
        [first[1], first[2]] = [first[1] - push * x, first[2] - push * y];
        [second[1], second[2]] = [second[1] + push * x, second[2] + push * y];
      }
    }
  }
  return names;
}

function median(digit, axis) {
  const values = [];
  labels.forEach((label, index) => label === digit && values.push(current.points[2 * index + axis]));
  return values.sort((a, b) => a - b)[values.length >> 1];
}

function paintPlane() {
  const canvas = byId("plane");
  const side = Math.max(200, Math.round(canvas.clientWidth * devicePixelRatio));
  if (canvas.width !== side) canvas.width = canvas.height = side;
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, side, side);
  context.drawImage(paintCloud(side), 0, 0);
  const zoom = side / 2 / current.reach;
  const ink = isDark() ? "#e7e9ee" : "#222222";
  context.strokeStyle = ink;
  context.lineWidth = side / 400;
  if (current.latent_dim === 2) {
    context.setLineDash([side / 90, side / 120]);
    context.beginPath();
    context.arc(side / 2, side / 2, zoom * Math.sqrt(-2 * Math.log(0.05)), 0, 2 * Math.PI);
    context.stroke();
    context.setLineDash([]);
  }
  const [x, y] = placeOf(latents);
  const [left, top] = [side / 2 + zoom * x, side / 2 - zoom * y];
  context.lineWidth = side / 160;
  context.beginPath();
  context.arc(left, top, side / 45, 0, 2 * Math.PI);
  context.moveTo(left - side / 28, top);
  context.lineTo(left + side / 28, top);
  context.moveTo(left, top - side / 28);
  context.lineTo(left, top + side / 28);
  context.strokeStyle = isDark() ? "#000000" : "#ffffff";
  context.lineWidth = side / 70;
  context.stroke();
  context.strokeStyle = ink;
  context.lineWidth = side / 180;
  context.stroke();
}

// ---- Pictures.

function paint(canvas, pixels) {
  canvas.width = canvas.height = SIDE;
  const image = new ImageData(SIDE, SIDE);
  pixels.forEach((grey, index) => image.data.set([255 * grey, 255 * grey, 255 * grey, 255].map(Math.round), 4 * index));
  canvas.getContext("2d").putImageData(image, 0, 0);
}

let pending = false;

// Show the point: its picture, its place and its sliders; at most once a frame.
function refresh() {
  if (pending) return;
  pending = true;
  requestAnimationFrame(() => {
    pending = false;
    paint(byId("picture"), current.model.decode(latents));
    paintPlane();
    latents.forEach((value, unit) => {
      const slider = byId(`z${unit}`);
      slider.value = value;
      slider.nextElementSibling.textContent = value.toFixed(2);
    });
    const place = placeOf(latents).map((value) => value.toFixed(2)).join(", ");
    byId("plane").setAttribute("aria-valuetext", `the point is at ${place}`);
  });
}

function makeSliders() {
  const order = [...latents.keys()].sort((a, b) => current.kl_spectrum[b] - current.kl_spectrum[a]);
  byId("sliders").replaceChildren(
    ...order.map((unit) => {
      const label = document.createElement("label");
      const kl = current.kl_spectrum[unit].toFixed(2);
      label.title = `KL ${kl} nats${current.active[unit] ? "" : ": not active, so that the picture hardly changes"}`;
      label.className = current.active[unit] ? "" : "silent";
      const name = Object.assign(document.createElement("span"), { textContent: `z${subscript(unit + 1)}` });
      const slider = Object.assign(document.createElement("input"), {
        type: "range", id: `z${unit}`, min: -4, max: 4, step: 0.01,
      });
      slider.setAttribute("aria-label", `latent ${unit + 1} of ${current.latent_dim}, KL ${kl} nats`);
      slider.addEventListener("input", () => {
        latents[unit] = Number(slider.value);
        refresh();
      });
      label.append(name, slider, document.createElement("output"));
      return label;
    }),
  );
}

function subscript(number) {
  return String(number).replace(/\d/g, (digit) => "₀₁₂₃₄₅₆₇₈₉"[digit]);
}

function choose(dimension) {
  current = load(dimension);
  latents = drawn ? Float32Array.from(current.model.encode(drawn).mean) : new Float32Array(dimension);
  makeSliders();
  const shares = current.explained_variance;
  byId("plane-note").textContent =
    dimension === 2 ? "All of the latent space; the circle holds 95 % of the prior."
    : dimension <= 3 ? "The latent space along z₁ and z₂."
    : `Two principal components, which hold ${Math.round(100 * (shares[0] + shares[1]))} % of the variance.`;
  if (drawn) describe();
  refresh();
}

// ---- A digit drawn by hand, or one of the test set.

const pad = byId("drawing");
const pen = pad.getContext("2d", { willReadFrequently: true });
let stroke = null;

function clearPad() {
  pen.fillStyle = "#000";
  pen.fillRect(0, 0, pad.width, pad.height);
}

// As MNIST was made: the digit fits 20 × 20 pixels, its centre of mass is that of the image.
function asDigit() {
  const { width, height } = pad;
  const grey = pen.getImageData(0, 0, width, height).data.filter((_, index) => index % 4 === 0);
  let [left, right, top, bottom] = [width, -1, height, -1];
  grey.forEach((value, index) => {
    if (value < 32) return;
    const [x, y] = [index % width, Math.floor(index / width)];
    [left, right, top, bottom] = [Math.min(left, x), Math.max(right, x), Math.min(top, y), Math.max(bottom, y)];
  });
  if (right < 0) return null;
  const [across, down] = [right - left + 1, bottom - top + 1];
  const zoom = 20 / Math.max(across, down);
  const small = Object.assign(document.createElement("canvas"), { width: SIDE, height: SIDE }).getContext("2d");
  const place = (x, y) => {
    small.fillStyle = "#000";
    small.fillRect(0, 0, SIDE, SIDE);
    small.imageSmoothingQuality = "high";
    small.drawImage(pad, left, top, across, down, x, y, across * zoom, down * zoom);
    return Float32Array.from(
      small.getImageData(0, 0, SIDE, SIDE).data.filter((_, index) => index % 4 === 0), (value) => value / 255,
    );
  };
  const [x, y] = [(SIDE - across * zoom) / 2, (SIDE - down * zoom) / 2];
  const centred = place(x, y);
  const mass = centred.reduce((sum, value) => sum + value, 0);
  const mean = (of) => centred.reduce((sum, value, index) => sum + value * of(index), 0) / mass;
  const shiftX = Math.round(SIDE / 2 - 0.5 - mean((index) => index % SIDE));
  const shiftY = Math.round(SIDE / 2 - 0.5 - mean((index) => Math.floor(index / SIDE)));
  return place(x + shiftX, y + shiftY);
}

function read(pixels) {
  drawn = pixels;
  byId("compare-note").textContent = "The digit that you drew or chose, decoded by every model from its posterior mean:";
  latents = Float32Array.from(current.model.encode(drawn).mean);
  describe();
  compare();
  refresh();
}

function losses(model, image) {
  const { mean, logVar } = model.encode(image);
  const reconstruction = model.decode(mean);
  const error = image.reduce((sum, value, index) => sum + (value - reconstruction[index]) ** 2, 0);
  const kl = mean.reduce((sum, value, unit) => sum + (value ** 2 + Math.exp(logVar[unit]) - 1 - logVar[unit]) / 2, 0);
  return { reconstruction, error, kl };
}

function describe() {
  const { error, kl } = losses(current.model, drawn);
  byId("status").textContent =
    `Its reconstruction differs by ${error.toFixed(1)} (squared error); its KL is ${kl.toFixed(1)} nats.`;
}

// ---- All models.

function show(captions, pictures) {
  byId("comparison").replaceChildren(
    ...pictures.map((pixels, index) => {
      const figure = document.createElement("figure");
      const canvas = document.createElement("canvas");
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", captions[index]);
      paint(canvas, pixels);
      figure.append(canvas, Object.assign(document.createElement("figcaption"), { textContent: captions[index] }));
      return figure;
    }),
  );
}

function compare() {
  const all = dimensions.map((dimension) => losses(load(dimension).model, drawn));
  show(
    ["as it is read", ...dimensions.map((dimension, index) => `${dimension} dims: error ${all[index].error.toFixed(1)}`)],
    [drawn, ...all.map(({ reconstruction }) => reconstruction)],
  );
}

function normal(count) {
  return Float32Array.from({ length: count }, () =>
    Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random()));
}

function sampleAll() {
  byId("compare-note").textContent = "One draw from the prior N(0, I), decoded by every model:";
  show(
    dimensions.map((dimension) => `${dimension} dims`),
    dimensions.map((dimension) => load(dimension).model.decode(normal(dimension))),
  );
}

// ---- What people do.

function followPointer(canvas, move, begin = () => {}, end = () => {}) {
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    begin(at(event));
    move(at(event));
  });
  canvas.addEventListener("pointermove", (event) => event.buttons && move(at(event)));
  for (const over of ["pointerup", "pointercancel"]) canvas.addEventListener(over, () => end());
}

function listen() {
  document.querySelectorAll("input[name=model]").forEach((input) =>
    input.addEventListener("change", () => choose(Number(input.value))));

  followPointer(byId("plane"), ([x, y]) => moveTo([(2 * x - 1) * current.reach, (1 - 2 * y) * current.reach]));
  byId("plane").addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    if (!steps[event.key]) return;
    event.preventDefault();
    const size = (current.reach / 40) * (event.shiftKey ? 5 : 1);
    moveTo(placeOf(latents).map((value, side) => value + size * steps[event.key][side]));
  });
  byId("sample").addEventListener("click", () => {
    latents = normal(current.latent_dim);
    refresh();
  });
  byId("origin").addEventListener("click", () => {
    latents = new Float32Array(current.latent_dim);
    refresh();
  });
  byId("sample-all").addEventListener("click", sampleAll);

  clearPad();
  followPointer(
    pad,
    ([x, y]) => {
      const point = [x * pad.width, y * pad.height];
      pen.strokeStyle = "#fff";
      pen.lineWidth = pad.width / 12;
      pen.lineCap = pen.lineJoin = "round";
      pen.beginPath();
      pen.moveTo(...(stroke ?? point));
      pen.lineTo(...point);
      pen.stroke();
      stroke = point;
    },
    () => {
      stroke = null;
      press(null);
    },
    () => {
      const digit = asDigit();
      if (digit) read(digit);
    },
  );
  byId("clear").addEventListener("click", () => {
    clearPad();
    press(null);
    drawn = null;
    byId("status").textContent = "";
  });
  data.original_labels.forEach((label, index) => {
    const button = Object.assign(document.createElement("button"), { type: "button" });
    button.setAttribute("aria-label", `test digit ${index + 1}, a ${label}`);
    button.setAttribute("aria-pressed", "false");
    const canvas = document.createElement("canvas");
    const pixels = originals.slice(PIXELS * index, PIXELS * (index + 1));
    paint(canvas, pixels);
    button.append(canvas);
    button.addEventListener("click", () => {
      press(button);
      pen.imageSmoothingEnabled = false;
      pen.drawImage(canvas, 0, 0, pad.width, pad.height);
      read(pixels);
    });
    byId("digits").append(button);
  });

  new ResizeObserver(paintPlane).observe(byId("plane"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paintPlane);
  byId("theme").addEventListener("click", paintPlane);
}

function press(chosen) {
  byId("digits").querySelectorAll("button").forEach((button) =>
    button.setAttribute("aria-pressed", String(button === chosen)));
}

async function start() {
  const binary = new Blob([bytesOf(byId("wasm").textContent)], { type: "application/wasm" });
  const address = URL.createObjectURL(binary);
  tf.wasm.setWasmPaths(Object.fromEntries(
    ["", "-simd", "-threaded-simd"].map((kind) => [`tfjs-backend-wasm${kind}.wasm`, address])));
  if (!(await tf.setBackend("wasm").catch(() => false))) {
    byId("status").textContent = "This browser cannot run the models: it lacks WebAssembly with SIMD.";
    return;
  }
  choose(dimensions.includes(2) ? 2 : dimensions[0]);
  listen();
  sampleAll();
  byId("explorer").removeAttribute("aria-busy");
}

window.vaebench = { load, ready: start() };
