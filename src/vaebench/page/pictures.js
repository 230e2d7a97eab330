// Pictures on canvases, and what the panel of classifiers reads in them.

function paint(canvas, pixels) {
  canvas.width = canvas.height = SIDE;
  const image = new ImageData(SIDE, SIDE);
  pixels.forEach((grey, index) => image.data.set([255 * grey, 255 * grey, 255 * grey, 255].map(Math.round), 4 * index));
  canvas.getContext("2d").putImageData(image, 0, 0);
}

function inWords(probabilities) {
  const digit = probabilities.indexOf(Math.max(...probabilities));
  return `reads ${digit}, ${Math.round(100 * probabilities[digit])} %`;
}

// Ten bars, one a digit, and the reading in words; none for no picture.
function showReading(place, pixels) {
  place.hidden = !pixels;
  if (!pixels) return;
  if (!place.childElementCount) {
    const bars = Object.assign(document.createElement("div"), { className: "bars" });
    bars.setAttribute("role", "img");
    for (let digit = 0; digit < DIGITS; digit++) {
      const bar = Object.assign(document.createElement("span"), { textContent: digit });
      bars.append(bar);
    }
    place.append(bars, document.createElement("p"));
  }
  const probabilities = readBy(panel, pixels);
  const [bars, words] = place.children;
  words.textContent = `The panel ${inWords(probabilities)}`;
  bars.setAttribute("aria-label", words.textContent);
  [...bars.children].forEach((bar, digit) => bar.style.setProperty("--share", probabilities[digit]));
}

// A row of pictures with a line below each.
function showRow(place, pictures, captions) {
  place.replaceChildren(
    ...pictures.map((pixels, index) => {
      const figure = document.createElement("figure");
      const canvas = document.createElement("canvas");
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", captions[index].join(", "));
      paint(canvas, pixels);
      const caption = document.createElement("figcaption");
      caption.append(...captions[index].flatMap((line, first) => (first ? [document.createElement("br"), line] : [line])));
      figure.append(canvas, caption);
      return figure;
    }),
  );
}
