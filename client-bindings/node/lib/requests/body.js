'use strict';

const { EMPTY } = require('../protocol/reader');

/** A body on its way in: `for await` gives its pieces, `bytes`, `text` and `json` the whole. */
class Body {
  #first;
  #inlet;
  #cancel;

  /** @param inlet null: `first` is all @param cancel called when nobody reads on */
  constructor(first, inlet, cancel) {
    this.#first = first;
    this.#inlet = inlet;
    this.#cancel = cancel;
    /** Something of it was read. */
    this.begun = false;
  }

  /** The next piece, null at the end. Rejects when the body breaks off. */
  read() {
    const first = this.#first;
    this.#first = EMPTY;
    this.begun = true;
    if (first.length > 0) return Promise.resolve(first);
    return this.#inlet === null ? Promise.resolve(null) : this.#inlet.read();
  }

  /** Nothing more of it is wanted: a response that still streams is cancelled. */
  cancel() {
    this.#first = EMPTY;
    if (this.#inlet !== null && !this.#inlet.ended) this.#cancel?.();
  }

  async *[Symbol.asyncIterator]() {
    let ended = false;
    try {
      for (let chunk = await this.read(); chunk !== null; chunk = await this.read()) yield chunk;
      ended = true;
    } finally {
      if (!ended) this.cancel();
    }
  }

  /** All of it, or what is left. */
  async bytes() {
    const chunks = [];
    for (let chunk = await this.read(); chunk !== null; chunk = await this.read()) chunks.push(chunk);
    return chunks.length === 1 ? chunks[0] : Buffer.concat(chunks);
  }

  async text() {
    return (await this.bytes()).toString('utf8');
  }

  async json() {
    return JSON.parse(await this.text());
  }
}

module.exports = { Body };
