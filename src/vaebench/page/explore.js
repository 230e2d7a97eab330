// The explorer: whatever changes the state asks for `refresh`, and all that is seen follows from the state.

let pending = false;

// Show the state, at most once a frame.
function refresh() {
  if (pending) return;
  pending = true;
  requestAnimationFrame(() => {
    pending = false;
    show();
  });
}

function show() {
  const pixels = current().model.decode(state.latents);
  paint(byId("picture"), pixels);
  showReading(byId("picture-reading"), pixels);
  byId("status").textContent = about(pixels);
  once("sliders", [state.dimension], makeSliders);
  state.latents.forEach((value, unit) => {
    const slider = byId(`z${unit}`);
    slider.value = value;
    slider.nextElementSibling.textContent = value.toFixed(2);
  });
  once("model", [state.dimension, state.digit], showModel);
  keepManifold();
  paintPlane();
  const place = placeOf(state.latents).map((value) => value.toFixed(2)).join(", ");
  byId("plane").setAttribute("aria-valuetext", `the point is at ${place}`);

  once("digit", [state.digit], () => {
    showReading(byId("digit-reading"), state.digit?.pixels);
    showDigit();
  });
  once("draws", [state.draw], showDraw);
  once("walk", walkKey(), showWalk);
  byId("walk-share").value = state.at.kind === "walk" ? state.at.share : 0;
  byId("behind").checked = state.behind;
  keepLink();
}

// What the point is, and how far its picture is from the digit.
function about(pixels) {
  const sentences = [whatIsThere()];
  if (state.digit) {
    const { error, kl } = digitPosterior();
    const differs = squaredError(pixels, state.digit.pixels).toFixed(1);
    sentences.push(
      state.at.kind === "digit"
        ? `It differs by ${error.toFixed(1)} (squared error); its KL is ${kl.toFixed(1)} nats.`
        : `Squared error against the ${noun}: ${differs}; its reconstruction's: ${error.toFixed(1)}.`,
    );
  }
  return sentences.filter(Boolean).join(" ");
}

function whatIsThere() {
  const { kind, share, index } = state.at;
  if (kind === "origin") return "The middle of the prior.";
  if (kind === "draw") return "A draw from N(0, I).";
  if (kind === "digit") return `${state.digit.name}, as it is reconstructed.`;
  if (kind === "walk") return `${Math.round(100 * share)} % of the way.`;
  if (kind !== "test") return "";
  const rest = current().shown < state.dimension ? ", by its two components alone" : "";
  return `Test ${noun} ${index + 1}, ${whatItIs(labels[index])}${rest}.`;
}

function showModel() {
  document.querySelector(`input[name=model][value="${state.dimension}"]`).checked = true;
  byId("turning").hidden = current().shown !== 3;
  const shares = current().explained_variance;
  const plane =
    state.dimension === 2 ? "All of the latent space; the circle holds 95 % of the prior."
    : state.dimension <= 3 ? "All of the latent space, seen from one side."
    : `Two principal components, which hold ${Math.round(100 * (shares[0] + shares[1]))} % of the variance.`;
  byId("plane-note").textContent = plane + (state.digit ? ` The square is where the encoder puts the ${noun}.` : "");
}

function makeSliders() {
  const { kl_spectrum, active } = current();
  const order = [...kl_spectrum.keys()].sort((a, b) => kl_spectrum[b] - kl_spectrum[a]);
  byId("sliders").replaceChildren(
    ...order.map((unit) => {
      const label = document.createElement("label");
      const kl = kl_spectrum[unit].toFixed(2);
      label.title = `KL ${kl} nats${active[unit] ? "" : ": not active, so that the picture hardly changes"}`;
      label.className = active[unit] ? "" : "silent";
      const name = Object.assign(document.createElement("span"), { textContent: `z${subscript(unit + 1)}` });
      const slider = Object.assign(document.createElement("input"), {
        type: "range", id: `z${unit}`, min: -4, max: 4, step: 0.01,
      });
      slider.setAttribute("aria-label", `latent ${unit + 1} of ${state.dimension}, KL ${kl} nats`);
      slider.addEventListener("input", () =>
        moveFreely(state.latents.with(unit, Number(slider.value))));
      label.append(name, slider, document.createElement("output"));
      return label;
    }),
  );
}

function subscript(number) {
  return String(number).replace(/\d/g, (digit) => "₀₁₂₃₄₅₆₇₈₉"[digit]);
}

// ---- What people do.

function choose(dimension) {
  state.dimension = dimension;
  goTo(state.at.kind !== "free" ? state.at : { kind: state.digit ? "digit" : "origin" });
}

function draw() {
  state.draw = normal(state.draw.length);
  goTo({ kind: "draw" });
}

function take(pixels, name) {
  state.digit = { pixels, name };
  goTo({ kind: "digit" });
}

function forget() {
  const { at, walk } = state;
  const walked = at.kind === "walk" && [walk.from, walk.to].includes("digit");
  if (at.kind === "digit" || walked) state.at = { kind: "free" };
  if (walk.from === "digit") walk.from = 0;
  if (walk.to === "digit") walk.to = 1;
  press(null);
  state.digit = null;
  refresh();
}

function press(chosen) {
  byId("digits").querySelectorAll("button").forEach((button) =>
    button.setAttribute("aria-pressed", String(button === chosen)));
}

function snap(place, gap) {
  const index = nearest(place, gap);
  if (index !== null) goTo({ kind: "test", index });
}

function turns() {
  return current().shown === 3 && document.querySelector("input[name=drag][value=turn]").checked;
}

function turnBy(right, up) {
  state.turn += right;
  state.tilt = Math.max(-Math.PI / 2, Math.min(Math.PI / 2, state.tilt + up));
  refresh();
}

function followPointer(canvas, { begin, move, end }) {
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  };
  let held = false; // what was pressed elsewhere is not ours
  canvas.addEventListener("pointerdown", (event) => {
    held = true;
    canvas.setPointerCapture(event.pointerId);
    begin(at(event));
  });
  canvas.addEventListener("pointermove", (event) => held && move(at(event)));
  for (const over of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(over, (event) => {
      if (held) end(at(event));
      held = false;
    });
  }
}

function listenToPlane() {
  const plane = byId("plane");
  const onPlane = ([x, y]) => [(2 * x - 1) * current().reach, (1 - 2 * y) * current().reach];
  let [from, before] = [null, null];
  const move = (spot) => {
    if (turns()) turnBy(4 * (spot[0] - before[0]), 4 * (spot[1] - before[1]));
    else moveFreely(latentAt(onPlane(spot), state.latents));
    before = spot;
  };
  followPointer(plane, {
    begin: (spot) => {
      [from, before] = [spot, spot];
      move(spot);
    },
    move,
    end: (spot) => { // without a move it is a click
      if (!turns() && Math.hypot(spot[0] - from[0], spot[1] - from[1]) < 0.01) snap(onPlane(spot), current().reach / 25);
    },
  });
  plane.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    const step = steps[event.key];
    if (event.key === "Enter") snap(placeOf(state.latents), Infinity);
    if (!step) return;
    event.preventDefault();
    const size = event.shiftKey ? 5 : 1;
    if (turns()) return turnBy(0.05 * size * step[0], -0.05 * size * step[1]);
    const stride = (size * current().reach) / 40;
    moveFreely(latentAt(placeOf(state.latents).map((value, side) => value + stride * step[side]), state.latents));
  });
  byId("front").addEventListener("click", () => {
    [state.turn, state.tilt] = [0, 0];
    refresh();
  });
  byId("behind").addEventListener("change", ({ target }) => {
    state.behind = target.checked;
    refresh();
  });
  new IntersectionObserver(([{ isIntersecting }]) => {
    manifold.visible = isIntersecting;
    refresh();
  }).observe(plane);
}

let reading = 0;

function readWhileDrawing() {
  reading ||= requestAnimationFrame(() => {
    reading = 0;
    showReading(byId("digit-reading"), asDigit());
  });
}

function listenToDigits() {
  followPointer(pad, {
    begin: (spot) => {
      press(null);
      last = null;
      drawTo(spot);
    },
    move: (spot) => {
      drawTo(spot);
      readWhileDrawing();
    },
    end: () => {
      const digit = asDigit();
      if (digit) take(digit, `Your ${noun}`);
    },
  });
  byId("clear").addEventListener("click", () => {
    clearPad();
    forget();
  });
  data.original_labels.forEach((label, index) => {
    const button = Object.assign(document.createElement("button"), { type: "button" });
    button.setAttribute("aria-label", `test ${noun} ${index + 1}, ${whatItIs(label)}`);
    button.setAttribute("aria-pressed", "false");
    const canvas = document.createElement("canvas");
    const pixels = endPixels(index);
    paint(canvas, pixels);
    button.append(canvas);
    button.addEventListener("click", () => {
      press(button);
      pen.imageSmoothingEnabled = false;
      pen.drawImage(canvas, 0, 0, pad.width, pad.height);
      take(pixels, `Test ${noun} ${index + 1}, ${whatItIs(label)}`);
    });
    byId("digits").append(button);
  });
}

function listen() {
  document.querySelectorAll("input[name=model]").forEach((input) =>
    input.addEventListener("change", () => choose(Number(input.value))));
  for (const id of ["sample", "sample-all"]) byId(id).addEventListener("click", draw);
  byId("origin").addEventListener("click", () => goTo({ kind: "origin" }));
  listenToPlane();
  listenToDigits();
  listenToWalk();
  addEventListener("hashchange", () => takeLink() && refresh());
  new ResizeObserver(paintPlane).observe(byId("plane"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paintPlane);
  byId("theme").addEventListener("click", paintPlane);
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
  panel = data.classifiers.map((packed) => new Classifier(packed));
  clearPad();
  state.latents = pointOf(state.at);
  const linked = takeLink();
  if (!linked) kept = asLink();
  show();
  listen();
  if (linked) byId("explore").scrollIntoView();
  byId("explorer").removeAttribute("aria-busy");
}

// What tests look at.
window.vaebench = { load, state, manifold, sheet, readBy: (pixels) => readBy(panel, pixels), ready: start() };
