'use strict';
// List references: a value of which only what it is put together from is stored under its name. A port of
// common/model/composed.h: the output of a large fan-out is pieces in order, each a stored array, a stored element, or a
// few elements as text; an object may hold such lists. Keys are those of wire.js; `find(key)` gives stored bytes or
// undefined.
//
// Promises: whole() is a list whose length is what its name says. Fails: ListError, which says what is wrong.
const {parse} = require('./values');
const {referenceKey} = require('./wire');

const [MARK, LIST, VALUE] = ['#millrace ', '#millrace list 1\n', '#millrace value 1\n'];
const PIECES_MAX = 256 * 1024;
const WHOLE_MAX = 256 * 1024 * 1024;
const AT_ONCE = 16;  // pieces that are asked for at once: each of them is about a megabyte

class ListError extends Error {}

function isComposed(stored) {
  return stored.subarray(0, MARK.length).toString('latin1') === MARK;
}

function referenceOf(name) {
  if (!/^[0-9a-f]{32}$/.test(name)) throw new ListError('a list reference names a piece that has no name');
  return {high: BigInt('0x' + name.slice(0, 16)), low: BigInt('0x' + name.slice(16)), size: 0};
}

// {isList, count: how many elements, pieces: [{kind, text or reference, count}]}.
function read(stored) {
  const text = stored.toString('utf8');
  const isList = text.startsWith(LIST);
  if (!isList && !text.startsWith(VALUE)) throw new ListError('a list reference is of a version that is not known here');
  const damaged = () => new ListError('a list reference cannot be read: it is damaged');
  let head = null;
  try {
    head = JSON.parse(text.slice((isList ? LIST : VALUE).length));
  } catch {
    throw damaged();
  }
  const kinds = isList ? ['text', 'items', 'item'] : ['text', 'value'];
  const isPiece = (one) => Array.isArray(one) && kinds.includes(one[0]) && typeof one[1] === 'string' && Number.isInteger(one[2]);
  if (!Array.isArray(head?.pieces) || head.pieces.length > PIECES_MAX || !head.pieces.every(isPiece)) throw damaged();
  const pieces = head.pieces.map(([kind, name, count]) => (
    kind === 'text' ? {kind, text: name, count} : {kind, reference: referenceOf(name), count}));
  const count = isList ? head.count : 0;
  if (!Number.isInteger(head.bytes) || pieces.reduce((sum, one) => sum + one.count, 0) !== count) throw damaged();
  if (head.bytes > WHOLE_MAX) {
    throw new ListError(`a list is ${head.bytes} bytes of JSON, and is read whole here: at most ${WHOLE_MAX} are; let a node ` +
      'before this one take from it what is needed (`value`, or a python node)');
  }
  return {isList, count, pieces};
}

// References of pieces that have to be here first; some of them, where they are many. None of what cannot be read.
function missingOf(stored, find, most = AT_ONCE) {
  const out = new Map();
  try {
    for (const {kind, reference} of read(stored).pieces) {
      if (out.size >= most) break;
      if (kind === 'text') continue;
      const piece = find(referenceKey(reference));
      if (piece === undefined) out.set(referenceKey(reference), reference);
      else if (kind === 'value' && isComposed(piece)) {
        for (const one of missingOf(piece, find, most - out.size)) out.set(referenceKey(one), one);
      }
    }
  } catch (error) {
    if (error instanceof ListError) return [];  // whole() says it
    throw error;
  }
  return [...out.values()];
}

function textOf(kind, piece) {
  if (kind !== 'items') return piece;
  const text = piece.trim();
  if (!text.startsWith('[') || !text.endsWith(']')) throw new ListError('a piece of a list reference is no list');
  return text.slice(1, -1);
}

function putTogether(stored, find, inside = false) {
  const {isList, pieces} = read(stored);
  if (inside && !isList) throw new ListError('a list reference cannot be read: one stands where none may');
  const texts = pieces.map(({kind, text, reference}) => {
    if (kind === 'text') return text;
    const piece = find(referenceKey(reference));
    if (piece === undefined) throw new ListError('a piece of a list reference is not here');
    return kind === 'value' && isComposed(piece) ? putTogether(piece, find, true) : textOf(kind, piece.toString('utf8'));
  });
  return isList ? `[${texts.join(',')}]` : texts.join('');
}

// What it stands for.
function whole(stored, find) {
  const {isList, count} = read(stored);
  const value = parse(putTogether(stored, find));
  if (isList && (!Array.isArray(value) || value.length !== count))
    throw new ListError(`a list reference names ${count} elements, and its pieces have others`);
  return value;
}

module.exports = {ListError, isComposed, missingOf, whole};
