'use strict';

const { fork } = require('node:child_process');
const os = require('node:os');
const { backoffMs } = require('../connection/backoff');
const { VerteiltError, badArgument } = require('../errors');
const { checkNumber } = require('../names');
const { DRAIN_MS } = require('./member');

const INSTANCES_MAX = 1024;
/** A child that lived this long was a good one: the waits start anew. */
const GOOD_LIFE_MS = 10000;
const BACKOFF = { delayFirstMs: 100, delayMaxMs: 10000 };
/** Children that end so often before they serve will not do so later either. */
const FAILURES_MAX = 5;
/** What a child may take longer than its grace before it is killed. */
const KILL_AFTER_MS = 5000;
const SIGNALS = ['SIGTERM', 'SIGINT'];

/** The children of this process: the same script, each with a number of its own. */
class Supervisor {
  #script = process.argv[1];
  #slots = [];
  #waiting = [];
  #stopping = null;
  #graceMs = DRAIN_MS;
  #failures = 0;
  #resolveEnded;
  #onSignal = (signal) => {
    // When all are gone the signal does what it would have done.
    this.drain().finally(() => process.kill(process.pid, signal));
  };

  constructor() {
    if (this.#script === undefined) throw badArgument('instances need a script that can be started again, not `node -e`');
    /** Resolves when all are gone: with null if that was asked for, else with the error. */
    this.ended = new Promise((resolve) => {
      this.#resolveEnded = resolve;
    });
    for (const signal of SIGNALS) process.once(signal, this.#onSignal);
  }

  get size() {
    return this.#slots.length;
  }

  /** Their process numbers, without those that wait to be started again. */
  get pids() {
    return this.#slots.filter(({ child }) => child !== null).map(({ child }) => child.pid);
  }

  /** How often a child was started again. */
  restarts = 0;

  /** Resolves when so many children have said that they serve what has this key. */
  async run(key, count, graceMs = DRAIN_MS) {
    if (this.#stopping) throw new VerteiltError('CLOSED', 'the instances are being stopped');
    this.#graceMs = Math.max(this.#graceMs, graceMs);
    for (let index = this.#slots.length; index < count; index++) this.#start(index);
    await new Promise((resolve, reject) => {
      this.#waiting.push({ key, resolve, reject });
      this.#look();
    });
  }

  #start(index, attempt = 0) {
    const env = { ...process.env, VERTEILT_INSTANCE: String(index) };
    const child = fork(this.#script, process.argv.slice(2), { env });
    const slot = { child, keys: new Set(), timer: null };
    const begun = Date.now();
    this.#slots[index] = slot;
    child.on('message', (message) => {
      if (message?.verteilt !== 'ready') return;
      slot.keys.add(message.key);
      this.#failures = 0;
      this.#look();
    });
    child.on('error', () => {});
    child.once('exit', () => {
      slot.child = null;
      this.#gone(index, Date.now() - begun >= GOOD_LIFE_MS ? 0 : attempt, slot);
    });
  }

  #gone(index, attempt, slot) {
    if (this.#stopping) {
      if (this.pids.length === 0) this.#stopping.resolve();
      return;
    }
    if (slot.keys.size === 0 && ++this.#failures >= FAILURES_MAX) {
      const text = `${FAILURES_MAX} instances in a row have ended before they served; see what they print`;
      this.#fail(new VerteiltError('INSTANCES_FAILED', text));
      return;
    }
    slot.timer = setTimeout(() => {
      this.restarts += 1;
      this.#start(index, attempt + 1);
    }, backoffMs(attempt, BACKOFF));
  }

  #look() {
    const all = (key) => this.#slots.every(({ keys }) => keys.has(key));
    this.#waiting = this.#waiting.filter(({ key, resolve }) => {
      if (!all(key)) return true;
      resolve();
      return false;
    });
  }

  #fail(error) {
    for (const { reject } of this.#waiting.splice(0)) reject(error);
    this.drain({ error }).catch(() => {});
  }

  /** Lets every child finish what it has; one that does not is killed. */
  async drain({ graceMs = this.#graceMs, error = null } = {}) {
    if (this.#stopping === null) {
      const stopping = {};
      stopping.done = new Promise((resolve) => {
        stopping.resolve = resolve;
      });
      this.#stopping = stopping;
      this.#stop(graceMs + KILL_AFTER_MS);
    }
    await this.#stopping.done;
    for (const signal of SIGNALS) process.removeListener(signal, this.#onSignal);
    if (current === this) current = null;
    this.#resolveEnded(error);
  }

  async close() {
    await this.drain({ graceMs: 0 });
  }

  #stop(killAfterMs) {
    for (const { child, timer } of this.#slots) {
      clearTimeout(timer);
      if (child?.connected) child.send({ verteilt: 'drain' }, () => {});
      // Before it has a channel, or after it has left it, a signal does.
      else child?.kill('SIGTERM');
    }
    const killer = setTimeout(() => this.#slots.forEach(({ child }) => child?.kill('SIGKILL')), killAfterMs);
    this.#stopping.done.finally(() => clearTimeout(killer));
    if (this.pids.length === 0) this.#stopping.resolve();
  }
}

let current = null;

/**
 * Runs this script in children.
 * @param instances a number, or `cores`: one for each
 */
async function supervise(key, { instances, graceMs, signal }) {
  const count = instances === 'cores' ? os.availableParallelism() : checkNumber(instances, 'instances', 1, INSTANCES_MAX);
  signal?.throwIfAborted();
  current ??= new Supervisor();
  const supervisor = current;
  signal?.addEventListener('abort', () => supervisor.drain().catch(() => {}), { once: true });
  await supervisor.run(key, count, graceMs);
  return supervisor;
}

module.exports = { supervise };
