'use strict';
// Value parts: a large value on its way in parts, each checked by itself, the whole by its content hash. A port of
// common/model/value_parts.cc. Units: bytes, milliseconds.
const {hash64} = require('./hashes');

const [PART_MIN, PART_FIRST, PART_MAX] = [64 * 1024, 256 * 1024, 1024 * 1024];
const [QUICK, SLOW] = [150, 1000];
const VALUE_MAX = 256 * 1024 * 1024;

// Of bytes of the value `hash` ({high, low}) from its byte `from` on. Never zero.
async function partCheck(hash, from, data) {
  return await hash64(data, hash.low ^ BigInt(from)) || 1n;
}

// How much to send or ask for at once: more where the last came quickly, less where it took long.
class Pace {
  constructor() {
    this.bytes = PART_FIRST;
  }

  came(took) {
    if (took < QUICK) this.bytes = Math.min(this.bytes * 2, PART_MAX);
    else if (took > SLOW) this.bytes = Math.max(this.bytes / 2, PART_MIN);
  }
}

module.exports = {PART_FIRST, PART_MAX, VALUE_MAX, Pace, partCheck};
