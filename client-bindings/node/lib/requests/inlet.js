'use strict';

/** Bytes that may be on their way or wait here while somebody reads. */
const WINDOW_BYTES = 256 * 1024;

/** Where the parts of a body arrive. Bounded by the credit that is granted from here: as much as is read. */
class Inlet {
  #grant;
  #parts = [];
  #waiting = 0;
  #granted;
  #ended = false;
  #error = null;
  #readers = [];

  /** @param grant called with bytes that may come @param credit what its sender begins with */
  constructor(grant, credit) {
    this.#grant = grant;
    this.#granted = credit;
    /** Something was asked for: it can no longer go elsewhere. */
    this.asked = false;
  }

  get ended() {
    return this.#ended;
  }

  /** The next bytes have come. */
  put(bytes, more) {
    if (this.#ended) return;
    this.#granted -= bytes.length;
    this.#ended = !more;
    if (bytes.length > 0) {
      const reader = this.#readers.shift();
      if (reader) {
        this.#ask();
        reader.resolve(bytes);
      } else {
        this.#waiting += bytes.length;
        this.#parts.push(bytes);
      }
    }
    if (this.#ended) this.#finish();
  }

  /** Nothing more comes, and what came is not the whole. */
  fail(error) {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = error;
    this.#finish();
  }

  #finish() {
    for (const { resolve, reject } of this.#readers.splice(0)) {
      if (this.#error) reject(this.#error);
      else resolve(null);
    }
  }

  /** The next piece, null at the end. */
  read() {
    const part = this.#parts.shift();
    if (part !== undefined) {
      this.#waiting -= part.length;
      this.#ask();
      return Promise.resolve(part);
    }
    if (this.#error) return Promise.reject(this.#error);
    if (this.#ended) return Promise.resolve(null);
    return new Promise((resolve, reject) => {
      this.#readers.push({ resolve, reject });
      this.#ask();
    });
  }

  #ask() {
    const underWay = this.#granted + this.#waiting;
    if (this.#ended || underWay > WINDOW_BYTES / 2) return;
    const bytes = WINDOW_BYTES - underWay;
    this.#granted += bytes;
    this.asked = true;
    this.#grant(bytes);
  }
}

module.exports = { Inlet };
