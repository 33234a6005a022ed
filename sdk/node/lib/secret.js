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

const LETTERS = new Map([...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'].map((letter, i) => [letter, i]));
LETTERS.set('-', 62).set('_', 63);

// Base64 shares its first and last letter with what stands before and after a secret: only some bits of them are its; the
// free ones may be anything.
class Word {
  constructor(text, headBits = 0, tailBits = 0) {
    const core = text.slice(headBits > 0 ? 1 : 0, text.length - (tailBits > 0 ? 1 : 0));
    Object.assign(this, {text, headBits, tailBits, core});
  }

  fits(at, letter) {
    let bits = 0x3F;
    if (at === 0) bits &= 0x3F >> this.headBits;
    if (at === this.text.length - 1) bits &= 0x3F << this.tailBits;
    if (bits === 0x3F) return this.text[at] === letter;
    return LETTERS.has(letter) && ((LETTERS.get(this.text[at]) ^ LETTERS.get(letter)) & bits) === 0;
  }

  beginsAtEndOf(text, length) {
    let at = 0;
    while (at < length && this.fits(at, text[text.length - length + at])) ++at;
    return at === length;
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
    const words = new Map();
    const put = (...word) => words.set(word.join('\0'), new Word(...word));
    for (const {text, headBits, tailBits} of this.words) put(text, headBits, tailBits);
    for (const form of [secret, JSON.stringify(secret).slice(1, -1), encodeURIComponent(secret),
      encodeURIComponent(secret).replaceAll('%20', '+')])
      if (form !== '') put(form, 0, 0);
    const raw = Buffer.from(secret);
    for (let shift = 0; shift < 3 && raw.length >= 6; ++shift) {  // of a longer text, base64 shows a secret in three ways
      for (const encoding of ['base64', 'base64url']) {
        const encoded = Buffer.concat([Buffer.alloc(shift, 'x'), raw]).toString(encoding).replace(/=+$/, '');
        put(encoded.slice(shift), 2 * shift, [0, 4, 2][(shift + raw.length) % 3]);
      }
    }
    this.words = [...words.values()].sort((a, b) => b.text.length - a.text.length);
  }

  // `more`: may come, and with it the letter that a word shares with what follows.
  text(whole, more = false) {
    let text = whole;
    for (const word of this.words) {
      for (let at = text.indexOf(word.core); at >= 0; at = text.indexOf(word.core, at + 3)) {
        let end = at + word.core.length;
        if (more && word.tailBits > 0 && end === text.length) break;
        if (word.tailBits > 0 && end < text.length && word.fits(word.text.length - 1, text[end])) ++end;
        if (word.headBits > 0 && at > 0 && word.fits(0, text[at - 1])) --at;
        text = text.slice(0, at) + '***' + text.slice(end);
      }
    }
    return text;
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
    const text = this.text((this.held.get(which) ?? '') + piece, true);
    let keep = 0;
    for (const word of this.words)
      for (let length = Math.min(word.text.length - 1, text.length); length > keep; --length)
        if (word.beginsAtEndOf(text, length)) keep = length;
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
