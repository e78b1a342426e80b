'use strict';

const { checkName, checkNumber } = require('../names');
const { abortReason } = require('../errors');
const { TYPE } = require('../protocol/frame_types');
const limits = require('../protocol/limits');

const CREDIT_JOBS_DEFAULT = 64;

/**
 * A standing order for the jobs of a queue. `for await` takes them one by one; leaving the loop ends it
 * and gives back what was not taken. It lives through lost connections.
 */
class Subscription {
  #ledger;
  #jobs = [];
  #takers = [];
  #error = null;
  #signal;
  #aborted = () => this.end(abortReason(this.#signal));

  constructor(ledger, queue, { credit, creditBytes, signal } = {}) {
    checkName(queue);
    signal?.throwIfAborted();
    this.#ledger = ledger;
    this.#signal = signal;
    this.queue = queue;
    this.credit = checkNumber(credit, 'credit', 0, limits.CREDIT_JOBS_MAX, CREDIT_JOBS_DEFAULT);
    this.creditBytes = checkNumber(creditBytes, 'creditBytes', 0, limits.CREDIT_BYTES_MAX, 0);
    this.number = ledger.driver.nextNumber();
    /** Jobs come. */
    this.open = true;
    this.isWorkers = false;
    ledger.register(this);
    signal?.addEventListener('abort', this.#aborted, { once: true });
    /** Resolves when the broker knows of it. */
    this.ready = ledger.driver.call(this.call()).then(() => {}, (error) => {
      this.#ledger.unregister(this);
      this.end(error);
      throw error;
    });
    // Who iterates hears of it there.
    this.ready.catch(() => {});
  }

  /** The SUBSCRIBE of now. */
  call() {
    const message = {
      subscription: this.number, queue: this.queue, creditJobs: this.credit, creditBytes: this.creditBytes,
    };
    return { what: 'the subscription', type: TYPE.SUBSCRIBE, name: 'Subscribe', message };
  }

  /** Most jobs held unfinished; 0 holds the deliveries. */
  async setCredit(credit) {
    this.credit = checkNumber(credit, 'credit', 0, limits.CREDIT_JOBS_MAX, this.credit);
    await this.#ledger.driver.call(this.call());
  }

  /** Jobs have come. */
  put(jobs) {
    for (const job of jobs) {
      const taker = this.#takers.shift();
      if (taker) taker.resolve(job);
      else this.#jobs.push(job);
    }
  }

  /** The next job; null when no more come. Rejects with the error that ended it. */
  async next() {
    while (this.#jobs.length > 0) {
      const job = this.#jobs.shift();
      if (!job.isSettled) return job;
    }
    if (this.#error) throw this.#error;
    if (!this.open) return null;
    return new Promise((resolve, reject) => this.#takers.push({ resolve, reject }));
  }

  async *[Symbol.asyncIterator]() {
    try {
      for (let job = await this.next(); job !== null; job = await this.next()) yield job;
    } finally {
      await this.close();
    }
  }

  /** What has come and was not taken. */
  takeAll() {
    return this.#jobs.splice(0).filter((job) => !job.isSettled);
  }

  /** No more jobs: what was not taken goes back. Jobs in hand stay leased. */
  async close() {
    if (!this.open) return;
    this.end(null);
  }

  /** @param error null if that was asked for */
  end(error) {
    if (!this.open) return;
    this.open = false;
    this.#error = error;
    this.#signal?.removeEventListener('abort', this.#aborted);
    this.#ledger.unregister(this);
    const { driver } = this.#ledger;
    if (!driver.ended) {
      const message = { subscription: this.number };
      const call = { what: 'the end of the subscription', type: TYPE.UNSUBSCRIBE, name: 'Unsubscribe', message, once: true };
      // First the end, then what is given back because of it. Without a connection it has ended already.
      if (driver.ready) this.unsubscribed = driver.call(call).catch(() => {});
      for (const job of this.takeAll()) job.release().catch(() => {});
    }
    for (const { resolve, reject } of this.#takers.splice(0)) {
      if (error) reject(error);
      else resolve(null);
    }
  }
}

module.exports = { Subscription };
