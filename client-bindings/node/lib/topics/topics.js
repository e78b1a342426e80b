'use strict';

const { checkName, checkNumber } = require('../names');
const { TYPE } = require('../protocol/frame_types');
const { PARTITIONS_MAX } = require('../protocol/limits');
const { Consumer } = require('./consumer');
const { Publisher } = require('./publisher');

/** Logs in partitions, read by any number of readers: `Client.topics`. */
class Topics {
  #driver;
  #publisher;
  #consumers;

  constructor(driver, pushes, consumers) {
    this.#driver = driver;
    this.#publisher = new Publisher(pushes, this);
    this.#consumers = consumers;
  }

  /** Makes a topic. That it is there already with the same options is fine. */
  async create(topic, { partitions = 1, retentionMs, retentionBytes, signal } = {}) {
    checkName(topic);
    const count = checkNumber(partitions, 'partitions', 1, PARTITIONS_MAX, 1);
    const message = { topic, partitions: count, ...retention({ retentionMs, retentionBytes }) };
    await this.#call('the topic', TYPE.TOPIC_CREATE, 'TopicCreate', message, TYPE.OK, signal);
    this.#publisher.forget(topic);
  }

  /** Keeps more or less from now on; what is not named has no limit. */
  async setRetention(topic, { retentionMs, retentionBytes, signal } = {}) {
    checkName(topic);
    const message = { topic, ...retention({ retentionMs, retentionBytes }) };
    await this.#call('the retention', TYPE.TOPIC_CHANGE, 'TopicChange', message, TYPE.OK, signal);
  }

  /** Deletes a topic with its records and groups; its consumers end. */
  async delete(topic, { signal } = {}) {
    checkName(topic);
    this.#publisher.forget(topic);
    await this.#call('the end of the topic', TYPE.TOPIC_DELETE, 'TopicDelete', { topic }, TYPE.OK, signal);
  }

  /** The numbers of all topics, in the order of their names. */
  async list({ signal } = {}) {
    const all = [];
    for (;;) {
      const after = all.length === 0 ? '' : all[all.length - 1].topic;
      const message = { topic: '', after };
      const reply = await this.#call('the topics', TYPE.TOPIC_STATS, 'TopicStatsRequest', message, TYPE.TOPIC_STATS_REPLY, signal);
      all.push(...reply.topics);
      if (!reply.more || reply.topics.length === 0) return all;
    }
  }

  /** The numbers of one topic and of its partitions. */
  async stats(topic, { signal } = {}) {
    checkName(topic);
    const reply = await this.#call('the topic', TYPE.TOPIC_STATS, 'TopicStatsRequest', { topic }, TYPE.TOPIC_STATS_REPLY, signal);
    return reply.topics[0];
  }

  /** The numbers of the topic's consumer groups, in the order of their names. */
  async groups(topic, { signal } = {}) {
    checkName(topic);
    const all = [];
    for (;;) {
      const after = all.length === 0 ? '' : all[all.length - 1].group;
      const reply = await this.#call('the groups', TYPE.GROUP_STATS, 'GroupStatsRequest', { topic, after }, TYPE.GROUP_STATS_REPLY, signal);
      all.push(...reply.groups);
      if (!reply.more || reply.groups.length === 0) return all;
    }
  }

  /**
   * Publishes a record. Resolves when it is on the broker's disk: `{ partition, offset, duplicate }`. Waits
   * through lost connections without doubles, as `Client.push` does.
   */
  publish(topic, value, options) {
    return this.#publisher.publish(topic, value, options);
  }

  /** Many records: values, or `{ value, key, headers, partition }`. */
  publishBatch(topic, records, options = {}) {
    return Promise.all(records.map((record) => {
      const whole = record !== null && typeof record === 'object' && !(record instanceof Uint8Array);
      return whole ? this.publish(topic, record.value, { ...options, ...record }) : this.publish(topic, record, options);
    }));
  }

  /** Reads a topic. Resolves with the consumer when it is known where it begins. */
  async consume(topic, options = {}) {
    const consumer = new Consumer(this.#consumers, topic, options);
    await consumer.begin();
    return consumer;
  }

  #call(what, type, name, message, answer, signal) {
    return this.#driver.call({ what, type, name, message, answer, signal });
  }
}

function retention({ retentionMs, retentionBytes }) {
  return {
    retentionMs: checkNumber(retentionMs, 'retentionMs', 1, Number.MAX_SAFE_INTEGER, 0),
    retentionBytes: checkNumber(retentionBytes, 'retentionBytes', 1, Number.MAX_SAFE_INTEGER, 0),
  };
}

module.exports = { Topics };
