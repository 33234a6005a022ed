'use strict';
// Large values in parts: what comes is checked, what is sent arrives, and files that tasks hand over go with it.
const assert = require('node:assert');
const test = require('node:test');

const {Attachments} = require('../lib/attachments');
const {FETCH_AGAIN, Fetches} = require('../lib/fetches');
const {hash64, hash128, sum128} = require('../lib/hashes');
const {PART_FIRST, partCheck} = require('../lib/parts');
const {PART_AGAIN, Uploads} = require('../lib/uploads');
const {Attempt, messages} = require('../lib/wire');

const WORDS = Buffer.from(Array.from({length: 57}, (_, i) => i + 35));
const BIG = Buffer.from('"' + WORDS.toString().replace('\\', 'x').repeat(20_000) + '"');  // 1.1 MB
const ONE = new Attempt(7n, 0, 1, 1);
const settle = () => new Promise((resolve) => setTimeout(resolve, 5));
const keyOf = ({high, low}) => `${high}:${low}`;
const outcomeOf = (output, artifacts = []) => ({success: true, reason: 0, message: '', traceback: '', output, artifacts});

// Messages as plain values.
messages.valueRequest = (reference, from, max) => ({from, max});
messages.putPart = (hash, size, run, from, check, part) => ({hash, size, from, check, part: Buffer.from(part)});

// Takes parts as a coordinator does.
class Store {
  come = new Map();
  kept = new Map();

  async put({hash, size, from, check, part}, harm = false) {
    const key = keyOf(hash);
    const data = Buffer.from(part);
    if (harm) data[data.length - 1] ^= 1;
    if (!this.come.has(key)) this.come.set(key, Buffer.alloc(0));
    let have = this.come.get(key);
    if (this.kept.has(key)) return {...hash, have: size, kept: true, damaged: false};
    if (check !== await partCheck(hash, from, data)) return {...hash, have: have.length, kept: false, damaged: true};
    if (from === have.length) this.come.set(key, have = Buffer.concat([have, data]));
    if (have.length === size && keyOf(await hash128(have)) === key) this.kept.set(key, have);
    return {...hash, have: have.length, kept: this.kept.has(key), damaged: false};
  }
}

class Upload {
  sent = [];
  done = [];
  store = new Store();
  uploads = new Uploads((link, body) => this.sent.push([link, body]), (attempt, outcome) => this.done.push([attempt, outcome]));

  constructor() {
    this.uploads.takesParts(1, true);
  }

  async play(harm = () => false) {
    for (let n = 0; n < 1000; ++n) {
      await settle();
      if (n >= this.sent.length) return this.done;
      this.uploads.taken(0, await this.store.put(this.sent[n][1], harm(n)));
    }
    throw new Error('it does not end');
  }
}

class Fetch {
  asked = [];
  fetches = new Fetches((link, body) => this.asked.push(body));

  async begin() {
    this.reference = {...await hash128(BIG), size: BIG.length};
    this.fetches.want(0, this.reference, 1, ONE);
    return this;
  }

  async answer({now = 0, text = BIG, from = this.asked.at(-1).from, harm = false} = {}) {
    const json = Buffer.from(text.subarray(from, from + this.asked.at(-1).max));
    const check = await partCheck(this.reference, from, json);
    if (harm) json[0] ^= 1;
    return this.fetches.came(now, {...this.reference, json, place: {from, size: text.length, check}});
  }
}

test('the hashes are those of XXH3', async () => {
  assert.deepStrictEqual(await hash128(''), {high: 0x99aa06d3014798d8n, low: 0x6001c324468d497fn});
  assert.strictEqual(await hash64(''), 0x2d06800538d394c2n);
  const sum = await sum128();
  for (let at = 0; at < BIG.length; at += 1000) sum.update(BIG.subarray(at, at + 1000));
  assert.deepStrictEqual(sum.pair(), await hash128(BIG));
  assert.notStrictEqual(await hash64(BIG, 1n), await hash64(BIG, 2n ** 40n));
  assert.strictEqual(await partCheck({low: 2n}, 0, BIG), await hash64(BIG, 2n));
});

test('a value comes in parts and is what its hash says', async () => {
  const fetch = await new Fetch().begin();
  let came = null;
  while (came === null) came = await fetch.answer();
  assert.deepStrictEqual(came, {key: keyOf(fetch.reference), problem: '', wantedBy: [ONE]});
  assert.ok(fetch.fetches.cache.get(came.key).equals(BIG));
  assert.deepStrictEqual(fetch.asked.map(({from}) => from), [0, PART_FIRST, 3 * PART_FIRST]);
  assert.strictEqual(fetch.fetches.want(0, fetch.reference, 1, ONE), false);
});

test('a part that was harmed or comes twice is not taken and asked for again', async () => {
  const fetch = await new Fetch().begin();
  assert.strictEqual(await fetch.answer({harm: true}), null);
  assert.strictEqual(fetch.asked.length, 1);
  fetch.fetches.pass(FETCH_AGAIN, () => true, false);
  assert.strictEqual(await fetch.answer({now: FETCH_AGAIN}), null);
  assert.strictEqual(await fetch.answer({from: 0}), null);
  assert.deepStrictEqual(fetch.asked.map(({from}) => from), [0, 0, PART_FIRST]);
});

test('a value that is not what its hash says is fetched once more and then refused', async () => {
  const fetch = await new Fetch().begin();
  const text = Buffer.concat([BIG.subarray(0, -2), Buffer.from('!"')]);
  let [came, starts] = [null, 0];
  while (came === null) {
    starts += fetch.asked.at(-1).from === 0;
    came = await fetch.answer({text});
  }
  assert.deepStrictEqual([came.problem, starts, fetch.fetches.cache.size], ['is damaged', 2, 0]);
});

test('one that comes whole from who knows no parts is checked as well', async () => {
  const fetch = await new Fetch().begin();
  const whole = {...fetch.reference, place: null};
  assert.strictEqual(await fetch.fetches.came(0, {...whole, json: Buffer.concat([BIG, Buffer.from(' ')])}), null);
  assert.strictEqual((await fetch.fetches.came(0, {...whole, json: BIG})).problem, '');
});

test('an output and the files of a task arrive before its end is told', async () => {
  const upload = new Upload();
  const attachments = new Attachments();
  await attachments.add('b.txt', 'words');
  await attachments.add('a.bin', BIG.subarray(0, 700_000), {contentType: 'application/x'});
  await attachments.add('nothing', Buffer.alloc(0));
  const outcome = outcomeOf(BIG.toString(), attachments.take());
  assert.ok(upload.uploads.begin(0, ONE, outcome));
  assert.deepStrictEqual(await upload.play(), [[ONE, outcome]]);
  const expected = [BIG, BIG.subarray(0, 700_000), Buffer.from('words'), Buffer.alloc(0)];
  assert.deepStrictEqual([...upload.store.kept.values()].map(String).sort(), expected.map(String).sort());
  assert.deepStrictEqual(outcome.output, {...await hash128(BIG), size: BIG.length});
  assert.deepStrictEqual(outcome.artifacts.map(({name, type, size, fd}) => [name, type, size, fd]),
    [['a.bin', 'application/x', 700_000, null], ['b.txt', 'text/plain', 5, null], ['nothing', '', 0, null]]);
  assert.ok(upload.sent.every(([, {part}]) => part.length <= 1024 * 1024));
});

test('a small output, that of items, and one that nobody takes in parts travel in the report', () => {
  const upload = new Upload();
  assert.strictEqual(upload.uploads.begin(0, ONE, outcomeOf('1')), false);
  assert.strictEqual(upload.uploads.begin(0, ONE, {...outcomeOf(BIG.toString()), items: {count: 1, done: 1, failures: []}}), false);
  upload.uploads.takesParts(1, false);
  assert.strictEqual(upload.uploads.begin(0, ONE, outcomeOf(BIG.toString())), false);
});

test('a part that is lost is sent again to another coordinator', async () => {
  const upload = new Upload();
  upload.uploads.takesParts(2, true);
  upload.uploads.begin(0, ONE, outcomeOf(BIG.toString()));
  await settle();
  upload.uploads.pass(PART_AGAIN / 2);
  upload.uploads.pass(PART_AGAIN);
  await settle();
  assert.deepStrictEqual(upload.sent.map(([link, {from}]) => [link, from]), [[1, 0], [2, 0]]);
  assert.strictEqual((await upload.play()).length, 1);
});

test('one that arrives damaged once is sent again, and always: the failure of its task', async () => {
  const once = new Upload();
  once.uploads.begin(0, ONE, outcomeOf(BIG.toString()));
  assert.strictEqual((await once.play((n) => n === 1))[0][1].success, true);
  const always = new Upload();
  always.uploads.begin(0, ONE, outcomeOf(BIG.toString()));
  const [[, outcome]] = await always.play(() => true);
  assert.deepStrictEqual([outcome.success, outcome.reason, outcome.output], [false, 8, null]);
  assert.match(outcome.message, /arrives damaged/);
});

test('what was lost where it had come is sent from there, and an old answer is not believed', async () => {
  const {uploads, store, sent} = new Upload();
  uploads.begin(0, ONE, outcomeOf(BIG.toString()));
  await settle();
  uploads.taken(0, await store.put(sent[0][1]));
  await settle();
  store.come.clear();
  uploads.taken(0, {...sent[0][1].hash, have: 0, kept: false, damaged: false});
  await settle();
  assert.strictEqual(sent.length, 2);
  uploads.pass(PART_AGAIN);
  await settle();
  uploads.taken(PART_AGAIN, await store.put(sent.at(-1)[1]));
  await settle();
  assert.strictEqual(sent.at(-1)[1].from, 0);
});

test('a few go at a time and one that is forgotten makes room', async () => {
  const upload = new Upload();
  const attempts = Array.from({length: 6}, (_, i) => new Attempt(7n, i, 1, 1));
  attempts.forEach((attempt, i) => upload.uploads.begin(0, attempt, outcomeOf(BIG.toString() + ' '.repeat(i))));
  await settle();
  assert.strictEqual(upload.sent.length, 4);
  assert.strictEqual(upload.uploads.forget(attempts[0]), true);
  assert.strictEqual(upload.uploads.forget(attempts[0]), false);
  assert.deepStrictEqual((await upload.play()).map(([attempt]) => attempt.task).sort(), [1, 2, 3, 4, 5]);
});

test('names, types and numbers of files are bounded with a reason', async () => {
  const attachments = new Attachments();
  for (const [name, why] of [['', /1 to 200/], ['..', /cannot be named/], ['a/b', /without a path/], ['a\n', /control/],
    ['x'.repeat(201), /1 to 200/], ['\ud800', /UTF-8/]])
    await assert.rejects(attachments.add('f', '', {name}), why);
  await assert.rejects(attachments.add('f', '', {contentType: 'text/\u00e4'}), /ASCII/);
  for (let i = 0; i < 64; ++i) await attachments.add(`f${i}`, '');
  await attachments.add('f1', 'again');
  await assert.rejects(attachments.add('one more', ''), /at most 64/);
  assert.strictEqual(attachments.take().find(({name}) => name === 'f1').size, 5);
  await assert.rejects(attachments.add('late', ''), /has ended/);
});

test('a file that breaks off leaves what was there before', async () => {
  const attachments = new Attachments();
  await attachments.add('f', 'before');
  await assert.rejects(attachments.add('f', (async function* () {
    yield 'abc';
    throw new Error('gone');
  })()), /gone/);
  assert.deepStrictEqual(attachments.take().map(({size}) => size), [6]);
});
