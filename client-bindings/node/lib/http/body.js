'use strict';

/** The body of a request, read from the queue when the application reads it, and not before. */
class RequestBody {
  #request;
  #req;
  #first = true;
  #reading = false;
  #ended = false;
  /** Bytes that were read. */
  bytes = 0;

  /** @param req the IncomingMessage that shall have it */
  constructor(request, req) {
    this.#request = request;
    this.#req = req;
    req.complete = request.bodyEnded;
  }

  /** The application wants more. */
  pull() {
    if (this.#reading || this.#ended) return;
    const { firstChunk, bodyEnded } = this.#request;
    if (this.#first) {
      this.#first = false;
      if (firstChunk !== undefined && firstChunk.length > 0) this.#push(firstChunk);
      if (bodyEnded) this.#end();
      if (bodyEnded || this.bytes > 0) return;
    }
    this.#reading = true;
    this.#request.read().then(
      (chunk) => {
        this.#reading = false;
        if (this.#ended) return;
        if (chunk === null) this.#end();
        else this.#push(chunk);
      },
      (error) => {
        this.#reading = false;
        if (!this.#ended) this.#req.destroy(aborted(error));
      },
    );
  }

  /** Nobody will read what is left. */
  drop() {
    if (this.#ended) return;
    this.#ended = true;
    const req = this.#req;
    req.complete = true;
    req._dump();
    req.push(null);
  }

  #push(chunk) {
    this.bytes += chunk.length;
    this.#req.socket.touch();
    this.#req.push(chunk);
  }

  #end() {
    this.#ended = true;
    this.#req.complete = true;
    this.#req.push(null);
  }
}

/** What a server of `node:http` says when the client has gone. */
function aborted(cause) {
  return Object.assign(new Error('aborted', { cause }), { code: 'ECONNRESET' });
}

module.exports = { RequestBody, aborted };
