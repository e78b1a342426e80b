'use strict';

const { abortReason, badArgument } = require('../errors');
const { checkName, checkNumber } = require('../names');
const { TYPE } = require('../protocol/frame_types');
const limits = require('../protocol/limits');

const CREDIT_DEFAULT = 4096;
/** What was handed out is told to the broker at the latest after this part of the credit. */
const TOLD_AFTER = 4;
const SAFE = Number.MAX_SAFE_INTEGER;

/**
 * A reader of a topic: `for await` takes its records. It lives through lost connections, and goes on
 * behind the last record that it handed out. Those of one partition come in order and without doubles.
 */
class Consumer {
  #ledger;
  #options;
  #records = [];
  #takers = [];
  /** The offset behind the last record that is here or was handed out, of each partition. */
  #next = new Map();
  /** Partitions of which a record has come. */
  #begun = new Set();
  #owned = new Set();
  #error = null;
  #assignment = null;
  /** Handed out and not told to the broker: the last offset of each partition. */
  #untold = new Map();
  #untoldCount = 0;
  #aborted = () => this.end(abortReason(this.#options.signal));

  constructor(ledger, topic, options) {
    checkName(topic);
    const { group, signal, partitions = [] } = options;
    if (group !== undefined) checkName(group);
    if (group !== undefined && partitions.length > 0) throw badArgument('a member of a group does not choose its partitions');
    signal?.throwIfAborted();
    this.#ledger = ledger;
    this.topic = topic;
    this.group = group ?? null;
    this.number = ledger.driver.nextNumber();
    this.open = true;
    this.#options = {
      signal,
      partitions,
      start: startOf(options.from ?? (group === undefined ? 'latest' : 'earliest')),
      credit: checkNumber(options.credit, 'credit', 1, limits.CREDIT_RECORDS_MAX, CREDIT_DEFAULT),
      creditBytes: checkNumber(options.creditBytes, 'creditBytes', 0, limits.CREDIT_BYTES_MAX, 0),
    };
    ledger.register(this);
    signal?.addEventListener('abort', this.#aborted, { once: true });
  }

  /** Used by `Topics.consume`: until it is known where it begins, which no lost connection moves then. */
  async begin() {
    const assigned = new Promise((resolve, reject) => {
      this.#assignment = { resolve, reject };
    });
    assigned.catch(() => {});
    try {
      await this.#ledger.driver.call(this.call());
      await assigned;
    } catch (error) {
      this.end(error);
      throw error;
    }
  }

  /** The TOPIC_SUBSCRIBE of now: whoever has read already goes on behind it. */
  call() {
    const { start, credit, creditBytes } = this.#options;
    let { partitions } = this.#options;
    let offsets = [];
    if (this.group === null && this.#next.size > 0) {
      partitions = [...this.#next.keys()];
      offsets = [...this.#next.values()];
    }
    const message = {
      subscription: this.number, topic: this.topic, group: this.group ?? '', ...start, creditRecords: credit,
      creditBytes, partitions, offsets,
    };
    return { what: 'the subscription', type: TYPE.TOPIC_SUBSCRIBE, name: 'TopicSubscribe', message };
  }

  /** The partitions that it reads now. */
  get partitions() {
    return [...this.#owned].sort((one, other) => one - other);
  }

  /** What it reads from now on. Records of partitions that it has lost are dropped. */
  assigned(partitions, offsets) {
    const before = this.#owned;
    this.#owned = new Set(partitions);
    partitions.forEach((partition, at) => {
      // What was read of it before is not read again: the broker begins where the group is.
      const known = this.#next.get(partition);
      if (known === undefined) this.#next.set(partition, offsets[at]);
      else if (!before.has(partition)) this.#next.set(partition, Math.max(known, offsets[at]));
    });
    this.#records = this.#records.filter((record) => {
      if (this.#owned.has(record.partition)) return true;
      // Should the partition come back, this record was never handed out.
      this.#back(record);
      return false;
    });
    this.#assignment?.resolve();
  }

  #back({ partition, offset, skipped }) {
    const from = offset - skipped;
    this.#next.set(partition, Math.min(this.#next.get(partition) ?? from, from));
  }

  /** Records have come. */
  put(partition, records) {
    const next = this.#next.get(partition) ?? 0;
    // Without a group, nothing before this time is wanted: after a lost connection the broker is asked
    // for offsets.
    const fromMs = this.group === null ? this.#options.start.timeMs ?? 0 : 0;
    let passed = -1;
    for (const record of records) {
      if (record.offset < next || record.timeMs < fromMs) {
        passed = record.offset;
        continue;
      }
      // What was handed out before was not missed, nor what was too early.
      const begins = !this.#begun.has(partition) && fromMs > 0;
      this.#begun.add(partition);
      record.skipped = begins ? 0 : Math.min(record.skipped, Math.max(0, record.offset - next));
      this.#records.push(record);
    }
    this.#next.set(partition, Math.max(next, records[records.length - 1].offset + 1));
    // Nobody is going to take these: their credit is given back here.
    if (passed >= 0) this.#consumed(partition, passed);
    while (this.#takers.length > 0 && this.#records.length > 0) this.#takers.shift().resolve(this.#take());
  }

  #take() {
    const record = this.#records.shift();
    this.#untold.set(record.partition, record.offset);
    this.#untoldCount += 1;
    if (this.#untoldCount * TOLD_AFTER >= this.#options.credit || this.#records.length === 0) this.#tell();
    return record;
  }

  /** Tells the broker what was handed out, so that more comes. */
  #tell() {
    this.#untoldCount = 0;
    for (const [partition, offset] of this.#untold) this.#consumed(partition, offset);
    this.#untold.clear();
  }

  #consumed(partition, offset) {
    const { driver } = this.#ledger;
    // A partition that was lost meanwhile is refused, which is no harm.
    if (this.open && driver.ready) driver.call({ ...this.#consumedCall(partition, offset, false), once: true }).catch(() => {});
  }

  #consumedCall(partition, offset, commit) {
    const message = { subscription: this.number, partition, offset, commit };
    return { what: 'the commit', type: TYPE.CONSUMED, name: 'Consumed', message };
  }

  /** The next record; null when no more come. Rejects with the error that ended it. */
  async next() {
    if (this.#records.length > 0) return this.#take();
    if (this.#error) throw this.#error;
    if (!this.open) return null;
    return new Promise((resolve, reject) => this.#takers.push({ resolve, reject }));
  }

  async *[Symbol.asyncIterator]() {
    try {
      for (let record = await this.next(); record !== null; record = await this.next()) yield record;
    } finally {
      await this.close();
    }
  }

  /**
   * Moves the group's position behind this record and all before it in its partition. Resolves when that
   * is on the disk; rejects with PARTITION_LOST when another member has the partition now.
   */
  async commit({ partition, offset }, { signal } = {}) {
    this.#untold.delete(partition);
    await this.#ledger.driver.call({ ...this.#consumedCall(partition, offset, true), signal });
  }

  /** What was not handed out comes again, so that the credit is right. */
  disconnected() {
    for (const record of this.#records.splice(0).reverse()) this.#next.set(record.partition, record.offset - record.skipped);
    this.#owned = new Set();
    this.#untold.clear();
    this.#untoldCount = 0;
  }

  /** No more records. */
  async close() {
    this.end(null);
    await this.unsubscribed;
  }

  /** @param error null if that was asked for */
  end(error) {
    if (!this.open) return;
    this.open = false;
    this.#error = error;
    // What has come before the broker ended it may still be read.
    if (error === null || this.#options.signal?.aborted) this.#records = [];
    this.#options.signal?.removeEventListener('abort', this.#aborted);
    this.#ledger.unregister(this);
    this.#assignment?.reject(error ?? badArgument('the consumer was closed before it began'));
    const { driver } = this.#ledger;
    if (driver.ready && !driver.ended) {
      const message = { subscription: this.number };
      const call = { what: 'the end of the subscription', type: TYPE.UNSUBSCRIBE, name: 'Unsubscribe', message, once: true };
      this.unsubscribed = driver.call(call).catch(() => {});
    }
    for (const { resolve, reject } of this.#takers.splice(0)) {
      if (error) reject(error);
      else resolve(null);
    }
  }
}

/** `earliest`, `latest`, `{ offset }` or `{ timeMs }` (a number, or a Date as `{ time }`). */
function startOf(from) {
  if (from === 'earliest') return { earliest: true };
  if (from === 'latest') return { latest: true };
  if (from?.time instanceof Date) return { timeMs: from.time.getTime() };
  if (from?.offset !== undefined) return { offset: checkNumber(from.offset, 'offset', 0, SAFE) };
  if (from?.timeMs !== undefined) return { timeMs: checkNumber(from.timeMs, 'timeMs', 0, SAFE) };
  throw badArgument('from is earliest, latest, { offset }, { timeMs } or { time }');
}

module.exports = { Consumer };
