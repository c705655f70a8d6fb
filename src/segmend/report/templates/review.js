"use strict";
// The page of `segmend review`. Label maps come as numbers; what is shown of them is painted here, so that views,
// regions and decisions change without a request.

const $ = (id) => document.getElementById(id);
const [OPEN, ACCEPTED, KEPT] = [0, 1, 2];
const WORDS = ["undecided", "accepted", "coarse map kept"], SIGNS = ["open", "accepted", "kept"];
const DONE = new Set(["accepted", "kept", "mixed", "same"]);
const ROW = 28, KEPT_IMAGES = 8, ZOOM = 1.5, LARGE = 8192;

let ids = [], scores = [], states = [], order = [], seen = 0, at = 0;
let checked = false, weighted = false, out = "", found = 0, complete = false;
let item = null, view = "difference", region = 0, zoom = 1, centre = [0, 0];
const loaded = new Map(), undoable = [], decidedHere = new Set();

// ---- what the server gives ----

async function get(path) {
  const answer = await fetch(path);
  if (answer.ok) return answer;
  const reason = await answer.json().then((body) => body.error, () => `${answer.status} ${answer.statusText}`);
  throw new Error(reason);
}

async function fetchItem(index, side) {
  const query = side ? `?side=${side}` : "";
  const about = await get(`images/${index}/about${query}`).then((answer) => answer.json());
  const [photo, maps] = await Promise.all([
    get(`images/${index}/photo${query}`).then((answer) => answer.blob()).then((blob) => createImageBitmap(blob)),
    get(`images/${index}/maps${query}`).then((answer) => answer.arrayBuffer()),
  ]);
  // Dark colours of classes would not show on dark images.
  for (const one of about.classes) one.colour = one.colour.map((value) => Math.round(72 + (value * 183) / 255));
  const pixels = about.shown[0] * about.shown[1], numbers = new Uint8Array(maps);
  const marks = new Uint8Array(about.regions.length + 1);
  for (const number of about.accepted) marks[number] = ACCEPTED;
  for (const number of about.kept) marks[number] = KEPT;
  return {
    index, about, photo, marks, layers: {},
    coarse: numbers.subarray(0, pixels), refined: numbers.subarray(pixels, 2 * pixels), numbers: numbers.subarray(2 * pixels),
  };
}

function load(index) {
  if (!loaded.has(index)) {
    loaded.set(index, fetchItem(index).catch((error) => ({ index, error: error.message })));
    for (const other of loaded.keys()) {
      if (loaded.size <= KEPT_IMAGES) break;
      if (other !== index && other !== order[at]) loaded.delete(other);
    }
  }
  return loaded.get(index);
}

// ---- order: worst first ----

function rank(index) {
  if (states[index] === "unreadable") return 3;
  if (scores[index] === null) return 1;
  return scores[index] > 0 ? 0 : 2;
}

/** Sorts what has not been seen: scores first, then names. What was seen stays where it was. */
function sort() {
  const ahead = order.slice(seen);
  ahead.sort((a, b) => rank(a) - rank(b) || (scores[b] ?? 0) - (scores[a] ?? 0) || a - b);
  order = order.slice(0, seen).concat(ahead);
}

async function poll() {
  const answer = await get(`events/${found}`).then((body) => body.json());
  found += answer.events.length;
  complete = answer.complete;
  for (const [index, score, state] of answer.events) {
    scores[index] = score;
    if (state && !decidedHere.has(index)) states[index] = state;
    else if (score === 0 && !states[index]) states[index] = "same";
  }
  if (answer.events.length) sort();
  showProgress();
  showList();
}

async function watch() {
  try {
    await poll();
  } catch { /* the server has ended: saving says so */ }
  if (!complete) setTimeout(watch, 1000);
}

// ---- decisions ----

const waiting = [];
let isSaving = false;

async function save() {
  if (isSaving) return;
  isSaving = true;
  while (waiting.length) {
    const [index, body] = waiting[0];
    showSaved();
    try {
      const answer = await fetch(`images/${index}/decision`, { method: "POST", body: JSON.stringify(body) });
      if (answer.status === 409 || answer.status === 400) {
        const reason = await answer.json().then((found) => found.error, () => "the decision was refused");
        problem(`Not saved: ${reason}`);
        states[index] = "";
        loaded.delete(index);
      } else if (!answer.ok) {
        throw new Error(await answer.json().then((found) => found.error, () => answer.statusText));
      } else {
        problem("");
      }
      waiting.shift();
    } catch (error) {
      const reason = error instanceof TypeError ? "segmend review has ended or cannot be reached" : error.message;
      problem(`Not saved yet, ${waiting.length} waiting: ${reason}. Trying again.`);
      await new Promise((done) => setTimeout(done, 2000));
    }
  }
  isSaving = false;
  showSaved();
  showProgress();
}

function numbersWith(mark) {
  return [...item.marks.keys()].filter((number) => number > 0 && item.marks[number] === mark);
}

function stateOf(marks) {
  const found = new Set(marks.slice(1));
  if (!found.size) return "same";
  if (found.has(OPEN)) return found.size > 1 ? "partly" : "";
  return found.size > 1 ? "mixed" : found.has(ACCEPTED) ? "accepted" : "kept";
}

function store() {
  const { index, about } = item;
  decidedHere.add(index);
  states[index] = stateOf(item.marks);
  const body = { inputs: about.inputs, regions: about.regions.length, accepted: numbersWith(ACCEPTED), kept: numbersWith(KEPT) };
  waiting.push([index, body]);
  save();
}

/** Whether the image that was asked for is in sight: keys that come before act on nothing. */
function isShown() {
  return item && !item.error && item.index === order[at];
}

function decide(change) {
  if (!isShown()) return false;
  if (item.marks.length > 1) {
    undoable.push([item.index, item.marks.slice()]);
    change(item.marks);
    store();
  }
  return true;
}

function decideAll(mark) {
  if (decide((marks) => marks.fill(mark, 1))) nextUndecided();
}

function keepRest() {
  const rest = (marks) => marks.forEach((mark, number) => { if (number && mark === OPEN) marks[number] = KEPT; });
  if (decide(rest)) nextUndecided();
}

function toggle(number = region) {
  if (!number) return chooseRegion(1);
  decide((marks) => { marks[number] = marks[number] === ACCEPTED ? KEPT : ACCEPTED; });
  show();
}

async function undo() {
  const last = undoable.pop();
  if (!last) return;
  const [index, marks] = last;
  await go(order.indexOf(index));
  if (item?.index !== index || item.error || item.marks.length !== marks.length) return;
  item.marks = marks;
  store();
  show();
}

// ---- which image, which region ----

async function go(position) {
  if (position < 0 || position >= order.length) return;
  at = position;
  seen = Math.max(seen, at + 1);
  const index = order[at];
  const slow = setTimeout(() => message("opening …"), 200);
  const made = await load(index);
  clearTimeout(slow);
  if (order[at] !== index) return; // somebody went on meanwhile
  if (item?.index !== index || item !== made) [zoom, region] = [1, 0];
  item = made;
  if (!item.error) {
    centre = [item.about.size[0] / 2, item.about.size[1] / 2];
    if (!states[index] && item.marks.length === 1) states[index] = "same";
  } else {
    states[index] = "unreadable";
  }
  message("");
  show();
  document.body.dataset.image = ids[index];
  const coming = nextPosition();
  [coming, at + 1, at + 2].forEach((p) => p !== null && p < order.length && load(order[p]));
}

function isOpen(position) {
  const state = states[order[position]];
  return !DONE.has(state) && state !== "unreadable";
}

/** The next undecided image behind this one, else the first one; null where all are decided. */
function nextPosition() {
  for (let step = 1; step < order.length; step++) {
    const position = (at + step) % order.length;
    if (isOpen(position)) return position;
  }
  return null;
}

function nextUndecided() {
  const position = nextPosition();
  if (position !== null) go(position);
  else show();
}

function chooseRegion(number) {
  const count = isShown() ? item.about.regions.length : 0;
  if (!count) return;
  region = ((number - 1 + count) % count) + 1;
  const [x0, y0, x1, y1] = item.about.regions[region - 1].box;
  if (zoom > 1) centre = [(x0 + x1) / 2, (y0 + y1) / 2];
  show();
}

// ---- painting ----

/** Calls `draw` with each straight line between unlike neighbours; with `rim` also at the edge, which is 0 outside. */
function edges(map, width, height, rim, draw) {
  const scan = (outer, inner, place, line) => {
    for (let o = rim ? 0 : 1; o <= (rim ? outer : outer - 1); o++) {
      let [start, before, behind] = [0, 0, 0];
      for (let i = 0; i <= inner; i++) {
        const a = i < inner && o > 0 ? map[place(o - 1, i)] : 0, b = i < inner && o < outer ? map[place(o, i)] : 0;
        if (i < inner && a === before && b === behind) continue;
        if (before !== behind) line(before, behind, o, start, i);
        [start, before, behind] = [i, a, b];
      }
    }
  };
  scan(height, width, (y, x) => y * width + x, (a, b, y, x0, x1) => draw(a, b, x0, y, x1, y));
  scan(width, height, (x, y) => y * width + x, (a, b, x, y0, y1) => draw(a, b, x, y0, x, y1));
}

/** The outline of each region as a path, in shown pixels. */
function outlines(numbers, width, height) {
  const paths = [];
  edges(numbers, width, height, true, (a, b, x0, y0, x1, y1) => {
    for (const number of [a, b]) {
      if (!number) continue;
      const path = (paths[number] ??= new Path2D());
      path.moveTo(x0, y0);
      path.lineTo(x1, y1);
    }
  });
  return paths;
}

/** The borders between classes as one path. */
function borders(map, width, height) {
  const path = new Path2D();
  edges(map, width, height, false, (a, b, x0, y0, x1, y1) => {
    path.moveTo(x0, y0);
    path.lineTo(x1, y1);
  });
  return path;
}

function layer(name, make) {
  return (item.layers[name] ??= make());
}

/** The colours of a view over the image, on a canvas of shown pixels. */
function tinted(name) {
  const { about, coarse, refined, numbers, marks } = item;
  const [width, height] = about.shown;
  const canvas = new OffscreenCanvas(width, height), context = canvas.getContext("2d");
  const image = context.createImageData(width, height), data = new Uint32Array(image.data.buffer);
  const colour = (c, alpha) => ((alpha << 24) | (c[2] << 16) | (c[1] << 8) | c[0]) >>> 0;
  const tints = new Uint32Array(256);
  const isDifference = name === "difference";
  const voids = new Uint8Array(256);
  about.classes.forEach((c, place) => {
    voids[place % 255] = c.void;
    tints[place % 255] = c.void ? 0 : colour(c.colour, isDifference ? 190 : 150);
  });
  const period = Math.max(4, Math.round(10 / Math.max(fit($("stage")) * about.factor, 0.1)));
  const grey = colour([128, 128, 128], 190), map = name === "coarse" ? coarse : refined;
  for (let y = 0, p = 0; y < height; y++) {
    for (let x = 0; x < width; x++, p++) {
      const isLine = (x + y) % period < period / 2;
      if (isDifference) {
        const number = numbers[p];
        if (!number || marks[number] === KEPT || (marks[number] === OPEN && !isLine)) continue;
        data[p] = voids[map[p]] ? grey : tints[map[p]];
      } else {
        data[p] = voids[map[p]] ? ((x - y + height * period) % period < 1 ? grey : 0) : tints[map[p]];
      }
    }
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

function fit(canvas) {
  const [width, height] = item.about.size;
  return Math.min(canvas.clientWidth / width, canvas.clientHeight / height) || 1;
}

function paint(canvas, name) {
  const ratio = window.devicePixelRatio || 1;
  const [w, h] = [Math.round(canvas.clientWidth * ratio), Math.round(canvas.clientHeight * ratio)];
  if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
  const context = canvas.getContext("2d");
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, w, h);
  if (!item || item.error || !w || !h) return;
  const { about, numbers, marks } = item, [width, height] = about.size;
  const scale = fit(canvas) * zoom * ratio;
  context.setTransform(scale, 0, 0, scale, w / 2 - centre[0] * scale, h / 2 - centre[1] * scale);
  context.beginPath();
  context.rect(0, 0, width, height);
  context.save();
  context.clip();
  context.scale(about.factor, about.factor);
  const one = ratio / (scale * about.factor); // a pixel of the screen
  context.imageSmoothingEnabled = scale * about.factor < 3 * ratio;
  context.drawImage(item.photo, 0, 0, ...about.shown);
  if (name !== "image") {
    context.imageSmoothingEnabled = false;
    context.drawImage(layer(name, () => tinted(name)), 0, 0);
    const lines = layer("lines", () => outlines(numbers, ...about.shown));
    const share = one > 0.4 ? 0.65 : 1; // thinner, where lines would cover what they surround
    const stroke = (path, outer, inner) => {
      context.lineCap = "square";
      for (const [style, thick] of [["rgb(15 15 14 / 85%)", outer], ["#fff", inner]]) {
        context.strokeStyle = style;
        context.lineWidth = thick * share * one;
        context.stroke(path);
      }
    };
    if (name === "difference") {
      lines.forEach((path, number) => number !== region && stroke(path, marks[number] === KEPT ? 2.2 : 3.6, marks[number] === KEPT ? 0.8 : 1.5));
    } else {
      context.strokeStyle = "rgb(15 15 14 / 80%)";
      context.lineWidth = one;
      context.stroke(layer(`${name} borders`, () => borders(item[name], ...about.shown)));
    }
    if (region && lines[region] && canvas === $("stage")) stroke(lines[region], 5.5, 2.5);
  }
  context.restore();
  const frame = ([x0, y0, x1, y1], space, colour, dash) => {
    const box = [x0 - space, y0 - space, x1 - x0 + 2 * space, y1 - y0 + 2 * space];
    for (const [style, thick] of [["rgb(15 15 14 / 85%)", 3], [colour, 1.5]]) {
      context.setLineDash(style === colour ? dash.map((length) => (length * ratio) / scale) : []);
      context.strokeStyle = style;
      context.lineWidth = (thick * ratio) / scale;
      context.strokeRect(...box);
    }
  };
  if (name === "image") return;
  about.suspected.forEach((one) => frame(one.box, 0, "#8fd3ff", [6, 5]));
  if (region) frame(about.regions[region - 1].box, (7 * ratio) / scale, "#ffe14d", []);
}

function show() {
  if (item && !item.error) item.layers.difference = undefined;
  repaint();
  showImage();
  showProgress();
  showList();
}

function repaint() {
  paint($("stage"), view);
  paint($("small-coarse"), "coarse");
  paint($("small-refined"), "refined");
}

// ---- words ----

const many = (count, what) => `${count.toLocaleString("en")} ${what}${count === 1 ? "" : "s"}`;

function message(text, code = "") {
  $("message").hidden = !text;
  $("message").textContent = text;
  if (code) $("message").append(Object.assign(document.createElement("code"), { textContent: code }));
}

function problem(text) {
  $("problem").hidden = !text;
  $("problem").textContent = text;
}

function showSaved() {
  $("saved").textContent = waiting.length ? "saving …" : undoable.length ? "saved" : "";
}

function showProgress() {
  let [decided, total] = [0, 0];
  for (const state of states) {
    if (state === "same" || state === "unreadable") continue;
    total++;
    if (DONE.has(state)) decided++;
  }
  $("bar").max = total || 1;
  $("bar").value = total ? decided : 1;
  $("count").textContent = `${decided.toLocaleString("en")} of ${total.toLocaleString("en")} decided`;
  const same = states.filter((state) => state === "same").length;
  const by = checked ? "score of segmend check" : weighted ? "changed pixels, weighted by confidence" : "changed pixels";
  const compared = complete ? "" : `; ${found.toLocaleString("en")} of ${ids.length.toLocaleString("en")} compared so far, the others follow by name`;
  $("order").textContent = `Worst first, by ${by}${compared}${same ? `. ${many(same, "image")} without a difference` : ""}`;
  $("undo").disabled = !undoable.length;
}

function swatch(place) {
  const { colour, void: isVoid } = item.about.classes[place];
  const made = Object.assign(document.createElement("i"), { className: `swatch${isVoid ? " void" : ""}` });
  if (!isVoid) made.style.background = `rgb(${colour.join(" ")})`;
  return made;
}

function span(...content) {
  const made = document.createElement("span");
  made.append(...content);
  return made;
}

function regionRow(about, number) {
  const { classes } = item.about, mark = item.marks[number];
  const row = document.createElement("li");
  row.classList.toggle("current", number === region);
  const select = Object.assign(document.createElement("button"), { type: "button", className: "select" });
  if (number === region) select.setAttribute("aria-current", "true");
  for (const [before, after] of about.changes.slice(0, about.parts > 1 ? 2 : 4)) {
    select.append(span(swatch(before), classes[before].name, " → ", swatch(after), classes[after].name));
  }
  const facts = [WORDS[mark], many(about.pixels, "pixel")];
  if (about.parts > 1) facts.splice(1, 0, `${about.parts} small areas`);
  const left = about.more + Math.max(0, about.changes.length - (about.parts > 1 ? 2 : 4));
  if (left) facts.push(`${many(left, "more change")}`);
  if (about.confidence !== null) facts.push(`confidence ${about.confidence.toFixed(2)}`);
  if (about.kind) facts.push(`check: ${about.kind}`);
  select.append(Object.assign(document.createElement("small"), { textContent: facts.join(", ") }));
  select.addEventListener("click", () => chooseRegion(number));
  const button = Object.assign(document.createElement("button"), { type: "button", className: "toggle" });
  button.append(Object.assign(document.createElement("i"), { className: `mark ${SIGNS[mark]}` }));
  button.title = mark === ACCEPTED ? "Keep the coarse map in this region" : "Accept this region";
  button.setAttribute("aria-label", `Region ${number}, ${WORDS[mark]}: ${button.title}`);
  button.addEventListener("click", () => { region = number; toggle(number); });
  row.append(button, select);
  return row;
}

function showImage() {
  for (const button of document.querySelectorAll("[data-view]")) button.setAttribute("aria-pressed", button.dataset.view === view);
  $("name").textContent = ids[order[at]] ?? "";
  document.title = `${ids[order[at]] ?? ""} – segmend review`;
  const focused = document.activeElement.closest("#regions li") && document.activeElement.className;
  $("regions").replaceChildren();
  $("classes").replaceChildren();
  for (const id of ["accept", "keep", "rest"]) $(id).disabled = !isShown();
  if (!isShown()) {
    $("facts").textContent = `image ${at + 1} of ${ids.length}`;
    return message(item?.error ?? "");
  }
  const { about } = item, count = about.regions.length;
  const facts = [`image ${(at + 1).toLocaleString("en")} of ${ids.length.toLocaleString("en")}`, `${about.size.join(" × ")}`];
  const changed = about.regions.reduce((sum, one) => sum + one.pixels, 0);
  facts.push(changed ? `${many(changed, "pixel")} differ` : "no difference: nothing to decide");
  if (states[item.index]) facts.push({ partly: "partly decided", mixed: "decided", same: "" }[states[item.index]] ?? states[item.index]);
  const kinds = [...new Set(about.suspected.map((one) => one.kind))].join(", ");
  if (kinds) facts.push(`dashed: looks wrong to segmend check (${kinds}), without a suggestion`);
  $("facts").textContent = facts.filter(Boolean).join(", ");
  $("regions-title").textContent = many(count, "region");
  $("regions").append(...about.regions.map((one, at) => regionRow(one, at + 1)));
  if (focused && region) $("regions").children[region - 1].querySelector(`.${focused}`).focus({ preventScroll: true });
  $("regions").querySelector(".current")?.scrollIntoView({ block: "nearest" });
  $("classes").append(...about.classes.map((one, at) => {
    const made = document.createElement("li");
    made.append(swatch(at), one.name);
    return made;
  }));
  $("stage").setAttribute("aria-label", `${view} of ${about.id}, ${many(count, "region")}`);
  if (about.note) problem(`${about.id}: ${about.note}`);
  if (complete && states.every((_, index) => DONE.has(states[index]) || states[index] === "unreadable")) {
    message("All images are decided. Write the labels:", `segmend review --apply --out ${out}`);
  } else message("");
}

const MARKS = { accepted: "✓", kept: "–", mixed: "±", partly: "…", same: "=", unreadable: "!", stale: "!" };
const STATES = {
  accepted: "accepted", kept: "coarse map kept", mixed: "decided", partly: "partly decided",
  same: "no difference", unreadable: "cannot be read", stale: "decided on other files",
};

/** The rows of the list that are in sight. */
function showList() {
  const list = $("list");
  if (!list.clientHeight) return;
  $("rows").style.height = `${order.length * ROW}px`;
  const first = Math.max(0, Math.floor(list.scrollTop / ROW) - 3);
  const last = Math.min(order.length, Math.ceil((list.scrollTop + list.clientHeight) / ROW) + 3);
  const rows = [];
  for (let position = first; position < last; position++) {
    const index = order[position];
    const row = Object.assign(document.createElement("button"), { type: "button", className: "row", tabIndex: -1 });
    row.classList.toggle("current", position === at);
    row.style.top = `${position * ROW}px`;
    const score = scores[index] === null ? "" : checked ? scores[index].toFixed(2) : Math.round(scores[index]).toLocaleString("en");
    row.append(span(MARKS[states[index]] ?? ""), span(ids[index]), Object.assign(document.createElement("small"), { textContent: score }));
    row.title = [ids[index], STATES[states[index]]].filter(Boolean).join(": ");
    row.addEventListener("click", () => go(position));
    rows.push(row);
  }
  $("rows").replaceChildren(...rows);
}

function scrollToCurrent() {
  const list = $("list"), top = at * ROW;
  if (top < list.scrollTop || top + ROW > list.scrollTop + list.clientHeight) list.scrollTop = top - list.clientHeight / 3;
}

// ---- size and place ----

async function setZoom(factor, towards = null) {
  if (!item || item.error) return;
  const before = zoom;
  zoom = Math.min(64, Math.max(1, factor));
  if (zoom === 1) centre = item.about.size.map((side) => side / 2);
  else if (towards) centre = centre.map((c, k) => towards[k] + ((c - towards[k]) * before) / zoom);
  else if (before === 1 && region) chooseRegion(region);
  repaint();
  // What was reduced for the screen is read again as it is, once it is shown larger.
  if (item.about.factor > 1 && zoom * fit($("stage")) * item.about.factor > 1.5 && !item.isLarge) {
    item.isLarge = true;
    const here = item, large = await fetchItem(here.index, LARGE).catch(() => null);
    if (!large || item !== here) return;
    Object.assign(large, { marks: here.marks, isLarge: true });
    item = large;
    loaded.set(item.index, Promise.resolve(item));
    show();
  }
}

/** The pixel of the image under the pointer. */
function under(event) {
  const box = $("stage").getBoundingClientRect(), scale = fit($("stage")) * zoom;
  return [
    centre[0] + (event.clientX - box.left - box.width / 2) / scale,
    centre[1] + (event.clientY - box.top - box.height / 2) / scale,
  ];
}

function click(event) {
  const [x, y] = under(event).map((v) => Math.floor(v / item.about.factor)), [width, height] = item.about.shown;
  const number = x >= 0 && y >= 0 && x < width && y < height ? item.numbers[y * width + x] : 0;
  if (!number) return;
  if (number === region) toggle(number);
  else chooseRegion(number);
}

function listen() {
  const stage = $("stage");
  let start = null, moved = false;
  stage.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && window.matchMedia("(max-width: 48rem)").matches) return;
    event.preventDefault();
    setZoom(zoom * 1.2 ** -Math.sign(event.deltaY), item?.about && under(event));
  }, { passive: false });
  stage.addEventListener("pointerdown", (event) => {
    if (event.button || !item || item.error) return;
    stage.setPointerCapture(event.pointerId);
    [start, moved] = [[event.clientX, event.clientY], false];
    stage.classList.add("moving");
  });
  stage.addEventListener("pointermove", (event) => {
    if (!start) return;
    const scale = fit(stage) * zoom, step = [event.clientX - start[0], event.clientY - start[1]];
    if (!moved && Math.hypot(...step) < 4) return;
    moved = true;
    if (zoom === 1) return;
    centre = centre.map((c, k) => Math.min(item.about.size[k], Math.max(0, c - step[k] / scale)));
    start = [event.clientX, event.clientY];
    repaint();
  });
  stage.addEventListener("pointerup", (event) => {
    stage.classList.remove("moving");
    if (start && !moved) click(event);
    start = null;
  });
  stage.addEventListener("pointercancel", () => { start = null; stage.classList.remove("moving"); });
  new ResizeObserver(() => { repaint(); showList(); }).observe($("frame"));
  $("list").addEventListener("scroll", () => showList());
  const actions = {
    accept: () => decideAll(ACCEPTED), keep: () => decideAll(KEPT), rest: keepRest, undo,
    previous: () => go(at - 1), next: () => go(at + 1),
    smaller: () => setZoom(zoom / ZOOM), larger: () => setZoom(zoom * ZOOM), whole: () => setZoom(1),
    "help-button": () => $("help").showModal(),
  };
  for (const [id, action] of Object.entries(actions)) $(id).addEventListener("click", action);
  for (const button of document.querySelectorAll("[data-view]")) button.addEventListener("click", () => setView(button.dataset.view));
  // After a click the keys act on the image again, not on the button.
  document.addEventListener("click", (event) => event.detail && document.activeElement instanceof HTMLButtonElement
    && !$("help").open && document.activeElement.blur());
  document.addEventListener("keydown", press);
  window.addEventListener("beforeunload", (event) => waiting.length && event.preventDefault());
}

function setView(name) {
  view = name;
  showImage();
  repaint();
}

const KEYS = {
  a: () => decideAll(ACCEPTED), k: () => decideAll(KEPT), Enter: keepRest, " ": () => toggle(), z: undo,
  n: () => chooseRegion(region + 1), p: () => chooseRegion(region ? region - 1 : 0),
  ArrowDown: () => chooseRegion(region + 1), ArrowUp: () => chooseRegion(region ? region - 1 : 0),
  l: () => go(at + 1), j: () => go(at - 1), ArrowRight: () => go(at + 1), ArrowLeft: () => go(at - 1),
  1: () => setView("difference"), 2: () => setView("coarse"), 3: () => setView("refined"), 4: () => setView("image"),
  "+": () => setZoom(zoom * ZOOM), "=": () => setZoom(zoom * ZOOM), "-": () => setZoom(zoom / ZOOM), 0: () => setZoom(1),
  "?": () => $("help").showModal(),
};

function press(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if ($("help").open) {
    if (event.key === "?") $("help").close();
    return;
  }
  const isButton = event.target instanceof HTMLButtonElement;
  if (isButton && (event.key === " " || event.key === "Enter")) return;
  if (event.target === $("list") && event.key.startsWith("Arrow")) return;
  const action = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!action || (event.repeat && ["a", "k", "z", " ", "Enter"].includes(event.key))) return; // a key held down decides once
  event.preventDefault();
  action();
  scrollToCurrent();
}

async function start() {
  const answer = await get("list").then((body) => body.json());
  ({ ids, scores, states, checked, weighted, out } = answer);
  order = ids.map((_, index) => index);
  sort();
  const until = performance.now() + 1000; // small folders are compared by then
  do {
    await poll();
    if (!complete) await new Promise((done) => setTimeout(done, 100));
  } while (!complete && !checked && performance.now() < until);
  at = -1;
  at = nextPosition() ?? 0;
  listen();
  await go(at);
  scrollToCurrent();
  if (!complete) watch();
  document.body.dataset.ready = "true";
}

start().catch((error) => problem(`The review cannot be opened: ${error.message}`));
