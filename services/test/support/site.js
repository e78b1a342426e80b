// The shop without `up`: a broker, a gateway, and services that are started again by this file when they die.

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { connect } from 'verteilt';

import { RUST_SERVICES, SERVICES, VERTEILT, end, isGone, start } from './process.js';
import { until } from './until.js';

/** What may be killed, and how many of each. */
const KILLED = { catalog: 2, pricing: 2, orders: 2, mailer: 1, analytics: 1 };
/** Their carts and their shelf are in memory: they live. */
const LIVING = ['stock', 'cart', 'page'];

/** A process of a service, and the next one after it. */
class Instance {
  #url;
  #isOver = false;
  #child;
  serves = false;

  constructor(service, url) {
    this.service = service;
    this.#url = url;
    this.#run();
  }

  #run() {
    const env = { VERTEILT_URL: this.#url, REMINDER_MS: '200' };
    this.#child = start(process.execPath, [`${this.service}/main.js`], { env, onLine: () => { this.serves = true; } });
    this.#child.once('exit', () => {
      this.serves = false;
      if (!this.#isOver) this.#run();
    });
  }

  kill() {
    this.serves = false;
    this.#child.kill('SIGKILL');
  }

  end() {
    this.#isOver = true;
    return end(this.#child);
  }
}

export class Site {
  #folder;
  #programs = [];
  #client;
  instances = [];
  gateway;

  static async start() {
    const site = new Site();
    site.#folder = await mkdtemp(path.join(tmpdir(), 'verteilt-chaos-'));
    const data = path.join(site.#folder, 'data');
    const url = await site.#run(VERTEILT, ['serve', '--data', data, '--listen', '127.0.0.1:0', '--metrics', 'off'], /listening on (\S+)/);
    const routes = path.join(SERVICES, 'shop/src/routes.toml');
    const gateway = ['gateway', '--listen', '127.0.0.1:0', '--url', url, '--access-log', 'off', '--routes', routes];
    site.gateway = await site.#run(VERTEILT, gateway, /listening on (\S+)/);
    for (const service of LIVING) await site.#run(RUST_SERVICES, [service], /serving (\S+)/, { VERTEILT_URL: url });
    for (const [service, count] of Object.entries(KILLED)) {
      for (let number = 0; number < count; number += 1) site.instances.push(new Instance(service, url));
    }
    await until('every instance serves', () => site.instances.every((instance) => instance.serves));
    site.#client = await connect(url);
    return site;
  }

  /** Starts a program, and gives what it says once it is ready. */
  async #run(program, args, ready, env) {
    let said;
    const child = start(program, args, { env, onLine: (line) => { said ??= ready.exec(line)?.[1]; } });
    this.#programs.push(child);
    await until(`${path.basename(program)} ${args[0]} is ready`, () => said || isGone(child));
    assert.ok(said, `${program} ${args.join(' ')} ended`);
    return said;
  }

  /** All that is in a topic now. */
  async records(topic) {
    const { records } = await this.#client.topics.stats(topic);
    const consumer = await this.#client.topics.consume(topic, { from: 'earliest', signal: AbortSignal.timeout(60_000) });
    const found = [];
    while (found.length < records) found.push((await consumer.next()).json());
    await consumer.close();
    return found;
  }

  async stop() {
    await this.#client?.close();
    await Promise.all(this.instances.map((instance) => instance.end()));
    for (const program of this.#programs.reverse()) await end(program);
    await rm(this.#folder, { recursive: true, force: true });
  }
}
