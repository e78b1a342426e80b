'use strict';

const { connect } = require('../client');
const { exchange } = require('./exchange');

/** As Node's own server does, take what comes; what the requests hold is bounded by `creditBytes`. */
const CONCURRENCY_DEFAULT = 1024;

/**
 * Serves HTTP requests that come over the queue with any handler that a server of `node:http` takes: an Express
 * application, `app.callback()` of Koa, `app.routing` of Fastify, a function of `(req, res)`.
 *
 * @param {(req: import('node:http').IncomingMessage, res: import('node:http').ServerResponse) => unknown} handler
 * @param options `service`, its name; `url` of the broker, or a `client` that is connected; what `connect` takes as
 *   `connection`; everything else as `client.serve` takes it, `concurrency` being 1,024 by default
 * @returns {Promise<Serving>} once requests can come
 */
async function serve(handler, { service: name, url, client: given, connection, ...options }) {
  if (typeof handler !== 'function') throw new TypeError('serve takes a function of (req, res), such as an Express app');
  const client = given ?? await connect(url, connection);
  try {
    options.concurrency ??= CONCURRENCY_DEFAULT;
    const service = await client.serve(name, options, (request) => exchange(handler, request));
    // Also when the signal or the broker ended it: then nobody calls `close`.
    if (!given) service.ended.then(() => client.close());
    return new Serving(client, service, !given);
  } catch (error) {
    if (!given) await client.close();
    throw error;
  }
}

/** A handler that serves. */
class Serving {
  #ownsClient;

  constructor(client, service, ownsClient) {
    /** For asking other services, pushing jobs and the like. */
    this.client = client;
    /** What `client.serve` gave: health, how many requests are in flight. */
    this.service = service;
    this.#ownsClient = ownsClient;
  }

  /** Takes no more requests, waits for those in flight, at most `graceMs` (10 s); gives how many were left. */
  async drain(options) {
    const left = await this.service.drain(options);
    if (this.#ownsClient) await this.client.close();
    return left;
  }

  /** The same at once. */
  async close() {
    await this.drain({ graceMs: 0 });
  }

  [Symbol.asyncDispose ?? Symbol.for('nodejs.asyncDispose')]() {
    return this.close();
  }
}

module.exports = { serve };
