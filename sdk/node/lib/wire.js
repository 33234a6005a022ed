'use strict';
// Messages of the worker protocol, between plain values and bytes: see proto/worker.proto and docs/sdk.md. A payload is
// null, a Buffer of JSON, or {high, low, size} (a reference). Columns are explained in proto/common.proto. Reading trusts
// nothing: what is not sound is a WireError.
const path = require('node:path');
const protobuf = require('protobufjs');

const PROTOCOL_VERSION = 1;
const FRAME_MAX = 257 * 1024 * 1024;
const [WORKER, COORDINATOR] = [1, 2];
const ENVELOPE = Buffer.from([0x4d, 0x52, PROTOCOL_VERSION, WORKER]);
const SPECS_MAX = 65_536;
const {Long} = protobuf.util;

const root = new protobuf.Root();
root.resolvePath = (origin, target) => (path.isAbsolute(target) ? target : path.join(__dirname, '../proto', target));
root.loadSync(['worker.proto'], {keepCase: true});
const WorkerMessage = root.lookupType('millrace.wire.WorkerMessage');
const CoordinatorMessage = root.lookupType('millrace.wire.CoordinatorMessage');

// `unknownSpec`: the message names what was never sent; say Hello again.
class WireError extends Error {
  constructor(message, unknownSpec = false) {
    super(message);
    this.unknownSpec = unknownSpec;
  }
}

const toBig = (long) => (BigInt(long.high >>> 0) << 32n) | BigInt(long.low >>> 0);
const toLong = (big) => new Long(Number(big & 0xffffffffn) | 0, Number((big >> 32n) & 0xffffffffn) | 0, true);
const text = (bytes) => Buffer.from(bytes).toString('utf8');

class Attempt {
  constructor(run, task, epoch, number) {
    Object.assign(this, {run, task, epoch, number});
    this.key = `${run}:${task}:${epoch}:${number}`;
  }

  get partition() {
    return Number(this.run >> 54n);
  }

  get wire() {
    return {run: toLong(this.run), task: this.task, epoch: this.epoch, number: this.number};
  }
}

function order(a, b) {
  if (a.run !== b.run) return a.run < b.run ? -1 : 1;
  return a.task - b.task || a.epoch - b.epoch || a.number - b.number;
}

// ---------------------------------------------------------------- columns and groups

function writeColumn(values, fallback) {
  if (values.some((one) => one !== values[0])) return values;
  return values.length > 0 && values[0] !== fallback ? [values[0]] : [];
}

function column(field, count, fallback) {
  if (field.length === count) return field;
  if (field.length > 1) throw new WireError('a column has the wrong length');
  return Array(count).fill(field.length === 1 ? field[0] : fallback);
}

// Neighbours of one run and epoch.
function stretches(items, attemptOf) {
  const groups = [];
  for (const item of items) {
    const last = groups.at(-1);
    const [a, b] = [last && attemptOf(last[0]), attemptOf(item)];
    if (last && a.run === b.run && a.epoch === b.epoch) last.push(item);
    else groups.push([item]);
  }
  return groups;
}

function writeAttempts(attempts) {
  let previous = 0;
  const deltas = attempts.map(({task}) => {
    const delta = (task - previous) | 0;
    previous = task;
    return delta;
  });
  return {run: toLong(attempts[0].run), epoch: attempts[0].epoch, task_deltas: deltas,
    numbers: writeColumn(attempts.map((one) => one.number), 1)};
}

function readAttempts(group) {
  let task = 0;
  const numbers = column(group.numbers, group.task_deltas.length, 1);
  const run = toBig(group.run);
  return group.task_deltas.map((delta, i) => {
    task = (task + delta) >>> 0;
    return new Attempt(run, task, group.epoch, numbers[i]);
  });
}

const attemptList = (attempts) => ({groups: stretches(attempts, (one) => one).map(writeAttempts)});
const readAttemptList = (list) => list.groups.flatMap(readAttempts);

// `lists`: for each of `tasks` a list of [task, version].
function writeVersions(tasks, lists) {
  if (lists.every((one) => one.length === 0)) return undefined;
  return {counts: writeColumn(lists.map((one) => one.length), 0),
    task_deltas: lists.flatMap((one, i) => one.map(([up]) => (tasks[i] - up) | 0)),
    versions: writeColumn(lists.flatMap((one) => one.map(([, version]) => version)), 0)};
}

// ---------------------------------------------------------------- worker -> coordinator

const encode = (message) => Buffer.from(WorkerMessage.encode(WorkerMessage.fromObject(message)).finish());

function hello(settings, held, draining, epochs) {
  const bytes = (one) => Buffer.from(one);
  return encode({hello: {
    incarnation: toLong(settings.incarnation), name: bytes(settings.name), version: bytes(settings.version),
    host: bytes(settings.host), pid: settings.pid, slots: settings.slots, io_slots: 0,
    labels: Object.entries(settings.labels).sort().map(([key, value]) => ({key: bytes(key), value: bytes(value)})),
    executors: settings.executors.map(bytes), queues: settings.queues.map(bytes),
    resources: Object.entries(settings.resources).sort().map(([name, amount]) => ({name: bytes(name), amount})),
    held: stretches(held, (one) => one.attempt).map((group) => ({
      attempts: writeAttempts(group.map((one) => one.attempt)),
      started: writeColumn(group.map((one) => one.started), false), items: writeColumn(group.map((one) => one.items), 0),
      rests_on: writeVersions(group.map((one) => one.attempt.task), group.map((one) => one.restsOn))})),
    draining, epochs: epochs.map(([partition, epoch]) => ({partition, epoch}))}});
}

function reports(all) {
  const payloads = [];
  const errors = [];
  const items = [];
  const itemsOf = (one) => (!one ? 0 : items.push({count: one.count, done: one.done,
    failures: one.failures.map(({offset, reason, message, traceback}) =>
      ({offset, reason, error: {message: Buffer.from(message), traceback: Buffer.from(traceback)}}))}));
  const artifacts = [];
  const payload = (json) => {
    if (json === null || json === 'null') return 0;
    if (typeof json === 'string') return payloads.push({json: Buffer.from(json)});
    return payloads.push({hash_high: toLong(json.high), hash_low: toLong(json.low), size: json.size});
  };
  const groups = stretches(all, (one) => one.attempt).map((group) => {
    const outcomes = group.map((one) => one.outcome);
    const hasError = outcomes.map((one) => Boolean(one.message || one.traceback));
    for (const one of outcomes.flatMap((outcome) => outcome.artifacts ?? []))
      artifacts.push({name: Buffer.from(one.name), type: Buffer.from(one.type), high: toLong(one.high), low: toLong(one.low), size: one.size});
    outcomes.filter((_, i) => hasError[i]).forEach((one) =>
      errors.push({message: Buffer.from(one.message), traceback: Buffer.from(one.traceback ?? '')}));
    return {attempts: writeAttempts(group.map((one) => one.attempt)),
      results: writeColumn(outcomes.map((one) => 2 * one.reason + (one.success ? 1 : 0)), 0),
      waited_us: writeColumn(outcomes.map((one) => Math.round(one.waited * 1000)), 0),
      ran_us: writeColumn(outcomes.map((one) => Math.round(one.ran * 1000)), 0),
      outputs: writeColumn(outcomes.map((one) => payload(one.output)), 0),
      has_error: writeColumn(hasError, false), items: writeColumn(outcomes.map((one) => itemsOf(one.items)), 0),
      artifacts: writeColumn(outcomes.map((one) => one.artifacts?.length ?? 0), 0),
      rests_on: writeVersions(group.map((one) => one.attempt.task), group.map((one) => one.restsOn))};
  });
  return encode({reports: {payloads, errors, groups, items, artifacts}});
}

const messages = {
  hello, reports,
  beat: (incarnation, running, queued) => encode({beat: {incarnation: toLong(incarnation), running, queued}}),
  credit: (cpu) => encode({credit: {cpu, io: 0}}),
  started: (attempts) => encode({started: attemptList(attempts)}),
  reclaimed: (attempts) => encode({reclaimed: attemptList(attempts)}),
  log: (attempt, stderr, words, item = null) => encode({log: {...attempt.wire, stderr_stream: stderr, text: Buffer.from(words),
    item: item === null ? 0 : item + 1}}),
  news: (attempt, type, json) => encode({news: {...attempt.wire, type, json: Buffer.from(json)}}),
  // A part of a value, from its byte `from` on.
  valueRequest: ({high, low}, from, max) => encode({value_request: {high: toLong(high), low: toLong(low), from, max}}),
  putPart: ({high, low}, size, run, from, check, part) => encode({put_part: {high: toLong(high), low: toLong(low), size,
    run: toLong(run), from, check: toLong(check), part}}),
  draining: () => encode({draining: true}),
  bye: () => encode({bye: true}),
};

// ---------------------------------------------------------------- coordinator -> worker

const referenceKey = ({high, low}) => `${high}:${low}`;

function payloadTable(field) {
  return [null, ...field.map((one) => {
    const [high, low] = [toBig(one.hash_high), toBig(one.hash_low)];
    return high === 0n && low === 0n ? Buffer.from(one.json) : {high, low, size: Number(toBig(one.size))};
  })];
}

function at(table, i) {
  if (i >= table.length) throw new WireError('an index is out of range');
  return table[i];
}

function trace(entry) {
  const [high, low] = [toBig(entry.trace_high), toBig(entry.trace_low)];
  if (high === 0n && low === 0n) return text(entry.trace_other);
  return high.toString(16).padStart(16, '0') + low.toString(16).padStart(16, '0');
}

// `specs`: what this coordinator has sent of node definitions, each once a connection.
function assignments(batch, specs) {
  if (batch.forget_specs) specs.clear();
  if (specs.size + batch.specs.length > SPECS_MAX) throw new WireError('more node specs than agreed');
  const specKey = (definition, spec) => `${toBig(definition.high)}:${toBig(definition.low)}:${spec}`;
  for (const entry of batch.specs) specs.set(specKey(at(batch.definitions, entry.definition), entry.spec), readSpec(entry.node_spec));
  const payloads = payloadTable(batch.payloads);
  return batch.groups.flatMap((group) => {
    const context = at(batch.contexts, group.context);
    const definition = at(batch.definitions, context.definition);
    return readGroup(group, context, text(definition.workflow), payloads, (spec) => specs.get(specKey(definition, spec)));
  });
}

function readSpec(spec) {
  return {executor: text(spec.executor), fields: text(spec.fields_json), timeout: Number(toBig(spec.timeout_us)) / 1000,
    resources: spec.resources.map((one) => ({name: text(one.name), amount: Number(toBig(one.amount))})),
    collect: text(spec.foreach?.collect_json ?? [])};
}

function readGroup(group, context, workflow, payloads, specOf) {
  const n = group.task_deltas.length;
  const columns = {numbers: column(group.numbers, n, 1), specs: column(group.specs, n, 0),
    priorities: column(group.priorities, n, 0), ages: column(group.ages_us, n, Long.ZERO),
    nodes: column(group.nodes, n, null), bundles: column(group.bundles, n, 0), items: column(group.items, n, 0)};
  const assigned = [null, ...group.assigned_items.map((one) => ({first: one.first, count: one.count,
    values: at(payloads, one.values), budget: Number(one.budget_us) / 1000}))];
  const bound = group.bindings ?? {counts: [], task_deltas: [], versions: []};
  const counts = column(bound.counts, n, 0);
  const total = counts.reduce((sum, one) => sum + one, 0);
  if (total !== bound.task_deltas.length) throw new WireError('a list has the wrong length');
  const versions = column(bound.versions, total, 0);
  const values = column(group.binding_values, total, 0);
  const names = column(group.binding_names, total, null);
  const run = toBig(context.run);
  let [task, b] = [0, 0];
  return group.task_deltas.map((delta, i) => {
    task = (task + delta) >>> 0;
    const spec = specOf(columns.specs[i]);
    if (spec === undefined) throw new WireError(`spec ${columns.specs[i]} was never received`, true);
    const bindings = [];
    for (const end = b + counts[i]; b < end; ++b) {
      const up = (task - bound.task_deltas[b]) >>> 0;
      bindings.push({task: up, version: versions[b], value: at(payloads, values[b]),
        name: names[b] === null ? `n${up}` : text(names[b])});
    }
    return {attempt: new Attempt(run, task, context.epoch, columns.numbers[i]), spec, workflow, traceId: trace(context),
      node: columns.nodes[i] === null ? `n${task}` : text(columns.nodes[i]), inputs: at(payloads, context.inputs),
      priority: columns.priorities[i], age: Number(columns.ages[i]), bindings, bundle: at(payloads, columns.bundles[i]),
      items: at(assigned, columns.items[i])};
  });
}

function readNews(message) {
  return {members: message.members.map((one) => [text(one.name), text(one.endpoint)]),
    owned: message.owned.map((one) => [one.partition, one.epoch]), demand: message.demand};
}

function withColumn(groups, name) {
  return groups.flatMap((group) => {
    const attempts = readAttempts(group.attempts);
    const values = column(group[name], attempts.length, 0);
    return attempts.map((attempt, i) => [attempt, values[i]]);
  });
}

// [kind, value]: welcome {coordinator, takesParts, members, owned, demand}, refused [name, message], assign, cancel
// [[attempt, reason]], answers [[attempt, answer]], reclaim [attempt], value {high, low, json or null, place: {from, size of
// the whole, check} or null}, part_taken {high, low, have, kept, damaged}, drain, say_hello, news.
function decode(body, specs) {
  let message;
  try {
    message = CoordinatorMessage.decode(body);
  } catch {
    throw new WireError('malformed');
  }
  const kind = Object.keys(CoordinatorMessage.fields).find((name) => Object.hasOwn(message, name) && message[name] !== null);
  const value = message[kind];
  switch (kind) {
    case 'welcome': return [kind, {...readNews(value.news), coordinator: text(value.coordinator), takesParts: value.takes_parts}];
    case 'news': return [kind, readNews(value)];
    case 'refused': return [kind, [text(value.name), text(value.message)]];
    case 'assign': return [kind, assignments(value, specs)];
    case 'cancel': return [kind, withColumn(value.groups, 'reasons')];
    case 'answers': return [kind, withColumn(value.groups, 'answers')];
    case 'reclaim': return [kind, readAttemptList(value)];
    case 'value': return [kind, {high: toBig(value.hash_high), low: toBig(value.hash_low),
      json: value.found ? Buffer.from(value.json) : null,
      place: toBig(value.check) === 0n ? null  // older ones give all at once
        : {from: Number(toBig(value.from)), size: Number(toBig(value.size)), check: toBig(value.check)}}];
    case 'part_taken': return [kind, {high: toBig(value.high), low: toBig(value.low), have: Number(toBig(value.have)),
      kept: value.kept, damaged: value.damaged}];
    case 'drain':
    case 'say_hello': return [kind, null];
    default: throw new WireError('unknown message');
  }
}

// The body of a received message.
function openFrame(parts) {
  const [envelope, body] = parts;
  if (parts.length !== 2 || envelope.length !== 4 || envelope[0] !== 0x4d || envelope[1] !== 0x52)
    throw new WireError('not a Millrace message');
  if (envelope[2] !== PROTOCOL_VERSION)
    throw new WireError(`the coordinator speaks protocol version ${envelope[2]}, this side speaks ${PROTOCOL_VERSION}`);
  if (envelope[3] !== COORDINATOR) throw new WireError('not a message for workers');
  return body;
}

module.exports = {Attempt, ENVELOPE, FRAME_MAX, WireError, decode, messages, openFrame, order, referenceKey};
