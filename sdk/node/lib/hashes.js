'use strict';
// Content hashes: XXH3, 128 bits for naming content, 64 bits for checks. All numbers are BigInt.
const {createXXHash128, xxhash128, xxhash3} = require('hash-wasm');

const pairOf = (hex) => ({high: BigInt('0x' + hex.slice(0, 16)), low: BigInt('0x' + hex.slice(16))});

async function hash64(data, seed = 0n) {
  return BigInt('0x' + await xxhash3(data, Number(seed & 0xffffffffn), Number(seed >> 32n)));
}

// {high, low}
async function hash128(data) {
  return pairOf(await xxhash128(data));
}

// The same of bytes that come one part after the other: {update(bytes), pair()}.
async function sum128() {
  const hasher = await createXXHash128();
  hasher.init();
  return {update: (data) => hasher.update(data), pair: () => pairOf(hasher.digest('hex'))};
}

module.exports = {hash64, hash128, sum128};
