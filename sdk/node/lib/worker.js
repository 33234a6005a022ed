'use strict';
// Worker: a process that offers JavaScript functions as executors to Millrace's coordinators. See README.md.
//
// Promises: speaks the worker protocol as millrace-worker does: several coordinators from one address, credits, work given
// back, reports resent until they are answered, heartbeats from a thread of their own, CURVE keys. Fails:
// ConfigurationError at once for what is not well formed; run() rejects with Refused when a coordinator refuses the worker
// for good, and with Unreachable when keys stand between it and every coordinator.
const crypto = require('node:crypto');
const os = require('node:os');
const {Agent, NEVER, freshEffects, tooLongText} = require('./agent');
const {Beats} = require('./beats');
const {Directory} = require('./directory');
const {Fetches} = require('./fetches');
const {ItemRun} = require('./items');
const {KeyFileError, Link, curveOptions} = require('./links');
const {ListError} = require('./lists');
const {RenderError, Values, argumentsOf, collectOf, formatRun, piecesOf, referencesOf} = require('./rendering');
const {Secrets} = require('./secret');
const {SecretFile, SecretFileError} = require('./secret_file');
const {REASON_INVALID_INPUT, REASON_INVALID_OUTPUT, REASON_REFUSED, Runner, Task, captureOutput, failed, killed} = require('./tasks');
const {Uploads} = require('./uploads');
const {JsonError, toPlain} = require('./values');
const {messages, referenceKey} = require('./wire');

const VERSION = '0.1.0';
const REASON_MISSING_VALUE = 14;
const END_TASKS_MAX = 5000;
const LOG_PIECE = 32 * 1024;
const ITEMS_AT_ONCE = 64;
const REASON_TIMEOUT = 2;
const TASK_PROGRESS = 14;  // EventType: see common/model/event.h

class ConfigurationError extends Error {}
class Refused extends Error {
  constructor(name, message) {
    super(`${name}: ${message}`);
    this.code = name;
  }
}
class Unreachable extends Error {}

const list = (value) => (Array.isArray(value) ? value : String(value).split(',')).map((one) => one.trim()).filter(Boolean);

function resourcesOf(given) {
  const scaled = ([name, amount]) => {
    const units = name === 'cpu' ? Math.round(amount * 1000) : amount;
    if (!Number.isSafeInteger(units) || units <= 0)
      throw new ConfigurationError(`resource ${name}: expected a number more than 0 (cpu: cores, memory: bytes)`);
    return [name, units];
  };
  return Object.fromEntries(Object.entries(given).map(scaled));
}

const hexOf = ({high, low}) => [high, low].map((half) => half.toString(16).padStart(16, '0')).join('');

class Worker {
  #functions = new Map();
  #running = null;
  #drains = 0;

  // Settings that are not given are taken from the same variables as millrace-worker's.
  constructor(settings = {}) {
    const {env} = process;
    this.coordinators = list(settings.coordinators ?? env.MILLRACE_COORDINATOR ?? 'tcp://127.0.0.1:5711');
    if (this.coordinators.length === 0)
      throw new ConfigurationError('no coordinator to connect to; expected an address like tcp://host:5711');
    this.name = settings.name ?? (env.MILLRACE_ID || `${os.hostname()}-${process.pid}`);
    this.slots = Number(settings.slots ?? env.MILLRACE_SLOTS ?? 0) || (settings.slots === undefined && os.cpus().length);
    if (!Number.isInteger(this.slots) || this.slots < 1 || this.slots > 4096)
      throw new ConfigurationError('slots: expected 1 to 4096');
    this.labels = Object.fromEntries(Object.entries(settings.labels ?? {}).map(([key, value]) => [key, String(value)]));
    this.queues = list(settings.queues ?? env.MILLRACE_QUEUE ?? 'default');
    this.resources = resourcesOf(settings.resources ?? {});
    const key = settings.curveKey ?? env.MILLRACE_CURVE_KEY ?? '';
    const server = settings.curveServerKey ?? env.MILLRACE_CURVE_SERVER_KEY ?? '';
    if (Boolean(key) !== Boolean(server)) throw new ConfigurationError('curveKey and curveServerKey belong together');
    try {
      this.curve = key ? curveOptions(key, server) : {};
    } catch (error) {
      if (error instanceof KeyFileError) throw new ConfigurationError(error.message);
      throw error;
    }
    this.secrets = new Secrets(list(settings.secretsDirs ?? env.MILLRACE_SECRETS_DIR ?? ''));
    this.secretsFile = settings.secretsFile ?? env.MILLRACE_SECRETS_FILE ?? '';
    this.secretsKeyFile = settings.secretsKeyFile ?? env.MILLRACE_SECRETS_KEY_FILE ?? '';
    this.prefetch = settings.prefetch ?? 1024;
    this.drainGrace = settings.drainGrace ?? 30_000;
    this.capture = settings.capture ?? true;
    this.log = settings.log ?? ((level, message) => process.stderr.write(`millrace ${level}: ${message}\n`));
  }

  // Registers a function of (arguments, task) as the executor `name`, which workflows declare under `executors`.
  task(name, work) {
    if (typeof name !== 'string' || name === '' || typeof work !== 'function')
      throw new ConfigurationError('write worker.task("NAME", (arguments, task) => ...)');
    if (this.#functions.has(name)) throw new ConfigurationError(`the executor ${name} is registered twice`);
    this.#functions.set(name, work);
    return this;
  }

  // Finish what runs, then run() resolves. Called again: what runs is ended.
  drain() {
    ++this.#drains;
    this.#running?.heedDrains(this.#drains);
  }

  async #openSecrets() {
    try {
      this.secrets.file = await SecretFile.open(this.secretsFile, this.secretsKeyFile, this.log);
    } catch (error) {
      if (error instanceof SecretFileError) throw new ConfigurationError(error.message);
      throw error;
    }
  }

  async run() {
    if (this.#functions.size === 0)
      throw new ConfigurationError('no executor is registered; expected at least one worker.task("NAME", ...)');
    if (this.secretsFile !== '') await this.#openSecrets();
    const onSignal = () => this.drain();
    for (const name of ['SIGTERM', 'SIGINT']) process.on(name, onSignal);
    if (this.capture) captureOutput();
    this.#running = new Running(this, this.#functions);
    try {
      await this.#running.done;
    } finally {
      await this.#running.end();
      for (const name of ['SIGTERM', 'SIGINT']) process.off(name, onSignal);
    }
  }
}

// What lives while run() does. A round takes in nothing: it is made after something came, and acts on all that came.
class Running {
  constructor(worker, functions) {
    const incarnation = crypto.randomBytes(8).readBigUInt64BE() | 1n;
    Object.assign(this, {worker, functions, log: worker.log, links: new Map(), welcomed: new Map(), specs: new Map(),
      itemRuns: new Map(), itemsDue: new Map(), toBegin: [], waiting: new Map(), slotsKept: new Set(), out: freshEffects(), pieces: [],
      killAt: NEVER, lookAt: 0, due: false, over: false});
    this.agent = new Agent({incarnation, name: worker.name, version: 'node-sdk/' + VERSION, host: os.hostname(),
      pid: process.pid, slots: worker.slots, labels: worker.labels, executors: [...functions.keys()].sort(),
      queues: worker.queues, resources: worker.resources}, worker.prefetch);
    this.directory = new Directory(worker.coordinators);
    const send = (link, body) => this.send(link, body);
    this.fetches = new Fetches(send);
    this.uploads = new Uploads(send, (attempt, outcome) => {
      this.told(attempt, outcome, !this.slotsKept.delete(attempt.key));
      this.wake();
    });
    this.runner = new Runner((...event) => this.happened(...event), this.log);
    this.beats = new Beats(worker.curve, incarnation, (link) => {
      if (this.links.has(link)) this.said(link, 'say_hello', null);
    });
    this.done = new Promise((resolve, reject) => Object.assign(this, {resolve, reject}));
    this.changeLinks(this.directory.begin(this.now));
    this.wake();
  }

  get now() {
    return performance.now();
  }

  wake() {
    if (this.due || this.over) return;
    this.due = true;
    setImmediate(() => {
      this.due = false;
      try {
        if (!this.over) this.round();
      } catch (error) {
        this.finish(error);
      }
    });
  }

  finish(error) {
    this.over = true;
    clearTimeout(this.timer);
    if (error) this.reject(error);
    else this.resolve();
  }

  round() {
    const {now, agent, out} = this;
    for (const [i, link] of [...this.links]) {
      if (!link.pass(now)) continue;
      this.beats.open(i, link.endpoint);
      agent.linkUp(now, i);
    }
    if (now >= this.lookAt) {
      this.lookAt = now + 1000;
      this.changeLinks(this.directory.pass(now));
    }
    if (now >= this.killAt) {
      this.killAt = NEVER;
      agent.killAll(now, out);
    }
    if (now >= agent.nextDeadline()) agent.tick(now, out);
    this.passItems(now);
    this.fetches.pass(now, (attempt) => this.waiting.has(attempt.key), this.waiting.size === 0);
    this.uploads.pass(now);
    this.sayPieces();
    agent.flush(now, out);
    this.act(now);
    if (out.refusal !== null) return this.finish(new Refused(...out.refusal));
    if (out.leave) return this.finish();
    const faults = [...this.links.values()].map((link) => link.fault);
    if (faults.length > 0 && faults.every(Boolean)) return this.finish(new Unreachable(faults[0]));
    this.beats.tell(agent.running, agent.waiting.length);
    let next = Math.min(agent.nextDeadline(), this.killAt, this.lookAt, this.fetches.nextDeadline(), this.uploads.nextDeadline());
    for (const {due} of this.itemsDue.values()) next = Math.min(next, due);
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.wake(), Math.max(0, Math.min(next - this.now, 1000)));
  }

  changeLinks(changes) {
    for (const [i, endpoint, opened] of changes) {
      if (!opened) {
        this.log('info', `coordinator left: ${endpoint}`);
        this.agent.linkDown(i);
        this.uploads.takesParts(i, false);
        this.links.get(i)?.close();
        this.links.delete(i);
        this.beats.close(i);
        continue;
      }
      try {
        this.links.set(i, new Link(endpoint, this.worker.curve, {log: this.log, onWake: () => this.wake(),
          onMessage: (kind, value) => this.said(i, kind, value)}));
      } catch (error) {
        if (this.worker.coordinators.includes(endpoint))
          throw new ConfigurationError(`${endpoint}: ${error.message}; expected an address like tcp://host:5711`);
        this.log('warn', `coordinator's address ${endpoint} is no good: ${error.message}`);
        continue;
      }
      this.beats.open(i, endpoint);
      this.agent.linkUp(this.now, i);
    }
  }

  said(i, kind, value) {
    const {now} = this;
    if (kind === 'value') this.valueCame(value);
    if (kind === 'part_taken') this.uploads.taken(now, value);
    if (kind === 'welcome') this.uploads.takesParts(i, value.takesParts);
    if (kind === 'welcome' && this.welcomed.get(i) !== value.coordinator) {
      this.welcomed.set(i, value.coordinator);
      this.log('info', `connected to ${value.coordinator} at ${this.links.get(i).endpoint} with ${this.worker.slots} slots`);
    }
    const changes = this.directory.heard(now, i, kind, value);
    this.agent.said(now, i, kind, value, this.out);
    this.changeLinks(changes);
    this.wake();
  }

  heedDrains(drains) {
    if (drains === 1) {
      this.log('info', 'draining');
      this.agent.drain();
      this.killAt = this.now + this.worker.drainGrace;
    } else {
      this.killAt = this.now;
    }
    this.wake();
  }

  // What tasks say.
  happened(kind, attempt, value) {
    if (kind === 'log' || kind === 'news') {
      const last = this.pieces.at(-1);
      const follows = kind === 'log' && last?.kind === 'log' && last.attempt === attempt && last.value[0] === value[0] &&
        last.value[2] === value[2];
      if (follows && last.value[1].length < LOG_PIECE) last.value[1] += value[1];
      else this.pieces.push({kind, attempt, value});
    } else if (kind === 'freed' && this.slotsKept.delete(attempt.key)) {
      // its end is still to be told
    } else if (kind === 'freed') {
      this.agent.slotFreed(this.takeSpec(attempt));
    } else if (this.itemRuns.has(attempt.key)) {
      this.sayPieces();
      this.itemEnded(this.itemRuns.get(attempt.key), ...value);
    } else {
      const [outcome, free] = value;
      this.sayPieces();  // its log comes before its end
      if (!this.uploads.begin(this.now, attempt, outcome)) this.told(attempt, outcome, free);
      else if (!free) this.slotsKept.add(attempt.key);
    }
    this.wake();
  }

  told(attempt, outcome, free) {
    if (free) this.takeSpec(attempt);
    this.agent.ended(this.now, attempt, outcome, free);
  }

  takeSpec(attempt) {
    const spec = this.specs.get(attempt.key);
    this.specs.delete(attempt.key);
    return spec;
  }

  sayPieces() {
    for (const {kind, attempt, value} of this.pieces.splice(0)) {
      const link = this.agent.linkOf(attempt);
      if (link === undefined) continue;
      const body = kind === 'log' ? messages.log(attempt, ...value) : messages.news(attempt, TASK_PROGRESS, value);
      this.send(link, body, {mayDrop: true});
    }
  }

  // Starts, kills and says what the agent asked for.
  act(now) {
    const {out} = this;
    const [starts, kills] = [out.starts.splice(0), out.kills.splice(0)];
    for (const [assignment, link] of starts) this.start(now, assignment, link);
    for (const [attempt, reason] of kills) {
      if (this.itemRuns.has(attempt.key)) this.itemRuns.get(attempt.key).killed = reason;
      if (this.waiting.delete(attempt.key)) this.ended(attempt, killed(reason));
      else if (this.uploads.forget(attempt)) this.told(attempt, killed(reason), !this.slotsKept.delete(attempt.key));
      else this.runner.kill(attempt, reason);
    }
    for (const [link, body, isHello = false] of out.messages.splice(0)) this.send(link, body, {isHello});
    if (starts.length > 0 || kills.length > 0) this.wake();
  }

  send(link, body, options) {
    const to = this.links.get(link) ?? this.links.values().next().value;
    to?.send(this.now, body, options);
  }

  // ---------------------------------------------------------------- tasks and the values they need
  start(now, assignment, link) {
    const {attempt} = assignment;
    this.specs.set(attempt.key, assignment.spec);
    this.awaitValues(now, assignment, link, referencesOf(assignment));
  }

  // Launches it when all have come, and all that lists among them are put together from.
  awaitValues(now, assignment, link, references) {
    const {attempt} = assignment;
    const pieces = () => piecesOf(assignment, (key) => this.fetches.cache.get(key));
    for (let next = references.length > 0 ? references : pieces(); next.length > 0; next = pieces()) {
      const missing = next.filter((one) => this.fetches.want(now, one, link, attempt)).map(referenceKey);
      if (missing.length > 0) return this.waiting.set(attempt.key, {assignment, link, missing: new Set(missing)});
    }
    this.launch(assignment);
  }

  launch(assignment) {
    const {attempt, spec} = assignment;
    const work = this.functions.get(spec.executor);
    if (!work) return this.ended(attempt, failed(REASON_REFUSED, `this worker has no executor \`${spec.executor}\``));
    const fetched = new Map(this.fetches.cache);
    if (assignment.items === null) {
      const problem = this.begin(work, assignment, fetched);
      if (problem !== null) this.ended(attempt, failed(REASON_INVALID_INPUT, problem));
      return;
    }
    let values = [];
    try {
      values = new Values(assignment, fetched).parse(assignment.items.values) ?? [];
    } catch (error) {
      return this.ended(attempt, failed(REASON_INVALID_INPUT, error.message));
    }
    this.itemRuns.set(attempt.key, Object.assign(new ItemRun(assignment, values, this.now), {work, fetched}));
    this.toBegin.push(attempt);
    this.wake();
  }

  // Null, or why it cannot begin. `run`: of the item that is next.
  begin(work, assignment, fetched, run = null) {
    try {
      const values = new Values(assignment, fetched);
      const [given, secrets] = argumentsOf(assignment, values, this.worker.secrets, run);
      const task = new Task(assignment, values, formatRun(assignment.attempt.run), (...event) => this.happened(...event),
        this.worker.secrets, () => this.uploads.canBegin, ...(run === null ? [] : [toPlain(run.item), run.index]));
      task._hide(secrets);
      this.runner.start(work, task, toPlain(given));
      return null;
    } catch (error) {
      if (!(error instanceof RenderError) && !(error instanceof JsonError) && !(error instanceof ListError)) throw error;
      return error.message;
    }
  }

  // Begins the items that are next, up to a number, and ends those that take too long.
  passItems(now) {
    for (const [key, {attempt, due}] of [...this.itemsDue]) {
      if (due > now) continue;
      this.itemsDue.delete(key);
      const run = this.itemRuns.get(key);
      run.tookTooLong = !run.killed;
      this.runner.kill(attempt, REASON_TIMEOUT);
    }
    for (const attempt of this.toBegin.splice(0, ITEMS_AT_ONCE)) {
      const run = this.itemRuns.get(attempt.key);
      if (run.isOver(now)) {
        this.itemRuns.delete(attempt.key);
        this.ended(attempt, run.report(now));
        continue;
      }
      const problem = this.begin(run.work, run.assignment, run.fetched, run);
      if (problem !== null) this.itemEnded(run, failed(REASON_INVALID_INPUT, problem), true);
      else if (run.assignment.spec.timeout > 0)
        this.itemsDue.set(attempt.key, {attempt, due: now + run.assignment.spec.timeout});
    }
    if (this.toBegin.length > 0) this.wake();
  }

  itemEnded(run, outcome, free) {
    const {attempt} = run.assignment;
    this.itemsDue.delete(attempt.key);
    let kept = outcome;
    if (run.tookTooLong && outcome.reason === REASON_TIMEOUT)
      kept = {...outcome, message: tooLongText(run.assignment.spec.timeout)};
    run.tookTooLong = false;
    try {
      if (outcome.success) kept = {...outcome, output: collectOf(run, outcome.output)};
    } catch (error) {
      if (!(error instanceof RenderError)) throw error;
      kept = failed(REASON_INVALID_OUTPUT, error.message);
    }
    run.ended(kept);
    const news = run.news(this.now);
    if (news !== undefined) this.pieces.push({kind: 'news', attempt, value: news});
    if (free) {
      this.toBegin.push(attempt);
      return;
    }
    run.stuck = true;  // "freed" follows when it does end
    this.itemRuns.delete(attempt.key);
    this.agent.ended(this.now, attempt, run.report(this.now), false);
  }

  ended(attempt, outcome) {
    this.takeSpec(attempt);
    this.agent.ended(this.now, attempt, outcome);
    this.wake();
  }

  async valueCame(reply) {
    const came = await this.fetches.came(this.now, reply);
    if (came === null || this.over) return;
    for (const attempt of came.wantedBy) {
      const waits = this.waiting.get(attempt.key);
      if (!waits) continue;
      waits.missing.delete(came.key);
      if (came.problem === '' && waits.missing.size > 0) continue;
      this.waiting.delete(attempt.key);
      if (came.problem !== '') this.ended(attempt, failed(REASON_MISSING_VALUE, `the value ${hexOf(reply)} ${came.problem}`));
      else this.awaitValues(this.now, waits.assignment, waits.link, piecesOf(waits.assignment, (key) => this.fetches.cache.get(key)));
    }
    this.wake();
  }

  // Nothing that was started is left without having been asked to end.
  async end() {
    for (const job of this.runner.running.values()) this.runner.kill(job.task.attemptId, 3);
    const until = this.now + (this.out.refusal === null ? END_TASKS_MAX : 0);
    while (this.runner.running.size > 0 && this.now < until) await new Promise((resolve) => setTimeout(resolve, 20));
    await Promise.race([Promise.all([...this.links.values()].map((link) => link.drained)),
      new Promise((resolve) => setTimeout(resolve, 500).unref())]);
    await this.beats.stop();
    for (const link of this.links.values()) link.close();
  }
}

module.exports = {ConfigurationError, Refused, Unreachable, VERSION, Worker};
