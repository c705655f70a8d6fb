for (const player of document.querySelectorAll(".player")) {
  const frames = [...player.querySelectorAll(".frame")];
  const timeline = player.querySelector(".timeline");
  const marks = [...timeline.querySelectorAll("span")];
  const range = timeline.querySelector("input");
  const play = player.querySelector("[data-play]");
  let timer = 0;

  const show = (index) => {
    frames.forEach((frame, i) => frame.classList.toggle("current", i === index));
    marks.forEach((mark, i) => mark.classList.toggle("current", i === index));
    range.value = index;
    range.setAttribute("aria-valuetext", frames[index].getAttribute("aria-label"));
    player.querySelector("output").value = index + 1 + " / " + frames.length;
  };
  const step = (count) => show((Number(range.value) + count + frames.length) % frames.length);
  const pause = () => {
    clearInterval(timer);
    timer = 0;
    play.textContent = "Play";
  };
  // Marks have gaps between sequences: the frame is the one whose mark is nearest, not a share of the width.
  const at = (x) => {
    const away = marks.map((mark) => {
      const box = mark.getBoundingClientRect();
      return Math.abs(x - (box.left + box.right) / 2);
    });
    return away.indexOf(Math.min(...away));
  };
  const drag = (event) => {
    pause();
    show(at(event.clientX));
  };

  range.addEventListener("input", () => {
    pause();
    show(Number(range.value));
  });
  timeline.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    timeline.setPointerCapture(event.pointerId);
    range.focus({ preventScroll: true, focusVisible: false });
    event.preventDefault();
    drag(event);
  });
  timeline.addEventListener("pointermove", (event) => {
    if (timeline.hasPointerCapture(event.pointerId)) drag(event);
  });
  for (const button of player.querySelectorAll("[data-step]")) {
    button.addEventListener("click", () => {
      pause();
      step(Number(button.dataset.step));
    });
  }
  play.addEventListener("click", () => {
    if (timer) return pause();
    timer = setInterval(() => step(1), 250);
    play.textContent = "Pause";
  });
  document.addEventListener("keydown", (event) => {
    const count = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const other = event.target.closest && event.target.closest("input, select, textarea, .scroll");
    if (!count || other || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
    pause();
    step(count);
    event.preventDefault();
  });
  player.querySelector(".frames").removeAttribute("tabindex");
  // A labelled frame has no maps beside it: the first one that has is shown first.
  show(Math.max(0, marks.findIndex((mark) => !mark.classList.contains("given"))));
}
