// The edit of an image: an instruction, a model, and perhaps a painted mask; and images that the person adds.

const MOST_CHARACTERS = 900000;
const LONGEST_SIDE = 2048;
let strokes = [];
let stroke = null;
let cursor = null;

const masking = () => editActions(current).filter((action) => action.takes_mask);
const chosenEdit = () => editActions(current).find((action) => action.model === $("model").value) || editActions(current)[0];

function startEdit() {
  isEditing = true;
  strokes = [];
  press("compare", false);
  renderViewer();
  $("masking").hidden = !masking().length || !host.can.keep;
  setPainting(false);
  $("instruction").focus();
}

function stopEdit() {
  if (!isEditing) return;
  isEditing = false;
  strokes = [];
  setPainting(false);
  renderViewer();
  $("edit")?.focus();
}

function fillModels() {
  const chosen = $("model").value;
  const models = strokes.length ? masking() : editActions(current);
  const option = ({ model = "", cost = UNKNOWN }) => element("option", { value: model }, `${model || "Default model"} · ${cost}`);
  $("model").replaceChildren(...models.map(option));
  if (models.some((action) => action.model === chosen)) $("model").value = chosen;
  showEditPrice();
}

const showEditPrice = () => $("submit").replaceChildren("Edit", text("span", chosenEdit().cost || UNKNOWN, "chip"));

async function submitEdit() {
  const instruction = $("instruction").value.trim();
  $("instruction").setAttribute("aria-invalid", !instruction);
  if (!instruction) {
    $("instruction").focus();
    throw Error("Say what should change.");
  }
  const image = current;
  const { model, cost } = chosenEdit();
  const mask = strokes.length ? await keep({ data: maskData(), mask_of: image }) : undefined;
  const how = [model && `model ${model}`, mask && `mask ${mask.image_id}`].filter(Boolean).join(", ");
  const words = `Edit image ${image} with edit_image${how && `, ${how}`}: ${instruction}`;
  const args = { image, prompt: instruction, model, mask: mask?.image_id };
  if (!(await pay("Edit this image?", "edit_image", args, words, cost))) return;
  $("instruction").value = "";
  if (host.can.chat) stopEdit();
  else closeViewer();
}

async function keep(args) {
  const result = await host.call("keep_image", args);
  const kept = contentOf(result);
  if (!kept.image_id) throw Error(textOf(result));
  return kept;
}

// --- The mask -----------------------------------------------------------------------------------------------------

const canvas = $("mask");

function setPainting(isOn) {
  press("paint", isOn);
  press("erase", false);
  $("brushes").hidden = !isOn;
  canvas.hidden = !isOn && !strokes.length;
  $("brush").hidden = true;
  if (isOn && !strokes.length) {
    const { width = 1, height = 1 } = imageOf(current);
    const scale = Math.min(1, LONGEST_SIDE / Math.max(width, height));
    canvas.width = width * scale;
    canvas.height = height * scale;
    cursor = [canvas.width / 2, canvas.height / 2];
  }
  fillModels();
}

const brushWidth = () => ($("width").value / 100) * Math.max(canvas.width, canvas.height);

function drawMask(on = canvas, color = "#ff2d78", ground = "") {
  const pen = on.getContext("2d");
  pen.clearRect(0, 0, on.width, on.height);
  pen.fillStyle = ground || "transparent";
  pen.fillRect(0, 0, on.width, on.height);
  pen.lineCap = pen.lineJoin = "round";
  for (const { width, erases, points } of strokes) {
    pen.globalCompositeOperation = erases && !ground ? "destination-out" : "source-over";
    pen.strokeStyle = (erases && ground) || color;
    pen.lineWidth = width;
    pen.beginPath();
    for (const point of [...points, points.at(-1)]) pen.lineTo(...point);
    pen.stroke();
  }
}

function maskData() {
  const copy = element("canvas", { width: canvas.width, height: canvas.height });
  drawMask(copy, "#fff", "#000");
  return copy.toDataURL();
}

function beginStroke(point) {
  stroke = { width: brushWidth(), erases: isPressed("erase"), points: [point] };
  strokes.push(stroke);
  drawMask();
}

function extendStroke(point) {
  stroke.points.push(point);
  drawMask();
}

function endStroke() {
  stroke = null;
  fillModels();
}

function undoStroke() {
  strokes.pop();
  drawMask();
  fillModels();
}

function pointOf({ clientX, clientY }) {
  const { left, top, width, height } = canvas.getBoundingClientRect();
  return [((clientX - left) * canvas.width) / width, ((clientY - top) * canvas.height) / height];
}

function showBrush(point) {
  cursor = point;
  const [x, y] = point;
  const width = `${(brushWidth() / canvas.width) * 100}%`;
  Object.assign($("brush").style, { left: `${(x / canvas.width) * 100}%`, top: `${(y / canvas.height) * 100}%`, width });
  $("brush").hidden = false;
}

function paintByKey(event) {
  const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  if (event.key !== " " && !move) return;
  event.preventDefault();
  if (move) {
    const far = brushWidth() / (event.shiftKey ? 1 : 3);
    const sides = [canvas.width, canvas.height];
    showBrush(cursor.map((at, axis) => Math.max(0, Math.min(sides[axis], at + move[axis] * far))));
    if (stroke) extendStroke(cursor);
  } else if (stroke) endStroke();
  else beginStroke(cursor);
  if (!move) announce(stroke ? "Brush down" : "Brush up");
}

// --- Images of the person -----------------------------------------------------------------------------------------

async function shrink(file) {
  const bitmap = await createImageBitmap(file).catch(() => {
    throw Error(`${file.name} cannot be read here. Add a JPEG, PNG or WebP file.`);
  });
  for (let side = LONGEST_SIDE; ; side *= 0.8) {
    const scale = Math.min(1, side / Math.max(bitmap.width, bitmap.height));
    const copy = element("canvas", { width: Math.ceil(bitmap.width * scale), height: Math.ceil(bitmap.height * scale) });
    const pen = copy.getContext("2d");
    pen.fillStyle = "#fff";
    pen.fillRect(0, 0, copy.width, copy.height);
    pen.drawImage(bitmap, 0, 0, copy.width, copy.height);
    const data = copy.toDataURL("image/jpeg", 0.9);
    if (data.length <= MOST_CHARACTERS) return data;
  }
}

async function addImage(file) {
  if (!file) return;
  toast("Adding the image…", 60);
  const data = await shrink(file);
  const kept = await keep({ data });
  const { image_id: id, width, height } = kept;
  for (const side of [SMALL, MEDIUM, LARGE]) pixelCache.set(`${id} ${side}`, Promise.resolve({ width, height, src: data }));
  const images = [{ id, width, height }];
  absorbOne({ task_id: id, status: "succeeded", prompt: file.name, model: "Your image", images, created_at: new Date().toJSON() }, undefined, true);
  noteDone(`added an image of their own: ${id}.`);
  toast(`Added as ${id}`);
  openViewer(id, canPay());
}
