// What the decoder makes of every place of the plane, as a grid of pictures behind it: Kingma and Welling's
// picture of the manifold, evenly spaced on the plane's own axes. Decoded in slices, when nothing else moves.

const TILES = 15; // a side
const INK = [128, 137, 152]; // stands out from white and from black
const SLICE = 12; // milliseconds of work at a time
const REST = 150; // milliseconds of rest before the grid is made anew

const sheet = Object.assign(document.createElement("canvas"), { width: TILES * SIDE, height: TILES * SIDE });
const manifold = { key: null, through: null, done: 0, timer: 0, visible: false };

function tilePlace(index) {
  const at = (place) => ((2 * place + 1) / TILES - 1) * current().reach;
  return [at(index % TILES), -at(Math.floor(index / TILES))];
}

// What its directions depend on.
function planeKey() {
  return [state.dimension, state.turn, state.tilt].join();
}

// Begin anew where the grid that is there is of another plane; the point may move within its plane.
function keepManifold() {
  if (!state.behind || !manifold.visible) return;
  const key = planeKey();
  const through = latentAt([0, 0], state.latents);
  if (key === manifold.key && through.every((value, unit) => Math.abs(value - manifold.through[unit]) < 0.005)) return;
  clearTimeout(manifold.timer);
  Object.assign(manifold, { key, through, done: 0, timer: setTimeout(decodeSlice, REST) });
  sheet.getContext("2d").clearRect(0, 0, sheet.width, sheet.height);
}

function decodeSlice() {
  if (manifold.key !== planeKey()) return; // the next frame begins anew
  const end = performance.now() + SLICE;
  const context = sheet.getContext("2d");
  while (manifold.done < TILES ** 2 && performance.now() < end) {
    const pixels = current().model.decode(latentAt(tilePlace(manifold.done), manifold.through));
    const tile = new ImageData(SIDE, SIDE);
    pixels.forEach((grey, index) => tile.data.set([...INK, Math.round(255 * grey)], 4 * index));
    context.putImageData(tile, SIDE * (manifold.done % TILES), SIDE * Math.floor(manifold.done / TILES));
    manifold.done++;
  }
  paintPlane();
  if (manifold.done < TILES ** 2) manifold.timer = setTimeout(decodeSlice, 0);
}

function paintManifold(context, side) {
  if (!state.behind) return;
  context.imageSmoothingQuality = "high";
  context.drawImage(sheet, 0, 0, side, side);
}
