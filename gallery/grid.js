// The grid: a tile for each image, a skeleton for each that is being made, a card for each task without images.

const tiles = new Map();
const sections = new Map();
let page = 0;
let focusKey = null;

function cellsOf(task) {
  const { images } = task;
  if (!isRunning(task) && !images.length) return [{ key: task.id, kind: "card", task }];
  const count = isRunning(task) ? Math.max(expectedImages(task), images.length) : images.length;
  return Array.from({ length: count }, (_, at) => {
    const image = images[at];
    return { key: image?.id || `${task.id}.${at + 1}`, kind: image ? "image" : "waiting", task, image, number: at + 1, count };
  });
}

const allCells = () => [...tasks.values()].flatMap(cellsOf);
const shownImages = () => allCells().flatMap((cell) => (cell.image ? [cell.key] : []));
// in a conversation two rows are shown, because the frame must not scroll
const mostTiles = () => (mode() !== "inline" ? Infinity : innerWidth < 480 ? 4 : 8);

function renderGrid() {
  renderHead();
  const cells = allCells();
  const most = mostTiles();
  page = cells[page * most] ? page : 0;
  const shown = most < cells.length ? cells.slice(page * most, (page + 1) * most) : cells;
  const days = new Map();
  for (const cell of shown) days.set(dayOf(cell.task), [...(days.get(dayOf(cell.task)) || []), cell]);
  const parts = [...days].map(sectionOf);
  fill($("grid"), parts.length ? parts : [emptyState()]);
  for (const [key, tile] of tiles) if (!tile.isConnected) tiles.delete(key);
  rove(tiles.get(focusKey) || $("grid").querySelector("button")?.closest("li"));
  if (!host.can.lists) fillPager(cells.length, most);
}

function fillPager(count, most) {
  $("pager").hidden = count <= most;
  const turn = (by, label, symbol, disabled) => button(label, () => { page += by; renderGrid(); }, { icon: symbol, name: "icon", disabled });
  const last = Math.min(count, (page + 1) * most);
  $("pager").replaceChildren(
    turn(-1, "Previous images", "previous", !page),
    `${page * most + 1}–${last} of ${count}`,
    turn(1, "Next images", "next", last === count),
  );
}

function dayOf({ created_at }) {
  if (!host.can.lists || !created_at) return "";
  const words = (at) => at.toLocaleDateString(undefined, { weekday: "long", day: "numeric", month: "long", year: "numeric" });
  const day = words(new Date(created_at));
  return { [words(new Date(Date.now() - 864e5))]: "Yesterday", [words(new Date())]: "Today" }[day] || day;
}

function sectionOf([day, cells]) {
  if (!sections.has(day)) sections.set(day, element("section", {}, text("h2", day), element("ul", { "aria-label": day || "Images" })));
  const section = sections.get(day);
  section.lastChild.style.setProperty("--row", `${rowHeight(cells)}px`);
  fill(section.lastChild, cells.map(tileOf));
  return section;
}

// The height of rows before they grow to the full width; in a conversation all rows together must stay low.
function rowHeight(cells) {
  const width = $("grid").clientWidth;
  const isInline = mode() === "inline";
  const most = isInline ? 390 : Infinity;
  const ratios = cells.map(({ task, image }) => ratioOf(task, image));
  const [ratio] = ratios;
  let row = width < 480 ? 140 : isInline ? 165 : 210;
  if (ratios.every((one) => Math.abs(one - ratio) < 0.02)) {
    let across = Math.min(cells.length, Math.max(1, Math.round((width + 8) / (row * ratio + 8))));
    if (across === 3 && cells.length === 4) across = 4;
    const high = () => ((width + 8) / across - 8) / ratio - 0.01;
    while (across < cells.length && Math.ceil(cells.length / across) * high() > most) across += 1;
    return Math.min(isInline ? 320 : row * 1.2, high());
  }
  const rows = () => ratios.reduce(([count, x], one) => (x + one * row > width ? [count + 1, one * row] : [count, x + one * row + 8]), [1, 0])[0];
  while (rows() * row * 1.3 > most) row *= 0.9;
  return row;
}

function emptyState() {
  if ($("query").value) return drawnState("empty", "Nothing matches", "Search for words, a model or a date.");
  return drawnState("empty", "No images yet", host.can.keep ? "Ask your assistant for one, or add your own." : "");
}

function tileOf(cell) {
  const { key, task, kind, number, image } = cell;
  const tile = tiles.get(key) || element("li", { "data-id": key });
  tiles.set(key, tile);
  tile.cell = cell;
  tile.style.setProperty("--ratio", ratioOf(task, image));
  const progress = kind === "waiting" && number === 1 && [task.status, task.progress];
  const version = [kind, progress, cell.count, promptOf(task), mode()].join();
  if (tile.version !== version) {
    const hadFocus = tile.contains(document.activeElement);
    tile.version = version;
    tile.className = `tile ${kind}`;
    tile.replaceChildren(...{ card: cardOf, waiting: skeletonOf, image: imageTileOf }[kind](cell, tile));
    if (hadFocus) tile.querySelector("button")?.focus();
  }
  return tile;
}

const numberOf = ({ number, count }) => count > 1 && text("span", number, "number");

function cardOf({ task }) {
  return [drawnState(...stateOf(task), host.can.lists && text("p", promptOf(task)))];
}

function skeletonOf(cell) {
  const { task, number } = cell;
  const words = { queued: "Queued", running: "Running", sending: "Starting" }[task.status];
  const ring = task.progress > 0 ? progressRing(task) : drawing(task.status === "queued" ? "queued" : "running");
  const state = number === 1 && element("div", { class: "state", "data-state": task.status }, ring, text("b", words));
  return [state, numberOf(cell)].filter(Boolean);
}

function progressRing({ progress, prompt = "the image" }) {
  const share = Math.round(progress * 100);
  const about = { role: "progressbar", "aria-valuenow": share, "aria-label": `Progress of ${prompt}` };
  const ring = element("div", { class: "ring", ...about }, text("b", `${share} %`));
  ring.style.setProperty("--share", `${share}%`);
  return ring;
}

function imageTileOf(cell, tile) {
  const { key, task, number, count } = cell;
  const prompt = promptOf(task) || "No prompt";
  const img = element("img", { alt: `${count > 1 ? `${number} of ${count}: ` : ""}${prompt}` });
  const caption = element("span", { class: "caption", "aria-hidden": true }, text("span", prompt));
  const open = element("button", { class: "open", onclick: () => openViewer(key) }, img, caption);
  const quick = element("div", { class: "quick" }, button("Copy id", () => copyId(key), { icon: "copy", name: "icon" }));
  if (canPay()) quick.prepend(button("Edit", () => openViewer(key, true), { icon: "edit", name: "icon" }));
  tile.load = () => loadTile(cell, tile, img);
  nearby.observe(tile);
  return [open, numberOf(cell), quick].filter(Boolean);
}

const nearby = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      nearby.unobserve(target);
      target.load();
    }
  },
  { rootMargin: "600px" },
);

async function loadTile({ key, task, image }, tile, img) {
  tile.classList.add("loading");
  const mark = (...state) => {
    img.alt += ` (${state[1]})`;
    img.replaceWith(drawnState(...state), img);
  };
  if (!host.can.tools) mark("empty", "No preview");
  else {
    await pixels(key, SMALL).then(
      (shown) => {
        img.src = shown.src;
        tile.style.setProperty("--ratio", ratioOf(task, Object.assign(image, measured(shown))));
      },
      (error) => {
        mark(...(error.isGone ? ["dead", "Image is gone"] : ["offline", "Not loaded"]));
        tile.version = error.isGone && tile.version;
      },
    );
  }
  tile.classList.remove("loading");
}

// --- The head ---------------------------------------------------------------------------------------------------

function renderHead() {
  const all = [...tasks.values()];
  const isOne = all.length === 1 && !host.can.lists;
  const count = shownImages().length;
  const running = all.filter(isRunning).length;
  $("heading").textContent = host.can.lists ? "Journey" : (isOne && promptOf(all[0])) || "Images";
  const facts = isOne ? [modelOf(all[0]), money(all[0].cost)] : [count > 1 && `${count} images`, running && `${running} running`];
  chips($("facts"), ...facts, ...spentTexts());
  $("add").hidden = !host.can.keep;
  $("search").hidden = !host.can.lists;
  for (const id of ["enlarge", "larger"]) {
    const isLarge = mode() === "fullscreen";
    $(id).hidden = !host.context.availableDisplayModes?.includes("fullscreen");
    label($(id), isLarge ? "Leave full screen" : "Full screen", isLarge ? "shrink" : "expand");
  }
}

// What was spent today and in the last 30 days, by unit.
function spentTexts() {
  return Object.entries({ Today: spent.today, "30 days": spent.last_30_days }).map(([period, totals = []]) => {
    const sums = {};
    for (const { unit, amount = 0 } of totals) sums[unit] = +((sums[unit] || 0) + +amount).toFixed(4);
    const parts = Object.keys(sums).map((unit) => money({ unit, amount: sums[unit] }));
    return parts[0] && `${period}: ${parts.join(", ")}`;
  });
}

function showBanner(words) {
  $("banner").hidden = !words;
  if (words) $("banner").replaceChildren(drawing("offline"), text("span", words), button("Try now", retry));
}

function retry() {
  wake();
  if (!tasks.size && host.can.lists) list();
  render();
}

// --- The keyboard: the grid is one stop, and arrow keys move within it ----------------------------------------------

function rove(target) {
  focusKey = target?.cell.key;
  for (const tile of tiles.values()) {
    for (const node of tile.querySelectorAll("button")) node.tabIndex = tile === target ? 0 : -1;
  }
}

function moveFocus(event) {
  const all = [...$("grid").querySelectorAll(".open")];
  const at = all.indexOf(document.activeElement);
  if (at < 0) return;
  const box = (node) => node.getBoundingClientRect();
  const from = box(all[at]);
  const middle = from.left + from.width / 2;
  const target = {
    ArrowLeft: () => all[at - 1],
    ArrowRight: () => all[at + 1],
    Home: () => all[0],
    End: () => all.at(-1),
    ArrowUp: () => all.findLast((node) => box(node).bottom <= from.top && box(node).left <= middle),
    ArrowDown: () => all.find((node) => box(node).top >= from.bottom && box(node).right >= middle) || all.at(-1),
  }[event.key]?.();
  if (!target) return;
  event.preventDefault();
  target.focus();
}
