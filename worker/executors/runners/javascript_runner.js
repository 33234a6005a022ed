// The Node.js side of the `javascript` executor: one process that serves tasks from descriptor 3, one after another, or a
// single one where its argument is "once".
//   request   u64 bytes after the next field, u64 parts, u64 length of each, then the parts:
//             header (JSON), script, inputs (JSON), one JSON a visible node in the order of header.ids, one for each name of header.vars
//   reply     u8 kind, u8 retire, u16 flags, u32 message, u32 traceback, u32 output (lengths), u64 microseconds that
//             the task's own code took, then the three; before the end of a task also what it says by the object
//             `millrace`: its progress, and the secrets that it asks for and the files that it hands over, part by
//             part, each of which is answered
// The same as runners/python_runner.py speaks. The process ends at the end of its channel.
"use strict";
const fs = require("fs");
const path = require("path");
const vm = require("vm");
const { createRequire } = require("module");

const CHANNEL = 3;
const OK = 0, ERROR = 1, INVALID_OUTPUT = 2, OUT_OF_MEMORY = 3, PROGRESS = 4, SECRET = 5, ARTIFACT = 6;
const ARTIFACT_PART = 1024 * 1024;
const VALUE_MAX = 256 * 1024 * 1024;
const DEPTH_MAX = 190;
const TRACEBACK_MAX = 15 * 1024;
const CACHE_MAX = 256;
const IDENTIFIER = /^[A-Za-z_$][A-Za-z0-9_$]*$/;
const once = process.argv.includes("once");
const environment = { ...process.env };
const now = process.hrtime.bigint;  // a script may replace it

// ---- output -> JSON

class NotJson extends Error {}

function kindOf(value) {
  if (typeof value !== "object") return "a " + typeof value;
  const name = value.constructor && value.constructor.name;
  return (/^[AEIOU]/.test(name || "") ? "an " : "a ") + (name || "object without a prototype");
}

// The text of a value as JSON; what JSON cannot hold is refused with its path. Integers of 64 bits may be BigInt.
function toJson(value, where, depth) {
  if (value === null) return "null";
  switch (typeof value) {
    case "string": return JSON.stringify(value);
    case "boolean": return value ? "true" : "false";
    case "number":
      if (!Number.isFinite(value)) throw new NotJson(where + " is " + value + ", which JSON cannot hold");
      return JSON.stringify(value);
    case "bigint":
      if (value < -(2n ** 63n) || value >= 2n ** 64n) throw new NotJson(where + " is an integer beyond 64 bits");
      return value.toString();
    case "object": break;
    default: throw new NotJson(where + " is " + (value === undefined ? "undefined" : kindOf(value)) + ", which JSON cannot hold");
  }
  if (depth >= DEPTH_MAX) throw new NotJson(where + " is nested deeper than " + DEPTH_MAX + " levels");
  if (Array.isArray(value)) {
    const items = [];
    for (let i = 0; i < value.length; ++i) items.push(toJson(value[i], where + "[" + i + "]", depth + 1));
    return "[" + items.join(",") + "]";
  }
  const prototype = Object.getPrototypeOf(value);
  if (prototype !== null && Object.getPrototypeOf(prototype) !== null) throw new NotJson(where + " is " + kindOf(value) + ", which JSON cannot hold");
  const members = [];
  for (const [key, item] of Object.entries(value)) {
    if (item === undefined) continue;  // as in JSON.stringify
    members.push(JSON.stringify(key) + ":" + toJson(item, where + "[" + JSON.stringify(key) + "]", depth + 1));
  }
  return "{" + members.join(",") + "}";
}

// ---- one task

class Exit extends Error {
  constructor(code) {
    super("process.exit(" + code + ")");
    this.name = "Exit";
    this.code = code;
  }
}

const HEAD = "(function (inputs, nodes, run, require, __names, __millrace) { var output, result, main; ";
const compiledScripts = new Map();  // names + file + script -> function

// The script stands in an async function, so that it may await; its lines keep their numbers.
function compiled(file, script, names) {
  const key = names.join(",") + "\n" + file + "\n" + script;
  let known = compiledScripts.get(key);
  if (known === undefined) {
    const head = HEAD + (names.includes("millrace") ? "" : "const millrace = __millrace; ") + (names.length > 0 ? "const {" + names.join(", ") + "} = __names; " : "") + "return async function () { ";
    const tail = "\n;return {main: typeof main === 'function' ? main : undefined, output, result};}})";
    known = new vm.Script(head + script + tail, { filename: file, columnOffset: -head.length, lineOffset: 0 }).runInThisContext();
    if (compiledScripts.size >= CACHE_MAX) compiledScripts.clear();
    compiledScripts.set(key, known);
  }
  return known;
}

// [one line, the frames of the script with the line that failed] of whatever was thrown. `sources`: by file.
function describe(error, file, sources) {
  if (!(error instanceof Error) && !(error && typeof error === "object" && typeof error.stack === "string")) {
    let text;
    try { text = typeof error === "string" ? error : JSON.stringify(error) || String(error); } catch { text = "a value without text"; }
    return ["Error: " + text.split("\n")[0], "thrown: " + text + "\n"];
  }
  const text = String(error.message).split("\n")[0];
  const message = text === "" ? String(error.name) : error.name + ": " + text;
  const lines = String(error.stack).split("\n");
  const fileOf = (line) => [...sources.keys()].filter((one) => line.includes(one + ":")).sort((a, b) => b.length - a.length)[0];
  const ours = lines.filter((line) => line.startsWith("    at ") && fileOf(line) !== undefined);
  // A syntax error has no frame, but names its place first: "<node>:3".
  const first = ours[0] || lines[0];
  const where = fileOf(first) || file;
  const place = first.split(where + ":")[1];
  const number = place === undefined ? 0 : parseInt(place, 10);
  const source = number > 0 ? sources.get(where).split("\n")[number - 1] : undefined;
  let traceback = source === undefined ? "" : where + ":" + number + "\n    " + source.trim() + "\n";
  traceback += message + "\n" + ours.map((line) => line.replace("async ", "")).join("\n") + (ours.length > 0 ? "\n" : "");
  if (error.cause instanceof Error) traceback += "caused by: " + error.cause.name + ": " + error.cause.message + "\n";
  if (traceback.length > TRACEBACK_MAX) traceback = traceback.slice(0, TRACEBACK_MAX) + "\n... [cut]\n";
  const short = error instanceof SyntaxError && number > 0 ? message + " (line " + number + ")" : message;
  return [short, traceback];
}

let fail = null;  // ends the running task with an error that nobody awaits
process.on("uncaughtException", (error) => { if (fail !== null) fail(error); });
process.on("unhandledRejection", (error) => { if (fail !== null) fail(error); });
process.exit = (code) => { throw new Exit(code === undefined ? process.exitCode || 0 : code); };

const requires = new Map();
function requireIn(directory) {
  let known = requires.get(directory);
  if (known === undefined) {
    if (requires.size >= CACHE_MAX) requires.clear();
    requires.set(directory, known = createRequire(path.join(directory, "script.js")));
  }
  return known;
}

// The modules among the sources that came with a task, each made once for it; others are those of the worker.
class Packed {
  constructor(sources, root) {
    Object.assign(this, { sources, root, made: new Map() });
  }

  nameOf(file) {
    return this.root === "" || this.root === "/" ? this.root + file : this.root + "/" + file;
  }

  fileOf(module) {
    return ["", ".js", ".json", "/index.js"].map((end) => module + end).find((file) => Object.hasOwn(this.sources, file) && /\.(js|json)$/.test(file));
  }

  requireFrom(from) {
    const installed = requireIn(process.cwd());
    const require = (name) => {
      const file = /^\.\.?\//.test(name) ? this.fileOf(path.posix.join(path.posix.dirname(from), name)) : undefined;
      return file === undefined ? installed(name) : this.load(file);
    };
    return Object.assign(require, installed);
  }

  load(file) {
    if (this.made.has(file)) return this.made.get(file).exports;
    const module = { exports: {}, id: file, filename: this.nameOf(file), loaded: false };
    this.made.set(file, module);
    if (file.endsWith(".json")) {
      module.exports = JSON.parse(this.sources[file]);
    } else {
      const head = "(function (exports, require, module, __filename, __dirname) { ";
      const code = new vm.Script(head + this.sources[file] + "\n})", { filename: this.nameOf(file), columnOffset: -head.length });
      code.runInThisContext()(module.exports, this.requireFrom(file), module, this.nameOf(file), path.posix.dirname(this.nameOf(file)));
    }
    module.loaded = true;
    return module.exports;
  }

  // module:function
  named(text) {
    const [module, name] = [text.slice(0, text.indexOf(":")), text.slice(text.indexOf(":") + 1)];
    const file = this.fileOf(module);
    const found = name.split(".").reduce((at, part) => at?.[part], file === undefined ? requireIn(process.cwd())(module) : this.load(file));
    if (typeof found !== "function") throw new TypeError(text + " is " + (found === undefined ? "undefined" : kindOf(found)) + ", not a function");
    return found;
  }
}

async function evaluate(task, file, script, packed) {
  const seen = { ...task.nodes, ...task.vars };
  const names = Object.keys(seen).filter((name) => isName(name));
  const require = packed.requireFrom(file.slice(file.lastIndexOf("/") + 1));
  const context = { ...task.inputs, ...seen, inputs: task.inputs, nodes: task.nodes, run: task.run };
  try {
    if (task.called) return [await packed.named(task.called)(context), task.called];
    const found = await compiled(file, script, names)(task.inputs, task.nodes, task.run, require, seen, millrace)();
    if (found.main !== undefined) return [await found.main(context), "main()"];
    return found.output !== undefined ? [found.output, "output"] : [found.result, "result"];
  } catch (error) {
    if (error instanceof Exit && Number(error.code) === 0) return [null, "output"];
    throw error;
  }
}

const nameCache = new Map();
function isName(name) {
  if (!IDENTIFIER.test(name) || ["inputs", "nodes", "run", "require", "output", "result", "main"].includes(name)) return false;
  let known = nameCache.get(name);
  if (known === undefined) {  // not a reserved word
    try { new vm.Script("var " + name); known = true; } catch { known = false; }
    nameCache.set(name, known);
  }
  return known;
}

async function runTask(parts) {
  const header = JSON.parse(parts[0]);
  const script = parts[1].toString("utf8");
  const file = header.file || header.node;
  const packed = new Packed(header.sources || {}, (header.file || "").slice(0, Math.max(0, (header.file || "").lastIndexOf("/"))));
  let begun = 0n;
  const ran = () => (begun === 0n ? 0n : (now() - begun) / 1000n);
  const task = { run: { id: header.run, workflow: header.workflow, attempt: header.attempt }, inputs: JSON.parse(parts[2]), nodes: {}, vars: {}, called: header.function };
  header.ids.forEach((id, i) => { task.nodes[id] = JSON.parse(parts[3 + i]); });
  (header.vars || []).forEach((name, i) => { task.vars[name] = JSON.parse(parts[3 + header.ids.length + i]); });
  try {
    process.env = { ...environment, ...header.env };  // a plain object: what the script does to it goes with it
    if (header.cwd) process.chdir(header.cwd);
    const stray = new Promise((_, reject) => { fail = reject; });
    // Keeps the process alive while the script awaits what holds no handle, too: then it hangs, and is killed in time.
    const alive = setInterval(() => {}, 1 << 30);
    let value, root;
    begun = now();
    speaks = true;
    told = 0n;
    try {
      [value, root] = await Promise.race([evaluate(task, file, script, packed), stray]);
    } finally {
      speaks = false;
      clearInterval(alive);
      fail = null;
    }
    const output = Buffer.from(toJson(value === undefined ? null : value, root, 0), "utf8");
    if (output.length > VALUE_MAX) throw new NotJson(root + " is " + output.length + " bytes of JSON; the limit is " + VALUE_MAX);
    return [OK, "", "", output, ran()];
  } catch (error) {
    if (error instanceof NotJson) return [INVALID_OUTPUT, error.message, "", Buffer.alloc(0), ran()];
    const sources = new Map(Object.entries(packed.sources).map(([name, text]) => [packed.nameOf(name), text]));
    const [message, traceback] = describe(error, file, sources.set(file, script));
    const memory = error instanceof RangeError && /Invalid (array|string) length|allocation failed/.test(error.message);
    return [memory ? OUT_OF_MEMORY : ERROR, message, traceback, Buffer.alloc(0), ran()];
  }
}

// ---- the object `millrace`

const PAUSE = 50_000_000n;  // ns between two reports of progress; those that come sooner are left out
let speaks = false;  // a task runs
let told = 0n;

function say(kind, flags, message, traceback, output) {
  const texts = [Buffer.from(message, "utf8"), Buffer.from(traceback, "utf8"), output];
  const head = Buffer.alloc(24);
  head.writeUInt8(kind, 0);
  head.writeUInt16LE(flags, 2);
  texts.forEach((text, i) => head.writeUInt32LE(text.length, 4 + 4 * i));
  writeAll(Buffer.concat([head, ...texts]));
}

// The text of what was asked for.
function answer() {
  const parts = readRequest();
  if (parts === null) throw new Error("the worker has gone");
  const text = parts[1].toString("utf8");
  if (parts[0].toString() !== "1") throw new Error(text);
  return text;
}

// Tells how far the task is: an event of type task_progress with {done, total, ...} as its data.
function progress(done, total, more) {
  if (now() < told + PAUSE && done !== total) return;
  told = now();
  let text;
  try {
    text = toJson({ done, total, ...more }, "progress", 0);
  } catch (error) {
    throw error instanceof NotJson ? new TypeError(error.message) : error;
  }
  say(PROGRESS, 0, "", "", Buffer.from(text, "utf8"));
}

// Tells that the task lives: an event of type task_progress with {heartbeat: true} as its data.
function heartbeat() {
  if (now() < told + PAUSE) return;
  told = now();
  say(PROGRESS, 0, "", "", Buffer.from('{"heartbeat":true}'));
}

// A secret that the worker knows. It is masked in all that the task says from now on.
function secret(name) {
  say(SECRET, 0, String(name), "", Buffer.alloc(0));
  return answer();
}

// Hands a file over, which is kept as long as the run: the file at a path, or data (text or bytes) under a name.
function artifact(pathOrName, data, options) {
  const { name = path.basename(String(pathOrName)), contentType = typeof data === "string" ? "text/plain" : "" } = options || {};
  const file = data === undefined || data === null ? fs.openSync(pathOrName, "r") : null;
  try {
    let at = 0;
    const bytes = file !== null ? null : Buffer.from(data);
    const room = file !== null ? Buffer.allocUnsafe(ARTIFACT_PART) : null;
    const next = () => {
      if (file !== null) return Buffer.from(room.subarray(0, fs.readSync(file, room, 0, room.length, null)));
      at += ARTIFACT_PART;
      return bytes.subarray(at - ARTIFACT_PART, at);
    };
    let part = next();
    for (let flags = 1; (flags & 2) === 0; flags &= ~1) {
      const following = part.length === 0 ? part : next();
      if (following.length === 0) flags |= 2;
      say(ARTIFACT, flags, String(name), String(contentType), part);
      answer();
      if ((flags & 2) !== 0) return;
      part = following;
    }
  } finally {
    if (file !== null) fs.closeSync(file);
  }
}

// For a running task only.
const spoken = (speak) => (...words) => {
  if (!speaks) throw new Error("only a running task may call millrace");
  return speak(...words);
};
const millrace = { artifact: spoken(artifact), heartbeat: spoken(heartbeat), progress: spoken(progress), secret: spoken(secret), log: (...words) => console.log(...words) };

// ---- the channel

function readAll(buffer, from) {
  for (let at = from; at < buffer.length;) {
    const got = fs.readSync(CHANNEL, buffer, at, buffer.length - at, null);
    if (got === 0) return false;
    at += got;
  }
  return true;
}

function readRequest() {
  const head = Buffer.alloc(16);
  if (!readAll(head, 0)) return null;
  const body = Buffer.allocUnsafe(Number(head.readBigUInt64LE(0)));
  const count = Number(head.readBigUInt64LE(8));
  if (!readAll(body, 0)) return null;
  const parts = [];
  for (let i = 0, at = 8 * count; i < count; ++i) {
    const length = Number(body.readBigUInt64LE(8 * i));
    parts.push(body.subarray(at, at + length));
    at += length;
  }
  return parts;
}

function writeAll(buffer) {
  for (let at = 0; at < buffer.length;) at += fs.writeSync(CHANNEL, buffer, at);
}

// The streams that were used. What is written to a full pipe waits in them, and has to leave before the reply does.
const streams = new Set();
for (const name of ["stdout", "stderr"]) {
  const { get } = Object.getOwnPropertyDescriptor(process, name);
  Object.defineProperty(process, name, {
    configurable: true, enumerable: true,
    get() { const stream = get.call(process); streams.add(stream); return stream; },
  });
}

async function flush() {
  for (const stream of streams) {
    if (stream.writableLength > 0) await new Promise((done) => stream.write("", done));
  }
}

// What a task can change in its process and the next one must not see.
const surroundings = { cwd: process.cwd(), names: new Set(Object.getOwnPropertyNames(globalThis)) };
const resources = () => process.getActiveResourcesInfo().filter((kind) => kind !== "FSReqCallback").length;
let quiet = 0;

function restore() {
  for (const name of Object.getOwnPropertyNames(globalThis)) {
    if (!surroundings.names.has(name)) delete globalThis[name];
  }
  if (process.cwd() !== surroundings.cwd) process.chdir(surroundings.cwd);
  process.exitCode = undefined;
}

async function serve() {
  for (;;) {
    const parts = readRequest();
    if (parts === null) return;
    quiet = resources();
    const [kind, message, traceback, output, ran] = await runTask(parts);
    await flush();
    // A timer, a server, a child: then the process is not fit for another task.
    const retire = once || resources() > quiet;
    if (!retire) restore();
    const texts = [Buffer.from(message, "utf8"), Buffer.from(traceback, "utf8"), output];
    const head = Buffer.alloc(24);
    head.writeUInt8(kind, 0);
    head.writeUInt8(retire ? 1 : 0, 1);
    texts.forEach((text, i) => head.writeUInt32LE(text.length, 4 + 4 * i));
    head.writeBigUInt64LE(ran, 16);
    writeAll(Buffer.concat([head, ...texts]));
    if (retire) return;
  }
}

serve().then(() => process.reallyExit(0), () => process.reallyExit(70));
