'use strict';

const { checkName, checkNumber } = require('../names');
const { Outbox } = require('../protocol/outbox');
const { PARTITIONS_MAX, RECORD_BYTES_MAX } = require('../protocol/limits');
const { attempt, headerBlock, tooLarge } = require('../pushes/push');
const { sizeOf } = require('../pushes/batch');
const { toBytes } = require('../requests/outlet');
const { crc32 } = require('./crc32');

const NOTHING = Buffer.alloc(0);

/** Records on their way in. Those of one partition share frames, those without a key go in turn. */
class Publisher {
  #ledger;
  #topics;
  #scratch = new Outbox();
  /** How many partitions each topic has, once that was asked: a number, or a promise of it. */
  #partitions = new Map();

  constructor(ledger, topics) {
    this.#ledger = ledger;
    this.#topics = topics;
  }

  publish(topic, value, options = {}) {
    return attempt(() => {
      checkName(topic);
      const { key, headers } = options;
      const partition = checkNumber(options.partition, 'partition', 0, PARTITIONS_MAX - 1, null);
      const record = {
        value: value === undefined || value === null ? NOTHING : toBytes(value),
        key: key === undefined || key === null ? null : toBytes(key),
        headers: headerBlock(this.#scratch, headers),
      };
      const bytes = sizeOf(record.value, record.headers, record.key);
      if (bytes > RECORD_BYTES_MAX) throw tooLarge(bytes, RECORD_BYTES_MAX);
      if (partition !== null) return this.#add(targetOf(topic, partition, partition), record, options);
      if (record.key === null) return this.#add(targetOf(topic, null, 'turn'), record, options);
      return this.#byKey(topic, record, options);
    });
  }

  #add(target, { value, headers, key }, options) {
    return this.#ledger.add(target, value, headers, key, recordOf, options);
  }

  /** The keys of a frame belong to one partition: the broker looks again, this side must guess right. */
  #byKey(topic, record, options, again = false) {
    const partitions = this.#partitions.get(topic);
    if (typeof partitions === 'number') {
      const partition = crc32(record.key) % partitions;
      return this.#add(targetOf(topic, null, `key ${partition}`), record, options).catch((error) => {
        // Perhaps the topic was made anew, with other partitions: it was not taken, so it may go again.
        if (error.code !== 'BAD_ARGUMENT' || again) throw error;
        this.forget(topic);
        return this.#byKey(topic, record, options, true);
      });
    }
    return this.#ask(topic, partitions, options).then(() => this.#byKey(topic, record, options, again));
  }

  #ask(topic, asked, { signal }) {
    if (asked !== undefined) return asked;
    const asking = this.#topics.stats(topic, { signal }).then(
      (stats) => {
        this.#partitions.set(topic, stats.partitions);
      },
      (error) => {
        this.#partitions.delete(topic);
        throw error;
      },
    );
    this.#partitions.set(topic, asking);
    return asking;
  }

  /** The topic was made anew, perhaps with another number of partitions. */
  forget(topic) {
    this.#partitions.delete(topic);
  }
}

/** Those with the same last word share frames. */
function targetOf(topic, partition, shared) {
  return { name: topic, topic: true, partition, key: `topic ${topic} ${shared}` };
}

function recordOf(result, index) {
  return { partition: result.partition, offset: Number(result.first) + index, duplicate: result.duplicate };
}

module.exports = { Publisher };
