'use strict';

const { VerteiltError, ProtocolError } = require('../errors');
const { decode } = require('../protocol/message');
const { FLAG_CUMULATIVE } = require('../protocol/frame');
const { TYPE } = require('../protocol/frame_types');
const { BATCH_JOBS_MAX } = require('../protocol/limits');

/** The frame and its message of each kind of settling. */
const KINDS = {
  ack: { type: TYPE.ACK, name: 'Settle' },
  nack: { type: TYPE.NACK, name: 'Nack' },
  release: { type: TYPE.RELEASE, name: 'Settle' },
  touch: { type: TYPE.TOUCH, name: 'Touch' },
};

/** What was said about leases, until it is answered. Those of one turn and one kind share a frame. */
class SettleLedger {
  #driver;
  #filling = new Map();
  #queue = [];
  /** By correlation, in the order in which they were sent. */
  #sent = new Map();
  #gathering = false;
  #gather = () => {
    this.#gathering = false;
    this.#write();
  };

  constructor(driver) {
    this.#driver = driver;
    driver.on(TYPE.SETTLED, (flags, correlation, reader) => this.#settled(correlation, decode(reader, 'Settled')));
  }

  get idle() {
    return this.#filling.size === 0 && this.#queue.length === 0 && this.#sent.size === 0;
  }

  /**
   * Says something about the lease of a job. Rejects with LEASE_LOST if it was over.
   * @param ms of a nack its delay, of a touch the lease; undefined: the broker's default
   */
  settle(kind, job, ms) {
    return new Promise((resolve, reject) => {
      if (this.#driver.ended) throw this.#driver.ended;
      const key = `${kind} ${ms}`;
      let batch = this.#filling.get(key);
      if (batch === undefined || batch.jobs.length === BATCH_JOBS_MAX) {
        if (batch !== undefined) this.#queue.push(batch);
        batch = { kind, ms, jobs: [], waiting: [] };
        this.#filling.delete(key);
        this.#filling.set(key, batch);
      }
      batch.jobs.push(job);
      batch.waiting.push({ resolve, reject });
      this.#schedule();
    });
  }

  #schedule() {
    const { link } = this.#driver;
    if (this.#gathering || link === null) return;
    this.#gathering = true;
    link.beforeWrite.push(this.#gather);
    link.schedule();
  }

  /** Also while the broker goes down: what is finished is what it waits for. */
  #write() {
    const { link } = this.#driver;
    if (link === null) return;
    for (const batch of this.#queue.splice(0)) this.#send(link, batch);
    for (const batch of this.#filling.values()) this.#send(link, batch);
    this.#filling.clear();
  }

  #send(link, batch) {
    const correlation = link.nextCorrelation();
    const { type, name } = KINDS[batch.kind];
    const { jobs } = batch;
    const ids = jobs.map((job) => job.wireId);
    const first = jobs[0].wireToken;
    const tokens = jobs.every((job) => job.wireToken === first) ? [first] : jobs.map((job) => job.wireToken);
    link.send(type, correlation, name, { ids, tokens, delayMs: batch.ms, leaseMs: batch.ms });
    this.#sent.set(correlation, batch);
  }

  ok(correlation, flags) {
    if ((flags & FLAG_CUMULATIVE) === 0) {
      const batch = this.#sent.get(correlation);
      if (batch === undefined) return false;
      this.#done(correlation, batch);
    } else {
      for (const [sent, batch] of this.#sent) {
        if (sent > correlation) break;
        this.#done(sent, batch);
      }
      // Whatever else was asked under this correlation is not answered by it.
    }
    this.#driver.progress();
    return true;
  }

  #done(correlation, batch) {
    this.#sent.delete(correlation);
    for (let at = 0; at < batch.jobs.length; at++) {
      batch.jobs[at].settled(batch.kind);
      batch.waiting[at].resolve();
    }
  }

  #settled(correlation, message) {
    const batch = this.#sent.get(correlation);
    if (batch === undefined) throw new ProtocolError('what was not settled is answered');
    this.#sent.delete(correlation);
    const { refusedIds, refusedTokens } = message;
    const lost = new Set(refusedIds.map((id, at) => `${id} ${refusedTokens[at]}`));
    batch.jobs.forEach((job, at) => {
      if (lost.has(`${job.wireId} ${job.wireToken}`)) {
        const error = leaseLost(job);
        job.lose(error);
        batch.waiting[at].reject(error);
      } else {
        job.settled(batch.kind);
        batch.waiting[at].resolve();
      }
    });
    this.#driver.progress();
  }

  refused(correlation, error) {
    const batch = this.#sent.get(correlation);
    if (batch === undefined) return false;
    this.#sent.delete(correlation);
    for (const { reject } of batch.waiting) reject(error);
    this.#driver.progress();
    return true;
  }

  connected() {
    this.#gathering = false;
    if (!this.idle) this.#schedule();
  }

  disconnected() {
    this.#queue.unshift(...this.#sent.values());
    this.#sent.clear();
  }

  closing() {}

  failAll(error) {
    for (const batch of [...this.#sent.values(), ...this.#queue, ...this.#filling.values()]) {
      for (const { reject } of batch.waiting) reject(error);
    }
    this.#sent.clear();
    this.#queue = [];
    this.#filling.clear();
  }
}

function leaseLost(job) {
  const text = `the lease of job ${job.id} is lost; drop what was done for it, it runs again elsewhere`;
  return new VerteiltError('LEASE_LOST', text);
}

module.exports = { SettleLedger, leaseLost };
