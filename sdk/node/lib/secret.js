'use strict';
// Secrets: where they are found, and how they are kept out of what a task says.
const fs = require('node:fs');
const path = require('node:path');
const {dump, parse} = require('./values');

const NAME = /^[A-Za-z_][A-Za-z0-9_]{0,63}$/;
const SECRET_MAX = 64 * 1024;
const PREFIX = 'MILLRACE_SECRET_';

class SecretError extends Error {}

// From the variable MILLRACE_SECRET_<NAME>, else a file <NAME> of one of the directories, else the encrypted file; read anew
// each time.
class Secrets {
  constructor(directories = []) {
    Object.assign(this, {directories, file: null});  // file: a SecretFile
  }

  find(name) {
    if (!NAME.test(name)) throw new SecretError(`the secret '${name.slice(0, 64)}' has a name that no secret can have`);
    let value = process.env[PREFIX + name];
    const looked = [PREFIX + name];
    for (const directory of value === undefined ? this.directories : []) {
      const file = path.join(directory, name);
      looked.push(file);
      try {
        value = fs.readFileSync(file, 'utf8').replace(/\n$/, '');
        break;
      } catch (error) {
        if (error.code !== 'ENOENT' && error.code !== 'ENOTDIR')
          throw new SecretError(`the secret '${name}' cannot be read from ${file}: ${error.code}`);
      }
    }
    if (value === undefined && this.file !== null) {
      looked.push(this.file.file);
      value = this.file.find(name);
    }
    if (value === undefined)
      throw new SecretError(`the secret '${name}' is not known to this worker (looked for: ${looked.join(', ')})`);
    if (value === '' || value.length > SECRET_MAX || value.includes('\0'))
      throw new SecretError(`the secret '${name}' is empty, too long or no text`);
    return value;
  }
}

// Every occurrence of a secret, as it is, JSON-quoted, percent-encoded or base64-encoded, becomes `***`. A stream is
// masked across the borders of its pieces: what may begin a secret is held back until the next piece or flush().
class Mask {
  constructor() {
    this.words = [];
    this.held = new Map();
  }

  add(secret) {
    const forms = new Set([...this.words, secret, JSON.stringify(secret).slice(1, -1), encodeURIComponent(secret),
      encodeURIComponent(secret).replaceAll('%20', '+')]);
    const raw = Buffer.from(secret);
    for (let shift = 0; shift < 3 && raw.length >= 6; ++shift) {  // of a longer text, base64 shows a secret in three ways
      const begin = Math.floor((shift * 4 + 2) / 3);
      const whole = Math.floor((shift + raw.length) / 3) * 4;
      for (const encoding of ['base64', 'base64url'])
        forms.add(Buffer.concat([Buffer.alloc(shift, 'x'), raw]).toString(encoding).slice(begin, whole));
    }
    this.words = [...forms].filter(Boolean).sort((a, b) => b.length - a.length);
  }

  text(text) {
    return this.words.reduce((out, word) => out.replaceAll(word, '***'), text);
  }

  value(value) {
    if (typeof value === 'string') return this.text(value);
    if (Array.isArray(value)) return value.map((one) => this.value(one));
    if (value instanceof Map) return new Map([...value].map(([key, one]) => [this.text(key), this.value(one)]));
    if (value === null || typeof value === 'boolean') return value;
    const shown = dump(value);
    return this.text(shown) === shown ? value : '***';
  }

  json(text) {
    return dump(this.value(parse(text)));
  }

  stream(which, piece) {
    const text = this.text((this.held.get(which) ?? '') + piece);
    let keep = 0;
    for (const word of this.words)
      for (let length = Math.min(word.length - 1, text.length); length > keep; --length)
        if (text.endsWith(word.slice(0, length))) keep = length;
    this.held.set(which, text.slice(text.length - keep));
    return text.slice(0, text.length - keep);
  }

  flush(which) {
    const rest = this.held.get(which) ?? '';
    this.held.delete(which);
    return this.text(rest);
  }
}

module.exports = {Mask, SecretError, Secrets};
