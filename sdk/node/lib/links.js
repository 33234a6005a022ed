'use strict';
// Links: the sockets to coordinators, and the keys they use. A Link carries messages; `onMessage(kind, value)` is called
// for each that comes, `onWake()` when something changed that the worker should look at.
const crypto = require('node:crypto');
const fs = require('node:fs');
const zmq = require('zeromq');
const wire = require('./wire');

const REOPEN_AFTER = 10_000;  // without an answer to a Hello
const OUTBOX_MAX = 64 * 1024 * 1024;
const OUTBOX_LOGS_MAX = 4 * 1024 * 1024;
const FAULTS = {'handshake:error:auth': 'the coordinator does not let our key in',
  'handshake:error:protocol': 'the coordinator speaks another security protocol, or its key is another',
  'handshake:error:other': 'the handshake failed'};

class KeyFileError extends Error {}

// {public, secret} of a file of `millrace keys generate`; a .pub file has no secret.
function readKeys(file) {
  let words = {};
  try {
    const lines = fs.readFileSync(file, 'utf8').split('\n').filter((line) => line.trim() !== '' && !line.startsWith('#'));
    words = Object.fromEntries(lines.map((line) => line.trim().split(/\s+/, 2)));
  } catch {}  // told below
  if (words['millrace-key'] !== '1' || !words.public)
    throw new KeyFileError(`${file}: not a key file; expected one of \`millrace keys generate\``);
  return words;
}

// Our keys, and that of the coordinators (a file or the key itself), as options of a socket.
function curveOptions(keyFile, server) {
  const ours = readKeys(keyFile);
  if (!ours.secret) throw new KeyFileError(`${keyFile}: it holds no secret key; expected the .key file, not the .pub file`);
  const isKey = /^[0-9a-zA-Z.\-:+=^!/*?&<>()[\]{}@%$#]{40}$/.test(server) && !fs.existsSync(server);
  return {curvePublicKey: ours.public, curveSecretKey: ours.secret, curveServerKey: isKey ? server : readKeys(server).public};
}

function dealer(endpoint, curve, highWaterMark) {
  const socket = new zmq.Dealer({routingId: 'n' + crypto.randomBytes(10).toString('hex'), linger: 500,
    sendHighWaterMark: highWaterMark, receiveHighWaterMark: 0, maxMessageSize: wire.FRAME_MAX, tcpKeepalive: 1, ...curve});
  socket.connect(endpoint);
  return socket;
}

class Link {
  constructor(endpoint, curve, {onMessage, onWake, log}) {
    Object.assign(this, {endpoint, curve, onMessage, onWake, log, fault: null});
    this.open();
  }

  open() {
    this.close();
    const socket = dealer(this.endpoint, this.curve, 256);
    Object.assign(this, {socket, specs: new Map(), outbox: [], outboxBytes: 0, outOfStep: false, helloSince: null});
    for (const [event, fault] of Object.entries(FAULTS)) {
      socket.events.on(event, () => {
        if (this.fault !== fault) this.log('warn', `${this.endpoint}: ${fault}`);
        this.fault = fault;
        this.onWake();
      });
    }
    socket.events.on('handshake', () => (this.fault = null));
    this.receive(socket);
  }

  close() {
    if (this.socket === undefined) return;
    this.socket.close();
    this.socket = undefined;
  }

  async receive(socket) {
    try {
      for await (const parts of socket) {
        if (socket !== this.socket) return;
        this.helloSince = null;
        try {
          this.onMessage(...wire.decode(wire.openFrame(parts), this.specs));
        } catch (error) {
          if (!(error instanceof wire.WireError)) throw error;
          if (!error.unknownSpec) this.log('warn', `message of ${this.endpoint} not understood: ${error.message}`);
          else this.outOfStep = true;
        }
        this.look();
      }
    } catch (error) {
      if (socket === this.socket) this.log('error', `${this.endpoint}: ${error.message}`);
    }
  }

  look() {
    if (this.outbox.length > 0 || !this.outOfStep) return;
    this.outOfStep = false;
    this.onMessage('say_hello', null);
  }

  send(now, body, {isHello = false, mayDrop = false} = {}) {
    if (isHello && this.helloSince === null) this.helloSince = now;
    if (body.length > wire.FRAME_MAX) return this.log('error', `a message of ${body.length} bytes is too large to send`);
    if (this.outbox.length > 0 && this.outboxBytes + body.length > (mayDrop ? OUTBOX_LOGS_MAX : OUTBOX_MAX)) {
      this.outOfStep = this.outOfStep || !mayDrop;
      return;
    }
    this.outbox.push(body);
    this.outboxBytes += body.length;
    if (this.outbox.length === 1) this.drained = this.drain(this.socket);
  }

  async drain(socket) {
    while (socket === this.socket && this.outbox.length > 0) {
      try {
        await socket.send([wire.ENVELOPE, this.outbox[0]]);
      } catch {
        return;  // closed
      }
      if (socket !== this.socket) return;
      this.outboxBytes -= this.outbox.shift().length;
    }
    this.look();
  }

  // True: it connects anew.
  pass(now) {
    if (this.helloSince === null || now < this.helloSince + REOPEN_AFTER) return false;
    this.log('warn', `coordinator ${this.endpoint} does not answer, connecting again`);
    this.open();
    return true;
  }
}

module.exports = {KeyFileError, Link, curveOptions, dealer};
