'use strict';

const { randomFillSync } = require('node:crypto');
const { ID_BYTES } = require('../protocol/limits');
const { badArgument } = require('../errors');

// An id is a string of 16 characters below 256, one for each byte: it is a key of a Map as it is.

const pool = Buffer.allocUnsafe(256 * ID_BYTES);
let left = 0;

/** A new one. */
function newId() {
  if (left === 0) {
    randomFillSync(pool);
    left = pool.length;
  }
  left -= ID_BYTES;
  return pool.latin1Slice(left, left + ID_BYTES);
}

/** As people write it: 32 hexadecimal digits. */
function idToHex(id) {
  return Buffer.from(id, 'latin1').toString('hex');
}

function idFromHex(hex) {
  if (typeof hex !== 'string' || !/^[0-9a-fA-F]{32}$/.test(hex)) throw badArgument('an id has 32 hexadecimal digits');
  return Buffer.from(hex, 'hex').latin1Slice();
}

function idToBytes(id) {
  return Buffer.from(id, 'latin1');
}

module.exports = { newId, idToHex, idFromHex, idToBytes };
