// What is folded away: everything is unfolded to be printed, and the gallery shows one dimension, or all.

let folded = [];
addEventListener("beforeprint", () => {
  folded = [...document.querySelectorAll("details:not([open])")];
  folded.forEach((each) => (each.open = true));
});
addEventListener("afterprint", () => folded.forEach((each) => (each.open = false)));

const gallery = document.getElementById("pictures");
gallery.querySelectorAll("input[name=shown]").forEach((input) =>
  input.addEventListener("change", () => {
    gallery.dataset.shown = input.value;
    gallery.querySelectorAll("[data-dimension]").forEach((figure) => {
      figure.hidden = input.value !== "all" && input.value !== figure.dataset.dimension;
    });
  }));
