'use strict';

const { refused } = require('../errors');
const { answerHead } = require('./head');

const HEADERS_TOO_LARGE = 202;

const EMPTY = Buffer.alloc(0);
/** An answer of that size leaves in one frame, whatever its headers. */
const AT_ONCE_BYTES = 512 * 1024;

/**
 * What a ServerResponse writes, on its way to the queue. An answer that is there as a whole in the turn in
 * which it begins leaves as one frame; any other piece by piece, no faster than they are taken.
 */
class Reply {
  #request;
  #res;
  /** What the socket handed over and is not on its way. */
  #chunks = null;
  #accept = null;
  /** The stream of the answer, once its head has gone. */
  #out = null;
  #over = false;
  #settle;
  /** Why there is no answer. */
  failure = undefined;
  /** Bytes of the body that were written. */
  bytes = 0;

  constructor(request, res) {
    this.#request = request;
    this.#res = res;
    /** Resolves when the answer has gone or nobody wants it; rejects if the application failed. */
    this.over = new Promise((resolve, reject) => {
      this.#settle = (error) => (error === undefined ? resolve() : reject(error));
    });
  }

  /** Chunks as `_writev` has them; `accept` asks for those behind them. */
  write(chunks, accept) {
    this.#chunks = chunks;
    this.#accept = accept;
    // Until then the application may end the response, and it fits into one frame.
    process.nextTick(() => this.#flush());
  }

  /** The application has written everything; some of it may still be with the socket. */
  end() {
    if (this.#over || this.#out !== null) return;
    const held = this.#chunks === null ? 0 : length(this.#chunks);
    if (this.#res.socket.writableLength > held) return;
    const head = this.#head();
    if (head === null) return;
    const body = this.#take();
    const sent = this.#request.reply(head.status, head.headers, body);
    if (body.length <= AT_ONCE_BYTES) {
      this.#end();
      // As with a socket that takes it at once: `finish` comes in the next tick.
      process.nextTick(() => this.#accepted());
      return;
    }
    sent.then((taken) => {
      if (this.#over || !taken) return;
      this.#end();
      this.#accepted();
    });
  }

  /** Everything has been taken. */
  finish() {
    if (this.#over || !this.#start()) return;
    this.#out.end();
    this.#end();
  }

  /** Nobody waits for it any more. */
  cancelled(reason) {
    if (this.#over) return;
    this.failure = reason;
    this.#end();
    this.#res.socket?.destroy();
  }

  /** The socket is gone: the response will never be whole. */
  abandon(error) {
    if (this.#over) return;
    this.failure = error ?? new Error('the application destroyed the socket of the request');
    if (this.#out === null) {
      this.#end(this.failure);
    } else {
      this.#out.fail();
      this.#end();
    }
  }

  #flush() {
    if (this.#chunks === null || this.#over || !this.#start()) return;
    const body = this.#take();
    if (body.length === 0) {
      this.#accepted();
      return;
    }
    const written = this.#out.write(body);
    if (this.#out.writable) this.#accepted();
    // Without takers `cancelled` comes.
    else written.then((taken) => taken && this.#accepted());
  }

  /** Sends the head of a stream. */
  #start() {
    if (this.#out !== null) return true;
    const head = this.#head();
    if (head !== null) this.#out = this.#request.replyStart(head.status, head.headers);
    return head !== null;
  }

  /** Null if it cannot be sent: then the response has failed. */
  #head() {
    // Where it goes beyond ASCII, a response writes its head as its first piece of text.
    const first = this.#chunks?.[0];
    const encoding = typeof first?.chunk === 'string' && first.encoding === 'utf8' ? 'utf8' : 'latin1';
    const head = answerHead(this.#res._header, encoding);
    if (head === null) this.#res.socket.destroy(refused(HEADERS_TOO_LARGE));
    return head;
  }

  #accepted() {
    const accept = this.#accept;
    this.#accept = null;
    accept?.();
  }

  #take() {
    const chunks = this.#chunks;
    this.#chunks = null;
    if (chunks === null) return EMPTY;
    const body = join(chunks);
    this.bytes += body.length;
    this.#res.socket.touch();
    return body;
  }

  #end(error) {
    this.#over = true;
    this.#settle(error);
  }
}

/** As `writableLength` counts: strings in characters. */
function length(chunks) {
  let length = 0;
  for (const { chunk } of chunks) length += chunk.length;
  return length;
}

function join(chunks) {
  let only = EMPTY;
  let more = null;
  for (const { chunk, encoding } of chunks) {
    if (chunk.length === 0) continue;
    const bytes = typeof chunk === 'string' ? Buffer.from(chunk, encoding) : chunk;
    if (more !== null) more.push(bytes);
    else if (only.length === 0) only = bytes;
    else more = [only, bytes];
  }
  return more === null ? only : Buffer.concat(more);
}

module.exports = { Reply };
