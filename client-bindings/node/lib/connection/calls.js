'use strict';

const { ProtocolError, abortReason, deadline } = require('../errors');
const { decode } = require('../protocol/message');
const { FRAME_MESSAGE, FRAME_NAME, TYPE } = require('../protocol/frame_types');

/** Calls until they are answered; over lost connections, unless they are for one connection only. */
class CallLedger {
  #driver;
  #queue = [];
  #sent = new Map();

  constructor(driver, answers) {
    this.#driver = driver;
    for (const type of answers) {
      driver.on(type, (flags, correlation, reader, start, end) => this.answered(type, correlation, reader, start, end));
    }
  }

  get idle() {
    return this.#queue.length === 0 && this.#sent.size === 0;
  }

  /**
   * Asks something of the broker.
   * @param call.what for errors @param call.answer the type of the answer: OK if it is not named
   * @param call.once not asked again on another connection
   * @param call.onAnswer (message, buffer, start, end): what it resolves with; by default the message
   */
  call(call) {
    return new Promise((resolve, reject) => {
      const { signal, timeoutMs } = call;
      if (this.#driver.ended) throw this.#driver.ended;
      if (signal?.aborted) throw abortReason(signal);
      const entry = { ...call, answer: call.answer ?? TYPE.OK, resolve, reject, correlation: 0 };
      const timer = setTimeout(() => this.#giveUp(entry, deadline(call.what, timeoutMs)), timeoutMs);
      const aborted = signal && (() => this.#giveUp(entry, abortReason(signal)));
      signal?.addEventListener('abort', aborted, { once: true });
      entry.settle = () => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', aborted);
        this.#driver.progress();
      };
      if (this.#driver.ready) this.#send(entry);
      else this.#queue.push(entry);
    });
  }

  #send(entry) {
    const { link } = this.#driver;
    entry.correlation = link.nextCorrelation();
    link.send(entry.type, entry.correlation, entry.name, entry.message, entry.payload);
    this.#sent.set(entry.correlation, entry);
  }

  #giveUp(entry, error) {
    this.#sent.delete(entry.correlation);
    const at = this.#queue.indexOf(entry);
    if (at >= 0) this.#queue.splice(at, 1);
    if (at < 0 && entry.type === TYPE.RESERVE) this.#driver.link?.sendEmpty(TYPE.CANCEL, entry.correlation);
    entry.settle();
    entry.reject(error);
  }

  /** What was asked under this correlation, if it still waits. */
  find(correlation) {
    return this.#sent.get(correlation);
  }

  answered(type, correlation, reader, start, end) {
    const entry = this.#sent.get(correlation);
    // Nobody waits for it any more.
    if (entry === undefined) return;
    if (entry.answer !== type) throw new ProtocolError(`${FRAME_NAME[type]} answers another request`);
    const message = FRAME_MESSAGE[type] === null ? null : decode(reader, FRAME_MESSAGE[type]);
    this.finish(entry, entry.onAnswer ? entry.onAnswer(message, reader.buf, start, end) : message);
  }

  finish(entry, value) {
    this.#sent.delete(entry.correlation);
    entry.settle();
    entry.resolve(value);
  }

  refused(correlation, error) {
    const entry = this.#sent.get(correlation);
    if (entry === undefined) return false;
    this.#sent.delete(correlation);
    entry.settle();
    entry.reject(error);
    return true;
  }

  /** Everything unanswered goes again, in order. */
  connected() {
    for (const entry of this.#queue.splice(0)) this.#send(entry);
  }

  disconnected(error) {
    const again = [];
    for (const entry of this.#sent.values()) {
      if (!entry.once) {
        again.push(entry);
        continue;
      }
      entry.settle();
      entry.reject(error);
    }
    this.#sent.clear();
    this.#queue.unshift(...again);
  }

  /** Reserves that wait are given up: the client is closing. */
  cancelReserves(error) {
    const entries = [...this.#sent.values(), ...this.#queue];
    for (const entry of entries) if (entry.type === TYPE.RESERVE) this.#giveUp(entry, error);
  }

  failAll(error) {
    for (const entry of [...this.#sent.values(), ...this.#queue.splice(0)]) {
      entry.settle();
      entry.reject(error);
    }
    this.#sent.clear();
  }
}

module.exports = { CallLedger };
