'use strict';

const { EventEmitter } = require('node:events');
const { Driver } = require('./connection/driver');
const { badArgument } = require('./errors');
const { checkName, checkNumber } = require('./names');
const { CLIENT_NAME_BYTES_MAX } = require('./protocol/limits');
const { RequestLedger } = require('./requests/ledger');
const registry = require('./requests/registry');
const { parseUrl } = require('./url');
const { version } = require('../package.json');

const MINUTE_MS = 60 * 1000;
const DAY_MS = 24 * 60 * MINUTE_MS;

/**
 * A connection to a broker that is kept up, and everything that goes over it. Emits `connected`,
 * `disconnected`, `reconnecting` and `closed`. Made by `connect`.
 */
class Client extends EventEmitter {
  #driver;
  #config;

  constructor(config) {
    super();
    this.#config = config;
    const driver = new Driver(config, (event, detail) => this.emit(event, detail));
    this.#driver = driver;
    this.requests = new RequestLedger(driver, this);
    driver.addLedger(this.requests);
  }

  /** Used by `connect`. */
  start(signal) {
    return this.#driver.start(signal);
  }

  /** Whether there is a connection now. */
  get connected() {
    return this.#driver.link !== null;
  }

  /** Names the inbox that the replies to this client's requests come to: 32 hexadecimal digits. */
  get gatewayId() {
    return this.requests.gatewayId;
  }

  /** A request to a service. Resolves when the reply begins; its body may still be on its way then. */
  request(service, options) {
    return this.requests.request(service, options);
  }

  /** Serves requests to a name. Resolves when the broker knows of it. */
  serve(service, options, handler) {
    return this.requests.serve(service, options, handler);
  }

  /** The services of the namespace, with those who serve them. */
  services(options = {}) {
    return registry.services(this.#driver, options);
  }

  /** The way of a recent request, and of those that were made for it. */
  trace(requestId, options = {}) {
    return registry.trace(this.#driver, requestId, options);
  }

  /** Takes nothing new, waits for what is under way (30 s by default), says goodbye. */
  close({ timeoutMs = this.#config.closeTimeoutMs } = {}) {
    return this.#driver.close(timeoutMs);
  }

  [Symbol.asyncDispose ?? Symbol.for('nodejs.asyncDispose')]() {
    return this.close();
  }
}

/**
 * Connects to a broker.
 * @param url `verteilt://host[:port][/namespace]`
 */
async function connect(url = 'verteilt://127.0.0.1:7450', options = {}) {
  const { host, port, namespace } = parseUrl(url);
  const { signal, authentication, reconnect = {}, name = 'verteilt-node' } = options;
  signal?.throwIfAborted();
  if (options.namespace !== undefined) checkName(options.namespace);
  if (Buffer.byteLength(name) > CLIENT_NAME_BYTES_MAX) {
    throw badArgument(`the name of a client has at most ${CLIENT_NAME_BYTES_MAX} bytes`);
  }
  const time = (value, what, fallback) => checkNumber(value, what, 0, DAY_MS, fallback);
  const client = new Client({
    host,
    port,
    name,
    version,
    authentication,
    namespace: options.namespace ?? namespace,
    connectTimeoutMs: time(options.connectTimeoutMs, 'connectTimeoutMs', 5000),
    connectWaitMs: time(options.connectWaitMs, 'connectWaitMs', 0),
    requestTimeoutMs: time(options.requestTimeoutMs, 'requestTimeoutMs', MINUTE_MS / 2),
    closeTimeoutMs: time(options.closeTimeoutMs, 'closeTimeoutMs', MINUTE_MS / 2),
    reconnect: {
      delayFirstMs: time(reconnect.delayFirstMs, 'reconnect.delayFirstMs', undefined),
      delayMaxMs: time(reconnect.delayMaxMs, 'reconnect.delayMaxMs', undefined),
      deadlineMs: time(reconnect.deadlineMs, 'reconnect.deadlineMs', undefined),
    },
  });
  await client.start(signal);
  return client;
}

module.exports = { Client, connect };
