'use strict';

const { VerteiltError, closed } = require('../errors');
const { OPEN } = require('./incoming');
const { ERROR_HEADER } = require('./reply_stream');

const HEALTH = { healthy: 1, unhealthy: 2, draining: 3 };

/** A service of this client. It lives through lost connections and restarts of the broker. */
class Service {
  #handler;
  #idle = [];
  #resolveEnded;
  #health = 'healthy';

  constructor(client, subscription, name, options, handler) {
    this.client = client;
    this.subscription = subscription;
    this.name = name;
    this.options = options;
    this.#handler = handler;
    /** Requests that are neither answered nor passed on. */
    this.inFlight = 0;
    this.running = true;
    /** Resolves when no more requests come: with null if that was asked for, else with the error. */
    this.ended = new Promise((resolve) => {
      this.#resolveEnded = resolve;
    });
  }

  get instance() {
    return this.options.instance;
  }

  get health() {
    return this.#health;
  }

  /** The SERVE of now. */
  message() {
    const { options } = this;
    return {
      subscription: this.subscription,
      service: this.name,
      version: options.version,
      instance: options.instance,
      creditRequests: options.concurrency,
      creditBytes: options.creditBytes,
      health: HEALTH[this.#health],
      endpoints: options.endpoints,
      host: options.host,
      process: process.pid,
      startedMs: options.startedMs,
      metadata: options.metadata,
    };
  }

  /** `healthy`, `unhealthy` (no requests for now) or `draining` (none any more). */
  async setHealth(health) {
    if (!(health in HEALTH)) throw new VerteiltError('BAD_ARGUMENT', `health is ${Object.keys(HEALTH).join(', ')}`);
    if (!this.running) throw closed();
    this.#health = health;
    await this.client.requests.serving.updateService(this);
  }

  /** Runs the handler on a request. */
  start(request) {
    this.inFlight += 1;
    let result;
    try {
      result = this.#handler(request);
    } catch (error) {
      this.#failed(request, error);
      return;
    }
    if (typeof result?.then === 'function') {
      result.then((value) => this.#returned(request, value), (error) => this.#failed(request, error));
    } else {
      this.#returned(request, result);
    }
  }

  #returned(request, value) {
    if (request.state !== OPEN) return;
    if (value === undefined || value === null) {
      this.#failed(request, new Error('the handler ended without a reply'));
    } else {
      this.#replyWith(request, value);
    }
  }

  #replyWith(request, { status = 200, headers, body }) {
    try {
      request.reply(status, headers, body).catch((error) => this.#failed(request, error));
    } catch (error) {
      this.#failed(request, error);
    }
  }

  /** The error's text stays here: the caller may be a stranger. */
  #failed(request, error) {
    if (request.error) return;
    this.options.onError(error, request);
    if (request.state === OPEN) request.reply(500, { [ERROR_HEADER]: 'handler failed' });
    else request.breakOff();
  }

  /** A request is answered, passed on or over. */
  finished() {
    this.inFlight -= 1;
    if (this.inFlight === 0) for (const resolve of this.#idle.splice(0)) resolve();
  }

  /** Resolves when nothing is in flight, or after `graceMs`. */
  #settled(graceMs) {
    if (this.inFlight === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, graceMs);
      this.#idle.push(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  /**
   * Takes no more requests and waits for those in flight, at most `graceMs`; those left then are
   * answered with status 503 and their signals aborted. Gives how many those were.
   */
  async drain({ graceMs = 10000 } = {}) {
    if (this.running) {
      this.#health = 'draining';
      await this.client.requests.serving.endService(this, graceMs);
    }
    await this.#settled(graceMs);
    return this.client.requests.serving.giveUp(this, ERROR_HEADER);
  }

  /** As `drain`, without waiting. */
  async close() {
    await this.drain({ graceMs: 0 });
  }

  /** No more requests come. */
  stop(error) {
    if (!this.running) return;
    this.running = false;
    this.#resolveEnded(error);
  }
}

module.exports = { Service };
