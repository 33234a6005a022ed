'use strict';
// The filters of expressions, as docs/expressions.md lists them. A port of common/expr/filters_*.cc.
const {isInteger, isNumber, kind, less, renderText, truthy} = require('./expressions');
const {INT_MIN, INT_MAX, JsonError, dump, parse} = require('./values');

const FILTERS = new Map();
const SPACE = /^[ \t\r\n\f\v]+|[ \t\r\n\f\v]+$/g;

function filter(name, parameters, required, work) {
  const signature = () => parameters.length === 0 ? name + ' without arguments'
    : `${name}(${parameters.map((one, i) => (i < required ? one : `[${one}]`)).join(', ')})`;
  const apply = (m, subject, given) => work(new Call(m, name, parameters), subject, ...given);
  FILTERS.set(name, {name, parameters, required, signature, apply});
}

// One call of a filter: the machine, and complaints in the filter's name.
class Call {
  constructor(m, name, parameters) {
    Object.assign(this, {m, name, parameters});
  }

  wrong(expected, got) {
    this.m.wrong(`\`${this.name}\``, expected, got);
  }

  wrongArgument(place, expected, got) {
    this.m.wrong(`argument \`${this.parameters[place]}\` of \`${this.name}\``, expected, got);
  }

  textArgument(place, got) {
    if (typeof got !== 'string') this.wrongArgument(place, 'a string', got);
  }

  text(v) {
    if (typeof v !== 'string') this.wrong('a string', v);
    this.m.scan(v.length);
  }

  items(v) {
    if (!Array.isArray(v)) this.wrong('an array', v);
    this.m.steps(v.length);
  }

  members(v) {
    if (!(v instanceof Map)) this.wrong('an object', v);
    this.m.steps(v.size);
  }

  orderable(values) {
    const numbers = values.length > 0 && isNumber(values[0]);
    for (const v of values) {
      if (numbers ? isNumber(v) : typeof v === 'string') continue;
      this.wrong(numbers ? 'numbers only' : typeof values[0] === 'string' ? 'strings only' : 'all numbers or all strings', v);
    }
  }

  atPath(element, path) {
    let at = element;
    for (const name of path.split('.')) {
      const key = Array.isArray(at) && /^[0-9]{1,9}$/.test(name) ? BigInt(name) : name;
      at = this.m.index(at, key, `\`${this.name}\`: an element`);
    }
    return at;
  }
}

// ---------------------------------------------------------------- any value, numbers, conversions

filter('default', ['value'], 1, (call, v, value) => (v === null ? value : v));
filter('type', [], 0, (call, v) => kind(v));

function whole(d) {
  const rounded = BigInt(d);
  return rounded >= INT_MIN && rounded <= INT_MAX ? rounded : null;
}

filter('int', [], 0, (call, v) => {
  if (isInteger(v)) return v;
  if (typeof v === 'boolean') return v ? 1n : 0n;
  if (typeof v === 'number') return whole(Math.trunc(v)) ?? call.m.fail('`int`: the number does not fit 64 bits');
  if (typeof v !== 'string') call.wrong('a number, a boolean or a string of digits', v);
  call.m.scan(v.length);
  const text = v.replace(SPACE, '');
  const value = /^(\+|-)?[0-9]{1,4000}$/.test(text) ? BigInt(text.replace('+', '')) : INT_MAX + 1n;
  if (value < INT_MIN || value > INT_MAX) call.m.fail('`int` expected a string that is an integer of 64 bits');
  return value;
});

filter('float', [], 0, (call, v) => {
  if (isNumber(v) || typeof v === 'boolean') return Number(v);
  if (typeof v !== 'string') call.wrong('a number, a boolean or a string that is a number', v);
  call.m.scan(v.length);
  const text = v.replace(SPACE, '');
  const fits = /^(\+|-)?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$/.test(text) && Number.isFinite(Number(text));
  return fits ? Number(text) : call.m.fail('`float` expected a string that is a finite number');
});

filter('string', [], 0, (call, v) => (typeof v === 'string' ? v : call.m.pay(renderText(v))));

filter('bool', [], 0, (call, v) => {
  if (typeof v !== 'string') return truthy(v);
  const word = v.slice(0, 16).replace(SPACE, '').toLowerCase();
  if (['true', 'yes', 'on', '1'].includes(word)) return true;
  if (['false', 'no', 'off', '0', ''].includes(word)) return false;
  return call.m.fail('`bool` expected true, false, yes, no, on, off, 1 or 0 in a string');
});

filter('tojson', ['indent'], 0, (call, v, indent) => {
  if (indent !== null && !(isInteger(indent) && indent >= 0n && indent <= 8n))
    call.wrongArgument(0, 'an integer from 0 to 8', indent);
  call.m.pay(v);
  return call.m.pay(dump(v, Number(indent ?? 0n)));
});

filter('fromjson', [], 0, (call, v) => {
  if (typeof v !== 'string') call.wrong('a string of JSON', v);
  call.m.scan(v.length);
  let value;
  try {
    value = parse(v);
  } catch (error) {
    if (!(error instanceof JsonError)) throw error;
    call.m.fail(`\`fromjson\`: ${error.message}`);
  }
  return call.m.pay(value);
});

filter('abs', [], 0, (call, v) => {
  if (!isNumber(v)) call.wrong('a number', v);
  return v < 0 ? call.m.negate(v) : Object.is(v, -0) ? 0 : v;
});

filter('round', ['digits'], 0, (call, v, digits) => {
  if (!isNumber(v)) call.wrong('a number', v);
  if (digits !== null && !(isInteger(digits) && digits >= 0n && digits <= 15n))
    call.wrongArgument(0, 'an integer from 0 to 15', digits);
  if (isInteger(v)) return v;
  if (digits !== null) return roundHalfEven(v, Number(digits));
  return whole(roundHalfEven(v, 0)) ?? call.m.fail('`round`: the number does not fit 64 bits', '`round(0)` keeps a float');
});

// Of the exact value, halves to even. toFixed() is exact up to 1e21, and rounds halves away from zero.
function roundHalfEven(v, digits) {
  if (Math.abs(v) >= 2 ** 53) return v;
  const text = Math.abs(v).toFixed(digits);
  const exact = Math.abs(v).toFixed(Math.min(100, digits + 60));
  const [, behind] = exact.split('.');
  const isHalf = behind !== undefined && /^50*$/.test(behind.slice(digits));
  const lastDigit = Number(text.at(-1));
  let rounded = Number(text);
  if (isHalf && lastDigit % 2 === 1) rounded = Number(exact.slice(0, exact.length - (behind.length - digits)));
  return v < 0 ? -rounded : rounded;
}

// ---------------------------------------------------------------- strings: case is that of A to Z

const lower = (text) => text.replace(/[A-Z]+/g, (part) => part.toLowerCase());
const upper = (text) => text.replace(/[a-z]+/g, (part) => part.toUpperCase());

function textFilter(name, work) {
  filter(name, [], 0, (call, v) => {
    call.text(v);
    return call.m.pay(work(v));
  });
}
textFilter('lower', lower);
textFilter('upper', upper);
textFilter('title', (v) => v.replace(/[A-Za-z0-9'\u0080-\uffff]+/g, (word) => upper(word[0]) + lower(word.slice(1))));
textFilter('capitalize', (v) => upper(v.slice(0, 1)) + lower(v.slice(1)));
textFilter('trim', (v) => v.replace(SPACE, ''));

filter('split', ['separator'], 0, (call, v, separator) => {
  call.text(v);
  if (separator !== null) call.textArgument(0, separator);
  if (separator === '') call.m.fail('`split` expected a separator that is not empty');
  const parts = separator === null ? v.split(/[ \t\r\n\f\v]+/).filter(Boolean) : v.split(separator);
  call.m.steps(parts.length);
  return call.m.pay(parts);
});

filter('replace', ['old', 'new'], 2, (call, v, old, fresh) => {
  call.text(v);
  call.textArgument(0, old);
  call.textArgument(1, fresh);
  if (old === '') call.m.fail('`replace` expected a text to replace that is not empty');
  const parts = v.split(old);
  call.m.steps(parts.length - 1);
  call.m.room(v.length + (parts.length - 1) * (fresh.length - old.length));  // before it is built
  return call.m.pay(parts.join(fresh));
});

function edgeFilter(name, parameter, work) {
  filter(name, [parameter], 1, (call, v, edge) => {
    call.text(v);
    call.textArgument(0, edge);
    return work(v, edge);
  });
}
edgeFilter('startswith', 'prefix', (v, edge) => v.startsWith(edge));
edgeFilter('endswith', 'suffix', (v, edge) => v.endsWith(edge));

// ---------------------------------------------------------------- arrays and objects

for (const name of ['length', 'count']) {
  filter(name, [], 0, (call, v) => {
    if (Array.isArray(v)) return BigInt(v.length);
    if (v instanceof Map) return BigInt(v.size);
    if (typeof v !== 'string') call.wrong('a string, an array or an object', v);
    call.m.scan(v.length);
    return BigInt([...v].length);
  });
}

for (const [name, place] of [['first', 0], ['last', -1]]) {
  filter(name, [], 0, (call, v) => {
    if (!Array.isArray(v)) call.wrong('an array', v);
    return v.at(place) ?? null;
  });
}

filter('join', ['separator'], 0, (call, v, separator) => {
  call.items(v);
  if (separator !== null) call.textArgument(0, separator);
  call.m.room((separator ?? '').length * v.length);
  return call.m.pay(v.map(renderText).join(separator ?? ''));
});

filter('sort', ['attribute', 'reverse'], 0, (call, v, attribute, reverse) => {
  call.items(v);
  if (attribute !== null) call.textArgument(0, attribute);
  if (reverse !== null && typeof reverse !== 'boolean') call.wrongArgument(1, 'a boolean', reverse);
  const keyed = v.map((item) => [attribute === null ? item : call.atPath(item, attribute), item]);
  call.orderable(keyed.map(([key]) => key));
  call.m.steps(v.length * Math.ceil(Math.log2(v.length + 1)));
  const sign = reverse ? -1 : 1;
  keyed.sort(([a], [b]) => (less(a, b) ? -sign : less(b, a) ? sign : 0));
  return call.m.pay(keyed.map(([, item]) => item));
});

// Equal values have equal keys.
function hashed(v) {
  if (isNumber(v)) return 'n' + (Number(v) + 0);
  if (Array.isArray(v)) return '[' + v.map(hashed).join(',') + ']';
  if (v instanceof Map) return '{' + [...v].map(([key, one]) => JSON.stringify(key) + hashed(one)).sort().join(',') + '}';
  return typeof v === 'string' ? JSON.stringify(v) : String(v);
}

filter('unique', [], 0, (call, v) => {
  call.items(v);
  const seen = new Map();
  const kept = [];
  for (const item of v) {
    const key = hashed(item);
    if (!seen.has(key)) seen.set(key, []);
    if (seen.get(key).some((one) => call.m.equal(one, item))) continue;
    seen.get(key).push(item);
    kept.push(item);
  }
  return call.m.pay(kept);
});

filter('reverse', [], 0, (call, v) => {
  if (typeof v !== 'string' && !Array.isArray(v)) call.wrong('an array or a string', v);
  call.m.steps(v.length);
  return call.m.pay(typeof v === 'string' ? [...v].reverse().join('') : [...v].reverse());
});

filter('sum', [], 0, (call, v) => {
  call.items(v);
  let total = 0n;
  for (const item of v) {
    if (!isNumber(item)) call.wrong('numbers only', item);
    total = call.m.arithmetic('+', total, item);
  }
  return total;
});

for (const [name, better] of [['min', (a, b) => less(a, b)], ['max', (a, b) => less(b, a)]]) {
  filter(name, [], 0, (call, v) => {
    call.items(v);
    call.orderable(v);
    return v.length === 0 ? null : v.reduce((best, item) => (better(item, best) ? item : best));
  });
}

filter('slice', ['start', 'end'], 0, (call, v, start, end) => {
  if (typeof v !== 'string' && !Array.isArray(v)) call.wrong('an array or a string', v);
  [start, end].forEach((bound, place) => {
    if (bound !== null && !isInteger(bound)) call.wrongArgument(place, 'an integer', bound);
  });
  return call.m.slice(v, start, end, '');
});

filter('map', ['attribute'], 1, (call, v, attribute) => {
  call.items(v);
  call.textArgument(0, attribute);
  return call.m.pay(v.map((item) => call.atPath(item, attribute)));
});

filter('contains', ['value'], 1, (call, v, value) => call.m.contains(v, value, '`contains`'));

filter('range', ['end'], 0, (call, v, end) => {
  if (!isInteger(v)) call.wrong('an integer', v);
  if (end !== null && !isInteger(end)) call.wrongArgument(0, 'an integer', end);
  const [from, to] = end === null ? [0n, v] : [v, end];
  const count = to > from ? to - from : 0n;
  call.m.steps(Number(count));
  return Array.from({length: Number(count)}, (_, i) => from + BigInt(i));
});

filter('flatten', ['levels'], 0, (call, v, levels) => {
  call.items(v);
  if (levels !== null && !(isInteger(levels) && levels >= 0n)) call.wrongArgument(0, 'an integer that is not negative', levels);
  const out = [];
  const into = (item, left) => {
    call.m.steps(1);
    if (left === 0n || !Array.isArray(item)) out.push(item);
    else for (const inner of item) into(inner, left - 1n);
  };
  for (const item of v) into(item, levels ?? 1n);
  return call.m.pay(out);
});

function memberFilter(name, work) {
  filter(name, [], 0, (call, v) => {
    call.members(v);
    return call.m.pay(work(v));
  });
}
memberFilter('keys', (v) => [...v.keys()]);
memberFilter('values', (v) => [...v.values()]);
for (const name of ['entries', 'items'])
  memberFilter(name, (v) => [...v].map(([key, value]) => new Map([['key', key], ['value', value]])));

module.exports = {FILTERS};
