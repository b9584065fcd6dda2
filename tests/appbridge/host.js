// A host of MCP Apps on the official AppBridge, with the official client of the server that serves this page's address.
// `run` opens a view for a call of a tool; `log` has what the view asked for.

import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { AppBridge, PostMessageTransport, RESOURCE_MIME_TYPE, getToolUiResourceUri } from "@modelcontextprotocol/ext-apps/app-bridge";

const EXTENSION = "io.modelcontextprotocol/ui";
const ME = { name: "appbridge-test", version: "1" };
const context = {
  theme: "light",
  displayMode: "inline",
  availableDisplayModes: ["inline", "fullscreen"],
  containerDimensions: { maxHeight: 500 },
};

window.log = [];
const record = (name) => async (params) => {
  log.push([name, params]);
  return {};
};

window.start = async (mode) => {
  const capabilities = { extensions: { [EXTENSION]: { mimeTypes: [RESOURCE_MIME_TYPE] } } };
  window.client = new Client(ME, { capabilities, versionNegotiation: { mode } });
  await client.connect(new StreamableHTTPClientTransport(new URL("/mcp", location.href)));
  window.tools = (await client.listTools()).tools;
  return {
    revision: client.getNegotiatedProtocolVersion(),
    extensions: client.getServerCapabilities()?.extensions ?? {},
    pages: Object.fromEntries(tools.map((tool) => [tool.name, getToolUiResourceUri(tool) ?? null])),
  };
};

window.run = async (name, args) => {
  const [page] = (await client.readResource({ uri: getToolUiResourceUri(tools.find((tool) => tool.name === name)) })).contents;
  if (page.mimeType !== RESOURCE_MIME_TYPE) throw Error(page.mimeType);
  const frame = document.createElement("iframe");
  frame.setAttribute("sandbox", "allow-scripts allow-same-origin");
  frame.style = "border: 0; width: 100%";
  document.body.replaceChildren(frame);
  const supported = { serverTools: {}, serverResources: {}, message: {}, updateModelContext: {}, openLinks: {}, downloadFile: {} };
  const bridge = new AppBridge(client, ME, supported, { hostContext: context });
  bridge.onmessage = record("message");
  bridge.onupdatemodelcontext = record("context");
  bridge.onopenlink = record("link");
  bridge.ondownloadfile = record("download");
  bridge.addEventListener("sizechange", ({ height }) => { if (height) frame.style.height = `${height}px`; });
  bridge.addEventListener("sandboxready", () => bridge.sendSandboxResourceReady({ html: page.text, sandbox: "allow-scripts" }));
  const initialized = new Promise((done) => bridge.addEventListener("initialized", done));
  frame.src = "https://sandbox.test/";
  await bridge.connect(new PostMessageTransport(frame.contentWindow, frame.contentWindow));
  await initialized;
  await bridge.sendToolInput({ arguments: args });
  await bridge.sendToolResult(await client.callTool({ name, arguments: args }));
  return bridge.getAppVersion();
};
