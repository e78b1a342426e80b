'use strict';

const { VerteiltError } = require('../errors');
const { HeaderBlock } = require('../headers');
const { Body } = require('./body');
const { ReplyStream } = require('./reply_stream');
const { idToHex } = require('./ids');
const { forward } = require('./forward');

/** Of an incoming request. */
const OPEN = 0;
const REPLYING = 1;
const DONE = 2;

const TAKEN = Promise.resolve(true);
const NOT_TAKEN = Promise.resolve(false);

/** A request that this process serves. */
class Incoming {
  #headers = null;
  #id;
  #gatewayId;
  #controller = null;
  #listeners = null;
  #body = null;

  constructor(ledger, service, message, headers, firstChunk, inlet, now) {
    this.#id = message.id;
    this.#gatewayId = message.gatewayId;
    this.#headers = headers;
    this.ledger = ledger;
    this.serving = service;
    this.token = message.token;
    this.endpoint = message.endpoint;
    this.forwards = message.forwards;
    /** Of durability disk which run this is, from 1; else 0. */
    this.attempt = message.attempt;
    this.firstChunk = firstChunk;
    this.deadline = now + message.deadlineMs;
    this.inlet = inlet;
    this.outlet = null;
    this.stream = null;
    this.state = OPEN;
    this.error = null;
    /** Something behind the first piece was asked for. */
    this.readBegun = false;
  }

  get id() {
    return idToHex(this.#id);
  }

  /** The id as the wire has it. */
  get wireId() {
    return this.#id;
  }

  get gatewayId() {
    return idToHex(this.#gatewayId);
  }

  get service() {
    return this.serving.name;
  }

  get version() {
    return this.serving.options.version;
  }

  get client() {
    return this.serving.client;
  }

  get headers() {
    if (typeof this.#headers === 'string') this.#headers = HeaderBlock.fromBlock(this.#headers);
    return this.#headers;
  }

  /** Whether `firstChunk` is the whole body, or the rest of it has come and was read. */
  get bodyEnded() {
    return this.inlet === null;
  }

  get replied() {
    return this.state !== OPEN;
  }

  remainingMs() {
    return Math.max(0, this.deadline - Date.now());
  }

  /** Aborted when nobody waits for the reply any more; the reason is the typed error. */
  get signal() {
    if (this.#controller === null) {
      this.#controller = new AbortController();
      if (this.error) this.#controller.abort(this.error);
    }
    return this.#controller.signal;
  }

  /** As `signal`, and cheaper: the callback gets the error, at once if it is over already. */
  onCancel(callback) {
    if (this.error) callback(this.error);
    else (this.#listeners ??= []).push(callback);
  }

  /** The next piece behind `firstChunk`, null at the end. Only what is read is sent. */
  read() {
    this.readBegun = true;
    return this.inlet === null ? Promise.resolve(null) : this.inlet.read();
  }

  /** The whole body, `firstChunk` included. */
  get body() {
    this.#body ??= new Body(this.firstChunk, this.inlet, null);
    return this.#body;
  }

  /** Whether the body is still as it came. */
  get bodyUntouched() {
    return !this.readBegun && !this.#body?.begun && !this.inlet?.asked;
  }

  /**
   * The whole answer. Resolves when it is on its way: true, or false when nobody waits for it any more.
   * @param body bytes, a string, or nothing
   */
  reply(status, headers, body) {
    if (this.state !== OPEN) return this.#over();
    const stream = this.ledger.reply(this, status, headers, body);
    if (stream === null) return TAKEN;
    return stream;
  }

  /** An answer whose body is written piece by piece. */
  replyStart(status, headers) {
    if (this.state === REPLYING || (this.state === DONE && !this.error)) throw repliedTwice(this);
    this.stream = new ReplyStream(this, status, headers);
    return this.stream;
  }

  /** What was begun is not brought to its end. */
  breakOff() {
    if (this.stream !== null) this.stream.fail();
    else this.outlet?.fail();
  }

  #over() {
    if (this.error) return NOT_TAKEN;
    return Promise.reject(repliedTwice(this));
  }

  /** Passes it on: whoever answers then, answers the caller. See the README. */
  forward(service, options = {}) {
    if (this.error) return Promise.reject(this.error);
    if (this.state !== OPEN) return Promise.reject(repliedTwice(this));
    return forward(this, service, options);
  }

  /** A request of its own, with what is left of this one's deadline; given up together with it. */
  call(service, options = {}) {
    return this.serving.client.requests.calling.request(service, options, this);
  }

  /** The lease is over for a reason that is not this worker's. */
  end(error) {
    this.state = DONE;
    this.error = error;
    this.outlet?.close();
    this.inlet?.fail(error);
    this.#controller?.abort(error);
    const listeners = this.#listeners;
    this.#listeners = null;
    listeners?.forEach((callback) => callApart(callback, error));
  }

  /** It was answered or passed on: nothing more of its body comes, and calls made for it go on. */
  done() {
    this.state = DONE;
    this.#listeners = null;
    if (this.inlet !== null && !this.inlet.ended) {
      this.inlet.fail(new VerteiltError('BODY_BROKEN', 'the request was answered: nothing more of its body comes'));
    }
  }
}

/** A callback that throws is its owner's trouble, not that of the connection. */
function callApart(callback, argument) {
  try {
    callback(argument);
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}

function repliedTwice(request) {
  return new VerteiltError('ALREADY_REPLIED', `request ${request.id} was answered already; answer a request once`);
}

module.exports = { Incoming, OPEN, REPLYING, DONE };
