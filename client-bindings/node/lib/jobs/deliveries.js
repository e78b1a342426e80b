'use strict';

const { ProtocolError } = require('../errors');
const { sayAgain } = require('../connection/standing');
const { decode } = require('../protocol/message');
const { TYPE } = require('../protocol/frame_types');
const { HELD_LEASES_MAX, BODY_BYTES_MAX } = require('../protocol/limits');
const { Job } = require('./job');
const { KeepAlive } = require('./keep_alive');
const { leaseLost } = require('./settles');

/** Jobs on their way in, and those that this client holds. */
class DeliveryLedger {
  #driver;
  #subscriptions = new Map();
  /** Jobs whose leases this client has, by id. */
  #held = new Map();
  /** Bodies that have not come to their end, by id. */
  #partial = new Map();
  /** Workers whose jobs run. */
  workers = new Set();

  constructor(driver, settles) {
    this.#driver = driver;
    this.settles = settles;
    this.keepAlive = new KeepAlive(settles);
    driver.on(TYPE.DELIVER, this.#deliver.bind(this));
    driver.on(TYPE.DELIVER_PART, this.#part.bind(this));
    driver.on(TYPE.LEASE_LOST, (flags, correlation, reader) => this.#lost(decode(reader, 'LeaseLost')));
    driver.heldLeases = () => this.#heldLeases();
  }

  get idle() {
    return this.workers.size === 0;
  }

  get driver() {
    return this.#driver;
  }

  register(subscription) {
    this.#subscriptions.set(subscription.number, subscription);
  }

  unregister(subscription) {
    this.#subscriptions.delete(subscription.number);
  }

  /** It is settled, or lost. */
  forget(job) {
    if (this.#held.get(job.wireId) === job) this.#held.delete(job.wireId);
  }

  /** The leases that HELLO names: the broker ends the others, whose DELIVER never arrived. */
  #heldLeases() {
    const jobs = [...this.#held.values()];
    if (jobs.length > HELD_LEASES_MAX) return { ids: [], tokens: [], complete: false };
    return { ids: jobs.map((job) => job.wireId), tokens: jobs.map((job) => job.wireToken), complete: true };
  }

  #deliver(flags, correlation, reader, start, end) {
    const message = decode(reader, 'Deliver');
    const { ids, attempts, leaseMs, bodyLengths, headerLengths, lengthsToCome, token } = message;
    const count = ids.length;
    const fits = attempts.length === count && bodyLengths.length === count &&
      (leaseMs.length === count || leaseMs.length === 1 || count === 0) &&
      (headerLengths.length === count || headerLengths.length === 0) &&
      (lengthsToCome.length === count || lengthsToCome.length === 0);
    if (!fits) throw new ProtocolError('the lists of DELIVER differ in length');
    const subscription = this.#subscriptions.get(message.subscription);
    const call = correlation === 0 ? undefined : this.#driver.calls.find(correlation);
    const queue = subscription?.queue ?? call?.message.queue ?? '';
    const payload = Buffer.from(reader.buf.subarray(start, end));
    const delivery = { jobs: [], missing: 0, subscription, correlation };
    let at = 0;
    for (let index = 0; index < count; index++) {
      const bodyAt = at + (headerLengths[index] ?? 0);
      const bodyEnd = bodyAt + bodyLengths[index];
      if (bodyEnd > payload.length) throw new ProtocolError('a DELIVER is shorter than its jobs');
      const headers = bodyAt === at ? '' : payload.latin1Slice(at, bodyAt);
      const body = payload.subarray(bodyAt, bodyEnd);
      const lease = leaseMs.length === 1 ? leaseMs[0] : leaseMs[index];
      const job = new Job(this, queue, ids[index], token, attempts[index], Number(lease), headers, body);
      this.#held.set(ids[index], job);
      delivery.jobs.push(job);
      const toCome = Number(lengthsToCome[index] ?? 0);
      if (toCome > 0) {
        if (toCome + body.length > BODY_BYTES_MAX) throw new ProtocolError('a body is above the limit');
        delivery.missing += 1;
        this.#partial.set(ids[index], { job, delivery, chunks: [body], toCome });
      }
      at = bodyEnd;
    }
    if (at !== payload.length) throw new ProtocolError('a DELIVER is longer than its jobs');
    if (delivery.missing === 0) this.#complete(delivery);
  }

  #part(flags, correlation, reader, start, end) {
    const { id, token, toCome } = decode(reader, 'DeliverPart');
    const partial = this.#partial.get(id);
    if (partial === undefined || partial.job.wireToken !== token) return;
    const bytes = end - start;
    if (partial.toCome - bytes !== Number(toCome)) throw new ProtocolError('a part of a body is missing');
    partial.toCome -= bytes;
    partial.chunks.push(Buffer.from(reader.buf.subarray(start, end)));
    if (partial.toCome > 0) return;
    partial.job.body = Buffer.concat(partial.chunks);
    this.#arrived(id, partial);
  }

  #arrived(id, { delivery }) {
    this.#partial.delete(id);
    delivery.missing -= 1;
    if (delivery.missing === 0) this.#complete(delivery);
  }

  #complete({ jobs, subscription, correlation }) {
    const good = jobs.filter((job) => !job.isSettled);
    const call = correlation === 0 ? undefined : this.#driver.calls.find(correlation);
    if (call !== undefined) this.#driver.calls.finish(call, good);
    else if (subscription?.open) subscription.put(good);
    // Whoever wanted them has gone.
    else for (const job of good) job.release().catch(() => {});
  }

  #lost({ ids, tokens }) {
    if (tokens.length !== ids.length && tokens.length !== 1) throw new ProtocolError('the lists of LEASE_LOST differ in length');
    ids.forEach((id, at) => {
      const job = this.#held.get(id);
      const token = tokens.length === 1 ? tokens[0] : tokens[at];
      if (job === undefined || job.wireToken !== token) return;
      job.lose(leaseLost(job));
      const partial = this.#partial.get(id);
      if (partial?.job === job) this.#arrived(id, partial);
    });
  }

  connected() {
    for (const subscription of this.#subscriptions.values()) this.subscribe(subscription);
    this.keepAlive.touchAll();
  }

  /** Says SUBSCRIBE on the connection that is there now. */
  subscribe(subscription) {
    sayAgain(this.#driver, subscription.call(), () => subscription.open, (error) => {
      this.unregister(subscription);
      subscription.end(error);
    });
  }

  /** Jobs that nobody has begun go back: their leases are not named in the next HELLO. */
  disconnected() {
    for (const { job } of this.#partial.values()) this.forget(job);
    this.#partial.clear();
    for (const subscription of this.#subscriptions.values()) {
      for (const job of subscription.takeAll()) this.forget(job);
    }
  }

  closing() {
    for (const worker of this.workers) worker.drain().catch(() => {});
    for (const subscription of [...this.#subscriptions.values()]) {
      if (!subscription.isWorkers) subscription.close().catch(() => {});
    }
  }

  failAll(error) {
    this.keepAlive.clear();
    for (const subscription of this.#subscriptions.values()) subscription.end(error.code === 'CLOSED' ? null : error);
    this.#subscriptions.clear();
    for (const job of [...this.#held.values()]) job.lose(error);
  }
}

module.exports = { DeliveryLedger };
