'use strict';
// Expressions and templates: `new Template(value).render(scope)` renders every string of a JSON value, at any depth.
// A port of common/expr, held to the tables of docs/expressions.md. Values are those of values.js. Pure; ends within its
// budgets; messages name kinds and quote the expression, never the values. Fails: ExpressionError.
const {ExpressionError, Parser, references} = require('./syntax');
const {INT_MIN, INT_MAX, DEPTH_MAX, dump} = require('./values');

const STEPS_MAX = 1_000_000;
const RESULT_MAX = 64 * 1024 * 1024;
const QUOTE_MAX = 80;

const isInteger = (v) => typeof v === 'bigint';
const isNumber = (v) => typeof v === 'bigint' || typeof v === 'number';

function kind(v) {
  if (v === null) return 'null';
  if (Array.isArray(v)) return 'array';
  return {boolean: 'boolean', bigint: 'integer', number: 'number', string: 'string'}[typeof v] ?? 'object';
}

function kindPhrase(v) {
  const name = kind(v);
  return name === 'null' ? name : ('aeio'.includes(name[0]) ? 'an ' : 'a ') + name;
}

const renderText = (v) => (v === null ? '' : typeof v === 'string' ? v : dump(v));

function truthy(v) {
  if (Array.isArray(v)) return v.length > 0;
  return v instanceof Map ? v.size > 0 : Boolean(v);
}

function weight(v) {
  if (typeof v === 'string') return 32 + v.length;
  if (Array.isArray(v)) return v.reduce((sum, one) => sum + weight(one), 32);
  if (!(v instanceof Map)) return 32;
  let sum = 32;
  for (const [key, one] of v) sum += 32 + key.length + weight(one);
  return sum;
}

function deeperThan(v, levels) {
  if (!Array.isArray(v) && !(v instanceof Map)) return false;
  if (levels === 0) return true;
  for (const one of v.values()) if (deeperThan(one, levels - 1)) return true;
  return false;
}

// By code points, which is the order of the bytes of UTF-8.
function compareText(a, b) {
  for (let i = 0; i < a.length && i < b.length; ++i) {
    if (a[i] === b[i]) continue;
    const [x, y] = [a.charCodeAt(i), b.charCodeAt(i)];
    const surrogates = (x >= 0xd800 && x <= 0xdfff) - (y >= 0xd800 && y <= 0xdfff);
    return surrogates || x - y;
  }
  return a.length - b.length;
}

const less = (a, b) => (typeof a === 'string' ? compareText(a, b) < 0 : a < b);

// What one evaluation spends, and how it fails: about `focus` of `text`.
class Machine {
  constructor(text = '') {
    this.stepsLeft = STEPS_MAX;
    this.bytesLeft = RESULT_MAX;
    this.read(text);
  }

  read(text) {
    this.text = text;
    this.focus = [0, text.length];
  }

  steps(count) {
    this.stepsLeft -= count;
    if (this.stepsLeft < 0) this.fail(`the evaluation takes more than ${STEPS_MAX} steps`, '', 'steps_max');
  }

  scan(length) {
    this.steps(1 + Math.floor(length / 256));
  }

  room(count) {
    if (count > this.bytesLeft) this.fail(`the evaluation builds more than ${RESULT_MAX} bytes`, '', 'result_max');
  }

  pay(value) {
    const count = weight(value);
    this.room(count);
    this.bytesLeft -= count;
    return value;
  }

  quote(begin, end) {
    const part = this.text.slice(begin, end);
    return part.length <= QUOTE_MAX ? `\`${part}\`` : `\`${part.slice(0, QUOTE_MAX)}...\``;
  }

  fail(message, hint = '', limit = '') {
    const where = this.focus[0] < this.focus[1] ? this.quote(...this.focus) + ': ' : '';
    throw new ExpressionError(where + message + (hint && '; ' + hint), limit);
  }

  wrong(who, expected, got) {
    this.fail(`${who} expected ${expected}, got ${kindPhrase(got)}`, got === null ? '`| default(...)` replaces null' : '');
  }

  // --- operators
  fit(i) {
    if (i < INT_MIN || i > INT_MAX) this.fail('integer overflow');
    return i;
  }

  finite(d) {
    if (!Number.isFinite(d)) this.fail('the result is not a finite number');
    return d;
  }

  equal(a, b) {
    this.steps(1);
    if (isNumber(a) && isNumber(b)) return a == b;  // eslint-disable-line eqeqeq
    if (kind(a) !== kind(b)) return false;
    if (Array.isArray(a)) return a.length === b.length && a.every((one, i) => this.equal(one, b[i]));
    if (a instanceof Map)
      return a.size === b.size && [...a].every(([key, one]) => b.has(key) && this.equal(one, b.get(key)));
    if (typeof a === 'string') this.scan(a.length);
    return a === b;
  }

  compare(op, a, b) {
    if (op === '==') return this.equal(a, b);
    if (op === '!=') return !this.equal(a, b);
    if (op === 'in' || op === 'not in') return this.contains(b, a, `\`${op}\``) === (op === 'in');
    const strings = typeof a === 'string' && typeof b === 'string';
    if (!strings && !(isNumber(a) && isNumber(b)))
      this.fail(`\`${op}\` expected two numbers or two strings, got ${kindPhrase(a)} and ${kindPhrase(b)}`,
        a === null || b === null ? '`| default(...)` replaces null' : '');
    if (strings) this.scan(Math.min(a.length, b.length));
    if (op === '<') return less(a, b);
    if (op === '>') return less(b, a);
    return op === '<=' ? !less(b, a) : !less(a, b);
  }

  contains(whole, part, who) {
    if (Array.isArray(whole)) return whole.some((one) => this.equal(one, part));
    if (whole instanceof Map) {
      this.steps(1);
      return typeof part === 'string' && whole.has(part);
    }
    if (typeof whole !== 'string') this.wrong(who, 'an array, an object or a string to look in', whole);
    if (typeof part !== 'string') this.wrong(who, 'a string to look for in a string', part);
    this.scan(whole.length);
    return whole.includes(part);
  }

  arithmetic(op, a, b) {
    this.steps(1);
    if (isNumber(a) && isNumber(b)) {
      if (isInteger(a) && isInteger(b) && op !== '/') return this.integers(op, a, b);
      return this.floats(op, Number(a), Number(b));
    }
    const strings = typeof a === 'string' && typeof b === 'string';
    if (op !== '+' || !(strings || (Array.isArray(a) && Array.isArray(b)))) {
      const needs = op === '+' ? 'two numbers, two strings or two arrays' : 'two numbers';
      let hint = '';
      if (a === null || b === null) hint = '`| default(...)` replaces null';
      else if (op === '+' && (typeof a === 'string' || typeof b === 'string')) hint = '`| string` turns a value into text';
      this.fail(`\`${op}\` expected ${needs}, got ${kindPhrase(a)} and ${kindPhrase(b)}`, hint);
    }
    this.pay(a);
    this.pay(b);
    return strings ? a + b : a.concat(b);
  }

  integers(op, a, b) {
    if (op === '+') return this.fit(a + b);
    if (op === '-') return this.fit(a - b);
    if (op === '*') return this.fit(a * b);
    if (b === 0n) this.fail('division by zero');
    let quotient = a / b;
    let rest = a % b;
    if (rest !== 0n && rest < 0n !== b < 0n) {
      quotient -= 1n;
      rest += b;
    }
    return this.fit(op === '%' ? rest : quotient);
  }

  floats(op, a, b) {
    if (op === '+') return this.finite(a + b);
    if (op === '-') return this.finite(a - b);
    if (op === '*') return this.finite(a * b);
    if (b === 0) this.fail('division by zero');
    if (op === '/') return this.finite(a / b);
    let rest = a % b;
    if (rest !== 0 && rest < 0 !== b < 0) rest += b;
    return this.finite(op === '%' ? rest : Math.round((a - rest) / b));
  }

  negate(a) {
    if (isInteger(a)) return this.fit(-a);
    if (typeof a !== 'number') this.wrong('unary `-`', 'a number', a);
    return -a;
  }

  member(whole, name, subject) {
    if (whole === null) return null;
    if (!(whole instanceof Map)) this.fail(`${subject} is ${kindPhrase(whole)} and has no member \`${name}\``);
    this.steps(1);
    return whole.has(name) ? whole.get(name) : null;
  }

  index(whole, at, subject) {
    if (whole === null) return null;
    if (whole instanceof Map && typeof at === 'string') return this.member(whole, at, subject);
    if (!Array.isArray(whole) || typeof at === 'string')  // a computed key is a value, which messages do not show
      this.fail(`${subject} is ${kindPhrase(whole)} and has no element to index with ${kindPhrase(at)}`);
    if (!isInteger(at)) this.wrong('an index of an array', 'an integer', at);
    const i = at < 0n ? at + BigInt(whole.length) : at;
    return i >= 0n && i < BigInt(whole.length) ? whole[Number(i)] : null;
  }

  slice(whole, begin, end, subject) {
    if (whole === null) return null;
    for (const bound of [begin, end])
      if (bound !== null && !isInteger(bound)) this.wrong('a slice', 'integers or nothing as bounds', bound);
    if (!Array.isArray(whole) && typeof whole !== 'string')
      this.fail(`${subject} is ${kindPhrase(whole)} and cannot be sliced`);
    const items = typeof whole === 'string' ? [...whole] : whole;
    const bound = (at, open) => (at === null ? open : Number(BigInt.asIntN(54, at > 2n ** 52n ? 2n ** 52n : at < -(2n ** 52n) ? -(2n ** 52n) : at)));
    const part = items.slice(bound(begin, 0), bound(end, items.length));
    this.steps(1 + (typeof whole === 'string' ? Math.floor(part.length / 256) : part.length));
    return this.pay(typeof whole === 'string' ? part.join('') : part);
  }
}

// What an expression sees: a Map of roots. Others bring hasRoot, root and member of their own.
class Scope {
  constructor(roots) {
    this.roots = roots;
  }

  hasRoot(root) {
    return this.roots.has(root);
  }

  root(root) {
    return this.roots.get(root);
  }

  member(root, head, machine, subject) {
    return machine.member(this.roots.get(root), head, subject);
  }
}

class Evaluator {
  constructor(scope, machine) {
    this.scope = scope;
    this.m = machine;
  }

  run(tree) {
    const {m} = this;
    m.focus = [tree.begin, tree.end];
    m.steps(1);
    switch (tree.kind) {
      case 'literal': return tree.value;
      case 'path': return this.path(tree);
      case 'list': return m.pay(tree.children.map((child) => this.run(child)));
      case 'object': return m.pay(new Map(tree.children.map((child, i) => [tree.keys[i], this.run(child)])));
      case 'not': return !truthy(this.run(tree.children[0]));
      case 'negate': {
        const operand = this.run(tree.children[0]);
        m.focus = [tree.begin, tree.end];
        return m.negate(operand);
      }
      case 'and':
      case 'or': return this.logical(tree);
      case 'compare': return this.comparison(tree);
      case 'arithmetic': return this.chain(tree);
      case 'conditional': return this.run(tree.children[truthy(this.run(tree.children[0])) ? 1 : 2]);
      default: return this.filtered(tree);
    }
  }

  logical(tree) {
    let operand = null;
    for (const child of tree.children) {
      operand = this.run(child);
      if (truthy(operand) === (tree.kind === 'or')) break;
    }
    return operand;
  }

  comparison(tree) {
    let left = this.run(tree.children[0]);
    for (let i = 0; i < tree.ops.length; ++i) {
      const right = this.run(tree.children[i + 1]);
      this.m.focus = [tree.children[i].begin, tree.children[i + 1].end];
      if (!this.m.compare(tree.ops[i], left, right)) return false;
      left = right;
    }
    return true;
  }

  chain(tree) {
    let left = this.run(tree.children[0]);
    for (let i = 0; i < tree.ops.length; ++i) {
      const right = this.run(tree.children[i + 1]);
      this.m.focus = [tree.children[0].begin, tree.children[i + 1].end];
      left = this.m.arithmetic(tree.ops[i], left, right);
    }
    return left;
  }

  filtered(tree) {
    let subject = this.run(tree.children[0]);
    for (const call of tree.filters) {
      const given = call.filter.parameters.map(() => null);
      for (const [place, argument] of call.arguments) given[place] = this.run(argument);
      this.m.focus = [tree.begin, call.end];
      this.m.steps(1);
      subject = call.filter.apply(this.m, subject, given);
    }
    return subject;
  }

  path(tree) {
    const {m} = this;
    let [start, at] = [0, null];
    if (tree.root === '') at = this.run(tree.children[0]);
    else [start, at] = this.root(tree);
    for (const segment of tree.segments.slice(start)) {
      const bounds = segment.bounds.map((bound) => (bound === null ? null : this.run(bound)));
      m.focus = [tree.begin, segment.end];
      m.steps(1);
      const subject = m.quote(tree.begin, segment.begin);
      if (segment.kind === 'name') at = m.member(at, segment.name, subject);
      else if (segment.kind === 'index') at = m.index(at, bounds[0], subject);
      else at = m.slice(at, bounds[0], bounds[1], subject);
    }
    return at;
  }

  // [how many segments were taken, the value]
  root(tree) {
    const {m} = this;
    const first = tree.segments[0];
    const nameEnd = first ? first.begin : tree.end;
    if (!this.scope.hasRoot(tree.root)) {
      m.focus = [tree.begin, nameEnd];
      m.fail('there is no such name here', 'text in an expression is written in quotes');
    }
    let key = first && first.kind === 'name' ? first.name : null;
    if (first && first.kind === 'index') key = this.run(first.bounds[0]);
    if (typeof key !== 'string') return [0, this.scope.root(tree.root)];
    m.focus = [tree.begin, first.end];
    return [1, this.scope.member(tree.root, key, m, m.quote(tree.begin, nameEnd))];
  }
}

function finish(machine, value) {
  if (deeperThan(value, DEPTH_MAX)) {
    machine.read('');
    machine.fail(`the result is nested deeper than ${DEPTH_MAX} levels`, '', 'depth_max');
  }
  return value;
}

const filters = () => require('./filters').FILTERS;

// One expression without braces.
class Expression {
  constructor(text) {
    this.text = text;
    [this.tree] = new Parser(text, 0, false, filters()).run();
  }

  evaluate(scope) {
    const machine = new Machine(this.text);
    return finish(machine, new Evaluator(scope, machine).run(this.tree));
  }
}

// One string field: literal text, one expression (which keeps its type), or a mixture.
class TextTemplate {
  constructor(text) {
    this.text = text;
    this.pieces = [];
    let words = false;
    for (let at = 0; at < text.length;) {
      const braces = text.indexOf('{{', at);
      const literal = braces < 0 ? text.slice(at) : text.slice(at, braces);
      if (literal !== '') {
        words = words || /[^ \t\n\r]/.test(literal);
        this.pieces.push(literal);
      }
      if (braces < 0) break;
      const [tree, next] = new Parser(text, braces + 2, true, filters()).run();
      this.pieces.push(tree);
      at = next;
    }
    const expressions = this.pieces.filter((piece) => typeof piece !== 'string');
    this.single = expressions.length === 1 && !words ? expressions[0] : null;
  }

  references() {
    const out = [];
    for (const piece of this.pieces) if (typeof piece !== 'string') references(piece, out);
    return out;
  }

  renderWith(scope, machine) {
    machine.read(this.text);
    const evaluator = new Evaluator(scope, machine);
    if (this.single !== null) return evaluator.run(this.single);
    let out = '';
    for (const piece of this.pieces) {
      let text = piece;
      if (typeof piece !== 'string') {
        const value = evaluator.run(piece);
        machine.focus = [piece.begin, piece.end];
        text = renderText(value);
      }
      out += machine.pay(text);
    }
    return out;
  }
}

const below = (path, key) => (path === '' ? key : `${path}.${key}`);

function atPath(path, work) {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof ExpressionError) || path === '') throw error;
    throw new ExpressionError(`${path}: ${error.message}`, error.limit);
  }
}

// A JSON value with templates in its strings, at any depth. Keys are never templated.
class Template {
  constructor(value) {
    this.tree = this.compile(value, '');
  }

  compile(value, path) {
    if (typeof value === 'string' && value.includes('{{')) return atPath(path, () => new TextTemplate(value));
    if (Array.isArray(value)) return value.map((one, i) => this.compile(one, `${path}[${i}]`));
    if (value instanceof Map) return new Map([...value].map(([key, one]) => [key, this.compile(one, below(path, key))]));
    return value;
  }

  render(scope) {
    const machine = new Machine();
    return finish(machine, this.walk(this.tree, '', scope, machine));
  }

  walk(tree, path, scope, machine) {
    if (tree instanceof TextTemplate) return atPath(path, () => tree.renderWith(scope, machine));
    if (Array.isArray(tree)) return tree.map((one, i) => this.walk(one, `${path}[${i}]`, scope, machine));
    if (tree instanceof Map)
      return new Map([...tree].map(([key, one]) => [key, this.walk(one, below(path, key), scope, machine)]));
    return tree;
  }
}

module.exports = {Expression, Template, Scope, isInteger, isNumber, kind, less, renderText, truthy};
