'use strict';

const { ProtocolError, refused } = require('../errors');
const { TYPE } = require('../protocol/frame_types');
const { copy } = require('../protocol/reader');
const wire = require('../protocol/requests');
const limits = require('../protocol/limits');
const { Outgoing } = require('./caller');
const { newId, idToBytes, idToHex } = require('./ids');

/** What the broker's answer may take longer than the deadline before it is given up here. */
const DEADLINE_SLACK_MS = 2000;
/** How often overdue requests are looked for. */
const SWEEP_MS = 250;
const BODY_BROKEN = 322;
const REQUEST_LIMIT = 318;
const REQUEST_LOST = 315;

/** Requests that this client waits for. */
class Calling {
  #driver;
  #gateway = newId();
  #hasInbox = false;
  #queue = [];
  #open = new Map();
  #sweeper = null;

  constructor(driver) {
    this.#driver = driver;
    driver.on(TYPE.REPLY, this.#replied.bind(this));
  }

  get gatewayId() {
    return idToHex(this.#gateway);
  }

  get idle() {
    return this.#queue.length === 0 && this.#open.size === 0;
  }

  /** `Client.request`, and `Incoming.call` with the request that is being served. */
  request(service, options = {}, parent = null) {
    return new Promise((resolve, reject) => {
      if (this.#driver.closing) throw this.#driver.closedError();
      if (parent?.error) throw parent.error;
      if (this.#open.size + this.#queue.length >= limits.REQUESTS_OPEN_MAX) throw refused(REQUEST_LIMIT);
      const outgoing = new Outgoing(this, service, options, parent, resolve, reject);
      parent?.onCancel((error) => outgoing.giveUp(error));
      if (this.#driver.ready && this.#queue.length === 0) this.#send(outgoing);
      else this.#queue.push(outgoing);
      this.#sweeper ??= setInterval(() => this.#sweep(), SWEEP_MS);
    });
  }

  /** Sends what waits, as far as the socket takes it. */
  #write() {
    for (const outgoing of this.#queue.splice(0)) {
      try {
        this.#send(outgoing);
      } catch (error) {
        outgoing.fail(error);
      }
    }
  }

  #send(outgoing) {
    this.#openInbox();
    const { link } = this.#driver;
    outgoing.correlation = link.nextCorrelation();
    const leftMs = Math.max(1, outgoing.deadline - Date.now());
    wire.writeRequest(link.outbox, outgoing.correlation, outgoing, leftMs, outgoing.first);
    link.schedule();
    this.#open.set(outgoing.id, outgoing);
    outgoing.sent();
  }

  /** Once a connection, before its first request. */
  #openInbox() {
    if (this.#hasInbox) return;
    this.#hasInbox = true;
    const requestIds = [...this.#open.keys()].map(idToBytes);
    const { link } = this.#driver;
    link.send(TYPE.INBOX, link.nextCorrelation(), 'Inbox', { gatewayId: idToBytes(this.#gateway), requestIds });
  }

  /** The caller has gone. */
  cancel(outgoing) {
    const at = this.#queue.indexOf(outgoing);
    if (at >= 0) this.#queue.splice(at, 1);
    if (this.#open.get(outgoing.id) !== outgoing) return;
    this.#open.delete(outgoing.id);
    this.#driver.link?.send(TYPE.REQUEST_CANCEL, 0, 'RequestCancel', { requestId: idToBytes(outgoing.id) });
    this.#driver.progress();
  }

  requestPart(outgoing, bytes, more, broken) {
    if (this.#open.get(outgoing.id) !== outgoing) return;
    const { link } = this.#driver;
    if (!link) return;
    wire.writePart(link.outbox, outgoing.id, 0, more, broken ? BODY_BROKEN : 0, bytes);
    link.schedule();
    if (!more) outgoing.outlet = null;
  }

  requestCredit(outgoing, bytes) {
    if (this.#open.get(outgoing.id) !== outgoing) return;
    const { link } = this.#driver;
    if (!link) return;
    wire.writeCredit(link.outbox, outgoing.id, 0, bytes);
    link.schedule();
  }

  #replied(flags, correlation, reader, start, end) {
    const reply = wire.readReply(reader);
    const outgoing = this.#open.get(reply.id);
    if (outgoing === undefined || outgoing.begun) return;
    const body = start + reply.headerLength;
    if (body > end) throw new ProtocolError('a REPLY is shorter than its headers');
    if (!reply.more) this.#open.delete(reply.id);
    const headers = start === body ? '' : reader.buf.latin1Slice(start, body);
    outgoing.replied(reply.status, headers, copy(reader.buf, body, end), reply.more, reply.replayed);
    if (!reply.more) {
      outgoing.close();
      this.#driver.progress();
    }
  }

  #sweep() {
    const before = Date.now() - DEADLINE_SLACK_MS;
    for (const outgoing of [...this.#open.values(), ...this.#queue]) {
      if (!outgoing.begun && outgoing.deadline < before) outgoing.overdue();
    }
    if (this.#open.size + this.#queue.length === 0) {
      clearInterval(this.#sweeper);
      this.#sweeper = null;
    }
  }

  /** The next bytes of a reply's body. */
  part(id, bytes, more) {
    const outgoing = this.#open.get(id);
    if (outgoing === undefined) return;
    outgoing.inlet?.put(bytes, more);
    if (!more) {
      this.#open.delete(id);
      outgoing.close();
      this.#driver.progress();
    }
  }

  /** More of the request's body is wanted. */
  granted(id, bytes) {
    this.#open.get(id)?.outlet?.grant(bytes);
  }

  ended(id, error, { service, version, instance }) {
    const outgoing = this.#open.get(id);
    if (outgoing === undefined) return;
    this.#open.delete(id);
    // It was on the line when that broke: under its id it is the same request, and served once.
    if (error.code === 'REQUEST_LOST' && outgoing.isStored && !outgoing.begun) {
      if (this.#driver.ready) this.#send(outgoing);
      else this.#queue.push(outgoing);
      return;
    }
    if (service !== '') error.holder = { service, version, instance };
    outgoing.fail(error);
    this.#driver.progress();
  }

  /** A request was refused as a frame. */
  refused(correlation, error) {
    for (const outgoing of this.#open.values()) {
      if (outgoing.correlation !== correlation) continue;
      this.#open.delete(outgoing.id);
      outgoing.fail(error);
      this.#driver.progress();
      return true;
    }
    return false;
  }

  /** Whoever waits asks what has become of its request. */
  connected() {
    if (this.#open.size > 0) this.#openInbox();
    this.#write();
  }

  /** Half-sent bodies are gone. Whole requests without a reply may be answered on the next connection. */
  disconnected() {
    this.#hasInbox = false;
    for (const outgoing of [...this.#open.values()]) {
      outgoing.correlation = 0;
      if (outgoing.outlet === null && !outgoing.begun) continue;
      this.#open.delete(outgoing.id);
      outgoing.fail(refused(REQUEST_LOST));
    }
  }

  failAll(error) {
    clearInterval(this.#sweeper);
    for (const outgoing of this.#queue.splice(0)) outgoing.fail(error);
    for (const outgoing of this.#open.values()) outgoing.fail(error);
    this.#open.clear();
  }
}

module.exports = { Calling };
