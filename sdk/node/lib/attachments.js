'use strict';
// Attachments: the files that one task hands over, until they are sent away. Their bytes stand in files without a name in
// the temporary directory, not in memory. A port of worker/shell/attachments.cc. Fails: AttachmentError that says what is
// wrong, for the task's author; the file it is about is forgotten.
const crypto = require('node:crypto');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const {sum128} = require('./hashes');

const [ARTIFACTS_MAX, ARTIFACT_MAX, TOGETHER_MAX] = [64, 256 * 1024 * 1024, 1024 * 1024 * 1024];
const [NAME_MAX, TYPE_MAX] = [200, 100];
const PIECE = 1024 * 1024;

class AttachmentError extends Error {}

function nameProblem(name) {
  const bytes = Buffer.byteLength(name);
  if (bytes === 0 || bytes > NAME_MAX) return `the name of an artifact has 1 to ${NAME_MAX} bytes`;
  if (name === '.' || name === '..') return `an artifact cannot be named "${name}"`;
  if (/[/\\]/.test(name)) return 'the name of an artifact is that of a file, without a path';
  if (/[\u0000-\u001f\u007f]/.test(name)) return 'the name of an artifact has no control characters';
  return Buffer.from(name).toString() === name ? '' : 'the name of an artifact is UTF-8';
}

function typeProblem(type) {
  if (type.length > TYPE_MAX) return `the content type of an artifact has at most ${TYPE_MAX} bytes`;
  return /^[\u0020-\u007e]*$/.test(type) ? '' : 'the content type of an artifact is ASCII, like text/plain';
}

// A descriptor of a file without a name.
function nameless() {
  const file = path.join(os.tmpdir(), 'millrace-artifact-' + crypto.randomBytes(10).toString('hex'));
  const fd = fs.openSync(file, 'wx+', 0o600);
  fs.unlinkSync(file);
  return fd;
}

function writeAll(fd, bytes) {
  for (let at = 0; at < bytes.length;) at += fs.writeSync(fd, bytes, at);
}

// Each is {name, type, fd, high, low (of its content hash), size}; who takes them closes them.
class Attachments {
  #held = new Map();
  #taken = false;

  // The file at a path, or `data` (text, bytes, or a stream of bytes) under a name.
  async add(pathOrName, data, {name = path.basename(String(pathOrName)), contentType} = {}) {
    const type = contentType ?? (typeof data === 'string' ? 'text/plain' : '');
    const problem = nameProblem(String(name)) || typeProblem(String(type));
    if (problem !== '') throw new AttachmentError(problem);
    if (!this.#held.has(name) && this.#held.size >= ARTIFACTS_MAX)
      throw new AttachmentError(`a task hands over at most ${ARTIFACTS_MAX} artifacts`);
    let source = [];
    if (data === undefined || data === null) source = fs.createReadStream(pathOrName, {highWaterMark: PIECE});
    else if (typeof data === 'string' || ArrayBuffer.isView(data)) source = [data];
    else source = data;
    const kept = await this.#keep(String(name), source);
    const known = this.#held.get(name);
    if (this.#taken || (known === undefined && this.#held.size >= ARTIFACTS_MAX)) {
      fs.closeSync(kept.fd);
      throw new AttachmentError(this.#taken ? 'the task has ended' : `a task hands over at most ${ARTIFACTS_MAX} artifacts`);
    }
    if (known !== undefined) fs.closeSync(known.fd);
    this.#held.set(name, {name: String(name), type: String(type), ...kept});
  }

  async #keep(name, source) {
    const sum = await sum128();
    const fd = nameless();
    let size = 0;
    try {
      for await (const piece of source) {
        const bytes = typeof piece === 'string' ? Buffer.from(piece) : new Uint8Array(piece.buffer, piece.byteOffset, piece.byteLength);
        size += bytes.length;
        const others = [...this.#held.values()].reduce((all, one) => all + (one.name === name ? 0 : one.size), 0);
        if (size > ARTIFACT_MAX) throw new AttachmentError(`the artifact '${name}' is larger than ${ARTIFACT_MAX >> 20} MiB`);
        if (others + size > TOGETHER_MAX)
          throw new AttachmentError(`the artifacts of the task are larger than ${TOGETHER_MAX / 2 ** 20} MiB together`);
        writeAll(fd, bytes);
        sum.update(bytes);
      }
    } catch (error) {
      fs.closeSync(fd);
      throw error;
    }
    return {fd, size, ...sum.pair()};
  }

  // By name. Nothing is taken in any more.
  take() {
    const taken = [...this.#held.values()].sort((a, b) => Buffer.compare(Buffer.from(a.name), Buffer.from(b.name)));
    this.#held.clear();
    this.#taken = true;
    return taken;
  }

  forget() {
    for (const {fd} of this.take()) fs.closeSync(fd);
  }
}

module.exports = {AttachmentError, Attachments};
