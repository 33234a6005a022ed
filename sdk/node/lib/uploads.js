'use strict';
// Uploads: what attempts that have ended leave that is large, on its way to where values are kept: their output, and the
// files that they have handed over. It goes in parts, each answered before the next, and only when all have come is the
// attempt's end told, which names it. A port of worker/shell/uploads.cc, with its promises. Times are milliseconds, handed
// in. Fails: as the attempt's outcome, where a value arrives damaged again and again.
const fs = require('node:fs');
const {hash128} = require('./hashes');
const {PART_FIRST, Pace, partCheck} = require('./parts');
const {messages} = require('./wire');

const UPLOAD_ABOVE = PART_FIRST;  // smaller outputs travel within the report
const AT_ONCE = 4;
const [PART_AGAIN, PART_AGAIN_MAX] = [2000, 60_000];
const DAMAGES_MAX = 3;
const REASON_INVALID_OUTPUT = 8;
const NEVER = Infinity;

class Uploads {
  // `send(link, body)` sends a message; `onDone(attempt, outcome)` tells an end.
  constructor(send, onDone) {
    Object.assign(this, {send, onDone, links: new Set(), uploads: []});  // links: those that take parts
  }

  takesParts(link, takes) {
    if (takes) this.links.add(link);
    else this.links.delete(link);
  }

  get canBegin() {
    return this.links.size > 0;
  }

  // False: there is nothing to send ahead, or nobody to send it to; then the outcome has no artifacts.
  begin(now, attempt, outcome) {
    const bytes = typeof outcome.output === 'string' && !outcome.items ? Buffer.from(outcome.output) : null;
    const large = bytes !== null && bytes.length > UPLOAD_ABOVE;
    const files = outcome.artifacts ?? [];
    if (!this.canBegin || (!large && files.length === 0)) {
      files.forEach(close);
      outcome.artifacts = [];
      return false;
    }
    this.uploads.push({attempt, outcome, output: large ? bytes : null, file: 0, link: [...this.links][0], hash: null, size: 0,
      from: 0, sent: 0, again: NEVER, pause: PART_AGAIN, resent: false, active: false, damages: 0, pace: new Pace()});
    this.#startNext(now);
    return true;
  }

  // Whether it was here.
  forget(attempt) {
    const at = this.uploads.findIndex((upload) => upload.attempt.key === attempt.key);
    if (at < 0) return false;
    this.uploads.splice(at, 1)[0].outcome.artifacts?.forEach(close);
    return true;
  }

  #startNext(now) {
    for (const upload of [...this.uploads]) {
      if (this.uploads.filter((one) => one.active).length >= AT_ONCE) return;
      if (upload.active) continue;
      upload.active = true;
      this.#nextValue(now, upload);
    }
  }

  async #nextValue(now, upload) {
    Object.assign(upload, {from: 0, damages: 0, hash: null});
    const artifact = upload.outcome.artifacts?.[upload.file];
    if (upload.output !== null) {
      upload.size = upload.output.length;
      upload.hash = await hash128(upload.output);
    } else if (artifact !== undefined) {
      Object.assign(upload, {size: artifact.size, hash: {high: artifact.high, low: artifact.low}});
    } else {
      return this.#end(now, upload);
    }
    return this.#send(now, upload);
  }

  async #send(now, upload) {
    const {hash, from, link} = upload;
    Object.assign(upload, {sent: now, again: now + upload.pause});
    const data = this.#read(upload);
    const check = await partCheck(hash, from, data);
    if (!this.uploads.includes(upload) || upload.hash !== hash || upload.from !== from) return;
    this.send(link, messages.putPart(hash, upload.size, upload.attempt.run, from, check, data));
  }

  #read({output, outcome, file, from, size, pace}) {
    if (output !== null) return output.subarray(from, from + pace.bytes);
    const bytes = Buffer.alloc(Math.min(pace.bytes, size - from));
    let done = 0;
    for (let got = 1; got > 0 && done < bytes.length; done += got)
      got = fs.readSync(outcome.artifacts[file].fd, bytes, done, bytes.length - done, from + done);
    return bytes.subarray(0, done);  // where it is cut short, it is not what its hash says, and that is found out
  }

  // `taken`: {high, low, have, kept, damaged}
  taken(now, taken) {
    for (const upload of [...this.uploads]) {
      if (upload.active && upload.hash?.high === taken.high && upload.hash.low === taken.low) this.#taken(now, upload, taken);
    }
    this.#startNext(now);
  }

  // What is told of a part may come late, and twice: only what is news leads to the next. Less than was told before is
  // believed after a silence: what had come may have been lost meanwhile.
  #taken(now, upload, {have, kept, damaged}) {
    if (kept) {
      if (upload.output !== null) Object.assign(upload.outcome, {output: {...upload.hash, size: upload.size}});
      else close(upload.outcome.artifacts[upload.file++]);
      upload.output = null;
      this.#nextValue(now, upload);
      return;
    }
    if (damaged && ++upload.damages >= DAMAGES_MAX) {
      const what = upload.output !== null ? 'the output' : 'an artifact';
      upload.outcome.artifacts?.forEach(close);
      Object.assign(upload.outcome, {success: false, reason: REASON_INVALID_OUTPUT, output: null, traceback: '', artifacts: [],
        message: `${what} of ${upload.size} bytes could not be kept: it arrives damaged`});
      this.#end(now, upload);
      return;
    }
    const back = have < upload.from && upload.resent;
    if (!damaged && have <= upload.from && !back) return;
    upload.pace.came(now - upload.sent);
    Object.assign(upload, {from: Math.min(have, upload.size), pause: PART_AGAIN, resent: false});
    this.#send(now, upload);
  }

  #end(now, upload) {
    if (!this.uploads.includes(upload)) return;
    this.uploads.splice(this.uploads.indexOf(upload), 1);
    this.onDone(upload.attempt, upload.outcome);
    this.#startNext(now);
  }

  pass(now) {
    for (const upload of this.uploads) {
      if (upload.again > now || upload.hash === null) continue;
      Object.assign(upload, {pause: Math.min(upload.pause * 2, PART_AGAIN_MAX), resent: true});
      const links = [...this.links];
      if (links.length > 0) upload.link = links[(links.indexOf(upload.link) + 1) % links.length];  // another, if there is one
      this.#send(now, upload);
    }
  }

  nextDeadline() {
    return Math.min(NEVER, ...this.uploads.map((upload) => upload.again));
  }
}

function close(artifact) {
  if (artifact.fd !== null) fs.closeSync(artifact.fd);
  artifact.fd = null;
}

module.exports = {PART_AGAIN, Uploads};
