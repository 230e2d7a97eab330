// A walk on the straight line between two images in the latent space.

const STEPS = 11;
const SECONDS = 4;
let walking = 0; // the animation's request, 0 while none runs

function endPixels(end) {
  return end === "digit" ? state.digit.pixels : originals.slice(PIXELS * end, PIXELS * (end + 1));
}

function endName(end) {
  const { name } = state.digit ?? {};
  return end === "digit" ? name[0].toLowerCase() + name.slice(1) : `test ${noun} ${end + 1}, ${whatItIs(data.original_labels[end])}`;
}

// What the walk depends on.
function walkKey() {
  return [state.dimension, state.walk.from, state.walk.to, state.digit];
}

function onWalk(share) {
  const [from, to] = once("ends", walkKey(), () =>
    [state.walk.from, state.walk.to].map((end) => current().model.encode(endPixels(end)).mean));
  return from.map((value, unit) => value + share * (to[unit] - value));
}

function showWalk() {
  for (const side of ["from", "to"]) {
    const list = byId(`walk-${side}`);
    const choices = [...data.original_labels.keys(), ...(state.digit ? ["digit"] : [])];
    list.replaceChildren(...choices.map((end) =>
      Object.assign(document.createElement("option"), { value: end, textContent: endName(end) })));
    list.value = state.walk[side];
  }
  const shares = Array.from({ length: STEPS }, (_, step) => step / (STEPS - 1));
  byId("walk-steps").replaceChildren(...shares.map((share) => {
    const button = Object.assign(document.createElement("button"), { type: "button" });
    button.setAttribute("aria-label", `${Math.round(100 * share)} % of the way`);
    const canvas = document.createElement("canvas");
    paint(canvas, current().model.decode(onWalk(share)));
    button.append(canvas);
    button.addEventListener("click", () => goTo({ kind: "walk", share }));
    return button;
  }));
}

function stopWalking() {
  cancelAnimationFrame(walking);
  walking = 0;
  byId("walk-play").textContent = "Walk";
}

function startWalking() {
  const start = performance.now();
  byId("walk-play").textContent = "Stop";
  goTo({ kind: "walk", share: 0 });
  const step = (now) => {
    if (state.at.kind !== "walk") return stopWalking(); // the point was moved elsewhere
    const share = Math.min(1, Math.max(0, now - start) / 1000 / SECONDS);
    goTo({ kind: "walk", share });
    if (share === 1) return stopWalking();
    walking = requestAnimationFrame(step);
  };
  walking = requestAnimationFrame(step);
}

function listenToWalk() {
  for (const side of ["from", "to"]) {
    byId(`walk-${side}`).addEventListener("change", ({ target }) => {
      state.walk[side] = target.value === "digit" ? "digit" : Number(target.value);
      goTo({ kind: "walk", share: side === "from" ? 0 : 1 });
    });
  }
  byId("walk-share").addEventListener("input", ({ target }) => {
    if (walking) stopWalking();
    goTo({ kind: "walk", share: Number(target.value) });
  });
  byId("walk-play").addEventListener("click", () => (walking ? stopWalking() : startWalking()));
}
