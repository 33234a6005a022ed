'use strict';
// The worker that tests/process/sdk_test.cc plays with, in JavaScript: see worker.py.
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const {setTimeout: sleep} = require('node:timers/promises');
const {Worker} = require('../../sdk/node');

const worker = new Worker({name: process.argv[2], slots: 2, drainGrace: 20_000});
const mark = (file, word) => fs.appendFileSync(file, `${word} ${process.pid}\n`);

worker.task('twice', ({n}) => 2 * n);

worker.task('slow', async ({marks, seconds}, task) => {
  mark(marks, 'begun');
  try {
    for (const until = Date.now() + seconds * 1000; Date.now() < until;) {
      await sleep(20, undefined, {signal: task.signal});
      task.progress(seconds - (until - Date.now()) / 1000, seconds);
    }
  } catch (error) {
    mark(marks, 'cancelled');
    throw error;
  }
  mark(marks, 'done');
  return {worker: worker.name, attempt: task.attempt};
});

worker.task('deaf', async ({seconds}) => {
  await sleep(seconds * 1000);
});

worker.task('measure', ({text, key}, task) => {
  console.log('the key is', key);
  console.error('from', task.inputs.who);
  return {length: text.length, first: task.output('big').stdout[0], key, run: task.run};
});

worker.task('each', async ({n}, task) => {
  console.log('item', task.index);
  if (task.item === 'slow') await sleep(60_000, undefined, {signal: task.signal});
  if (task.item === 'bad') throw new TypeError('no good: ' + task.item);
  return {n, item: task.item, index: task.index, node: task.node};
});

worker.task('make', async ({size}, task) => {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'millrace-sdk-'));
  fs.writeFileSync(path.join(directory, 'words.txt'), 'a few words\n');
  await task.artifact(path.join(directory, 'words.txt'));
  await task.artifact('digits.bin', Buffer.from('0123456789'.repeat(500_000)));
  await task.artifact('nothing', '');
  fs.rmSync(directory, {recursive: true});
  return {size, text: '0123456789'.repeat(size / 10 + 1).slice(0, size)};
});

worker.task('count', ({text}) => ({length: text.length, sevens: text.split('7').length - 1}));

worker.task('order', ({rows}, task) => ({count: rows.length, ordered: rows.every((row, i) => row.n === i), last: rows.at(-1).n,
  characters: rows.reduce((sum, row) => sum + row.text.length, 0), same: JSON.stringify(task.output('rows')) === JSON.stringify(rows)}));

worker.task('file', ({name}, task) => task.artifact(name, 'x', {name}));

worker.task('measure_key', ({key}, task) => {
  task.log('the key is', key);
  return {length: key.length, key, same: task.secret('API_KEY') === key};
});

worker.task('broken', ({how}) => {
  if (how === 'nan') return {a: [1, NaN]};
  throw new TypeError('no good: ' + how);
});

worker.run().catch((error) => {
  console.error(`${error.constructor.name}: ${error.message}`);
  process.exitCode = 1;
});
