'use strict';

const os = require('node:os');
const { ProtocolError, VerteiltError, badArgument, refused } = require('../errors');
const { sayAgain } = require('../connection/standing');
const { checkName, checkLabel, checkNumber } = require('../names');
const { decode } = require('../protocol/message');
const { TYPE } = require('../protocol/frame_types');
const { copy, EMPTY } = require('../protocol/reader');
const wire = require('../protocol/requests');
const limits = require('../protocol/limits');
const { HeaderBlock } = require('../headers');
const { Incoming, DONE } = require('./incoming');
const { Inlet } = require('./inlet');
const { Outgoing } = require('./caller');
const { Service } = require('./service');
const { newId, idToBytes, idToHex } = require('./ids');

/** What the broker's answer may take longer than the deadline before it is given up here. */
const DEADLINE_SLACK_MS = 2000;
/** How often overdue requests are looked for. */
const SWEEP_MS = 250;
const BODY_BROKEN = 322;
const REQUEST_LOST = 315;
const LEASE_LOST = 301;
const CONCURRENCY_DEFAULT = 64;

/** Requests that this client waits for, and those that it serves. */
class RequestLedger {
  #driver;
  #client;
  #gateway = newId();
  #hasInbox = false;
  #queue = [];
  #open = new Map();
  #held = new Map();
  #forwards = new Map();
  #services = new Map();
  #sweeper = null;

  constructor(driver, client) {
    this.#driver = driver;
    this.#client = client;
    driver.on(TYPE.REQUEST, this.#delivered.bind(this));
    driver.on(TYPE.REPLY, this.#replied.bind(this));
    driver.on(TYPE.BODY_PART, this.#part.bind(this));
    driver.on(TYPE.STREAM_CREDIT, this.#granted.bind(this));
    driver.on(TYPE.REQUEST_ENDED, this.#ended.bind(this));
  }

  get gatewayId() {
    return idToHex(this.#gateway);
  }

  /** Nothing is under way, in neither direction. */
  get idle() {
    return this.#queue.length === 0 && this.#open.size === 0 && this.#held.size === 0;
  }

  // ---- a caller's requests

  /** `Client.request`, and `Incoming.call` with the request that is being served. */
  request(service, options = {}, parent = null) {
    return new Promise((resolve, reject) => {
      if (this.#driver.closing) throw this.#driver.closedError();
      if (parent?.error) throw parent.error;
      if (this.#open.size + this.#queue.length >= limits.REQUESTS_OPEN_MAX) throw refused(318);
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
    outgoing.replied(reply.status, headers, copy(reader.buf, body, end), reply.more);
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

  // ---- services

  /** `Client.serve` */
  async serve(name, options, handler) {
    checkName(name);
    if (typeof handler !== 'function') throw badArgument('the handler is a function');
    const { signal, onError = logError } = options;
    signal?.throwIfAborted();
    const known = {
      concurrency: checkNumber(options.concurrency, 'concurrency', 1, limits.CREDIT_REQUESTS_MAX, CONCURRENCY_DEFAULT),
      creditBytes: checkNumber(options.creditBytes, 'creditBytes', 0, limits.CREDIT_BYTES_MAX, 0),
      version: options.version ?? '',
      instance: options.instance ?? idToHex(newId()).slice(0, 16),
      endpoints: options.endpoints ?? [],
      host: options.host ?? os.hostname().slice(0, limits.LABEL_BYTES_MAX),
      metadata: new HeaderBlock(options.metadata).raw.map(([key, value]) => ({ name: key, value })),
      startedMs: Date.now(),
      onError,
    };
    checkLabel(known.version, 'a version');
    checkLabel(known.instance, 'an instance');
    const service = new Service(this.#client, this.#driver.nextNumber(), name, known, handler);
    this.#services.set(service.subscription, service);
    try {
      await this.#driver.call({ what: 'the service', type: TYPE.SERVE, name: 'Serve', message: service.message(), signal });
    } catch (error) {
      this.#services.delete(service.subscription);
      service.stop(error);
      if (signal?.aborted) this.#unserve(service).catch(() => {});
      throw error;
    }
    if (signal) {
      const aborted = () => service.drain().catch(() => {});
      if (signal.aborted) aborted();
      else signal.addEventListener('abort', aborted, { once: true });
    }
    return service;
  }

  updateService(service) {
    return this.#driver.call({ what: 'the service', type: TYPE.SERVE, name: 'Serve', message: service.message() });
  }

  /** Once this has resolved no further request is on its way. */
  async endService(service, graceMs) {
    const timeoutMs = Math.max(100, graceMs);
    try {
      await this.#unserve(service, timeoutMs);
    } catch {
      // The connection went, or is gone for good: then there is nobody left to tell.
    } finally {
      this.#services.delete(service.subscription);
      service.stop(null);
    }
  }

  #unserve(service, timeoutMs) {
    const message = { subscription: service.subscription };
    return this.#driver.call({ what: 'the end of the service', type: TYPE.UNSERVE, name: 'Unserve', message, timeoutMs });
  }

  /** Requests that are still held are answered here. */
  giveUp(service, errorHeader) {
    const left = [...this.#held.values()].filter((request) => request.serving === service);
    const error = new VerteiltError('SHUTTING_DOWN', 'the worker is stopping');
    for (const request of left) {
      if (!request.replied) this.reply(request, 503, { [errorHeader]: 'worker is stopping' });
      else request.breakOff();
      this.#release(request);
      request.end(error);
    }
    return left.length;
  }

  #delivered(flags, correlation, reader, start, end) {
    const message = wire.readRequest(reader);
    const service = this.#services.get(message.subscription);
    // It is ending: the broker hears of that before long, and tells the caller.
    if (service === undefined) return;
    const { buf } = reader;
    const body = start + message.headerLength;
    if (body > end) throw new ProtocolError('a REQUEST is shorter than its headers');
    const { token } = message;
    const inlet = message.more ? new Inlet((bytes) => this.#requestCreditOf(token, bytes), 0) : null;
    const headers = start === body ? '' : buf.latin1Slice(start, body);
    const first = body === end ? EMPTY : copy(buf, body, end);
    const request = new Incoming(this, service, message, headers, first, inlet, Date.now());
    this.#held.set(token, request);
    service.start(request);
  }

  #requestCreditOf(token, bytes) {
    if (!this.#held.has(token)) return;
    const { link } = this.#driver;
    wire.writeCredit(link.outbox, '', token, bytes);
    link.schedule();
  }

  /** Calls back before the frames of this turn leave. */
  beforeWrite(callback) {
    const { link } = this.#driver;
    link.beforeWrite.push(callback);
    link.schedule();
  }

  /** Null: it is on its way. Else a promise: its body goes in parts. */
  reply(request, status, headers, body) {
    const { first, rest } = wire.firstPart(body, headers);
    if (rest !== null) {
      const stream = request.replyStart(status, headers);
      stream.write(first);
      return stream.end(rest);
    }
    this.replyHead(request, status, headers, first, false);
    return null;
  }

  replyHead(request, status, headers, first, more) {
    if (this.#held.get(request.token) !== request) return;
    const { link } = this.#driver;
    wire.writeReply(link.outbox, request.token, status, headers, first, more);
    link.schedule();
    if (!more) this.#finish(request);
  }

  replyPart(request, bytes, more, broken) {
    if (this.#held.get(request.token) !== request) return;
    const { link } = this.#driver;
    wire.writePart(link.outbox, '', request.token, more, broken ? BODY_BROKEN : 0, bytes);
    link.schedule();
    if (!more) this.#finish(request);
  }

  #finish(request) {
    this.#release(request);
    request.done();
  }

  #release(request) {
    if (this.#held.delete(request.token)) {
      request.serving.finished();
      this.#driver.progress();
    }
  }

  /** Resolves when the broker has taken it: then the lease is over. */
  forward(request, message, first, outlet) {
    return new Promise((resolve, reject) => {
      const { link } = this.#driver;
      if (!link || this.#held.get(request.token) !== request) throw request.error ?? refused(LEASE_LOST);
      const correlation = link.nextCorrelation();
      wire.writeForward(link.outbox, correlation, message, first);
      link.schedule();
      this.#forwards.set(correlation, { request, outlet, resolve, reject });
    });
  }

  // ---- what comes for either

  #part(flags, correlation, reader, start, end) {
    const part = decode(reader, 'BodyPart');
    const bytes = copy(reader.buf, start, end);
    if (part.requestId.length === 0) {
      this.#held.get(part.token)?.inlet?.put(bytes, part.more);
      return;
    }
    const id = part.requestId.latin1Slice();
    const outgoing = this.#open.get(id);
    if (outgoing === undefined) return;
    outgoing.inlet?.put(bytes, part.more);
    if (!part.more) {
      this.#open.delete(id);
      outgoing.close();
      this.#driver.progress();
    }
  }

  #granted(flags, correlation, reader) {
    const credit = decode(reader, 'StreamCredit');
    const of = credit.requestId.length === 0
      ? this.#held.get(credit.token)
      : this.#open.get(credit.requestId.latin1Slice());
    of?.outlet?.grant(Number(credit.bytes));
  }

  #ended(flags, correlation, reader) {
    const ended = decode(reader, 'RequestEnded');
    const error = refused(ended.code, ended.message);
    if (ended.requestId.length === 0) {
      const request = this.#held.get(ended.token);
      if (request === undefined) return;
      this.#release(request);
      request.end(error);
      return;
    }
    const id = ended.requestId.latin1Slice();
    const outgoing = this.#open.get(id);
    if (outgoing === undefined) return;
    this.#open.delete(id);
    const { service, version, instance } = ended;
    if (service !== '') error.holder = { service, version, instance };
    outgoing.fail(error);
    this.#driver.progress();
  }

  // ---- the driver's side

  /** OK for a forward. */
  ok(correlation) {
    const forward = this.#forwards.get(correlation);
    if (forward === undefined) return false;
    this.#forwards.delete(correlation);
    const { request, outlet, resolve } = forward;
    if (outlet === null) {
      this.#finish(request);
    } else {
      // What this worker still reads of the body may go into what it sends on.
      request.state = DONE;
      request.outlet = outlet;
    }
    resolve();
    return true;
  }

  /** A request or a forward was refused as a frame. */
  refused(correlation, error) {
    const forward = this.#forwards.get(correlation);
    if (forward !== undefined) {
      this.#forwards.delete(correlation);
      forward.outlet?.close();
      forward.reject(error);
      return true;
    }
    for (const outgoing of this.#open.values()) {
      if (outgoing.correlation === correlation) {
        this.#open.delete(outgoing.id);
        outgoing.fail(error);
        this.#driver.progress();
        return true;
      }
    }
    return false;
  }

  /** A new connection: services are served again, whoever waits asks what has become of its request. */
  connected() {
    for (const service of this.#services.values()) this.#serveAgain(service);
    if (this.#open.size > 0) this.#openInbox();
    this.#write();
  }

  #serveAgain(service) {
    const call = { what: 'the service', type: TYPE.SERVE, name: 'Serve', message: service.message() };
    sayAgain(this.#driver, call, () => this.#services.get(service.subscription) === service, (error) => {
      this.#services.delete(service.subscription);
      service.stop(error);
    });
  }

  /**
   * The connection is gone: leases and half-sent bodies with it. Whole requests without a reply may
   * still be answered, on the next connection.
   */
  disconnected() {
    this.#hasInbox = false;
    const lost = refused(REQUEST_LOST);
    for (const request of [...this.#held.values()]) {
      this.#release(request);
      request.end(lost);
    }
    for (const { outlet, reject } of this.#forwards.values()) {
      outlet?.close();
      reject(refused(LEASE_LOST));
    }
    this.#forwards.clear();
    for (const outgoing of [...this.#open.values()]) {
      outgoing.correlation = 0;
      if (outgoing.outlet === null && !outgoing.begun) continue;
      this.#open.delete(outgoing.id);
      outgoing.fail(lost);
    }
  }

  /** The client is asked to close: no more requests are taken, those that are there may end. */
  closing() {
    for (const service of [...this.#services.values()]) service.drain().catch(() => {});
  }

  /** The client has ended. */
  failAll(error) {
    clearInterval(this.#sweeper);
    for (const outgoing of this.#queue.splice(0)) outgoing.fail(error);
    for (const outgoing of this.#open.values()) outgoing.fail(error);
    this.#open.clear();
    for (const request of [...this.#held.values()]) {
      this.#release(request);
      request.end(error);
    }
    for (const { reject } of this.#forwards.values()) reject(error);
    this.#forwards.clear();
    for (const service of this.#services.values()) service.stop(error.code === 'CLOSED' ? null : error);
    this.#services.clear();
  }
}

function logError(error, request) {
  console.error(`verteilt: the handler of ${request.service} failed (request ${request.id})`, error);
}

module.exports = { RequestLedger };
