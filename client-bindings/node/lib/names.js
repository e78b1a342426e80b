'use strict';

const { VerteiltError, badArgument } = require('./errors');
const { LABEL_BYTES_MAX } = require('./protocol/limits');

const NAME = /^[a-z0-9][a-z0-9._-]{0,199}$/;

/** A name of a queue, topic, service, group or namespace. */
function checkName(name) {
  if (typeof name !== 'string' || !NAME.test(name)) {
    const text = `\`${name}\` is no name: 1 to 200 of a-z, 0-9, '.', '_', '-', the first a letter or a digit; ` +
      'choose another';
    throw new VerteiltError('BAD_NAME', text);
  }
}

/** A version, an endpoint, an instance. */
function checkLabel(label, what) {
  if (typeof label !== 'string') throw badArgument(`${what} is a string`);
  if (label.length > LABEL_BYTES_MAX / 4 && Buffer.byteLength(label) > LABEL_BYTES_MAX) {
    throw badArgument(`${what} has at most ${LABEL_BYTES_MAX} bytes`);
  }
}

/** A whole number between two bounds, `fallback` if it is not given. */
function checkNumber(value, what, least, most, fallback) {
  if (value === undefined || value === null) return fallback;
  if (!Number.isSafeInteger(value) || value < least || value > most) {
    throw badArgument(`${what} is a whole number from ${least} to ${most}, not ${value}`);
  }
  return value;
}

module.exports = { checkName, checkLabel, checkNumber };
