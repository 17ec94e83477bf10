// Drives an MCP server as an agent would, with the protocol's own client. Steps come as JSON lines
// on stdin, what happened goes out as JSON lines.
import readline from "node:readline";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";

const [command, ...args] = process.argv.slice(2);
const transport = new StdioClientTransport({ command, args, env: process.env, stderr: "inherit" });
const client = new Client({ name: "a-peer", version: "1" });
const running = new Map();
const say = (what) => process.stdout.write(JSON.stringify(what) + "\n");

await client.connect(transport);
say({
  step: "connected",
  server: client.getServerVersion(),
  capabilities: client.getServerCapabilities(),
  instructions: client.getInstructions(),
  pid: transport.pid,
});

const steps = {
  async ping() {
    await client.ping();
    return {};
  },
  async list() {
    return { tools: (await client.listTools()).tools };
  },
  async call({ id, name, args }) {
    const abort = new AbortController();
    running.set(id, abort);
    const onprogress = (note) => say({ step: "progress", id, note });
    const options = { signal: abort.signal, onprogress, resetTimeoutOnProgress: true };
    return { result: await client.callTool({ name, arguments: args }, undefined, options) };
  },
  async cancel({ of }) {
    running.get(of).abort("the person changed their mind");
    return {};
  },
};

for await (const line of readline.createInterface({ input: process.stdin })) {
  const step = JSON.parse(line);
  steps[step.do](step).then(
    (answer) => say({ step: step.do, id: step.id, ...answer }),
    (error) => say({ step: "error", id: step.id, code: error.code, message: String(error.message) }),
  );
}
await client.close();
say({ step: "closed" });
