// One image, large, with what can be done with it.

let current = null;
let isEditing = false;

function openViewer(id, isEdit) {
  current = id;
  isEditing = false;
  press("compare", false);
  for (const other of ["head", "grid", "pager"]) $(other).hidden = true;
  $("viewer").hidden = false;
  renderViewer();
  if (isEdit) startEdit();
  else $("back").focus();
  noteLooking();
}

function closeViewer() {
  stopEdit();
  focusKey = current;
  current = null;
  $("viewer").hidden = true;
  for (const other of ["head", "grid"]) $(other).hidden = false;
  page = Math.max(0, Math.floor(allCells().findIndex((cell) => cell.key === focusKey) / mostTiles()));
  renderGrid();
  tiles.get(focusKey)?.querySelector("button")?.focus();
}

function step(by) {
  const all = shownImages();
  const id = all[all.indexOf(current) + by];
  if (id) openViewer(id);
}

function renderViewer() {
  const task = taskOf(current);
  const image = imageOf(current);
  const all = shownImages();
  const at = all.indexOf(current);
  $("place").textContent = `${at + 1} of ${all.length}`;
  $("previous").disabled = at < 1;
  $("next").disabled = at > all.length - 2;
  for (const id of ["previous", "place", "next"]) $(id).hidden = all.length < 2;
  $("compare").hidden = isEditing || !sourceOf(task) || !host.can.tools;
  $("save").hidden = !host.can.files && !(host.can.links && webAddress(image.url));
  $("prompt").textContent = promptOf(task);
  const made = task.created_at && mode() !== "inline" && new Date(task.created_at).toLocaleString(host.context.locale);
  chips($("details"), modelOf(task), image.width && `${image.width} × ${image.height}`, money(task.cost), made);
  $("viewer").classList.toggle("editing", isEditing);
  $("large").alt = promptOf(task) || "No prompt";
  $("lost").hidden = true;
  showLarge("large", current);
  renderComparison();
  renderActions();
}

const modelOf = (task) => task.facts?.label || task.model;

// First what is in the cache, then the size that the frame needs.
async function showLarge(node, id) {
  const target = $(node);
  const isStill = () => current && target.dataset.id === id;
  if (!isStill()) target.removeAttribute("src");
  target.dataset.id = id;
  const show = (shown) => {
    if (!isStill()) return;
    target.src = shown.src;
    if (node === "large") setRatio(Object.assign(imageOf(id) || {}, measured(shown)));
  };
  setRatio(imageOf(current));
  if (!host.can.tools) return showLost("empty", "No preview in this app", id);
  const exact = pixels(id, mode() === "inline" && $("frame").clientWidth * devicePixelRatio < 600 ? MEDIUM : LARGE);
  if (!target.src && pixelCache.has(`${id} ${SMALL}`)) pixels(id, SMALL).then((shown) => target.src || show(shown), () => {});
  return exact.then(show, (error) => {
    if (!isStill()) return;
    const again = !error.isGone && button("Try again", renderViewer);
    showLost(error.isGone ? "dead" : "offline", error.isGone ? "This image is gone" : "Not loaded", error.message, again);
  });
}

const setRatio = (image) => $("viewer").style.setProperty("--ratio", ratioOf(taskOf(current), image));
const measured = ({ width, height }) => width && { width, height };

function showLost(...state) {
  $("lost").hidden = false;
  $("lost").replaceChildren(drawnState(...state));
}

// --- Before and after ---------------------------------------------------------------------------------------------

function renderComparison() {
  const source = sourceOf(taskOf(current));
  const isOn = isPressed("compare") && source;
  $("frame").classList.toggle("comparing", isOn);
  for (const id of ["before", "divider", "cut"]) $(id).hidden = !isOn;
  if (!isOn) return;
  $("before").alt = `Before: ${promptOf(taskOf(source)) || source}`;
  showLarge("before", source);
  setCut();
}

function setCut() {
  const { value } = $("cut");
  $("frame").style.setProperty("--cut", `${value}%`);
  $("cut").setAttribute("aria-valuetext", `${value} % before`);
}

function toggleComparison() {
  press("compare", !isPressed("compare"));
  renderComparison();
  $(isPressed("compare") ? "cut" : "compare").focus();
}

// --- Actions ------------------------------------------------------------------------------------------------------

let actionsVersion;

function renderActions() {
  $("editor").hidden = !isEditing;
  $("actions").hidden = isEditing;
  // buttons that stay keep the focus
  const version = JSON.stringify([current, mode(), innerWidth, actions.get(current)]);
  if (version === actionsVersion) return null;
  actionsVersion = version;
  if (!canPay()) return $("actions").replaceChildren(element("p", { id: "hint" }, `To change this image, ask in the chat. Its id is ${current}.`));
  const prices = new Set(editActions(current).map((action) => action.cost));
  const [price] = prices;
  const chip = price && (prices.size > 1 ? `from ${price}` : price);
  const edit = button("Edit", startEdit, { icon: "edit", name: "primary", chip, id: "edit" });
  return $("actions").replaceChildren(edit, ...(mode() === "inline" ? fewActions() : groupedActions()));
}

function groupedActions() {
  const groups = [["Refine", offered(current, "refine_image")], ["Same prompt, another model", offered(current, "imagine")]];
  return groups.flatMap(([title, some]) => (some.length ? [text("h2", title, "group"), ...some.map(actionButton)] : []));
}

// In a conversation there is room for a few; the others are in a dialog.
function fewActions() {
  const few = offered(current, "refine_image").slice(0, innerWidth < 480 ? 0 : innerWidth < 760 ? 1 : 2);
  const count = offered(current, "refine_image").length + offered(current, "imagine").length - few.length;
  const openAll = () => openDialog("What to do with this image", [element("div", { class: "list" }, ...groupedActions())]);
  return [...few.map(actionButton), count > 0 && button(`More (${count})`, openAll)].filter(Boolean);
}

function actionButton(action) {
  const name = action.title.replace("Same prompt, ", "");
  // what must come first is paid as well
  const chip = [action.cost || UNKNOWN, action.needs].filter(Boolean).join(" + ");
  const node = button(name, () => attempt(() => runAction(action, name), node), { chip });
  return node;
}

async function runAction({ tool, action, model, cost, needs }, name) {
  closeDialog();
  const prompt = promptOf(taskOf(current));
  let title = `${name}?`;
  let args = { image: current, action };
  let words = `Refine image ${current} with refine_image, action ${action}${needs ? `; it needs ${needs} first` : ""}.`;
  if (tool === "imagine") {
    if (prompt.endsWith("…") && !host.can.chat) throw Error("This prompt is too long to repeat from here.");
    title = `Same prompt with ${title}`;
    args = { prompt, model };
    words = `Call imagine with model ${model}: ${prompt}`;
  }
  if ((await pay(title, tool, args, words, cost)) && !host.can.chat) closeViewer();
}

// --- Save and copy ------------------------------------------------------------------------------------------------

async function save() {
  const { url, path, mime_type = "image/jpeg" } = imageOf(current);
  const words = promptOf(taskOf(current)).toLowerCase().match(/[\p{L}\d]+/gu) || ["image"];
  const link = webAddress(url);
  if (!host.can.files) return host.open(link);
  const name = `${words.slice(0, 6).join("-")}-${current.split(".")[1] || 1}.${link ? mime_type.slice(6) : "jpeg"}`;
  const uri = link || (host.can.lists ? (await pixels(current, LARGE)).src : `journey://images/${current}`);
  await host.save({ uri, name, mimeType: mime_type });
  return toast(link || !path ? "Saved" : `Saved at 1,024 pixels. The original: ${path}`);
}

function copyId(id) {
  const field = element("textarea", { class: "unseen" });
  const { activeElement } = document;
  field.value = id;
  document.body.append(field);
  field.select();
  // the clipboard API is off in the frames of most hosts
  toast(`${document.execCommand("copy") ? "Copied" : "The id is"} ${id}`);
  field.remove();
  activeElement.focus();
}
