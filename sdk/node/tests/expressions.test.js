'use strict';
// docs/expressions.md is true of this port: every example in its tables gives what the table says.
const assert = require('node:assert');
const fs = require('node:fs');
const path = require('node:path');
const test = require('node:test');

const {Expression, Scope, Template} = require('../lib/expressions');
const {FILTERS} = require('../lib/filters');
const {ExpressionError} = require('../lib/syntax');
const {dump, parse} = require('../lib/values');

const PAGE = fs.readFileSync(path.join(__dirname, '../../../docs/expressions.md'), 'utf8');

function cells(line) {
  return line.split(/(?<!\\)\|/).slice(1, -1).map((part) => part.replaceAll('\\|', '|').replace(/^ | $/g, ''));
}

const unticked = (cell) => (/^`[^`]*`$/.test(cell) ? cell.slice(1, -1) : cell);

function rows(heading) {
  const out = [];
  let inside = false;
  PAGE.split('\n').forEach((line, i) => {
    if (line === heading) inside = true;
    else if (!line.startsWith('|')) inside = false;
    else if (inside && !line.startsWith('|---')) out.push([i + 1, ...cells(line).slice(0, 2).map(unticked)]);
  });
  return out;
}

const scope = () => new Scope(parse(/```json\n([^]*?)```/.exec(PAGE)[1]));

function outcome(work) {
  try {
    return dump(work());
  } catch (error) {
    if (!(error instanceof ExpressionError)) throw error;
    return 'error: ' + error.message;
  }
}

function check([line, text, expected], work) {
  const got = outcome(() => work(text));
  const place = `docs/expressions.md:${line}: ${text}\n${got}`;
  if (!expected.startsWith('error: ')) return assert.strictEqual(got, dump(parse(expected)), place);
  assert.ok(got.startsWith('error: '), place);
  assert.ok(got.includes(expected.slice(7)), place);
}

test('every example of the documentation gives what its table says', () => {
  const examples = rows('| expression | result |');
  assert.ok(examples.length > 150);
  for (const row of examples) check(row, (text) => new Expression(text).evaluate(scope()));
  for (const row of rows('| field | result |')) check(row, (text) => new Template(text).render(scope()));
});

test('every filter of the documentation is there and no other', () => {
  const documented = new Set();
  for (const line of PAGE.split('\n')) {
    const found = /^\| `([a-z]+)(\(.*\))?` \| /.exec(line);
    if (found && line.split('|').length - line.split('\\|').length === 4) documented.add(found[1]);
  }
  assert.deepStrictEqual([...documented].sort(), [...FILTERS.keys()].sort());
});

test('floats are written as the coordinators write them', () => {
  for (const [value, expected] of [[100000, '1e+05'], [1e22, '1e+22'], [0.001, '0.001'], [-2.5, '-2.5'], [0, '0.0'],
    [1.2345678901234568e20, '123456789012345683968.0'], [1e-7, '1e-07'], [1, '1.0'], [12345.678, '12345.678'],
    [-0, '-0.0'], [1000, '1000.0'], [0.00012, '0.00012']]) assert.strictEqual(dump(value), expected);
});

test('halves are rounded to even, of the exact value', () => {
  for (const [text, expected] of [['0.5 | round', '0'], ['1.5 | round', '2'], ['2.5 | round', '2'], ['-1.5 | round', '-2'],
    ['2.675 | round(2)', '2.67'], ['0.125 | round(2)', '0.12'], ['0.375 | round(2)', '0.38'], ['1e22 | round(0)', '1e+22']])
    assert.strictEqual(outcome(() => new Expression(text).evaluate(scope())), expected, text);
});

test('a problem names the path of the field and quotes no value', () => {
  assert.strictEqual(
    outcome(() => new Template(new Map([['a', [new Map([['b', '{{ inputs.name.x }}']])]]])).render(scope())),
    'error: a[0].b: `inputs.name.x`: `inputs.name` is a string and has no member `x`');
});

test('work and results are bounded', () => {
  for (const [text, limit] of [['3000000 | range | length', 'steps_max'],
    [`300000 | range | join('${'x'.repeat(300)}')`, 'result_max']])
    assert.throws(() => new Expression(text).evaluate(scope()), (error) => error.limit === limit);
  assert.throws(() => new Expression('('.repeat(65) + '1' + ')'.repeat(65)), ExpressionError);
});
