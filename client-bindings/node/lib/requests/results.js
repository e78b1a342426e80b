'use strict';

const { refused } = require('../errors');
const { checkNumber } = require('../names');
const { TYPE } = require('../protocol/frame_types');
const { copy } = require('../protocol/reader');
const { RESULT_WAIT_MS_MAX } = require('../protocol/limits');
const { ENUMS } = require('../protocol/schema');
const { HeaderBlock } = require('../headers');
const { Body } = require('./body');
const { Outgoing } = require('./caller');
const { idFromHex, idToBytes, idToHex } = require('./ids');

const { REPLIED, FAILED } = ENUMS.ResultState;

/** `Client.detach`: resolves when the request is on the broker's disk. */
function detach(driver, ledger, service, options) {
  return new Promise((resolve, reject) => {
    const { signal, ...request } = options;
    const outgoing = new Outgoing(ledger, service, { ...request, durability: 'disk' }, null, resolve, reject);
    const { version, endpoint, durability, deadline, parentId, fingerprint } = outgoing;
    // The header block stands before the body, and its length in the message.
    const payload = payloadOf(outgoing);
    const call = {
      what: 'the request', type: TYPE.REQUEST, name: 'Request', answer: TYPE.REQUEST_ACCEPTED, signal, payload: payload.bytes,
      message: {
        service, version, endpoint, durability, fingerprint, requestId: idToBytes(outgoing.id), headerLength: payload.headerLength,
        parentRequestId: parentId, detach: true, deadlineMs: Math.max(1, deadline - Date.now()),
      },
    };
    driver.call(call).then(({ known }) => resolve({ requestId: idToHex(outgoing.id), known }), reject);
  });
}

/** Header block and body in one. */
function payloadOf({ headers, first }) {
  const block = headers === undefined ? Buffer.alloc(0) : headers.toBytes();
  const body = first === undefined ? Buffer.alloc(0) : Buffer.from(first);
  return { headerLength: block.length, bytes: Buffer.concat([block, body]) };
}

/** `Client.result`: what came of a request of durability disk. */
function result(driver, requestId, { waitMs = 0, signal } = {}, requestTimeoutMs) {
  const message = {
    requestId: idToBytes(idFromHex(requestId)),
    waitMs: checkNumber(waitMs, 'waitMs', 0, RESULT_WAIT_MS_MAX, 0),
  };
  return driver.call({
    what: 'the result', type: TYPE.RESULT, name: 'ResultRequest', message, answer: TYPE.RESULT_REPLY, signal,
    timeoutMs: waitMs + requestTimeoutMs,
    onAnswer: (reply, buf, start, end) => {
      const leftMs = Number(reply.leftMs);
      if (reply.state === FAILED) {
        const error = refused(reply.code, reply.message);
        if (reply.service !== '') error.holder = { service: reply.service, version: '', instance: '' };
        return { requestId, state: 'failed', leftMs, error };
      }
      if (reply.state !== REPLIED) return { requestId, state: 'pending', leftMs };
      const body = start + reply.headerLength;
      const headers = HeaderBlock.fromBlock(buf.latin1Slice(start, body));
      return { requestId, state: 'replied', leftMs, status: reply.status, headers, body: new Body(copy(buf, body, end), null, null) };
    },
  });
}

module.exports = { detach, result };
