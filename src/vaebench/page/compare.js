// All models side by side: what each makes of one draw, and of the digit.

function readEach(pictures) {
  const all = new Float32Array(PIXELS * pictures.length);
  pictures.forEach((pixels, index) => all.set(pixels, PIXELS * index));
  const found = readBy(panel, all);
  return pictures.map((_, index) => inWords(found.subarray(CLASSES * index, CLASSES * (index + 1))));
}

function showDraw() {
  const pictures = dimensions.map((dimension) => load(dimension).model.decode(state.draw.slice(0, dimension)));
  const readings = readEach(pictures);
  showRow(byId("draws"), pictures, dimensions.map((dimension, index) => [`${dimension} dims`, readings[index]]));
}

function showDigit() {
  byId("digit-row").hidden = !state.digit;
  if (!state.digit) return byId("comparison").replaceChildren();
  const { pixels, name } = state.digit;
  const reconstructions = dimensions.map((dimension) => {
    const { model } = load(dimension);
    return model.decode(model.encode(pixels).mean);
  });
  const readings = readEach(reconstructions);
  byId("compare-note").textContent = `${name}, decoded by every model from its posterior mean:`;
  showRow(
    byId("comparison"),
    [pixels, ...reconstructions],
    [["as it is read"], ...dimensions.map((dimension, index) =>
      [`${dimension} dims`, `error ${squaredError(pixels, reconstructions[index]).toFixed(1)}`, readings[index]])],
  );
}
