'use strict';

const { VerteiltError, badArgument } = require('../errors');
const { checkName, checkNumber } = require('../names');
const { writeHeaders } = require('../headers');
const { Outbox } = require('../protocol/outbox');
const { toBytes } = require('../requests/outlet');
const limits = require('../protocol/limits');

const DURABILITY = { memory: 1, disk: 2, replicated: 3 };
const LEVELS = ['disk', 'memory', 'disk', 'replicated'];

/** Jobs on their way in: `Client.push` and `Client.pushBatch`. */
class Pusher {
  #ledger;
  #scratch = new Outbox();
  /** The wire's options for those that were given last, so that a loop pays for them once. */
  #known = new Map();

  constructor(ledger) {
    this.#ledger = ledger;
  }

  push(queue, body, options = {}) {
    return attempt(() => {
      const target = this.#target(queue, options);
      return this.#ledger.add(target, bytesOf(body, options), headerBlock(this.#scratch, options.headers), null, jobOf, options);
    });
  }

  /** Jobs with the same options; their results come back in order. */
  pushBatch(queue, bodies, options = {}) {
    return attempt(() => {
      const target = this.#target(queue, options);
      const headers = headerBlock(this.#scratch, options.headers);
      return Promise.all(bodies.map((body) => this.#ledger.add(target, bytesOf(body, options), headers, null, jobOf, options)));
    });
  }

  #target(queue, options) {
    const { priority, delayMs, attempts, leaseMs, durability } = options;
    const key = `${queue} ${priority} ${delayMs} ${attempts} ${leaseMs} ${durability}`;
    let target = this.#known.get(key);
    if (target === undefined) {
      checkName(queue);
      if (durability !== undefined && !(durability in DURABILITY)) throw badArgument('durability is memory or disk');
      const wire = {
        priority: checkNumber(priority, 'priority', -(2 ** 31), 2 ** 31 - 1, 0),
        delayMs: checkNumber(delayMs, 'delayMs', 0, limits.DELAY_MS_MAX, 0),
        attempts: checkNumber(attempts, 'attempts', 1, limits.ATTEMPTS_MAX, 0),
        leaseMs: checkNumber(leaseMs, 'leaseMs', 1, limits.LEASE_MS_MAX, 0),
        durability: durability === undefined ? 0 : DURABILITY[durability],
      };
      const isDefault = Object.values(wire).every((value) => value === 0);
      target = { name: queue, options: isDefault ? null : wire, key: `queue ${key}` };
      if (this.#known.size >= 1000) this.#known.clear();
      this.#known.set(key, target);
    }
    return target;
  }
}

function bytesOf(body, options) {
  const bytes = body === undefined || body === null ? Buffer.alloc(0) : toBytes(body);
  if (bytes.length > limits.BODY_BYTES_MAX) throw tooLarge(bytes.length, limits.BODY_BYTES_MAX);
  checkNumber(options.deadlineMs, 'deadlineMs', 0, 2 ** 31 - 1, undefined);
  return bytes;
}

function tooLarge(bytes, limit) {
  const text = `the body has ${bytes} bytes, the limit is ${limit}; keep it elsewhere and send a reference`;
  return new VerteiltError('BODY_TOO_LARGE', text);
}

/** The encoded block, null without headers. */
function headerBlock(scratch, headers) {
  if (headers === undefined || headers === null) return null;
  scratch.drop();
  const length = writeHeaders(scratch, headers);
  const block = length === 0 ? null : Buffer.from(scratch.buf.subarray(scratch.pos - length, scratch.pos));
  scratch.drop();
  return block;
}

function jobOf(result, index) {
  const id = typeof result.first === 'number' ? String(result.first + index) : String(result.first + BigInt(index));
  return { id, durability: LEVELS[result.durability] ?? 'disk', duplicate: result.duplicate };
}

/** What is wrong with the arguments comes as a rejection. */
function attempt(call) {
  try {
    return call();
  } catch (error) {
    return Promise.reject(error);
  }
}

module.exports = { Pusher, headerBlock, attempt, tooLarge, DURABILITY };
