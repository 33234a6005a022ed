'use strict';
// What a task sees: its arguments rendered from the values that came with the assignment, inputs and upstream outputs.
// Expressions see `inputs`, `nodes`, `run`, `secrets` and, where the node has a `foreach`, `item` and `index`, as
// docs/workflow.md says. JSON is parsed only where it is read.
// Fails: RenderError, whose message names the field and quotes the expression.
const {Scope, Template} = require('./expressions');
const {ListError, isComposed, missingOf, whole} = require('./lists');
const {SecretError} = require('./secret');
const {ExpressionError} = require('./syntax');
const {JsonError, dump, parse} = require('./values');
const {referenceKey} = require('./wire');

class RenderError extends Error {}

// What comes beside the outputs: the failure that a node handles, and the run's variables.
const kBeside = ['error', 'vars'];

// The run's id as people see it: 13 characters of base32 over mixed bits (common/base/ids.cc).
function formatRun(run) {
  const mix = (x) => BigInt.asUintN(64, x * 0x9E3779B97F4A7C15n);
  let bits = mix(run);
  bits = mix(bits ^ (bits >> 32n));
  return Array.from({length: 13}, (_, i) =>
    'abcdefghijklmnopqrstuvwxyz234567'[Number((bits >> BigInt(60 - 5 * i)) & 31n)]).join('');
}

// The JSON of one assignment, parsed when it is first read. `fetched`: what references stand for.
class Values {
  constructor(assignment, fetched) {
    this.fetched = fetched;
    this.payloads = new Map(assignment.bindings.map((one) => [one.name, one.value]));
    this.parsed = new Map(assignment.bundle === null ? [] : this.parse(assignment.bundle));  // a join over very many
    this.inputsPayload = assignment.inputs;
  }

  parse(payload) {
    if (payload === null) return null;
    const stored = Buffer.isBuffer(payload) ? payload : this.fetched.get(referenceKey(payload));
    return isComposed(stored) ? whole(stored, (key) => this.fetched.get(key)) : parse(stored.toString('utf8'));
  }

  names() {
    return [...new Set([...this.payloads.keys(), ...this.parsed.keys()])];
  }

  node(name) {
    if (!this.parsed.has(name)) this.parsed.set(name, this.parse(this.payloads.get(name) ?? null));
    return this.parsed.get(name);
  }

  get inputs() {
    this.inputsParsed ??= this.parse(this.inputsPayload) ?? new Map();
    return this.inputsParsed;
  }
}

// The names that expressions see. Secrets that were read are kept, to be masked.
class TaskScope {
  // `names`: further ones: `item` and `index`.
  constructor(values, run, secrets, names = new Map()) {
    Object.assign(this, {values, run, secrets, names, read: new Map()});
  }

  hasRoot(root) {
    return this.names.has(root) || ['inputs', 'nodes', 'run', 'secrets', ...kBeside].includes(root);
  }

  root(root) {
    if (this.names.has(root)) return this.names.get(root);
    if (root === 'secrets') throw new ExpressionError('`secrets` cannot be read whole: name one');
    if (root === 'nodes') {
      return new Map(this.values.names().filter((name) => !kBeside.includes(name)).map((name) => [name, this.values.node(name)]));
    }
    if (kBeside.includes(root)) return this.values.node(root);  // elsewhere null
    return root === 'run' ? this.run : this.values.inputs;
  }

  member(root, head, machine, subject) {
    if (root === 'nodes') return this.values.names().includes(head) ? this.values.node(head) : null;
    if (root !== 'secrets') return machine.member(this.root(root), head, subject);
    try {
      this.read.set(head, this.secrets.find(head));
    } catch (error) {
      if (error instanceof SecretError) throw new ExpressionError(error.message);
      throw error;
    }
    return this.read.get(head);
  }
}

function payloadsOf(assignment) {
  const all = [assignment.inputs, assignment.bundle, assignment.items?.values ?? null,
    ...assignment.bindings.map((one) => one.value)];
  return all.filter((one) => one !== null);
}

const eachOnce = (references) => [...new Map(references.map((one) => [referenceKey(one), one])).values()];

// The values that must be fetched before: code sees all of them.
function referencesOf(assignment) {
  return eachOnce(payloadsOf(assignment).filter((one) => !Buffer.isBuffer(one)));
}

// Of lists among them, what must be fetched next. `find(key)`: the bytes of what is here.
function piecesOf(assignment, find) {
  const here = payloadsOf(assignment).map((one) => (Buffer.isBuffer(one) ? one : find(referenceKey(one))));
  return eachOnce(here.filter((one) => one !== undefined && isComposed(one)).flatMap((one) => missingOf(one, find)));
}

const templates = new WeakMap();  // by spec
const collects = new WeakMap();

// What is kept of an item's output (JSON), as the node's `collect` says: JSON, null for nothing. `run`: its ItemRun.
function collectOf(run, output) {
  const {spec} = run.assignment;
  if (spec.collect === '' || spec.collect === 'true') return output;
  if (spec.collect === 'false') return null;
  try {
    if (!collects.has(spec)) collects.set(spec, new Template(parse(spec.collect)));
    const roots = new Map([['output', parse(output ?? 'null')], ['item', run.item], ['index', BigInt(run.index)]]);
    return dump(collects.get(spec).render(new Scope(roots)));
  } catch (error) {
    if (error instanceof ExpressionError || error instanceof JsonError) throw new RenderError(`collect: ${error.message}`);
    throw error;
  }
}

// [what the node's `with` says, secrets that stand in it]. `item`: the ItemRun whose next item it is for.
function argumentsOf(assignment, values, secrets, item = null) {
  const {attempt, spec} = assignment;
  const run = new Map([['id', formatRun(attempt.run)], ['attempt', BigInt(attempt.number)],
    ['workflow', assignment.workflow], ['trace_id', assignment.traceId]]);
  const names = item === null ? new Map() : new Map([['item', item.item], ['index', BigInt(item.index)]]);
  const scope = new TaskScope(values, run, secrets, names);
  try {
    if (!templates.has(spec))
      templates.set(spec, new Template((spec.fields === '' ? null : parse(spec.fields))?.get('with') ?? null));
    return [templates.get(spec).render(scope), [...scope.read.values()]];
  } catch (error) {
    if (error instanceof ExpressionError) throw new RenderError(`field with: ${error.message}`);
    if (error instanceof JsonError) throw new RenderError(`a value is not JSON: ${error.message}`);
    if (error instanceof ListError) throw new RenderError(error.message);
    throw error;
  }
}

module.exports = {RenderError, Values, argumentsOf, collectOf, formatRun, piecesOf, referencesOf};
