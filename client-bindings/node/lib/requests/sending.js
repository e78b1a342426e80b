'use strict';

const { badArgument } = require('../errors');

/** Whether a body is to be sent as it is read. */
function isStream(body) {
  if (body === undefined || body === null || typeof body === 'string' || body instanceof Uint8Array) return false;
  if (typeof body[Symbol.asyncIterator] === 'function' || typeof body[Symbol.iterator] === 'function') return true;
  throw badArgument('a body is a string, bytes, or an iterable of them');
}

/** Sends what an iterable gives, no faster than it is taken; stops when nobody takes more. */
async function pump(iterable, outlet) {
  try {
    for await (const chunk of iterable) {
      if (!(await outlet.write(chunk))) return;
    }
    await outlet.end();
  } catch {
    // Whoever reads the body learns that it is not whole.
    outlet.fail();
  }
}

module.exports = { isStream, pump };
