'use strict';

const { BY_NAME, BY_NUMBER } = require('./protocol/error_codes');

/**
 * Everything that can go wrong.
 *
 * `code` is the name of a code of the protocol (`NO_WORKER`), or one of this client's own: `ADDRESS`,
 * `CONNECT`, `DEADLINE`, `PROTOCOL`, `CLOSED`, `RECONNECT_GAVE_UP`, `ALREADY_SETTLED`, `ALREADY_REPLIED`.
 * `number` is the code's number on the wire, 0 for those of this client. `retryable`: the same call,
 * unchanged, may succeed later; `retryAfterMs`: wait at least so long.
 */
class VerteiltError extends Error {
  constructor(code, message, details = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.number = details.number ?? BY_NAME.get(code)?.number ?? 0;
    this.retryable = details.retryable ?? BY_NAME.get(code)?.retryable ?? false;
    this.retryAfterMs = details.retryAfterMs ?? 0;
  }
}
VerteiltError.prototype.name = 'VerteiltError';

/** The peer does not keep the protocol: the connection is given up. */
class ProtocolError extends VerteiltError {
  constructor(reason) {
    super('PROTOCOL', `the peer broke the protocol: ${reason}; check that it is a Verteilt broker, report it`);
  }
}
ProtocolError.prototype.name = 'ProtocolError';

/** A refusal of the broker, by its number; a code that this client does not know goes by `retryable`. */
function refused(number, message = '', details = {}) {
  const code = BY_NUMBER.get(number);
  const name = code === undefined ? `UNKNOWN_${number}` : code.name;
  const text = message === '' ? code?.hint ?? 'no reason was given' : message;
  const hint = code === undefined || text === code.hint ? '' : ` ${code.hint}`;
  return new VerteiltError(name, `${name}: ${text}${/[.!]$/.test(text) || hint === '' ? '' : '.'}${hint}`, {
    ...details,
    number,
    retryable: code === undefined ? details.retryable ?? false : code.retryable,
  });
}

/** The meaning of an ERROR frame. */
function fromErrorFrame(message) {
  const { retryable, retryAfterMs } = message;
  return refused(message.code, message.message, { retryable, retryAfterMs: Number(retryAfterMs) });
}

/** An argument that the broker would refuse. */
function badArgument(reason) {
  return new VerteiltError('BAD_ARGUMENT', `${reason}; correct the call`);
}

function closed() {
  return new VerteiltError('CLOSED', 'the client is closed; make a new one');
}

function deadline(what, limitMs) {
  const text = `no answer to ${what} within ${Math.round(limitMs)} ms; whether it took effect is unknown. ` +
    "Look at the events of the connection and at the broker's load, or allow more time";
  return new VerteiltError('DEADLINE', text, { retryable: true });
}

/** Why an `AbortSignal` ended a call. */
function abortReason(signal) {
  return signal.reason ?? new DOMException('This operation was aborted', 'AbortError');
}

module.exports = {
  VerteiltError, ProtocolError, refused, fromErrorFrame, badArgument, closed, deadline, abortReason,
};
