'use strict';
// Masks: no letter of base64 that a secret has a part in is shown, wherever it stands and however a stream is cut.
const assert = require('node:assert');
const test = require('node:test');

const {Mask} = require('../lib/secret');

function maskOf(...secrets) {
  const mask = new Mask();
  for (const secret of secrets) mask.add(secret);
  return mask;
}

const streamed = (mask, text) => [...text].map((c) => mask.stream('out', c)).join('') + mask.flush('out');

test('a secret is masked as it is and across pieces', () => {
  const mask = maskOf('hunter2', 'a b');
  assert.equal(mask.text('hunter2, hunter2hunter2; a%20b'), '***, ******; ***');
  assert.equal(streamed(mask, 'my hunter2 is hunted'), 'my *** is hunted');
});

test('base64 shows no letter that a secret has a part in', () => {
  for (const secret of ['s3cret/key', 's3cret/key+', 's3cret/key+1', '\u00ff~~?>\u00fb']) {
    const mask = maskOf(secret);
    for (const encoding of ['base64', 'base64url']) {
      for (const before of ['', 'u', 'us', 'ada', 'ada:']) {
        for (const after of ['', '@', '@h', '@host']) {
          const encoded = Buffer.from(before + secret + after).toString(encoding);
          const end = Math.floor((Buffer.byteLength(before + secret) * 8 + 5) / 6);
          const expected = encoded.slice(0, Math.floor(before.length * 8 / 6)) + '***' + encoded.slice(end);
          assert.equal(mask.text(encoded), expected);
          assert.equal(streamed(mask, encoded), expected);
        }
      }
    }
  }
});

test('base64 that is broken before its last letter is masked up to there', () => {
  const encoded = Buffer.from('s3cret/key').toString('base64');
  assert.equal(maskOf('s3cret/key').text(encoded.slice(0, -3) + '\n' + encoded.slice(-3)), '***\n' + encoded.slice(-3));
});
