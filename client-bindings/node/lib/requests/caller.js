'use strict';

const { checkName, checkLabel, checkNumber } = require('../names');
const { VerteiltError, badArgument, abortReason, deadline: deadlineError } = require('../errors');
const { firstPart } = require('../protocol/requests');
const {
  FINGERPRINT_BYTES_MAX, PART_BYTES, REPLY_CREDIT_BYTES, REQUEST_DEADLINE_MS_DEFAULT, REQUEST_DEADLINE_MS_MAX,
} = require('../protocol/limits');
const { HeaderBlock } = require('../headers');
const { Inlet } = require('./inlet');
const { Outlet, toBytes } = require('./outlet');
const { Body } = require('./body');
const { newId, idFromHex, idToHex } = require('./ids');
const { isStream, pump } = require('./sending');

const DURABILITY = { memory: 1, disk: 2 };

/** The answer to a request. */
class Response {
  constructor(id, status, headers, body, replayed) {
    this.requestId = idToHex(id);
    this.status = status;
    this.headers = HeaderBlock.fromBlock(headers);
    this.body = body;
    /** Of durability disk: the request had been accepted before it was sent. */
    this.replayed = replayed;
  }
}

/** A request of this client that is not answered to its end. */
class Outgoing {
  #resolve;
  #reject;
  #signal;
  #aborted;

  constructor(ledger, service, options, parent, resolve, reject) {
    const { version = '', endpoint = '', headers, body, deadlineMs, signal, durability, id, fingerprint } = options;
    checkName(service);
    checkLabel(version, 'a version');
    checkLabel(endpoint, 'an endpoint');
    if (durability !== undefined && !(durability in DURABILITY)) throw badArgument('durability is memory or disk');
    const limitMs = checkNumber(deadlineMs, 'deadlineMs', 1, REQUEST_DEADLINE_MS_MAX, REQUEST_DEADLINE_MS_DEFAULT);
    const now = Date.now();
    this.ledger = ledger;
    this.service = service;
    this.version = version;
    this.endpoint = endpoint;
    this.headers = headers === undefined ? undefined : HeaderBlock.from(headers);
    this.durability = durability === undefined ? 0 : DURABILITY[durability];
    this.detach = false;
    this.fingerprint = fingerprint === undefined ? null : toFingerprint(fingerprint);
    this.id = id === undefined ? newId() : idFromHex(id);
    this.parentId = parent === null ? '' : parent.wireId;
    this.limitMs = limitMs;
    this.deadline = parent === null ? now + limitMs : Math.min(now + limitMs, parent.deadline);
    this.correlation = 0;
    /** Its reply has begun. */
    this.begun = false;
    this.inlet = null;
    this.outlet = null;
    const streams = isStream(body);
    const { first, rest } = streams ? { first: undefined, rest: body } : firstPart(body, headers);
    this.first = first;
    this.rest = rest === null || streams ? rest : [rest];
    this.more = rest !== null;
    if (this.more && this.isStored) {
      const text = `a request of durability disk has at most ${PART_BYTES} bytes, in one piece; keep the body elsewhere`;
      throw new VerteiltError('BODY_TOO_LARGE', text);
    }
    this.#resolve = resolve;
    this.#reject = reject;
    this.#signal = signal;
    if (signal) {
      if (signal.aborted) throw abortReason(signal);
      this.#aborted = () => this.giveUp(abortReason(signal));
      signal.addEventListener('abort', this.#aborted, { once: true });
    }
  }

  /** The broker keeps it on its disk: it may be sent again under its id. */
  get isStored() {
    return this.durability === DURABILITY.disk;
  }

  /** It is on the line: a body that streams follows as it is asked for. */
  sent() {
    if (!this.isStored) this.first = undefined;
    if (this.rest === null) return;
    this.outlet = new Outlet((bytes, more, broken) => this.ledger.requestPart(this, bytes, more, broken), 0);
    pump(this.rest, this.outlet);
    this.rest = null;
  }

  /** The caller does not want it any more: its worker is told. */
  giveUp(error) {
    this.ledger.cancel(this);
    this.fail(error);
  }

  /** The reply has begun. */
  replied(status, headers, first, more, replayed) {
    this.begun = true;
    if (more) this.inlet = new Inlet((bytes) => this.ledger.requestCredit(this, bytes), REPLY_CREDIT_BYTES);
    else this.#release();
    const cancelled = () => this.giveUp(new VerteiltError('CANCELLED', 'the response was cancelled by its reader'));
    this.#resolve(new Response(this.id, status, headers, new Body(first, this.inlet, cancelled), replayed));
  }

  /** Nothing more of it: all is done, or `fail` has told why. */
  close() {
    this.outlet?.close();
    this.#release();
  }

  fail(error) {
    this.close();
    this.inlet?.fail(error);
    if (!this.begun) this.#reject(error);
  }

  /** Not even the broker has answered in time. */
  overdue() {
    this.giveUp(deadlineError('the request', this.limitMs));
  }

  #release() {
    if (this.#aborted) this.#signal.removeEventListener('abort', this.#aborted);
    this.#aborted = undefined;
  }
}

/** The same for what is the same request. */
function toFingerprint(value) {
  const bytes = toBytes(value);
  if (bytes.length > FINGERPRINT_BYTES_MAX) throw badArgument(`a fingerprint has at most ${FINGERPRINT_BYTES_MAX} bytes`);
  return bytes;
}

module.exports = { Outgoing, Response };
