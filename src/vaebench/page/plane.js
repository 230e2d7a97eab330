// The latent space as a plane: the test digits, the point, and a view that turns where three dimensions are shown.

// The plane's axes, right and up, and the one towards the eye, each in the coordinates of the points.
function view() {
  if (current().shown === 2) return [[1, 0], [0, 1], [0, 0]];
  const [sine, cosine, up, along] = [Math.sin(state.turn), Math.cos(state.turn), Math.sin(state.tilt), Math.cos(state.tilt)];
  return [[cosine, 0, sine], [sine * up, along, -cosine * up], [-sine * along, up, cosine * along]];
}

function dot(first, second) {
  return first.reduce((sum, value, index) => sum + value * second[index], 0);
}

// The place of a latent on the plane.
function placeOf(latents) {
  const { axes, centre } = current();
  const coordinates = axes[0].map((_, side) =>
    axes.reduce((sum, axis, unit) => sum + (latents[unit] - centre[unit]) * axis[side], 0));
  return view().slice(0, 2).map((axis) => dot(axis, coordinates));
}

// The latent at a place of the plane through `latents` that faces the eye.
function latentAt(place, latents) {
  const [right, up] = view();
  const before = placeOf(latents);
  const step = right.map((_, side) => (place[0] - before[0]) * right[side] + (place[1] - before[1]) * up[side]);
  return latents.map((value, unit) => value + dot(step, current().axes[unit]));
}

// The latent of a test digit; above three dimensions, what its two principal components tell of it.
function testPoint(index) {
  const { axes, centre, points, shown } = current();
  const point = points.subarray(shown * index, shown * (index + 1));
  return Float32Array.from(axes, (axis, unit) => centre[unit] + dot(axis, point));
}

// The test digit nearest to a place, if any is within `gap`.
function nearest(place, gap) {
  const found = places();
  let [best, least] = [-1, gap];
  for (let index = 0; index < labels.length; index++) {
    const distance = Math.hypot(found.x[index] - place[0], found.y[index] - place[1]);
    if (distance < least) [best, least] = [index, distance];
  }
  return best < 0 ? null : best;
}

// Where the test digits lie on the plane, the nearest to the eye last in `order`.
function places() {
  return once("places", [state.dimension, state.turn, state.tilt], () => {
    const { points, shown } = current();
    const [x, y, depth] = view().map((axis) => Float32Array.from(labels, (_, index) => {
      let sum = 0;
      for (let side = 0; side < shown; side++) sum += axis[side] * points[shown * index + side];
      return sum;
    }));
    const order = [...labels.keys()];
    if (shown === 3) order.sort((first, second) => depth[first] - depth[second]);
    return { x, y, order };
  });
}

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

// The test images and the names of their classes, on a canvas of their own.
function paintCloud(side) {
  const canvas = Object.assign(document.createElement("canvas"), { width: side, height: side });
  const context = canvas.getContext("2d");
  const colours = data.class_colours[isDark() ? "dark" : "light"];
  const zoom = side / 2 / current().reach;
  const size = Math.max(1.2, side / 330);
  const { x, y, order } = places();
  context.globalAlpha = 0.55;
  for (const index of order) {
    context.fillStyle = colours[labels[index]];
    context.fillRect(side / 2 + zoom * x[index] - size / 2, side / 2 - zoom * y[index] - size / 2, size, size);
  }
  context.globalAlpha = 1;
  context.font = `bold ${side / (longNames ? 40 : 28)}px system-ui, sans-serif`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.lineWidth = side / 110;
  context.strokeStyle = isDark() ? "#14161a" : "#ffffff";
  const widths = data.classes.map((name) => (context.measureText(name).width + side / 60) / zoom);
  namePlaces(widths, side / (longNames ? 30 : 22) / zoom).forEach(([label, left, up]) => {
    context.fillStyle = colours[label];
    context.strokeText(data.classes[label], side / 2 + zoom * left, side / 2 - zoom * up);
    context.fillText(data.classes[label], side / 2 + zoom * left, side / 2 - zoom * up);
  });
  return canvas;
}

// Where the names of the classes stand: at their medians, moved apart where one would cover another. `widths` are
// those that the names take.
function namePlaces(widths, height) {
  const { x, y } = places();
  const median = (values, label) => values.filter((_, index) => labels[index] === label).sort()[
    labels.filter((each) => each === label).length >> 1];
  const names = [...Array(CLASSES).keys()]
    .filter((label) => labels.includes(label))
    .map((label) => [label, median(x, label), median(y, label)]);
  for (let round = 0; round < (longNames ? 100 : 20); round++) {
    for (const first of names) {
      for (const second of names) {
        const [right, up] = [second[1] - first[1], second[2] - first[2]];
        const push = longNames
          ? pushBoxes(right, up, (widths[first[0]] + widths[second[0]]) / 2, height)
          : pushDiscs(right, up, height);
        if (first === second || !push) continue;
        [first[1], first[2]] = [first[1] - push[0], first[2] - push[1]];
        [second[1], second[2]] = [second[1] + push[0], second[2] + push[1]];
      }
    }
  }
  return names;
}

// How far each of two discs, or boxes, must give way, if they touch.
function pushDiscs(right, up, gap) {
  const distance = Math.hypot(right, up);
  const push = (gap - distance) / 2 / (distance || 1);
  return distance < gap ? [push * right, push * up] : null;
}

function pushBoxes(right, up, width, height) {
  const [across, along] = [width - Math.abs(right), height - Math.abs(up)];
  if (across <= 0 || along <= 0) return null;
  return across < along ? [(across / 2) * (right < 0 ? -1 : 1), 0] : [0, (along / 2) * (up < 0 ? -1 : 1)];
}

function paintPlane() {
  const canvas = byId("plane");
  const side = Math.max(200, Math.round(canvas.clientWidth * devicePixelRatio));
  if (canvas.width !== side) canvas.width = canvas.height = side;
  const context = canvas.getContext("2d");
  const zoom = side / 2 / current().reach;
  const onCanvas = ([x, y]) => [side / 2 + zoom * x, side / 2 - zoom * y];
  const ink = isDark() ? "#e7e9ee" : "#222222";
  context.clearRect(0, 0, side, side);
  paintManifold(context, side);
  const seen = [places(), side, isDark()];
  context.drawImage(once("cloud", seen, () => paintCloud(side)), 0, 0);
  paintAxes(context, side, onCanvas, ink);
  if (state.dimension === 2) paintPrior(context, side, zoom, ink);
  if (state.at.kind === "walk") paintWalk(context, side, [0, 1].map((share) => onCanvas(placeOf(onWalk(share)))), ink);
  if (state.digit) paintDigitMark(context, side, onCanvas(placeOf(digitPosterior().mean)), ink);
  paintPoint(context, side, onCanvas(placeOf(state.latents)), ink);
}

// The circle that holds 95 % of the prior.
function paintPrior(context, side, zoom, ink) {
  stroke(context, ink, side / 400, () => {
    context.setLineDash([side / 90, side / 120]);
    context.arc(side / 2, side / 2, zoom * Math.sqrt(-2 * Math.log(0.05)), 0, 2 * Math.PI);
  });
  context.setLineDash([]);
}

// Scales at two edges where the plane is fixed; where the space turns, its own axes from the middle.
function paintAxes(context, side, onCanvas, ink) {
  context.fillStyle = ink;
  context.font = `${Math.max(11 * devicePixelRatio, side / 42)}px system-ui, sans-serif`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  const names = state.dimension <= 3 ? ["z₁", "z₂", "z₃"] : ["component 1", "component 2"];
  const write = (text, x, y) => {
    context.lineWidth = side / 150;
    context.strokeStyle = isDark() ? "#14161a" : "#ffffff";
    context.strokeText(text, x, y);
    context.fillText(text, x, y);
  };
  if (current().shown === 3) {
    const [right, up] = view();
    names.forEach((name, axis) => {
      const length = 0.82 * current().reach;
      const end = onCanvas([length * right[axis], length * up[axis]]);
      stroke(context, ink, side / 400, () => {
        context.moveTo(side / 2, side / 2);
        context.lineTo(...end);
      });
      if (Math.hypot(right[axis], up[axis]) > 0.1) write(name, ...onCanvas([1.08 * length * right[axis], 1.08 * length * up[axis]]));
    });
    return;
  }
  const step = current().reach > 6 ? 2 : 1;
  const last = step * Math.floor((0.93 * current().reach) / step);
  for (let tick = -last; tick <= last; tick += step) {
    const text = String(tick).replace("-", "−");
    const [x, y] = onCanvas([tick, tick]);
    stroke(context, ink, side / 400, () => {
      context.moveTo(x, side);
      context.lineTo(x, side - side / 90);
      context.moveTo(0, y);
      context.lineTo(side / 90, y);
    });
    write(text, x, side - side / 34);
    write(text, side / 28, y);
  }
  context.textAlign = "right";
  write(names[0], side - side / 60, side - side / 13);
  context.textAlign = "left";
  write(names[1], side / 60, side / 34);
}

function paintWalk(context, side, ends, ink) {
  for (const [colour, width] of [[isDark() ? "#000000" : "#ffffff", 110], [ink, 220]]) {
    stroke(context, colour, side / width, () => {
      context.moveTo(...ends[0]);
      context.lineTo(...ends[1]);
    });
  }
}

// A square where the encoder puts the digit.
function paintDigitMark(context, side, [x, y], ink) {
  const half = side / 50;
  for (const [colour, width] of [[isDark() ? "#000000" : "#ffffff", 80], [ink, 220]]) {
    stroke(context, colour, side / width, () => context.rect(x - half, y - half, 2 * half, 2 * half));
  }
}

function paintPoint(context, side, [x, y], ink) {
  for (const [colour, width] of [[isDark() ? "#000000" : "#ffffff", 70], [ink, 180]]) {
    stroke(context, colour, side / width, () => {
      context.arc(x, y, side / 45, 0, 2 * Math.PI);
      context.moveTo(x - side / 28, y);
      context.lineTo(x + side / 28, y);
      context.moveTo(x, y - side / 28);
      context.lineTo(x, y + side / 28);
    });
  }
}

function stroke(context, colour, width, path) {
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.beginPath();
  path();
  context.stroke();
}
