// The page as a whole: its mode, events of the host, and the listing of a page of its own.

const root = document.documentElement;
const mode = () => root.dataset.mode;

function applyContext(changes) {
  const context = Object.assign(host.context, changes);
  root.dataset.mode = /fullscreen|page/.exec(context.displayMode)?.[0] || "inline";
  root.classList.toggle("wide", mode() !== "inline");
  root.style.colorScheme = context.theme || "";
  for (const [name, value] of Object.entries(context.styles?.variables || {})) root.style.setProperty(name, value);
  const { maxHeight, height = maxHeight } = context.containerDimensions || {};
  root.style.setProperty("--most", `${Math.max(280, Math.min(INLINE_HEIGHT, height || INLINE_HEIGHT))}px`);
  const { top = 0, right = 0, bottom = 0, left = 0 } = context.safeAreaInsets || {};
  document.body.style.padding = `${top}px ${right}px ${bottom}px ${left}px`;
  render();
}

function render() {
  if (!current) renderGrid();
  else if (!isEditing && !$("dialog").open) renderViewer();
}

async function toggleSize({ currentTarget }) {
  const wanted = mode() === "fullscreen" ? "inline" : "fullscreen";
  const answer = await host.ask("request-display-mode", { mode: wanted });
  applyContext({ displayMode: answer.mode });
  renderHead();
  currentTarget?.focus();
}

// --- A conversation -----------------------------------------------------------------------------------------------

const PENDING = "pending";

// By the last word of the host's method.
const events = {
  "host-context-changed": applyContext,
  "tool-input-partial": showInput,
  "tool-input": showInput,
  "tool-result": showResult,
  "tool-cancelled": showStopped,
  "resource-teardown": () => { isAlive = false; },
};

function showInput({ arguments: args = {} }) {
  given = args;
  const { prompt, image, model } = args;
  if (tasks.size > tasks.has(PENDING) || !(prompt || image)) return;
  tasks.set(PENDING, { id: PENDING, status: "sending", prompt, model, images: [] });
  render();
}

function showResult(result) {
  tasks.delete(PENDING);
  const ids = absorb(result);
  if (!ids.length && !contentOf(result).tasks) absorbOne({ status: "failed", error: { message: textOf(result) } });
  if (ids.length === 1) tasks.get(ids[0]).prompt ||= given.prompt;
  render();
  // hosts may drop `_meta` of a result; a call of our own has it
  if (!result._meta?.[FACTS] && ids.length && host.can.tools) {
    host.call("fetch_task", { task_ids: ids.slice(0, 20), wait_s: 0 }).then(absorb).then(render, () => {});
  }
  poll();
}

function showStopped({ reason }) {
  if (!tasks.delete(PENDING)) return;
  const next_step = `${reason || "The call was stopped."} A task that was sent goes on: ask in the chat.`;
  absorbOne({ status: "canceled", prompt: given.prompt, next_step });
  render();
}

// --- A page of its own ----------------------------------------------------------------------------------------------

let listed = 0;
let spent = {};

async function list(before) {
  const turn = ++listed;
  const query = $("query").value.trim() || undefined;
  const result = await host.call("fetch_task", { query, before }).catch(showBannerOf);
  if (!result || turn !== listed) return;
  if (!before) tasks.clear();
  absorb(result);
  const { next_before: next, spent: sums = spent } = contentOf(result);
  spent = sums;
  const more = button("Load more", () => attempt(() => list(next), more));
  $("pager").replaceChildren(more);
  $("pager").hidden = !next;
  showBanner(result.isError && textOf(result));
  renderGrid();
  poll();
}

const showBannerOf = (error) => showBanner(error.message);

let searchTimer;
function search() {
  clearTimeout(searchTimer);
  searchTimer = setTimeout(list, 300);
}

// --- Events -----------------------------------------------------------------------------------------------------------

const clicks = {
  add: () => $("file").click(),
  enlarge: toggleSize,
  larger: toggleSize,
  back: closeViewer,
  previous: () => step(-1),
  next: () => step(1),
  compare: toggleComparison,
  save,
  copy: () => copyId(current),
  cancel: stopEdit,
  paint() {
    setPainting(!isPressed("paint"));
    if (isPressed("paint")) canvas.focus();
  },
  erase: () => press("erase", !isPressed("erase")),
  undo: undoStroke,
  submit: submitEdit,
};
for (const id in clicks) $(id).onclick = (event) => attempt(() => clicks[id](event), id === "submit" ? $(id) : {});

$("model").onchange = showEditPrice;
$("cut").oninput = setCut;
$("query").oninput = search;
$("instruction").onkeydown = ({ key, metaKey, ctrlKey }) => {
  if (key === "Enter" && (metaKey || ctrlKey)) $("submit").click();
};
$("file").onchange = () => {
  const [file] = $("file").files;
  attempt(() => addImage(file));
  $("file").value = "";
};
$("grid").onkeydown = moveFocus;
$("grid").addEventListener("focusin", ({ target }) => rove(target.closest("li")));

canvas.onpointerdown = (event) => {
  canvas.setPointerCapture(event.pointerId);
  beginStroke(pointOf(event));
};
canvas.onpointermove = (event) => {
  showBrush(pointOf(event));
  if (stroke) event.getCoalescedEvents().map(pointOf).forEach(extendStroke);
};
canvas.onpointerup = canvas.onpointercancel = endStroke;
canvas.onpointerleave = () => { $("brush").hidden = !stroke; };
canvas.onfocus = () => { if (canvas.matches(":focus-visible")) showBrush(cursor); };
canvas.onkeydown = paintByKey;

window.onkeydown = ({ key, target }) => {
  if (!current || $("dialog").open) return;
  if (key === "Escape") {
    if (isEditing) stopEdit();
    else if (isPressed("compare")) toggleComparison();
    else closeViewer();
  } else if (!isEditing && target.id !== "cut") {
    if (key === "ArrowLeft") step(-1);
    if (key === "ArrowRight") step(1);
  }
};
window.onresize = () => render();

host.start(events).then(() => (host.can.lists ? list() : render()), showBannerOf);
