'use strict';
// Fetches: values held by reference. They are asked for part by part, a part again (FETCH_AGAIN, doubling) until it comes,
// and kept a while. Times are milliseconds of a clock that never goes back, handed in.
//
// Promises: what `cache` holds is what its hash says. Fails: a value that is gone, or has come damaged twice, is told with
// what is wrong.
const {hash128} = require('./hashes');
const {Pace, VALUE_MAX, partCheck} = require('./parts');
const {messages, referenceKey} = require('./wire');

const [FETCH_AGAIN, FETCH_AGAIN_MAX] = [2000, 60_000];
const CACHE_BYTES = 128 * 1024 * 1024;

class Fetches {
  // `send(link, body)` sends a message.
  constructor(send) {
    Object.assign(this, {send, fetches: new Map(), cache: new Map(), cacheBytes: 0});
  }

  // False: it is here already.
  want(now, reference, link, attempt) {
    const key = referenceKey(reference);
    if (this.cache.has(key)) return false;
    if (!this.fetches.has(key)) {
      const fetch = {link, reference, again: 0, asked: 0, pause: FETCH_AGAIN, wantedBy: [], parts: [], come: 0,
        pace: new Pace(), damaged: false};
      this.fetches.set(key, fetch);
      this.#ask(now, fetch);
    }
    this.fetches.get(key).wantedBy.push(attempt);
    return true;
  }

  #ask(now, fetch) {
    Object.assign(fetch, {asked: now, again: now + fetch.pause});
    this.send(fetch.link, messages.valueRequest(fetch.reference, fetch.come, fetch.pace.bytes));
  }

  // Null: more of it is to come, or nobody waits. Else {key, problem: '' or what is wrong with it, wantedBy}.
  async came(now, {high, low, json, place}) {
    const key = referenceKey({high, low});
    const fetch = this.fetches.get(key);
    if (!fetch) return null;
    if (json === null) return this.#end(key, fetch, 'is gone');
    const isNext = () => this.fetches.get(key) === fetch && (place === null || place.from === fetch.come);
    if (!isNext()) return null;
    if (place !== null && place.check !== await partCheck({low}, place.from, json)) return null;  // asked for again in time
    if (!isNext()) return null;
    if (place === null) Object.assign(fetch, {parts: [], come: 0});  // whole, from who knows no parts
    const size = place === null ? json.length : place.size;
    if (size > VALUE_MAX || fetch.come + json.length > size) return this.#damaged(now, key, fetch);
    if (json.length === 0 && fetch.come < size) return null;
    fetch.parts.push(json);
    fetch.come += json.length;
    if (fetch.come < size) {
      fetch.pace.came(now - fetch.asked);
      fetch.pause = FETCH_AGAIN;
      this.#ask(now, fetch);
      return null;
    }
    const whole = fetch.parts.length === 1 ? json : Buffer.concat(fetch.parts);
    const hash = await hash128(whole);
    if (this.fetches.get(key) !== fetch) return null;
    if (hash.high !== high || hash.low !== low) return this.#damaged(now, key, fetch);
    this.cache.set(key, whole);
    this.cacheBytes += whole.length;
    return this.#end(key, fetch, '');
  }

  #damaged(now, key, fetch) {
    if (fetch.damaged) return this.#end(key, fetch, 'is damaged');
    Object.assign(fetch, {damaged: true, parts: [], come: 0});
    this.#ask(now, fetch);
    return null;
  }

  #end(key, fetch, problem) {
    this.fetches.delete(key);
    return {key, problem, wantedBy: fetch.wantedBy};
  }

  // `isWaiting(attempt)`: whether it waits for values; what nobody wants is forgotten. `idle`: none of them does.
  pass(now, isWaiting, idle) {
    for (const [key, fetch] of [...this.fetches]) {
      fetch.wantedBy = fetch.wantedBy.filter(isWaiting);
      if (fetch.wantedBy.length === 0) {
        this.fetches.delete(key);
      } else if (fetch.again <= now) {
        fetch.pause = Math.min(fetch.pause * 2, FETCH_AGAIN_MAX);
        this.#ask(now, fetch);
      }
    }
    while (this.cacheBytes > CACHE_BYTES && this.cache.size > 1 && idle) {
      const [oldest, json] = this.cache.entries().next().value;
      this.cache.delete(oldest);
      this.cacheBytes -= json.length;
    }
  }

  nextDeadline() {
    return Math.min(Infinity, ...[...this.fetches.values()].map((fetch) => fetch.again));
  }
}

module.exports = {FETCH_AGAIN, Fetches};
