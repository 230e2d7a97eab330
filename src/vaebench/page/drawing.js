// A digit drawn by hand, made like those of MNIST.

const pad = byId("drawing");
const pen = pad.getContext("2d", { willReadFrequently: true });
let last = null; // where the pen was

function clearPad() {
  pen.fillStyle = "#000";
  pen.fillRect(0, 0, pad.width, pad.height);
}

function drawTo([x, y]) {
  const point = [x * pad.width, y * pad.height];
  pen.strokeStyle = "#fff";
  pen.lineWidth = pad.width / 12;
  pen.lineCap = pen.lineJoin = "round";
  pen.beginPath();
  pen.moveTo(...(last ?? point));
  pen.lineTo(...point);
  pen.stroke();
  last = point;
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
