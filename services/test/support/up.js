// `verteilt up` with everything that it starts, on files of its own.

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { SERVICES, VERTEILT, end, start } from './process.js';
import { until } from './until.js';

export class Up {
  #folder;
  #lines = [];
  child;
  gateway;
  url;

  static async start({ env = {} } = {}) {
    const up = new Up();
    up.#folder = await mkdtemp(path.join(tmpdir(), 'verteilt-up-'));
    await writeFile(path.join(up.#folder, 'file'), 'to sum');
    const args = ['up', '--data', path.join(up.#folder, 'data'), '--files', up.#folder, '--services', SERVICES];
    up.child = start(VERTEILT, args, { env, onLine: (line) => up.#lines.push(line) });
    const told = (name) => until(`up tells its ${name}`, () => up.#lines.find((line) => line.startsWith(`${name} `)));
    up.gateway = (await told('gateway')).split(/\s+/)[1];
    up.url = (await told('broker')).split(/\s+/)[1];
    return up;
  }

  get told() {
    return this.#lines.join('\n');
  }

  /** `{ catalog: [process, ...], ... }` of those that serve requests. */
  async processes() {
    const services = await (await fetch(`${this.gateway}/page/services`)).json();
    return Object.fromEntries(services.map(({ service, instances }) => [service, instances.map(({ process }) => process)]));
  }

  /** Until as many processes of each serve. */
  whole() {
    return until('all services serve', async () => {
      const { catalog, pricing, orders, analytics } = await this.processes();
      return catalog.length === 2 && pricing.length === 1 && orders.length === 1 && analytics.length === 1;
    });
  }

  async stop() {
    await end(this.child, 'SIGINT');
    await rm(this.#folder, { recursive: true, force: true });
  }
}
