'use strict';

const { setTimeout: sleep } = require('node:timers/promises');
const { VerteiltError, closed, deadline, fromErrorFrame } = require('../errors');
const { decode } = require('../protocol/message');
const { TYPE } = require('../protocol/frame_types');
const { newId, idToBytes } = require('../requests/ids');
const { backoffMs } = require('./backoff');
const { CallLedger } = require('./calls');
const { Link } = require('./link');

/** A connection that lasted this long was a good one: the waits start anew. */
const GOOD_CONNECTION_MS = 1000;
/** What this client knows. */
const CAPABILITIES = ['jobs', 'topics', 'requests'];
const ANSWERS = [
  TYPE.QUEUE_STATS_REPLY, TYPE.QUEUE_PEEKED, TYPE.QUEUE_PURGED, TYPE.CHECKPOINT_DONE, TYPE.TOPIC_STATS_REPLY,
  TYPE.GROUP_STATS_REPLY, TYPE.SERVICES_REPLY, TYPE.TRACE_REPLY,
  TYPE.REQUEST_ACCEPTED, TYPE.RESULT_REPLY,
];

/**
 * Connects, speaks with the broker, connects again. What is under way is kept in ledgers, one for each
 * kind of thing, that are told when a connection comes and goes.
 *
 * A ledger has `connected()`, `disconnected(error)`, `closing()`, `failAll(error)`, `idle`, and may have
 * `ok(correlation, cumulative)` and `refused(correlation, error)`, which say whether that was theirs.
 */
class Driver {
  #config;
  #emit;
  #handlers = [];
  #ledgers = [];
  #session = idToBytes(newId());
  #number = 0;
  #ends = new AbortController();
  #linkEnded = null;
  #closeRequested = null;

  constructor(config, emit) {
    this.#config = config;
    this.#emit = emit;
    /** The connection that is there now. */
    this.link = null;
    /** Why the client has ended. */
    this.ended = null;
    this.closing = false;
    /** Jobs whose leases this client still has, for HELLO; set by their ledger. */
    this.heldLeases = () => ({ ids: [], tokens: [] });
    this.calls = new CallLedger(this, ANSWERS);
    this.on(TYPE.OK, (flags, correlation, reader, start, end) => {
      for (const ledger of this.#ledgers) if (ledger.ok?.(correlation, flags)) return;
      this.calls.answered(TYPE.OK, correlation, reader, start, end);
    });
    this.on(TYPE.ERROR, (flags, correlation, reader) => this.#refused(correlation, fromErrorFrame(decode(reader, 'Error'))));
    this.on(TYPE.GOODBYE, () => {
      this.link.leaving = true;
    });
    this.on(TYPE.HEARTBEAT, () => {});
  }

  /** Registers what is called with (flags, correlation, reader, payload start, payload end). */
  on(type, handler) {
    this.#handlers[type] = handler;
  }

  addLedger(ledger) {
    this.#ledgers.push(ledger);
  }

  /** New requests may be sent. */
  get ready() {
    return this.link !== null && !this.link.leaving;
  }

  /** A number that nothing else of this client has: of subscriptions and uploads. */
  nextNumber() {
    return ++this.#number;
  }

  call(call) {
    return this.calls.call({ timeoutMs: this.#config.requestTimeoutMs, ...call });
  }

  closedError() {
    return this.ended ?? closed();
  }

  /** The first connection; after it the driver runs by itself. */
  async start(signal) {
    const until = Date.now() + this.#config.connectWaitMs;
    for (let attempt = 0; ; attempt++) {
      try {
        const link = await this.#open(signal);
        this.#run(link);
        return;
      } catch (error) {
        if (signal?.aborted || !error.retryable || Date.now() >= until) {
          this.#end(error);
          throw error;
        }
        await sleep(backoffMs(attempt, this.#config.reconnect), undefined, { signal });
      }
    }
  }

  #open(signal) {
    const { host, port, connectTimeoutMs: timeoutMs } = this.#config;
    const held = this.heldLeases();
    const hello = {
      versionMin: 1,
      versionMax: 1,
      clientName: this.#config.name,
      clientVersion: this.#config.version,
      capabilities: CAPABILITIES,
      authentication: this.#config.authentication,
      namespace: this.#config.namespace,
      session: this.#session,
      heldIds: held.ids,
      heldTokens: held.tokens,
      namesLeases: held.complete ?? true,
    };
    const onFrame = (type, flags, correlation, reader, start, end) => {
      // A newer broker may send what this client does not know.
      this.#handlers[type]?.(flags, correlation, reader, start, end);
    };
    let ended;
    const linkEnded = new Promise((resolve) => {
      ended = resolve;
    });
    return Link.open({ host, port, hello, timeoutMs, signal }, onFrame, ended).then((link) => {
      this.#linkEnded = linkEnded;
      this.#connected(link);
      return link;
    });
  }

  async #run(first) {
    let attempt = 0;
    let link = first;
    let without = 0;
    for (;;) {
      if (link !== null) {
        const begun = Date.now();
        const error = await this.#linkEnded;
        if (this.ended) return;
        this.#disconnected(error);
        without = Date.now();
        if (without - begun >= GOOD_CONNECTION_MS) attempt = 0;
        if (endsClient(error, false)) return this.#end(error);
      }
      const delayMs = backoffMs(attempt, this.#config.reconnect);
      attempt += 1;
      this.#emit('reconnecting', { attempt, delayMs });
      await sleep(delayMs, undefined, { signal: this.#ends.signal }).catch(() => {});
      if (this.ended) return;
      const deadlineMs = this.#config.reconnect.deadlineMs ?? Infinity;
      try {
        link = await this.#open(this.#ends.signal);
      } catch (error) {
        link = null;
        if (this.ended) return;
        if (endsClient(error, true)) return this.#end(error);
        if (Date.now() - without >= deadlineMs) {
          const text = `gave up reconnecting after ${deadlineMs} ms: ${error.message}; make a new client once ` +
            'the broker is reachable, or allow more time';
          return this.#end(new VerteiltError('RECONNECT_GAVE_UP', text, { retryable: true, cause: error }));
        }
      }
    }
  }

  #connected(link) {
    this.link = link;
    for (const ledger of this.#ledgers) ledger.connected(link.welcome);
    this.calls.connected();
    const { epoch, brokerId, serverVersion, capabilities } = link.welcome;
    this.#emit('connected', { epoch, brokerId: brokerId.toString('hex'), serverVersion, capabilities });
  }

  #disconnected(error) {
    this.link = null;
    this.calls.disconnected(error);
    for (const ledger of this.#ledgers) ledger.disconnected(error);
    this.#emit('disconnected', error);
  }

  #refused(correlation, error) {
    // A broker whose disk failed stops, and what it had not answered is asked again: nobody knows
    // whether it took effect.
    if (correlation === 0 || error.code === 'STORE_FAILED') {
      this.link.fail(error);
      return;
    }
    for (const ledger of this.#ledgers) if (ledger.refused?.(correlation, error)) return;
    this.calls.refused(correlation, error);
  }

  /** Something has ended: a client that is asked to close looks whether it was the last. */
  progress() {
    if (this.#closeRequested !== null && this.idle) this.#closeRequested();
  }

  get idle() {
    return this.calls.idle && this.#ledgers.every((ledger) => ledger.idle);
  }

  /** Takes nothing new, waits for what is under way, says goodbye. */
  async close(timeoutMs) {
    if (this.ended) return;
    this.closing = true;
    for (const ledger of this.#ledgers) ledger.closing();
    this.calls.cancelReserves(closed());
    let overdue = false;
    if (!this.idle) {
      await new Promise((resolve) => {
        const timer = setTimeout(() => {
          overdue = true;
          resolve();
        }, timeoutMs);
        this.#closeRequested = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    const { link } = this;
    if (this.ended) return;
    this.ended = closed();
    await link?.goodbye('the client is closing');
    this.#end(this.ended);
    if (overdue) throw deadline('the close', timeoutMs);
  }

  #end(error) {
    this.ended = error;
    this.closing = true;
    this.link?.fail(error);
    this.link = null;
    this.calls.failAll(error);
    for (const ledger of this.#ledgers) ledger.failAll(error);
    this.#ends.abort(error);
    this.#closeRequested?.();
    this.#emit('closed', error);
  }
}

/** No further connection can cure this one. */
function endsClient(error, inHandshake) {
  if (error.code === 'SESSION_REPLACED') return true;
  return inHandshake && error.number !== 0 && !error.retryable && error.code !== 'STORE_FAILED';
}

module.exports = { Driver };
