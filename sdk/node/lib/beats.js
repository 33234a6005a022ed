'use strict';
// Beats: the heartbeats, from a thread of their own over connections of their own, so that they never queue behind bulk
// data nor wait for a task that keeps the event loop.
const {Worker, isMainThread, parentPort, workerData} = require('node:worker_threads');

const BEAT_EVERY = 1000;

if (isMainThread || !workerData?.millraceBeats) {
  // `onHello(link)` is called when a coordinator wants a Hello.
  class Beats {
    constructor(curve, incarnation, onHello) {
      this.load = new Int32Array(new SharedArrayBuffer(8));  // running, queued
      this.thread = new Worker(__filename, {workerData: {millraceBeats: true, curve, incarnation, load: this.load}});
      this.thread.on('message', onHello);
      this.thread.on('error', (error) => {
        throw error;
      });
    }

    open(link, endpoint) {
      this.thread.postMessage({link, endpoint});
    }

    close(link) {
      this.thread.postMessage({link});
    }

    tell(running, queued) {
      Atomics.store(this.load, 0, running);
      Atomics.store(this.load, 1, queued);
    }

    // The thread ends by itself: ended from outside, its sockets would not be closed.
    stop() {
      const gone = new Promise((resolve) => this.thread.once('exit', resolve));
      this.thread.postMessage({stop: true});
      return gone;
    }
  }
  module.exports = {Beats};
} else {
  const {dealer} = require('./links');
  const wire = require('./wire');
  const {curve, incarnation, load} = workerData;
  const lines = new Map();  // link -> {socket, sending}

  const listen = async (link, line) => {
    try {
      for await (const parts of line.socket) {
        try {
          const [kind] = wire.decode(wire.openFrame(parts), new Map());
          if (kind === 'say_hello' || kind === 'refused') parentPort.postMessage(link);
        } catch (error) {
          if (!(error instanceof wire.WireError)) throw error;
        }
      }
    } catch {}  // closed
  };

  const beat = (line) => {
    if (line.sending) return;  // older ones say nothing new
    line.sending = true;
    const body = wire.messages.beat(incarnation, Atomics.load(load, 0), Atomics.load(load, 1));
    line.socket.send([wire.ENVELOPE, body]).catch(() => {}).finally(() => (line.sending = false));
  };

  parentPort.on('message', ({stop, link, endpoint}) => {
    if (stop) {
      clearInterval(timer);
      for (const line of lines.values()) line.socket.close();
      return parentPort.close();
    }
    lines.get(link)?.socket.close();
    lines.delete(link);
    if (endpoint === undefined) return;
    const line = {socket: dealer(endpoint, curve, 4), sending: false};
    lines.set(link, line);
    listen(link, line);
    beat(line);
  });
  const timer = setInterval(() => lines.forEach(beat), BEAT_EVERY);
}
