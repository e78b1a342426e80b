'use strict';

const { badArgument } = require('../errors');
const { checkNumber } = require('../names');
const { CREDIT_JOBS_MAX } = require('../protocol/limits');
const { Subscription } = require('./subscription');

const CONCURRENCY_DEFAULT = 64;
const GRACE_MS = 30000;

/**
 * Runs a handler on the jobs of a queue, several at a time. A handler that resolves acks its job, one
 * that rejects nacks it; one that settles its job itself decides alone.
 */
class Worker {
  #ledger;
  #handler;
  #subscription;
  #onError;
  #running = new Set();
  #idle = [];
  #concurrency;
  #roomCame = null;
  #resolveEnded;

  constructor(ledger, queue, options, handler) {
    if (typeof handler !== 'function') throw badArgument('the handler is a function');
    const concurrency = checkNumber(options.concurrency, 'concurrency', 1, CREDIT_JOBS_MAX, CONCURRENCY_DEFAULT);
    this.#ledger = ledger;
    this.#concurrency = concurrency;
    this.#handler = handler;
    this.#onError = options.onError ?? logError;
    this.graceMs = checkNumber(options.graceMs, 'graceMs', 0, 2 ** 31 - 1, GRACE_MS);
    this.#subscription = new Subscription(ledger, queue, { credit: concurrency, creditBytes: options.creditBytes });
    this.#subscription.isWorkers = true;
    /** Jobs by how they ended. */
    this.counts = { done: 0, failed: 0, lost: 0, settledByHandler: 0, released: 0 };
    /** Resolves when it has ended: with null if that was asked for, else with the error. */
    this.ended = new Promise((resolve) => {
      this.#resolveEnded = resolve;
    });
    ledger.workers.add(this);
    this.#take();
  }

  get queue() {
    return this.#subscription.queue;
  }

  get inFlight() {
    return this.#running.size;
  }

  /** Resolves when the broker knows of it. */
  get ready() {
    return this.#subscription.ready;
  }

  async #take() {
    let error = null;
    try {
      for (let job = await this.#subscription.next(); job !== null; job = await this.#subscription.next()) {
        this.#start(job);
        await this.#room();
      }
    } catch (reason) {
      error = reason;
      await this.drain();
    }
    this.#resolveEnded(error);
  }

  /**
   * Credit bounds what the broker sends. It counts anew on a new connection, while what has lost its lease
   * with the old one may still run here.
   */
  async #room() {
    while (this.#running.size >= this.#concurrency && this.#subscription.open) {
      await new Promise((resolve) => {
        this.#roomCame = resolve;
      });
    }
  }

  async #start(job) {
    this.#running.add(job);
    job.keepAlive();
    let outcome;
    try {
      await this.#handler(job);
      outcome = job.isSettled ? null : 'ack';
    } catch (error) {
      outcome = job.isSettled ? null : 'nack';
      if (outcome !== null) this.#onError(error, job);
    }
    if (this.#running.has(job)) {
      await this.#settle(job, outcome);
      this.#running.delete(job);
    }
    this.#roomCame?.();
    if (this.#running.size === 0) for (const resolve of this.#idle.splice(0)) resolve();
  }

  async #settle(job, outcome) {
    const { counts } = this;
    try {
      if (outcome === 'ack') {
        await job.ack();
        counts.done += 1;
      } else if (outcome === 'nack') {
        await job.nack();
        counts.failed += 1;
      } else if (job.signal.aborted) {
        counts.lost += 1;
      } else {
        counts.settledByHandler += 1;
      }
    } catch (error) {
      if (error.code === 'LEASE_LOST') counts.lost += 1;
      else if (!this.#ledger.driver.ended) this.#onError(error, job);
    }
  }

  /**
   * Takes no more jobs, gives back what was not begun, waits for what runs (30 s). What runs then is
   * released. Gives the counts.
   */
  async drain({ graceMs = this.graceMs } = {}) {
    this.#subscription.end(null);
    this.#roomCame?.();
    await this.#subscription.unsubscribed;
    await this.#settled(graceMs);
    const left = [...this.#running];
    this.#running.clear();
    this.counts.released += left.length;
    await Promise.all(left.map((job) => job.release().catch(() => {})));
    this.#ledger.workers.delete(this);
    this.#ledger.driver.progress();
    return this.counts;
  }

  #settled(graceMs) {
    if (this.#running.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, graceMs);
      this.#idle.push(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }
}

function logError(error, job) {
  console.error(`verteilt: job ${job.id} of ${job.queue} failed (run ${job.attempt})`, error);
}

module.exports = { Worker };
