'use strict';
// SecretFile: the encrypted file of secrets that `millrace secret` writes, opened with its key file.
//
// What is changed on disk counts from the next find() on; while it cannot be read, a warning is logged once and what was
// read before counts. libsodium does the work. Fails: SecretFileError, which names the file and never what is in it.
const fs = require('node:fs');
const sodium = require('libsodium-wrappers');

const [HEAD, KEY_HEAD, VERSION] = ['millrace-secrets', 'millrace-secrets-key', '1'];
const [KEY_BYTES, NONCE, TAG, PADDING] = [32, 24, 16, 1024];
const [KEY_TEXT_MAX, TEXT_MAX] = [4096, (1024 * 1024 / 2) * 3];

class SecretFileError extends Error {}

function read(file, most) {
  let data;
  try {
    data = fs.readFileSync(file);
  } catch (error) {
    const way = error.code === 'ENOENT' ? '; `millrace secret init` makes a file of secrets and its key' : '';
    throw new SecretFileError(`${file}: ${error.code}${way}`);
  }
  if (data.length > most) throw new SecretFileError(`${file}: larger than such a file can be`);
  return data;
}

function fromBase64(text) {
  const letters = text.replace(/[\r\n]/g, '');
  return /^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(letters) ? Buffer.from(letters, 'base64') : null;
}

function readKey(file) {
  const exposed = fs.constants.S_IRWXO | fs.constants.S_IWGRP;
  if (((fs.statSync(file, {throwIfNoEntry: false})?.mode ?? 0) & exposed) !== 0)
    throw new SecretFileError(`${file}: the key of secrets is open to others on this machine: chmod 600 ${file}`);
  const lines = read(file, KEY_TEXT_MAX).toString('utf8').split('\n').map((line) => line.trim().split(/\s+/))
    .filter(([word]) => word !== '' && !word.startsWith('#'));
  const [first, second] = lines;
  const isKey = lines.length === 2 && first.length === 2 && first[0] === KEY_HEAD && first[1] === VERSION &&
    second.length === 2 && second[0] === 'key';
  const key = isKey ? fromBase64(second[1]) : null;
  if (key?.length !== KEY_BYTES)
    throw new SecretFileError(`${file}: not a key of secrets; expected a file of \`millrace secret init\``);
  return key;
}

const keyId = (key) => Buffer.from(sodium.crypto_generichash(32, key, KEY_HEAD)).toString('hex').slice(0, 16);

// A Map of values by name.
function readSecrets(file, keyFile) {
  const key = readKey(keyFile);
  const text = read(file, TEXT_MAX).toString('latin1');
  const end = text.includes('\n') ? text.indexOf('\n') : text.length;
  const head = text.slice(0, end);
  const words = head.trim().split(/\s+/);
  if (words.length !== 3 || words[0] !== HEAD)
    throw new SecretFileError(`${file}: not a file of secrets (\`millrace secret init\` makes one)`);
  if (words[1] !== VERSION)
    throw new SecretFileError(`${file}: written by a version of Millrace whose files of secrets are not known here`);
  if (words[2] !== keyId(key)) throw new SecretFileError(`${file}: its secrets are encrypted with another key: not ${keyId(key)}`);
  const sealed = fromBase64(text.slice(end));
  if (sealed === null || sealed.length < NONCE + TAG)
    throw new SecretFileError(`${file}: damaged: it is cut short or was changed by hand`);
  try {
    const plain = sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(null, sealed.subarray(NONCE), Buffer.from(head, 'latin1'),
      sealed.subarray(0, NONCE), key);
    return entries(Buffer.from(sodium.unpad(plain, PADDING)));
  } catch {
    throw new SecretFileError(`${file}: damaged: what it holds is not what was written`);
  }
}

// A number of entries; each: length and text of the name, when it was set, length and text of the value.
function entries(plain) {
  const found = new Map();
  let at = 4;
  const take = (size) => {
    if (size > plain.length - at) throw new RangeError('cut short');
    at += size;
    return plain.subarray(at - size, at);
  };
  for (let left = plain.readUInt32LE(0); left > 0; --left) {
    const name = take(take(1)[0]).toString();
    take(8);
    found.set(name, take(take(4).readUInt32LE(0)).toString());
  }
  if (at !== plain.length) throw new RangeError('more than it says');
  return found;
}

class SecretFile {
  #secrets;
  #marks;

  // A key file that is not named stands beside the file, as FILE.key.
  static async open(file, keyFile, log) {
    await sodium.ready;
    return new SecretFile(file, keyFile || file + '.key', log);
  }

  constructor(file, keyFile, log) {
    Object.assign(this, {file, keyFile, log});
    this.#marks = this.#look();
    this.#secrets = readSecrets(file, keyFile);
  }

  #look() {
    return [this.file, this.keyFile].map((file) => {
      const info = fs.statSync(file, {bigint: true, throwIfNoEntry: false});
      return info ? [info.dev, info.ino, info.size, info.mtimeNs].join(':') : '';
    }).join(' ');
  }

  // undefined: it is not there.
  find(name) {
    const marks = this.#look();
    if (marks !== this.#marks) {
      this.#marks = marks;
      try {
        this.#secrets = readSecrets(this.file, this.keyFile);
      } catch (error) {
        if (!(error instanceof SecretFileError)) throw error;
        this.log('warn', `the file of secrets cannot be read; what it held before counts: ${error.message}`);
      }
    }
    return this.#secrets.get(name);
  }
}

module.exports = {SecretFile, SecretFileError};
