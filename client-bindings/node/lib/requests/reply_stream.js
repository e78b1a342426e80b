'use strict';

const { HeaderBlock } = require('../headers');
const { Outlet } = require('./outlet');
const { PART_BYTES, REPLY_CREDIT_BYTES, HEADER_BYTES_MAX } = require('../protocol/limits');

/** Names, in an answer that the handler did not make, what happened to it. */
const ERROR_HEADER = 'verteilt-error';
const REPLYING = 1;

/**
 * An answer that is written piece by piece. What is written in the same turn of the event loop leaves
 * with the head, in one frame.
 */
class ReplyStream {
  #outlet;
  #request;
  #begun = false;

  constructor(request, status, headers) {
    const { ledger } = request;
    const block = headers === undefined || headers === null ? undefined : HeaderBlock.from(headers);
    const outlet = new Outlet((bytes, more, broken) => ledger.replyPart(request, bytes, more, broken), REPLY_CREDIT_BYTES);
    this.#outlet = outlet;
    this.#request = request;
    if (request.error) {
      outlet.close();
      return;
    }
    request.state = REPLYING;
    request.outlet = outlet;
    outlet.hold();
    ledger.beforeWrite(() => {
      if (outlet.closed) return;
      this.#begun = true;
      const { first, more } = outlet.release(PART_BYTES - HEADER_BYTES_MAX);
      const body = first.length === 1 ? first[0] : first.length === 0 ? undefined : Buffer.concat(first);
      try {
        ledger.replyHead(request, status, block, body, more);
        outlet.pump();
      } catch (error) {
        outlet.close(false);
        this.#failed();
        request.serving.options.onError(error, request);
      }
    });
  }

  /** Whether another piece would leave at once. */
  get writable() {
    return this.#outlet.writable;
  }

  /** Nobody takes more, or the end was sent. */
  get closed() {
    return this.#outlet.closed;
  }

  /** The next piece. Resolves when there is room for another: true, or false if nobody wants more. */
  write(chunk) {
    return this.#outlet.write(chunk);
  }

  /** Resolves when there is room: true, or false if nobody wants more. */
  ready() {
    return this.#outlet.ready();
  }

  /** The end, with a last piece. Resolves when all is sent: true, or false if nobody wanted it. */
  end(chunk) {
    return this.#outlet.end(chunk);
  }

  /** The body breaks off: its reader is told that it is not whole, or gets status 500 in its place. */
  fail() {
    if (this.#begun) {
      this.#outlet.fail();
    } else if (!this.closed) {
      this.#outlet.close();
      this.#failed();
    }
  }

  #failed() {
    this.#request.ledger.replyHead(this.#request, 500, { [ERROR_HEADER]: 'handler failed' }, undefined, false);
  }
}

module.exports = { ReplyStream, ERROR_HEADER };
