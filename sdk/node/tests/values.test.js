'use strict';
// JSON as expressions see it, read from text of any size.
const assert = require('node:assert');
const test = require('node:test');

const {JsonError, dump, parse} = require('../lib/values');

test('a string of many megabytes is read', () => {
  const long = 'x'.repeat(30_000_000);
  assert.ok(parse(`{"a": "${long}"}`).get('a') === long);
  assert.ok(parse(`"${long}\\n\\"${long}"`) === `${long}\n"${long}`);
});

test('a string ends at the first quote that nothing escapes', () => {
  for (const text of ['', 'plain', 'a"b', 'ends in \\', '\\"', '\\\\"\\\\', '\u00e9\u{1f600}\n\t\u0001'])
    assert.strictEqual(parse(JSON.stringify(text)), text);
  assert.deepStrictEqual(parse('["a\\\\", "b"]'), ['a\\', 'b']);
});

test('what is no string of JSON is refused', () => {
  for (const text of ['"', '"a', '"a\\"', '"\\x"', '"\\u12g4"', '"a\nb"', '"a" "b"', '{"a\\q": 1}', '{a": 1}'])
    assert.throws(() => parse(text), JsonError, text);
});

test('integers stay exact, and what was written with a point stays a float', () => {
  assert.strictEqual(dump(parse('[18446744073709551615, 1.0, 1]')), '[18446744073709551615,1.0,1]');
});
