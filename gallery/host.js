// The two hosts of the page: an MCP Apps host around it, or `journey-mcp gallery` below it.
//
// Both have: `can` (what works here), call, say (a chat turn), tell (the context of the model), open, save.

const FACTS = "journey/gallery";
const ACTIONS = "journey/actions";
const INLINE_HEIGHT = 500;
const ANSWER_WITHIN_MS = 120000;

class McpHost {
  can = {};
  context = {};
  patience = 10;
  next = 0;
  waiting = new Map();

  async start(events) {
    window.onmessage = ({ source, data }) => {
      if (source !== parent || !data) return;
      const { id, method, params, result, error } = data;
      if (method) events[method.split("/").pop()]?.(params || {});
      if (method && id !== undefined) this.send({ id, result: {} });
      if (!method) this.settle(id, result, error);
    };
    const answer = await this.ask("initialize", {
      protocolVersion: "2026-01-26",
      appInfo: { name: "journey-gallery", version: "1" },
      appCapabilities: { availableDisplayModes: ["inline", "fullscreen"] },
    });
    const { serverTools, message, updateModelContext, openLinks, downloadFile } = answer.hostCapabilities || {};
    this.can = { pay: true, tools: serverTools, keep: serverTools, chat: message, context: updateModelContext, links: openLinks, files: downloadFile };
    events["host-context-changed"](answer.hostContext || {});
    this.send({ method: "ui/notifications/initialized", params: {} });
    new ResizeObserver(() => this.reportSize()).observe($("app"));
  }

  call(tool, args) {
    // without arguments that are undefined, which some hosts reject
    return this.ask("tools/call", { name: tool, arguments: JSON.parse(JSON.stringify(args)), _meta: { [FACTS]: true } });
  }

  say(words) {
    return this.ask("message", { role: "user", content: [{ type: "text", text: words }] });
  }

  async tell(words) {
    if (this.can.context) await this.ask("update-model-context", { content: [{ type: "text", text: words }] });
  }

  open(url) {
    return this.ask("open-link", { url });
  }

  save(link) {
    return this.ask("download-file", { contents: [{ type: "resource_link", ...link }] });
  }

  send(message) {
    // a removed frame has no parent, but its code may still run
    parent?.postMessage({ jsonrpc: "2.0", ...message }, "*");
  }

  ask(method, params) {
    const id = ++this.next;
    return new Promise((done, failed) => {
      this.waiting.set(id, [done, failed]);
      this.send({ id, method: method.includes("/") ? method : `ui/${method}`, params });
      setTimeout(() => this.settle(id, 0, { message: "The app does not answer." }), ANSWER_WITHIN_MS);
    });
  }

  settle(id, result, error) {
    const [done, failed] = this.waiting.get(id) || [];
    if (!this.waiting.delete(id)) return;
    if (error) failed(Error(error.message));
    // the result of a tool is for its caller; others only say that the app refused
    else if (result?.isError && !result.content) failed(Error("The app refused. Ask in the chat instead."));
    else done(result);
  }

  reportSize() {
    const { width, height } = $("app").getBoundingClientRect();
    this.send({ method: "ui/notifications/size-changed", params: { width: Math.ceil(width), height: Math.ceil(height) } });
  }
}

class LocalHost {
  can = {};
  context = { displayMode: "page" };
  patience = 3;

  async start(events) {
    events["host-context-changed"]({});
    const { tools, can_pay } = await this.fetch("api/config");
    this.can = { lists: true, tools: true, links: true, files: true, keep: tools.includes("keep_image"), pay: can_pay };
  }

  // An error with `question` asks for a confirmation: the same call with it is made, and paid.
  call(tool, args, confirmation) {
    const body = JSON.stringify({ tool, arguments: args, confirmation });
    return this.fetch("api/call", { method: "POST", headers: { "content-type": "application/json" }, body });
  }

  async tell() {}

  open(url) {
    window.open(url, "_blank", "noopener,noreferrer");
  }

  save({ uri, name }) {
    element("a", { href: uri, download: name, target: "_blank", rel: "noopener noreferrer" }).click();
  }

  async fetch(path, options) {
    const response = await fetch(path, options).catch(() => { throw Error("journey-mcp gallery does not answer. Is it still running?"); });
    const answer = await response.json().catch(() => ({ error: `The gallery answered ${response.status}.` }));
    if (response.status === 409) throw Object.assign(Error(answer.question), { question: answer });
    if (!response.ok) throw Error(answer.error);
    return answer;
  }
}

const host = window.parent === window ? new LocalHost() : new McpHost();
