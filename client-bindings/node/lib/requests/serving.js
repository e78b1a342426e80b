'use strict';

const os = require('node:os');
const { ProtocolError, VerteiltError, badArgument, refused } = require('../errors');
const { sayAgain } = require('../connection/standing');
const { checkName, checkLabel, checkNumber } = require('../names');
const { TYPE } = require('../protocol/frame_types');
const { copy, EMPTY } = require('../protocol/reader');
const wire = require('../protocol/requests');
const limits = require('../protocol/limits');
const { HeaderBlock } = require('../headers');
const { Incoming, DONE } = require('./incoming');
const { Inlet } = require('./inlet');
const { Service } = require('./service');
const { newId, idToHex } = require('./ids');

const BODY_BROKEN = 322;
const REQUEST_LOST = 315;
const LEASE_LOST = 301;
const CONCURRENCY_DEFAULT = 64;

/** Services of this client, and the requests that they hold. */
class Serving {
  #driver;
  #client;
  #held = new Map();
  #forwards = new Map();
  #services = new Map();

  constructor(driver, client) {
    this.#driver = driver;
    this.#client = client;
    driver.on(TYPE.REQUEST, this.#delivered.bind(this));
  }

  get idle() {
    return this.#held.size === 0;
  }

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

  /** The next bytes of a request's body. */
  part(token, bytes, more) {
    this.#held.get(token)?.inlet?.put(bytes, more);
  }

  /** More of a reply's body is wanted. */
  granted(token, bytes) {
    this.#held.get(token)?.outlet?.grant(bytes);
  }

  ended(token, error) {
    const request = this.#held.get(token);
    if (request === undefined) return;
    this.#release(request);
    request.end(error);
  }

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

  /** A forward was refused: the request is still its handler's. */
  refused(correlation, error) {
    const forward = this.#forwards.get(correlation);
    if (forward === undefined) return false;
    this.#forwards.delete(correlation);
    forward.outlet?.close();
    forward.reject(error);
    return true;
  }

  connected() {
    for (const service of this.#services.values()) this.#serveAgain(service);
  }

  #serveAgain(service) {
    const call = { what: 'the service', type: TYPE.SERVE, name: 'Serve', message: service.message() };
    sayAgain(this.#driver, call, () => this.#services.get(service.subscription) === service, (error) => {
      this.#services.delete(service.subscription);
      service.stop(error);
    });
  }

  /** Leases end with their connection. */
  disconnected() {
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
  }

  closing() {
    for (const service of [...this.#services.values()]) service.drain().catch(() => {});
  }

  failAll(error) {
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

module.exports = { Serving };
