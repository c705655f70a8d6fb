"use strict";
const root = document.documentElement;

for (const range of document.querySelectorAll(".stage input")) {
  const stage = range.parentElement;
  const show = () => {
    stage.style.setProperty("--at", range.value + "%");
    range.setAttribute("aria-valuetext", Math.round(range.value) + " % coarse");
  };
  // The whole stage is the handle: fingers miss a thumb, and some browsers do not jump to a touch.
  const drag = (event) => {
    const box = stage.getBoundingClientRect();
    range.value = (100 * (event.clientX - box.left)) / box.width;
    show();
  };
  range.addEventListener("input", show);
  stage.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    stage.setPointerCapture(event.pointerId);
    range.focus({ preventScroll: true, focusVisible: false });
    event.preventDefault();
    drag(event);
  });
  stage.addEventListener("pointermove", (event) => {
    if (stage.hasPointerCapture(event.pointerId)) drag(event);
  });
  show();
}

const opacity = document.getElementById("opacity");
if (opacity) {
  const show = () => root.style.setProperty("--opacity", opacity.value + "%");
  opacity.addEventListener("input", show);
  show();
}

root.dataset.ready = "true";
