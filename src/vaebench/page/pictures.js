// Pictures on canvases, and what the panel of classifiers reads in them.

function paint(canvas, pixels) {
  canvas.width = canvas.height = SIDE;
  const image = new ImageData(SIDE, SIDE);
  pixels.forEach((grey, index) => image.data.set([255 * grey, 255 * grey, 255 * grey, 255].map(Math.round), 4 * index));
  canvas.getContext("2d").putImageData(image, 0, 0);
}

function inWords(probabilities) {
  const label = probabilities.indexOf(Math.max(...probabilities));
  return `reads ${data.classes[label]}, ${Math.round(100 * probabilities[label])} %`;
}

// Ten bars, one a class, and the reading in words; none for no picture.
function showReading(place, pixels) {
  place.hidden = !pixels;
  if (!pixels) return;
  if (!place.childElementCount) {
    const bars = Object.assign(document.createElement("div"), { className: "bars" });
    bars.setAttribute("role", "img");
    for (const textContent of data.classes) {
      const bar = document.createElement("span");
      // A long name stands upright below its bar.
      bar.append(longNames ? Object.assign(document.createElement("i"), { textContent }) : textContent);
      bars.append(bar);
    }
    place.append(bars, document.createElement("p"));
  }
  const probabilities = readBy(panel, pixels);
  const [bars, words] = place.children;
  words.textContent = `The panel ${inWords(probabilities)}`;
  bars.setAttribute("aria-label", words.textContent);
  [...bars.children].forEach((bar, label) => bar.style.setProperty("--share", probabilities[label]));
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
