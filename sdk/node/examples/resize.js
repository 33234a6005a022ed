#!/usr/bin/env node
'use strict';
// A worker with executors of its own, for sdk/python/examples/resize.yaml: the same as resize.py, in JavaScript.
const {Worker} = require('..');

const worker = new Worker({slots: 2});

worker.task('draw', ({width, height}) => {
  const row = (y) => Array.from({length: width}, (_, x) => [Math.floor((x * 255) / width), Math.floor((y * 255) / height), 128]);
  return {width, height, pixels: Array.from({length: height}, (_, y) => row(y))};
});

worker.task('resize', async ({image, width}, task) => {
  const height = Math.max(1, Math.floor((image.height * width) / image.width));
  console.log(`${image.width}x${image.height} -> ${width}x${height}`);
  const pixels = [];
  for (let y = 0; y < height; ++y) {
    task.check();  // a cancelled task ends here
    task.progress(y, height);
    const source = image.pixels[Math.floor((y * image.height) / height)];
    pixels.push(Array.from({length: width}, (_, x) => source[Math.floor((x * image.width) / width)]));
    await null;
  }
  return {width, height, pixels};
});

worker.run().catch((error) => {
  console.error(error.message);
  process.exitCode = 1;
});
