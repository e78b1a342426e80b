'use strict';

const { STREAM_PART_BYTES } = require('../protocol/limits');
const { badArgument } = require('../errors');

/** Where the parts of a body leave, as far as its receiver has asked for them. */
class Outlet {
  #send;
  #credit;
  #queue = [];
  #waiting = [];
  #ending = false;
  #held = false;

  /** @param send called with (bytes, more, broken) */
  constructor(send, credit) {
    this.#send = send;
    this.#credit = credit;
    /** Nobody wants more, or all was sent. */
    this.closed = false;
  }

  /** Whether a piece would leave at once. */
  get writable() {
    return !this.closed && !this.#ending && this.#queue.length === 0 && this.#credit > 0;
  }

  /** Keeps everything here until `release`. */
  hold() {
    this.#held = true;
  }

  /**
   * Gives what waits for the first frame, which needs no credit, and lets the rest go.
   * @returns {{ first: Uint8Array[], more: boolean }}
   */
  release(most) {
    this.#held = false;
    const first = [];
    let room = most;
    while (this.#queue.length > 0 && room > 0) {
      const chunk = this.#queue[0];
      if (chunk.length > room) {
        first.push(chunk.subarray(0, room));
        this.#queue[0] = chunk.subarray(room);
        break;
      }
      room -= chunk.length;
      first.push(this.#queue.shift());
    }
    const more = this.#queue.length > 0 || !this.#ending;
    if (!more) this.close();
    return { first, more };
  }

  /** The receiver takes more. */
  grant(bytes) {
    this.#credit += bytes;
    this.pump();
  }

  /**
   * The next piece. Resolves when there is room for another: true, or false if nobody wants more.
   * The bytes must not be changed until then.
   */
  write(chunk) {
    if (this.closed) return Promise.resolve(false);
    if (this.#ending) throw badArgument('nothing is written behind the end of a body');
    const bytes = toBytes(chunk);
    if (bytes.length > 0) this.#queue.push(bytes);
    this.pump();
    return this.ready();
  }

  /** Resolves when `writable` is true, or with false when nobody wants more. */
  ready() {
    if (this.closed) return Promise.resolve(false);
    if (this.writable) return Promise.resolve(true);
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** The last piece. Resolves when all has been sent: true, or false if nobody wanted it. */
  end(chunk) {
    if (this.closed || this.#ending) return Promise.resolve(false);
    if (chunk !== undefined && chunk !== null) {
      const bytes = toBytes(chunk);
      if (bytes.length > 0) this.#queue.push(bytes);
    }
    this.#ending = true;
    const sent = new Promise((resolve) => {
      this.onSent = resolve;
    });
    this.pump();
    return sent;
  }

  /** The body breaks off here. */
  fail() {
    if (this.closed) return;
    this.#queue = [];
    this.close();
    this.#send(undefined, false, true);
  }

  pump() {
    if (this.#held) return;
    const queue = this.#queue;
    while (!this.closed && queue.length > 0 && this.#credit > 0) {
      const head = queue[0];
      const bytes = Math.min(head.length, this.#credit, STREAM_PART_BYTES);
      this.#credit -= bytes;
      let part = head;
      if (bytes < head.length) {
        part = head.subarray(0, bytes);
        queue[0] = head.subarray(bytes);
      } else {
        queue.shift();
      }
      const last = this.#ending && queue.length === 0;
      this.#send(part, !last, false);
      if (last) this.close(true);
    }
    if (!this.closed && this.#ending && queue.length === 0) {
      this.#send(undefined, false, false);
      this.close(true);
    }
    if (this.writable) for (const resolve of this.#waiting.splice(0)) resolve(true);
  }

  /** Nobody wants more, or (`sent`) all was sent. */
  close(sent = this.#ending && this.#queue.length === 0) {
    if (this.closed) return;
    this.closed = true;
    this.#queue = [];
    this.onSent?.(sent);
    for (const resolve of this.#waiting.splice(0)) resolve(false);
  }
}

/** Bytes or a string as bytes. */
function toBytes(chunk) {
  if (typeof chunk === 'string') return Buffer.from(chunk, 'utf8');
  if (chunk instanceof Uint8Array) return chunk;
  throw badArgument('a body is made of strings and bytes');
}

module.exports = { Outlet, toBytes };
