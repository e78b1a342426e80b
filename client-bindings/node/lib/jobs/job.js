'use strict';

const { VerteiltError } = require('../errors');
const { HeaderBlock } = require('../headers');
const { checkNumber } = require('../names');
const { DELAY_MS_MAX, LEASE_MS_MAX } = require('../protocol/limits');

const HELD = 0;
const SETTLING = 1;
const OVER = 2;

/** A job that this client holds a lease on: settle it before the lease ends, or lengthen the lease. */
class Job {
  #ledger;
  #headers;
  #controller = null;
  #error = null;
  #state = HELD;

  constructor(ledger, queue, id, token, attempt, leaseMs, headers, body) {
    this.#ledger = ledger;
    this.#headers = headers;
    this.queue = queue;
    this.wireId = id;
    this.wireToken = token;
    this.attempt = attempt;
    this.leaseMs = leaseMs;
    this.body = body;
  }

  /** A decimal number, as a string: it may be above what a JavaScript number holds. */
  get id() {
    return String(this.wireId);
  }

  /** Grows with each lease: a fencing number for other systems. */
  get token() {
    return BigInt(this.wireToken);
  }

  get headers() {
    if (typeof this.#headers === 'string') this.#headers = HeaderBlock.fromBlock(this.#headers);
    return this.#headers;
  }

  text() {
    return this.body.toString('utf8');
  }

  json() {
    return JSON.parse(this.text());
  }

  /** Aborted with the typed error when the lease is lost. */
  get signal() {
    if (this.#controller === null) {
      this.#controller = new AbortController();
      if (this.#error) this.#controller.abort(this.#error);
    }
    return this.#controller.signal;
  }

  /** Whether it was acked, nacked or released, or its lease is lost. */
  get isSettled() {
    return this.#state !== HELD;
  }

  /** Done: it never runs again. Resolves when that is on the disk. */
  ack() {
    return this.#settle('ack');
  }

  /** Failed: it runs again after `delayMs`, or after the queue's backoff, unless its runs are used up. */
  nack({ delayMs } = {}) {
    return this.#settle('nack', delayMs, 'delayMs', 0, DELAY_MS_MAX);
  }

  /** Not begun: it goes back to its place, and the run does not count. */
  release() {
    return this.#settle('release');
  }

  /** Still at it: the lease lasts `leaseMs` from now, or its own length. */
  async touch(leaseMs) {
    checkNumber(leaseMs, 'leaseMs', 1, LEASE_MS_MAX, undefined);
    if (this.#state !== HELD) throw this.#over();
    await this.#ledger.settles.settle('touch', this, leaseMs);
  }

  /** Touches the lease by itself until the job is settled. */
  keepAlive() {
    if (this.#state === HELD) this.#ledger.keepAlive.add(this);
  }

  async #settle(kind, ms, what, least, most) {
    checkNumber(ms, what, least, most, undefined);
    if (this.#state !== HELD) throw this.#over();
    this.#state = SETTLING;
    this.#ledger.keepAlive.delete(this);
    try {
      await this.#ledger.settles.settle(kind, this, ms);
    } catch (error) {
      // Refused for another reason than its lease: that is still held.
      if (this.#state === SETTLING) this.#state = HELD;
      throw error;
    }
  }

  #over() {
    return this.#error ?? new VerteiltError('ALREADY_SETTLED', `job ${this.id} has been settled already; settle a job once`);
  }

  /** The broker has taken it. */
  settled(kind) {
    if (kind === 'touch') return;
    this.#state = OVER;
    this.#ledger.forget(this);
  }

  /** The lease is over, and nobody asked for that. */
  lose(error) {
    if (this.#state === OVER) return;
    this.#state = OVER;
    this.#error = error;
    this.#ledger.keepAlive.delete(this);
    this.#ledger.forget(this);
    this.#controller?.abort(error);
  }
}

module.exports = { Job };
