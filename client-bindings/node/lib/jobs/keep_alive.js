'use strict';

/** A lease is touched at a third of it, so that two touches may fail. One of no length: not without end. */
const PARTS = 3;
const EVERY_MS_MIN = 100;

/** Leases that are touched by themselves while their jobs run, those that are due together in one frame. */
class KeepAlive {
  #settles;
  #due = new Map();
  #timer = null;
  #at = Infinity;

  constructor(settles) {
    this.#settles = settles;
  }

  add(job) {
    const due = performance.now() + every(job);
    this.#due.set(job, due);
    this.#wake(due);
  }

  delete(job) {
    this.#due.delete(job);
  }

  /** After a reconnect: all of them, since some may end soon. */
  touchAll() {
    for (const job of this.#due.keys()) this.#due.set(job, 0);
    if (this.#due.size > 0) this.#wake(0);
  }

  clear() {
    clearTimeout(this.#timer);
    this.#due.clear();
  }

  #wake(due) {
    if (due >= this.#at) return;
    clearTimeout(this.#timer);
    this.#at = due;
    this.#timer = setTimeout(() => this.#touch(), Math.max(0, due - performance.now()));
    this.#timer.unref();
  }

  #touch() {
    this.#at = Infinity;
    const now = performance.now();
    let next = Infinity;
    for (const [job, due] of this.#due) {
      if (due <= now + every(job) / 2) {
        this.#due.set(job, now + every(job));
        // A lost lease has told its job; without a client there is nothing to keep.
        this.#settles.settle('touch', job, undefined).catch(() => {});
        next = Math.min(next, now + every(job));
      } else {
        next = Math.min(next, due);
      }
    }
    if (next < Infinity) this.#wake(next);
  }
}

function every(job) {
  return Math.max(EVERY_MS_MIN, job.leaseMs / PARTS);
}

module.exports = { KeepAlive };
