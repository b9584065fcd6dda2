// The tasks and images that are known, newest first, and their pixels.

const tasks = new Map();
const actions = new Map();
let given = {};
let isAlive = true;

const isRunning = (task) => /queued|running|sending/.test(task.status);
const taskOf = (id) => tasks.get(id) || tasks.get(id?.replace(/\.\d+$/, ""));
const imageOf = (id) => taskOf(id)?.images.find((image) => image.id === id);
const promptOf = (task) => task?.facts?.prompt || task?.prompt || "";
const sourceOf = (task) => (/^(tsk_.+\.\d+|up_.+)$/.test(task.facts?.source) ? task.facts.source : null);
const webAddress = (url) => /^https?:/.test(url) && url;
const money = (cost) => cost && `${cost.amount} ${cost.unit === "usd" ? "USD" : cost.amount == 1 ? "credit" : "credits"}`;
const contentOf = (result) => result.structuredContent || {};
const textOf = (result) => (result.content || []).map((block) => block.text || "").join("\n");

// Take the tasks of a result, and return their ids. Facts that it omits stay.
function absorb(result, isFirst) {
  const content = contentOf(result);
  const { [FACTS]: facts = {}, [ACTIONS]: offered = {} } = result._meta || {};
  for (const id in offered) actions.set(id, offered[id]);
  const found = content.tasks || (content.status || content.error ? [content] : []);
  return found.map((task) => absorbOne(task, facts[task.task_id], isFirst));
}

function absorbOne(task, facts, isFirst) {
  const id = task.task_id || `call ${tasks.size}`;
  const known = tasks.get(id);
  const status = task.status || (task.error ? "failed" : known?.status);
  const merged = { images: [], ...known, ...task, id, status, facts: facts || known?.facts };
  const rest = isFirst && !known ? [...tasks] : [];
  if (rest.length) tasks.clear();
  for (const [key, value] of [[id, merged], ...rest]) tasks.set(key, value);
  if (known && isRunning(known) && !isRunning(merged)) announce(`${merged.images.length ? "Ready" : stateOf(merged)[1]}: ${promptOf(merged)}`);
  return id;
}

// Width divided by height: known, else expected, else a square.
function ratioOf(task, image) {
  const [width, height] = (task?.facts?.aspect_ratio || given.aspect_ratio || "").split(":");
  const ratio = image?.width / image?.height || width / height || 1;
  return Math.min(4, Math.max(0.25, ratio));
}

function expectedImages(task) {
  // before the server says it: the models that make four candidates are called so
  const isGrid = task.status === "sending" && !given.image && /^(midjourney.*)?$/.test(given.model || "");
  return task.facts?.candidates || (isGrid ? 4 : 1);
}

const FILTERED = /moderat|filter|polic|safety|nsfw|sensitiv|prohibit|flagged/i;

// What is drawn for a task without images: the drawing, a title, the reason and the next step.
function stateOf(task) {
  const { code, message } = task.error || {};
  const words = [message, task.facts?.next_step || task.next_step].filter(Boolean).join(" ");
  if (task.status === "canceled") return ["stopped", "Canceled", words];
  if (task.status === "succeeded") return ["dead", "No image", words];
  if (code === "refused" || FILTERED.test(message)) return ["refused", "Refused", words];
  return ["failed", "Failed", words];
}

// --- Pixels: only by view_image, up to four images in a call, each once per size -----------------------------------

const SMALL = 320;
const MEDIUM = 512;
const LARGE = 1024;
const MOST_CALLS = 3;
const pixelCache = new Map();
const wanted = [];
let openCalls = 0;

function pixels(id, side) {
  const key = `${id} ${side}`;
  if (!pixelCache.has(key)) {
    const promise = new Promise((done, failed) => wanted.push({ id, side, done, failed }));
    promise.catch(() => pixelCache.delete(key));
    pixelCache.set(key, promise);
    queueMicrotask(fetchPixels);
  }
  return pixelCache.get(key);
}

async function fetchPixels() {
  if (!wanted.length || openCalls >= MOST_CALLS) return;
  const { side } = wanted[0];
  const batch = wanted.filter((one) => one.side === side).slice(0, side === LARGE ? 1 : 4);
  batch.forEach((one) => wanted.splice(wanted.indexOf(one), 1));
  openCalls += 1;
  fetchPixels();
  try {
    const ids = batch.map((one) => one.id);
    const result = await host.call("view_image", { image_ids: ids, size: side, layout: "each" });
    const blocks = (result.content || []).filter((block) => block.type === "image");
    const { images = [], errors = [], error } = contentOf(result);
    for (const { id, done, failed } of batch) {
      const at = images.findIndex((image) => image.id === id);
      const block = blocks[at];
      const reason = errors.find?.((one) => one.id === id) || error;
      if (block) done({ ...images[at], src: `data:${block.mimeType};base64,${block.data}` });
      else failed(Object.assign(Error(reason?.message || textOf(result)), { isGone: true }));
    }
  } catch (error) {
    batch.forEach((one) => one.failed(error));
  }
  openCalls -= 1;
  fetchPixels();
}

// --- Progress ---------------------------------------------------------------------------------------------------

let isPolling = false;
let wake = () => {};

async function poll() {
  if (isPolling || !host.can.tools) return;
  isPolling = true;
  let failures = 0;
  while (isAlive) {
    const ids = [...tasks.values()].filter((task) => isRunning(task) && task.task_id).map((task) => task.id);
    if (!ids.length) break;
    const asked = Date.now();
    try {
      const result = await host.call("fetch_task", { task_ids: ids.slice(0, 20), wait_s: host.patience, wait_for: "any" });
      if (!absorb(result).length) throw Error(textOf(result));
      failures = 0;
      showBanner();
    } catch (error) {
      failures += 1;
      showBanner(error.message);
    }
    render();
    // a server or host that does not wait must not be asked in a loop
    const delay = failures ? Math.min(60, 2 ** failures) : Date.now() - asked < 1000 ? 1.5 : 0;
    await new Promise((done) => setTimeout((wake = done), delay * 1000));
  }
  isPolling = false;
}
