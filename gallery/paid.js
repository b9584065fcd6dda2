// What costs money: a chat turn where the host allows it, else a call that the person confirms here.

const UNKNOWN = "price unknown";
const canPay = () => host.can.pay && (host.can.chat || host.can.tools);
const offered = (id, tool) => (actions.get(id) || []).filter((action) => action.tool === tool);

// Edit actions of an image; those of any other serve an image that the person added.
function editActions(id) {
  const own = offered(id, "edit_image");
  const any = [...actions.keys()].map((one) => offered(one, "edit_image")).find((some) => some.length);
  return own.length ? own : any || [{}];
}

// Return whether it was sent. `words` is the chat turn, `args` the arguments of the call.
async function pay(title, tool, args, words, cost = UNKNOWN) {
  if (host.can.chat) {
    await host.say(words);
    toast("Sent to the chat. The result appears there.");
    return true;
  }
  const result = await confirmedCall(title, tool, { ...args, wait_s: 0 }, cost);
  if (!result) return false;
  if (result.resultType === "input_required") throw Error("This needs a confirmation: ask in the chat.");
  if (result.isError && !contentOf(result).task_id) throw Error(textOf(result));
  const [id] = absorb(result, true);
  noteDone(`${words} It is task ${id}.`);
  toast("Started");
  poll();
  return true;
}

async function confirmedCall(title, tool, args, cost) {
  // a page of its own is asked by its server, which knows the exact cost
  if (!host.can.lists && !(await confirmCost(title, cost))) return null;
  for (let confirmation; ; ) {
    try {
      return await host.call(tool, args, confirmation);
    } catch (error) {
      const { question } = error;
      if (!question) throw error;
      if (!(await confirmCost(title, question.cost?.is_known ? money(question.cost) : cost, error.message))) return null;
      confirmation = question.confirmation;
    }
  }
}

// Resolves to whether the person agrees.
const confirmCost = (title, cost, question) =>
  new Promise((done) => {
    const pays = button(cost === UNKNOWN ? "Continue" : `Pay ${cost}`, () => { done(true); closeDialog(); }, { name: "primary" });
    const row = element("div", { class: "row" }, button("Cancel", closeDialog), pays);
    const words = question || (cost === UNKNOWN ? "Its price is not known in advance." : `It costs ${cost}.`);
    openDialog(title, [text("p", words), row], () => done(false));
  });

function openDialog(title, nodes, onclose) {
  const dialog = $("dialog");
  dialog.replaceChildren(element("h2", { id: "question" }, title), ...nodes);
  dialog.onclose = () => { $("app").style.minHeight = ""; dialog.replaceChildren(); onclose?.(); };
  dialog.onclick = ({ target }) => { if (target === dialog) closeDialog(); };
  dialog.showModal();
  // an inline frame is only as high as its content
  if (mode() === "inline") $("app").style.minHeight = `${Math.min(INLINE_HEIGHT, dialog.scrollHeight + 34)}px`;
}

const closeDialog = () => $("dialog").close();

// Do what a button says; an error becomes a message, and the button is off meanwhile.
async function attempt(work, node = {}) {
  node.disabled = true;
  await Promise.resolve().then(work).catch((error) => toast(error.message, 12));
  node.disabled = false;
}

// --- The context of the model: one text, which replaces the last --------------------------------------------------

let looking = "";
const noted = [];

function tellModel() {
  host.tell([...noted.slice(-5), looking].join("\n")).catch(() => {});
}

function noteLooking() {
  looking = `The person is looking at image ${current}: ${promptOf(taskOf(current)).slice(0, 120)}. "It" means this image.`;
  tellModel();
}

function noteDone(words) {
  noted.push(`The person did this in the gallery: ${words}`);
  tellModel();
}
