// Enhances the page: a slider through training, and a viewer that compares two views of a test image.
"use strict";
const make = (tag, properties = {}) => Object.assign(document.createElement(tag), properties);

// Through training: one grid at a time, chosen by a slider. Without this script, and in print, all are shown.
for (const strip of document.querySelectorAll(".time")) {
  const grids = [...strip.querySelectorAll("figure")];
  if (grids.length < 2) continue;
  const slider = make("input", { type: "range", min: 0, max: grids.length - 1, value: grids.length - 1, className: "slider" });
  const title = document.getElementById(strip.getAttribute("aria-labelledby"));
  slider.setAttribute("aria-label", `Step, ${title.textContent}`);
  const show = () => {
    grids.forEach((grid, k) => grid.classList.toggle("unchosen", k !== Number(slider.value)));
    slider.setAttribute("aria-valuetext", grids[slider.value].querySelector("figcaption").textContent);
  };
  slider.addEventListener("input", show);
  strip.before(slider);
  strip.classList.add("chosen");
  show();
}

// The viewer: any two views of a card over each other, divided by a slider.
const viewer = document.getElementById("viewer");
if (viewer) {
  const [left, right] = viewer.querySelectorAll("select");
  const divider = viewer.querySelector("input[type=range]");
  const compare = viewer.querySelector(".compare");
  const [under, over] = [make("img"), make("img")];
  compare.append(under, over);
  let views = [];
  const divide = () => compare.style.setProperty("--at", `${divider.value}%`);
  const choose = () => {
    over.src = views[left.value].src;
    under.src = views[right.value].src;
    over.alt = views[left.value].alt;
    under.alt = views[right.value].alt;
  };
  const open = (card) => {
    views = [...card.querySelectorAll(".views img")];
    for (const select of [left, right]) {
      select.replaceChildren(...views.map((view, k) => make("option", { value: k, textContent: view.dataset.label })));
    }
    left.value = 0;
    right.value = Math.min(1, views.length - 1);
    compare.style.setProperty("--ratio", `${views[0].getAttribute("width")} / ${views[0].getAttribute("height")}`);
    viewer.querySelector("h2").textContent = card.querySelector("figcaption").textContent;
    divider.value = 50;
    choose();
    divide();
    viewer.showModal();
    divider.focus();
  };
  divider.addEventListener("input", divide);
  left.addEventListener("change", choose);
  right.addEventListener("change", choose);
  compare.addEventListener("pointermove", (event) => {
    if (event.pointerType === "mouse" && event.buttons !== 1) return;
    const box = compare.getBoundingClientRect();
    divider.value = (100 * (event.clientX - box.left)) / box.width;
    divide();
  });
  viewer.addEventListener("click", (event) => event.target === viewer && viewer.close());
  for (const card of document.querySelectorAll("figure.card")) {
    const button = card.querySelector("button.enlarge");
    if (button) {
      button.hidden = false;
      button.addEventListener("click", () => open(card));
      card.querySelector(".views").addEventListener("click", () => open(card));
    }
  }
}

// A living page loads itself again, but not while somebody compares images.
const refresh = Number(document.body.dataset.refresh || 0);
if (refresh) {
  const again = () => (viewer && viewer.open ? setTimeout(again, 1000) : location.reload());
  setTimeout(again, 1000 * refresh);
}
