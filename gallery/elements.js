"use strict";

// Elements, icons and drawings. Data becomes text and attributes only, never markup: prompts contain anything.

const $ = (id) => document.getElementById(id);

function element(tag, properties = {}, ...children) {
  const isShape = /^(svg|path|circle)$/.test(tag);
  const node = isShape ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) node[name] = value;
    else if (value !== undefined && value !== false) node.setAttribute(name, value);
  }
  node.append(...children.filter(Boolean));
  return node;
}

const ICONS = {
  add: "M11 5H4v14h16v-7M4 17l5-5 4 4 2-2 5 5M18 3v6M15 6h6",
  back: "M20 12H5M11 6l-6 6 6 6",
  previous: "M15 5l-7 7 7 7",
  next: "M9 5l7 7-7 7",
  search: "M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14zM16 16l5 5",
  edit: "M4 20l1-4L16 5l3 3L8 19zM14 7l3 3",
  save: "M12 4v11M7 11l5 5 5-5M5 20h14",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  expand: "M9 4H4v5M15 4h5v5M9 20H4v-5M15 20h5v-5",
  shrink: "M4 9h5V4M20 9h-5V4M4 15h5v5M20 15h-5v5",
  compare: "M12 4v16M9 8l-4 4 4 4M15 8l4 4-4 4",
  brush: "M20 4l-9 9M9 12c-4 0-3 5-6 6 4 3 9 1 9-3 0-2-1-3-3-3z",
  erase: "M9 20h11M4 14L14 4l6 6L10 20H9l-5-5zM9 9l6 6",
  undo: "M8 5L4 9l4 4M4 9h10a5 5 0 0 1 0 10h-3",
};

const FRAME = "M14 12h36a6 6 0 0 1 6 6v28a6 6 0 0 1-6 6H14a6 6 0 0 1-6-6V18a6 6 0 0 1 6-6z";
const DRAWINGS = {
  empty: "M9 46l14-14 10 10 8-8 14 13M22 21a3 3 0 1 0 .1 0M52 2v8M48 6h8",
  queued: "M14 7h42a6 6 0 0 1 5 5v34M32 22a10 10 0 1 0 .1 0M32 26v6l4 3",
  running: "M46 20L32 36M30 35c-6 0-5 7-10 9 6 4 14 2 14-4 0-3-1-5-4-5M50 3v6M47 6h6",
  failed: "M36 12l-8 12 8 6-8 10 6 12",
  refused: "M32 20l10 4v7c0 7-4 11-10 13-6-2-10-6-10-13v-7zM27 32h10",
  dead: "M29 35l-4 4a5 5 0 0 1-7-7l4-4M35 29l4-4a5 5 0 0 1 7 7l-4 4M26 24l-2-4M38 40l2 4",
  offline: "M22 43h20a7 7 0 0 0 1-14 11 11 0 0 0-21-1 8 8 0 0 0 0 15zM16 18l32 30",
  stopped: "M25 25h14v14H25z",
};

const drawn = (size, paths, name) =>
  element("svg", { viewBox: `0 0 ${size} ${size}`, "aria-hidden": true, class: name }, ...paths.map((d) => element("path", { d })));
const icon = (name) => drawn(24, [ICONS[name]], "");
const drawing = (name) => drawn(64, [FRAME, DRAWINGS[name]], "drawing");
const text = (tag, words, name) => words && element(tag, { dir: "auto", class: name || false }, String(words));

// A drawn state: what it is, a sentence about it, and perhaps a way out.
const drawnState = (name, title, words, ...more) =>
  element("div", { class: "state", "data-state": name }, drawing(name), text("b", title), text("p", words), ...more);

function button(label, onclick, { icon: symbol, chip, name = "", ...properties } = {}) {
  const isIcon = symbol && name === "icon";
  const labels = isIcon ? { "aria-label": label, title: label } : {};
  const parts = [symbol && icon(symbol), !isIcon && text("span", label), text("span", chip, "chip")];
  return element("button", { class: name, onclick, ...labels, ...properties }, ...parts);
}

const chips = (node, ...words) => node.replaceChildren(...words.filter(Boolean).map((one) => text("span", one, "chip")));

// Put exactly these nodes into the parent. Nodes that are in place are not moved, so that they keep the focus.
function fill(parent, nodes) {
  nodes.forEach((node, at) => {
    if (parent.children[at] !== node) parent.insertBefore(node, parent.children[at] || null);
  });
  while (parent.children[nodes.length]) parent.lastChild.remove();
}

function label(node, words, symbol) {
  node.title = words;
  node.setAttribute("aria-label", words);
  node.replaceChildren(icon(symbol));
}

const press = (id, isOn) => $(id).setAttribute("aria-pressed", isOn);
const isPressed = (id) => $(id).getAttribute("aria-pressed") === "true";
const announce = (words) => { $("live").textContent = words; };

let toastTimer;
function toast(words, seconds = 5) {
  clearTimeout(toastTimer);
  $("toast").textContent = words;
  toastTimer = setTimeout(() => toast(""), seconds * 1000);
}

for (const node of document.querySelectorAll("[data-icon]")) {
  node.prepend(icon(node.dataset.icon));
  node.title = node.ariaLabel || "";
}
