'use strict';
// Tasks: what a function sees of the task that it runs for, and how functions are run and ended.
const {AsyncLocalStorage} = require('node:async_hooks');
const {AttachmentError, Attachments} = require('./attachments');
const {Mask, SecretError} = require('./secret');
const {JsonError, encode, toPlain} = require('./values');

const [REASON_ERROR, REASON_CANCELLED, REASON_INVALID_OUTPUT, REASON_INVALID_INPUT, REASON_REFUSED] = [1, 7, 8, 9, 13];
const GIVEN_UP = [3, 6, 7];  // lost, cancelled: nobody wants what it has made
const VALUE_MAX = 256 * 1024 * 1024;
const [MESSAGE_MAX, TRACEBACK_MAX] = [4 * 1024, 16 * 1024];
const PROGRESS_PAUSE = 50;
const LOG_RATE = 256 * 1024;  // characters a second and task, and as much at once; the rest is dropped, and a line says how much
const LINE_MAX = 32 * 1024;
const KILL_GRACE = 2000;

const current = new AsyncLocalStorage();

// What `task.signal` is aborted with, and `task.check()` throws, when a task was cancelled or timed out.
class Cancelled extends Error {
  constructor() {
    super('cancelled');
  }
}

class Task {
  #values;
  #secrets;
  #events;
  #mask = new Mask();
  #partial = new Map();
  #log = {allowance: LOG_RATE, filled: performance.now(), dropped: 0};
  #told = -Infinity;
  #controller = new AbortController();
  #attachments = new Attachments();
  #keepsArtifacts;
  #done = false;

  // `item`, `index`: of a node with `foreach`; null elsewhere.
  constructor(assignment, values, run, events, secrets, keepsArtifacts, item = null, index = null) {
    this.attemptId = assignment.attempt;
    Object.assign(this, {node: assignment.node, workflow: assignment.workflow, traceId: assignment.traceId, run,
      attempt: assignment.attempt.number, item, index});
    this.#values = values;
    this.#secrets = secrets;
    this.#events = events;
    this.#keepsArtifacts = keepsArtifacts;
  }

  // The run's inputs, and the output of a node before this one (null where there is none).
  get inputs() {
    return toPlain(this.#values.inputs);
  }

  output(node) {
    return toPlain(this.#values.names().includes(node) ? this.#values.node(node) : null);
  }

  // Aborted when the task's result is not wanted any more: fetch(), timers and streams take it.
  get signal() {
    return this.#controller.signal;
  }

  get cancelled() {
    return this.signal.aborted;
  }

  check() {
    this.signal.throwIfAborted();
  }

  // A secret of this worker; from now on it is `***` in all that the task says.
  secret(name) {
    const value = this.#secrets.find(name);
    this.#mask.add(value);
    return value;
  }

  log(...words) {
    this._write(false, words.map(String).join(' ') + '\n');
  }

  // An event for whoever watches; at most one in 50 ms is sent.
  progress(done, total, more = {}) {
    const now = performance.now();
    if (this.#done || now < this.#told + PROGRESS_PAUSE) return;
    this.#told = now;
    const json = encode({done, total, ...more});
    this.#events('news', this.attemptId, this.#mask.words.length > 0 ? this.#mask.json(json) : json);
  }

  heartbeat() {
    this.progress(null, undefined, {heartbeat: true});
  }

  // Hands a file over, which is kept as long as the run: the file at a path, or `data` (text, bytes, or a stream of bytes)
  // under a name. Later ones of a task take the place of earlier ones with the same name. Await it: what has not come
  // when the function ends is not kept.
  async artifact(pathOrName, data = null, options = {}) {
    if (this.#done) throw new AttachmentError('the task has ended');
    if (this.index !== null) throw new AttachmentError('items of a mapped node cannot hand over artifacts: use a node of its own');
    if (!this.#keepsArtifacts()) throw new AttachmentError('its coordinator is of an earlier version and keeps no artifacts');
    await this.#attachments.add(pathOrName, data, options);
  }

  _hide(secrets) {
    for (const secret of secrets) this.#mask.add(secret);
  }

  _abort() {
    this.#controller.abort(new Cancelled());
  }

  // Whole lines are passed on; what is left of the last one waits for its end, or for much more.
  _write(stderr, piece) {
    if (this.#done) return;
    const text = (this.#partial.get(stderr) ?? '') + piece;
    const whole = text.length > LINE_MAX ? text.length : text.lastIndexOf('\n') + 1;
    this.#partial.set(stderr, text.slice(whole));
    if (whole > 0) this.#passOn(stderr, text.slice(0, whole));
  }

  #passOn(stderr, text) {
    const masked = this.#mask.words.length > 0 ? this.#mask.stream(stderr, text) : text;
    const admitted = this.#admit(masked.toWellFormed?.() ?? masked);
    if (admitted !== '') this.#events('log', this.attemptId, [stderr, admitted, this.index]);
  }

  #admit(text) {
    const log = this.#log;
    const now = performance.now();
    log.allowance = Math.min(LOG_RATE, log.allowance + ((now - log.filled) / 1000) * LOG_RATE);
    log.filled = now;
    const resumes = log.dropped === 0 || log.allowance >= 16 * 1024;
    const taken = resumes ? text.slice(0, Math.max(0, Math.floor(log.allowance))) : '';
    log.allowance -= taken.length;
    const before = taken !== '' ? this.#droppedLine() : '';
    log.dropped += text.length - taken.length;
    return before + taken;
  }

  #droppedLine() {
    const {dropped} = this.#log;
    this.#log.dropped = 0;
    return dropped === 0 ? '' : `\n[${dropped} bytes of log dropped: more than ${LOG_RATE / 1024} KiB a second]\n`;
  }

  // The last word: nothing is said after it, and no secret stands in it.
  _finish(outcome) {
    for (const stderr of [false, true]) {
      const rest = this.#partial.get(stderr);
      if (rest) this.#passOn(stderr, rest);
      const held = this.#mask.flush(stderr) + (stderr ? '' : this.#droppedLine());
      if (held !== '') this.#events('log', this.attemptId, [stderr, held, this.index]);
    }
    this.#done = true;
    if (GIVEN_UP.includes(outcome.reason)) this.#attachments.forget();
    const whole = {...outcome, artifacts: this.#attachments.take()};
    if (this.#mask.words.length === 0) return whole;
    return {...whole, message: this.#mask.text(outcome.message), traceback: this.#mask.text(outcome.traceback),
      output: outcome.output === null ? null : this.#mask.json(outcome.output)};
  }
}

function clip(text, most) {
  const bytes = Buffer.from(text);
  return bytes.length <= most ? text : bytes.subarray(0, most - 8).toString('utf8').replace(/\ufffd$/, '') + ' ...';
}

function failed(reason, message, traceback = '') {
  return {success: false, reason, message: clip(message, MESSAGE_MAX), traceback: clip(traceback, TRACEBACK_MAX),
    output: null, waited: 0, ran: 0};
}

function killed(reason, ran = 0) {
  const words = {2: 'timed out', 3: 'lost', 6: 'cancelled: another node failed'};
  return {...failed(reason || REASON_CANCELLED, words[reason] ?? 'cancelled'), ran};
}

// Of an exception: its name and message, and its stack without our own lines.
function describe(error) {
  if (!(error instanceof Error)) return [`thrown: ${String(error)}`, ''];
  const lines = (error.stack ?? '').split('\n').filter((line) => !line.includes(__filename) && !line.includes('node:'));
  return [`${error.name}: ${error.message}`, lines.join('\n')];
}

async function call(work, task, given) {
  try {
    const output = encode(await work(given, task));
    if (output.length > VALUE_MAX) return failed(REASON_INVALID_OUTPUT, `the output is more than ${VALUE_MAX} bytes of JSON`);
    return {success: true, reason: 0, message: '', traceback: '', output, waited: 0, ran: 0};
  } catch (error) {
    if (error instanceof JsonError) return failed(REASON_INVALID_OUTPUT, error.message);
    if (error instanceof SecretError) return failed(REASON_INVALID_INPUT, error.message);
    return failed(REASON_ERROR, ...describe(error));
  }
}

// Runs functions. `events(kind, attempt, value)`: "ended" [outcome, whether nothing of it runs any more], and "freed" for
// one that was given up before; "log" and "news" come from its task.
class Runner {
  constructor(events, log) {
    Object.assign(this, {events, log, running: new Map()});
  }

  async start(work, task, given) {
    const job = {task, begun: performance.now(), reason: 0, timer: undefined, givenUp: false};
    this.running.set(task.attemptId.key, job);
    await null;  // the function begins in a turn of its own
    let outcome = await current.run(task, () => call(work, task, given));
    clearTimeout(job.timer);
    this.running.delete(task.attemptId.key);
    if (job.givenUp) return this.events('freed', task.attemptId, null);
    const ran = performance.now() - job.begun;
    if (job.reason && !outcome.success) outcome = killed(job.reason, ran);
    this.events('ended', task.attemptId, [task._finish({...outcome, ran}), true]);
  }

  // Asks the function to end, and gives it up when it does not within KILL_GRACE.
  kill(attempt, reason) {
    const job = this.running.get(attempt.key);
    if (!job || job.reason) return;
    job.reason = reason;
    job.timer = setTimeout(() => {
      job.givenUp = true;
      this.log('warn', `the function of node ${job.task.node} does not end: its slot stays taken until it does`);
      this.events('ended', attempt, [job.task._finish(killed(reason, performance.now() - job.begun)), false]);
    }, KILL_GRACE);
    job.task._abort();
  }
}

// What a task prints is its log; what nobody's task prints goes where it went before.
function captureOutput() {
  for (const [name, stderr] of [['stdout', false], ['stderr', true]]) {
    const stream = process[name];
    const before = stream.write.bind(stream);
    stream.write = (chunk, encoding, done) => {
      const task = current.getStore();
      if (task === undefined) return before(chunk, encoding, done);
      task._write(stderr, typeof chunk === 'string' ? chunk : Buffer.from(chunk).toString('utf8'));
      const callback = typeof encoding === 'function' ? encoding : done;
      if (callback) process.nextTick(callback);
      return true;
    };
  }
}

module.exports = {Cancelled, REASON_INVALID_INPUT, REASON_INVALID_OUTPUT, REASON_REFUSED, Runner, Task, captureOutput, failed, killed};
