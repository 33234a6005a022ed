'use strict';
// List references: what they are put together from is asked for, a few pieces at a time, and makes the list in order.
const assert = require('node:assert');
const test = require('node:test');

const {ListError, isComposed, missingOf, whole} = require('../lib/lists');
const {toPlain} = require('../lib/values');
const {referenceKey} = require('../lib/wire');

let names = 0;

// Pieces by their keys, and the names that a list reference has for them.
class Stored extends Map {
  put(text) {
    const name = (++names).toString(16).padStart(32, 'a');
    this.set(referenceKey({high: BigInt('0x' + name.slice(0, 16)), low: BigInt('0x' + name.slice(16))}), Buffer.from(text));
    return name;
  }
  items(...elements) {
    const text = JSON.stringify(elements);
    return ['items', this.put(text), elements.length, text.length - 2];
  }
  item(element) {
    const text = JSON.stringify(element);
    return ['item', this.put(text), 1, text.length];
  }
}

const text = (elements) => ['text', JSON.stringify(elements).slice(1, -1), elements.length, JSON.stringify(elements).length - 2];
const listOf = (pieces, more = {}) => Buffer.from('#millrace list 1\n' + JSON.stringify({
  count: pieces.reduce((sum, one) => sum + one[2], 0), failed: 0, dropped: 0,
  bytes: pieces.reduce((sum, one) => sum + one[3] + 1, 0), pieces, ...more}));
const valueOf = (...pieces) => Buffer.from('#millrace value 1\n' + JSON.stringify({bytes: 9, pieces}));
const finderOf = (stored) => (key) => stored.get(key);

test('pieces of every kind make the list in order', () => {
  const stored = new Stored();
  const reference = listOf([stored.items({a: 1}, [2], 'drei'), text([4, null]), stored.item({six: 6}), stored.items(7.5)]);
  assert.ok(isComposed(reference) && !isComposed(Buffer.from('[1]')));
  assert.deepStrictEqual(toPlain(whole(reference, finderOf(stored))), [{a: 1}, [2], 'drei', 4, null, {six: 6}, 7.5]);
});

test('what is missing is asked for a few at a time and once', () => {
  const stored = new Stored();
  const reference = listOf(Array.from({length: 40}, (_, n) => stored.items(n)));
  const here = new Map();
  for (let next = missingOf(reference, finderOf(here)); next.length > 0; next = missingOf(reference, finderOf(here))) {
    assert.ok(next.length <= 16);
    for (const one of next) {
      assert.ok(!here.has(referenceKey(one)));
      here.set(referenceKey(one), stored.get(referenceKey(one)));
    }
  }
  assert.deepStrictEqual(toPlain(whole(reference, finderOf(here))), Array.from({length: 40}, (_, n) => n));
});

test('an object may hold lists that are fetched before their pieces', () => {
  const stored = new Stored();
  const name = stored.put(listOf([stored.items(1, 2), stored.item(3)]));
  const reference = valueOf(['text', '{"rows":', 0, 8], ['value', name, 0, 5], ['text', '}', 0, 1]);
  const here = new Map();
  const rounds = [];
  for (let next = missingOf(reference, finderOf(here)); next.length > 0; next = missingOf(reference, finderOf(here))) {
    rounds.push(next.length);
    for (const one of next) here.set(referenceKey(one), stored.get(referenceKey(one)));
  }
  assert.deepStrictEqual(rounds, [1, 2]);
  assert.deepStrictEqual(toPlain(whole(reference, finderOf(here))), {rows: [1, 2, 3]});
});

test('one that is too large is refused before anything is fetched', () => {
  const stored = new Stored();
  const reference = listOf([stored.items(1)], {bytes: 256 * 1024 * 1024 + 1});
  assert.deepStrictEqual(missingOf(reference, () => undefined), []);
  assert.throws(() => whole(reference, finderOf(stored)), /at most 268435456 are/);
});

test('what is damaged is an error that says so and asks for nothing', () => {
  const stored = new Stored();
  const good = stored.items(1, 2);
  const bad = [Buffer.from('#millrace list 1\n{'), Buffer.from('#millrace list 1\n[]'), Buffer.from('#millrace list 2\n{}'),
    listOf([good], {count: 3}), listOf([good], {pieces: 7}), listOf([['items', '../etc', 1, 1]]),
    listOf([['value', good[1], 1, 1]]), listOf([['items', good[1], 3, 5]]), listOf([good], {bytes: 'many'}),
    valueOf(['value', stored.put(valueOf()), 0, 1])];
  for (const reference of bad) assert.throws(() => whole(reference, finderOf(stored)), ListError);
});
