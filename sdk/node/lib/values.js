'use strict';
// JSON as expressions see it: null, boolean, string, Array, Map (in the order written), BigInt for integers (exact in 64
// bits) and number for floats, so that 1 and 1.0 stay apart. toPlain() turns it into what JavaScript programs expect.

const INT_MIN = -(2n ** 63n);
const INT_MAX = 2n ** 64n - 1n;
const DEPTH_MAX = 200;

class JsonError extends Error {}

const NUMBER = /-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?/y;
const CONTROL = /[\u0000-\u001f]/;
const SPACE = /[ \t\r\n]*/y;

class Reader {
  constructor(text) {
    this.text = text;
    this.at = 0;
  }

  fail(what = 'not JSON') {
    throw new JsonError(what);
  }

  skip() {
    SPACE.lastIndex = this.at;
    SPACE.test(this.text);
    this.at = SPACE.lastIndex;
  }

  match(pattern) {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text);
    if (found === null) this.fail();
    this.at = pattern.lastIndex;
    return found;
  }

  accept(character) {
    this.skip();
    if (this.text[this.at] !== character) return false;
    ++this.at;
    return true;
  }

  // Whether an odd number of backslashes stands before it.
  escaped(at) {
    let first = at;
    while (this.text[first - 1] === '\\') --first;
    return (at - first) % 2 === 1;
  }

  // By steps, not by one pattern: a string may have hundreds of megabytes.
  string() {
    this.skip();
    const begin = this.at;
    if (this.text[begin] !== '"') this.fail();
    let end = this.text.indexOf('"', begin + 1);
    while (end >= 0 && this.escaped(end)) end = this.text.indexOf('"', end + 1);
    if (end < 0) this.fail();
    this.at = end + 1;
    const written = this.text.slice(begin + 1, end);
    if (CONTROL.test(written)) this.fail();
    if (!written.includes('\\')) return written;
    try {
      return JSON.parse(`"${written}"`);
    } catch {
      return this.fail();
    }
  }

  value(depth = 0) {
    if (depth > DEPTH_MAX) this.fail('JSON is nested deeper than 200 levels');
    this.skip();
    const c = this.text[this.at];
    if (c === '"') return this.string();
    if (c === '{') return this.object(depth);
    if (c === '[') return this.array(depth);
    for (const [word, value] of [['true', true], ['false', false], ['null', null]]) {
      if (this.text.startsWith(word, this.at)) {
        this.at += word.length;
        return value;
      }
    }
    const [written, , fraction, exponent] = this.match(NUMBER);
    const value = fraction || exponent ? Number(written) : BigInt(written);
    const fits = typeof value === 'bigint' ? value >= INT_MIN && value <= INT_MAX : Number.isFinite(value);
    if (!fits) this.fail('JSON holds a number that is out of range or not finite');
    return value;
  }

  object(depth) {
    const out = new Map();
    this.accept('{');
    if (this.accept('}')) return out;
    do {
      const key = this.string();
      if (!this.accept(':')) this.fail();
      out.set(key, this.value(depth + 1));
    } while (this.accept(','));
    if (!this.accept('}')) this.fail();
    return out;
  }

  array(depth) {
    const out = [];
    this.accept('[');
    if (this.accept(']')) return out;
    do out.push(this.value(depth + 1)); while (this.accept(','));
    if (!this.accept(']')) this.fail();
    return out;
  }
}

function parse(text) {
  const reader = new Reader(text);
  const value = reader.value();
  reader.skip();
  if (reader.at !== text.length) reader.fail();
  return value;
}

// Integers become numbers where those are exact, and stay BigInt beyond.
function toPlain(value) {
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : value;
  if (Array.isArray(value)) return value.map(toPlain);
  if (!(value instanceof Map)) return value;
  const out = {};
  for (const [key, member] of value)
    Object.defineProperty(out, key, {value: toPlain(member), enumerable: true, writable: true, configurable: true});
  return out;
}

// The shortest text that reads back as the same float: positional unless scientific is shorter. As the coordinators do.
function dumpFloat(d) {
  const sign = d < 0 || Object.is(d, -0) ? '-' : '';
  const [mantissa, power] = Math.abs(d).toExponential().split('e');
  const digits = mantissa.replace('.', '');
  const ten = Number(power);
  const scientific = mantissa + (ten < 0 ? 'e-' : 'e+') + String(Math.abs(ten)).padStart(2, '0');
  let positional = '0.' + '0'.repeat(Math.max(0, -ten - 1)) + digits;
  const whole = ten >= digits.length - 1;
  if (whole) positional = digits + '0'.repeat(ten - digits.length + 1);
  else if (ten >= 0) positional = digits.slice(0, ten + 1) + '.' + digits.slice(ten + 1);
  let text = positional.length <= scientific.length ? positional : scientific;
  if (text === positional && whole && digits !== '0') text = BigInt(Math.abs(d)).toString();
  return sign + text + (/[.e]/.test(text) ? '' : '.0');
}

function dump(value, indent = 0, at = 0) {
  if (typeof value === 'bigint') return String(value);
  if (typeof value === 'number') return dumpFloat(value);
  const isMap = value instanceof Map;
  const parts = Array.isArray(value)
    ? value.map((one) => dump(one, indent, at + indent))
    : isMap ? [...value].map(([key, one]) => quote(key) + (indent ? ': ' : ':') + dump(one, indent, at + indent)) : null;
  if (parts === null) return typeof value === 'string' ? quote(value) : String(value);
  const [opened, closed] = isMap ? '{}' : '[]';
  if (!indent || parts.length === 0) return opened + parts.join(',') + closed;
  return opened + parts.map((one) => '\n' + ' '.repeat(at + indent) + one).join(',') + '\n' + ' '.repeat(at) + closed;
}

function quote(text) {
  return JSON.stringify(text);
}

// What a function returned, as JSON. JsonError says what is none, and where.
function encode(value, path = '', depth = 0) {
  const where = path || 'the output';
  if (depth > 190) throw new JsonError(`${where} is nested too deeply`);
  if (value === null || (value === undefined && depth === 0)) return 'null';
  if (typeof value === 'boolean' || typeof value === 'string') return JSON.stringify(value);
  if (typeof value === 'bigint') {
    if (value < INT_MIN || value > INT_MAX) throw new JsonError(`${where} is an integer of more than 64 bits`);
    return String(value);
  }
  if (typeof value === 'number') {
    if (!Number.isFinite(value)) throw new JsonError(`${where} is ${value}, which is not finite`);
    return Number.isInteger(value) && Math.abs(value) < 2 ** 63 ? BigInt(value).toString() : JSON.stringify(value);
  }
  if (Array.isArray(value)) return '[' + value.map((one, i) => encode(one, `${path}[${i}]`, depth + 1)).join(',') + ']';
  if (typeof value === 'object' && typeof value.toJSON === 'function') return encode(value.toJSON(), path, depth + 1);
  const prototype = typeof value === 'object' ? Object.getPrototypeOf(value) : undefined;
  if (prototype !== Object.prototype && prototype !== null)
    throw new JsonError(`${where} is ${value?.constructor?.name ?? typeof value}, which is no JSON`);
  const members = Object.entries(value).filter(([, one]) => one !== undefined);
  return '{' + members.map(([key, one]) =>
    JSON.stringify(key) + ':' + encode(one, path ? `${path}.${key}` : key, depth + 1)).join(',') + '}';
}

module.exports = {INT_MIN, INT_MAX, DEPTH_MAX, JsonError, parse, toPlain, dump, encode};
