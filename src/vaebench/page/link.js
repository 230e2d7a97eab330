// The page's address keeps the state: model, point and view.

const CALM = 300; // milliseconds after the last change; browsers allow few changes of the address a second
let kept = ""; // the state that the address or the start of the page stands for
let keeping = 0;

function asLink() {
  const { dimension, latents, turn, tilt, behind } = state;
  const fields = { d: dimension, z: [...latents].map((value) => Number(value.toFixed(3))).join() };
  if (current().shown === 3 && (turn || tilt)) Object.assign(fields, { turn: turn.toFixed(2), tilt: tilt.toFixed(2) });
  if (!behind) fields.behind = 0;
  return Object.entries(fields).map(([name, value]) => `${name}=${value}`).join("&");
}

function keepLink() {
  const link = asLink();
  if (link === kept) return;
  kept = link;
  clearTimeout(keeping);
  keeping = setTimeout(() => history.replaceState(null, "", `#${link}`), CALM);
}

// Take the state that the address holds; say whether it holds one.
function takeLink() {
  const fields = new URLSearchParams(location.hash.slice(1));
  const dimension = Number(fields.get("d"));
  const latents = Float32Array.from((fields.get("z") ?? "").split(","), Number);
  const [turn, tilt] = ["turn", "tilt"].map((name) => Number(fields.get(name)));
  if (!dimensions.includes(dimension) || latents.length !== dimension) return false;
  if (![...latents, turn, tilt].every(Number.isFinite)) return false;
  Object.assign(state, { dimension, latents, turn, tilt, at: { kind: "free" }, behind: fields.get("behind") !== "0" });
  return true;
}
