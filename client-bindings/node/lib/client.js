'use strict';

const { EventEmitter } = require('node:events');
const { Driver } = require('./connection/driver');
const { badArgument } = require('./errors');
const { instanceIndex, join } = require('./instances/member');
const { supervise } = require('./instances/supervisor');
const { checkName, checkNumber } = require('./names');
const { CLIENT_NAME_BYTES_MAX, BATCH_JOBS_MAX, RESERVE_WAIT_MS_MAX } = require('./protocol/limits');
const { DeliveryLedger } = require('./jobs/deliveries');
const { Queues } = require('./jobs/queues');
const { SettleLedger } = require('./jobs/settles');
const { Subscription } = require('./jobs/subscription');
const { Worker } = require('./jobs/worker');
const { TYPE } = require('./protocol/frame_types');
const { PushLedger } = require('./pushes/ledger');
const { Pusher } = require('./pushes/push');
const { RequestLedger } = require('./requests/ledger');
const registry = require('./requests/registry');
const results = require('./requests/results');
const { ConsumerLedger } = require('./topics/ledger');
const { Topics } = require('./topics/topics');
const { parseUrl } = require('./url');
const { version } = require('../package.json');

const MIB = 1024 * 1024;
const PUSH_BYTES_MAX_LOWEST = 2 * MIB;
const MINUTE_MS = 60 * 1000;
const DAY_MS = 24 * 60 * MINUTE_MS;

/**
 * A connection to a broker that is kept up, and everything that goes over it. Emits `connected`,
 * `disconnected`, `reconnecting` and `closed`. Made by `connect`.
 */
class Client extends EventEmitter {
  #driver;
  #config;
  #deliveries;
  #pusher;

  constructor(config) {
    super();
    this.#config = config;
    const driver = new Driver(config, (event, detail) => this.emit(event, detail));
    this.#driver = driver;
    this.requests = new RequestLedger(driver, this);
    const settles = new SettleLedger(driver);
    const pushes = new PushLedger(driver, config.pushBytesMax);
    this.#deliveries = new DeliveryLedger(driver, settles);
    this.#pusher = new Pusher(pushes);
    this.queues = new Queues(driver);
    const consumers = new ConsumerLedger(driver);
    this.topics = new Topics(driver, pushes, consumers);
    // On a new connection each says what it has to, in this order.
    for (const ledger of [this.#deliveries, consumers, this.requests, settles, pushes]) driver.addLedger(ledger);
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
    return this.requests.calling.gatewayId;
  }

  /**
   * Pushes a job. Resolves when the broker has it on its disk (or in its memory, if that was asked for):
   * `{ id, durability, duplicate }`. Waits through lost connections and a full broker, without doubles.
   */
  push(queue, body, options) {
    return this.#pusher.push(queue, body, options);
  }

  /** Jobs with the same options. Up to 256 KiB go as a whole or not at all. */
  pushBatch(queue, bodies, options) {
    return this.#pusher.pushBatch(queue, bodies, options);
  }

  /** A standing order for the jobs of a queue: `for await` over it. */
  subscribe(queue, options) {
    return new Subscription(this.#deliveries, queue, options);
  }

  /** Up to `max` jobs at once, waiting up to `waitMs` for the first; none when there was none. */
  async reserve(queue, { max = 1, waitMs = 0, signal } = {}) {
    checkName(queue);
    const message = {
      queue,
      jobsMax: checkNumber(max, 'max', 1, BATCH_JOBS_MAX, 1),
      waitMs: checkNumber(waitMs, 'waitMs', 0, RESERVE_WAIT_MS_MAX, 0),
    };
    const timeoutMs = waitMs + this.#config.requestTimeoutMs;
    return this.#driver.call({
      what: 'the reserve', type: TYPE.RESERVE, name: 'Reserve', message, answer: TYPE.DELIVER, timeoutMs, signal,
    });
  }

  /** Runs a handler on the jobs of a queue. Resolves with the worker when the broker knows of it. */
  async work(queue, options, handler) {
    return this.#inInstances(`work ${queue}`, options, async () => {
      const { signal } = options;
      signal?.throwIfAborted();
      const worker = new Worker(this.#deliveries, queue, options, handler);
      await worker.ready;
      const stop = () => worker.drain().catch(() => {});
      if (signal?.aborted) stop();
      else signal?.addEventListener('abort', stop, { once: true });
      return worker;
    });
  }

  /** Without `instances` here and now; else in children, which come to this very call by themselves. */
  async #inInstances(key, options, run) {
    if (options.instances === undefined) return run();
    if (instanceIndex() === null) return supervise(key, options);
    const running = await run();
    join(key, running, this, options.graceMs);
    return running;
  }

  /** A request to a service. Resolves when the reply begins; its body may still be on its way then. */
  request(service, options) {
    return this.requests.calling.request(service, options);
  }

  /**
   * A request of durability disk that nobody waits for: resolves when the broker has it on its disk,
   * `{ requestId, known }`. `result` gives what came of it.
   */
  detach(service, options = {}) {
    return results.detach(this.#driver, this.requests.calling, service, options);
  }

  /** What came of a request of durability disk, waiting up to `waitMs` (5 min at most) for it. */
  result(requestId, options) {
    return results.result(this.#driver, requestId, options, this.#config.requestTimeoutMs);
  }

  /** Serves requests to a name. Resolves when the broker knows of it. */
  serve(service, options, handler) {
    return this.#inInstances(`serve ${service}`, options, () => this.requests.serving.serve(service, options, handler));
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
    pushBytesMax: checkNumber(options.pushBytesMax, 'pushBytesMax', PUSH_BYTES_MAX_LOWEST, 2 ** 40, 8 * MIB),
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
