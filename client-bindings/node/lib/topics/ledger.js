'use strict';

const { ProtocolError, refused } = require('../errors');
const { sayAgain } = require('../connection/standing');
const { decode } = require('../protocol/message');
const { TYPE } = require('../protocol/frame_types');
const { HeaderBlock } = require('../headers');

const TOPIC_UNKNOWN = 306;

/** A record of a topic. */
class Record {
  #headers;

  constructor(partition, offset, timeMs, skipped, key, headers, value) {
    this.partition = partition;
    this.offset = offset;
    this.timeMs = timeMs;
    /** So many records right before this one were dropped by retention before they could be read. */
    this.skipped = skipped;
    this.key = key;
    this.#headers = headers;
    this.value = value;
  }

  get headers() {
    if (typeof this.#headers === 'string') this.#headers = HeaderBlock.fromBlock(this.#headers);
    return this.#headers;
  }

  text() {
    return this.value.toString('utf8');
  }

  json() {
    return JSON.parse(this.text());
  }
}

/** Readers of topics. */
class ConsumerLedger {
  #consumers = new Map();

  constructor(driver) {
    this.driver = driver;
    driver.on(TYPE.TOPIC_ASSIGNED, (flags, correlation, reader) => this.#assigned(decode(reader, 'TopicAssigned')));
    driver.on(TYPE.RECORDS, this.#records.bind(this));
  }

  get idle() {
    return true;
  }

  register(consumer) {
    this.#consumers.set(consumer.number, consumer);
  }

  unregister(consumer) {
    this.#consumers.delete(consumer.number);
  }

  #assigned(message) {
    const consumer = this.#consumers.get(message.subscription);
    if (consumer === undefined) return;
    if (message.ended) {
      this.unregister(consumer);
      consumer.end(refused(TOPIC_UNKNOWN, 'the topic was deleted'));
    } else {
      if (message.partitions.length !== message.offsets.length) throw new ProtocolError('the lists of TOPIC_ASSIGNED differ in length');
      consumer.assigned(message.partitions, message.offsets.map(Number));
    }
  }

  #records(flags, correlation, reader, start, end) {
    const message = decode(reader, 'Records');
    const { timesMs, valueLengths, keyLengths, headerLengths, partition } = message;
    const count = valueLengths.length;
    const fits = count > 0 && (timesMs.length === 1 || timesMs.length === count) &&
      (keyLengths.length === 0 || keyLengths.length === count) && (headerLengths.length === 0 || headerLengths.length === count);
    if (!fits) throw new ProtocolError('the lists of RECORDS differ in length');
    const payload = Buffer.from(reader.buf.subarray(start, end));
    const first = Number(message.firstOffset);
    const records = [];
    let at = 0;
    for (let index = 0; index < count; index++) {
      const headersAt = at + (keyLengths[index] ?? 0);
      const valueAt = headersAt + (headerLengths[index] ?? 0);
      const next = valueAt + valueLengths[index];
      const headers = headersAt === valueAt ? '' : payload.latin1Slice(headersAt, valueAt);
      const timeMs = Number(timesMs.length === 1 ? timesMs[0] : timesMs[index]);
      const skipped = index === 0 ? Number(message.skipped) : 0;
      const key = payload.subarray(at, headersAt);
      records.push(new Record(partition, first + index, timeMs, skipped, key, headers, payload.subarray(valueAt, next)));
      at = next;
    }
    if (at !== payload.length) throw new ProtocolError('the lengths of RECORDS are not those of the payload');
    this.#consumers.get(message.subscription)?.put(partition, records);
  }

  connected() {
    for (const consumer of this.#consumers.values()) {
      sayAgain(this.driver, consumer.call(), () => consumer.open, (error) => {
        this.unregister(consumer);
        consumer.end(error);
      });
    }
  }

  disconnected() {
    for (const consumer of this.#consumers.values()) consumer.disconnected();
  }

  closing() {
    for (const consumer of [...this.#consumers.values()]) consumer.end(null);
  }

  failAll(error) {
    for (const consumer of [...this.#consumers.values()]) consumer.end(error.code === 'CLOSED' ? null : error);
  }
}

module.exports = { ConsumerLedger };
