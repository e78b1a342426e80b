// A broker, a gateway in front of it, and applications served both ways: directly, and over the queue.

import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import http from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import { serve } from 'verteilt';

const BINARY = process.env.VERTEILT_BIN
  ?? fileURLToPath(new URL('../../../../target/release/verteilt', import.meta.url));

// The binary takes VERTEILT_... for its configuration.
const ENVIRONMENT = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('VERTEILT_')));

export class Site {
  #folder;
  #processes = [];
  #closing = [];
  #services = 0;
  url;
  gateway;

  static async start({ gateway = [] } = {}) {
    const site = new Site();
    site.#folder = await mkdtemp(path.join(tmpdir(), 'verteilt-express-'));
    const data = path.join(site.#folder, 'data');
    site.url = await site.run(BINARY, ['serve', '--data', data, '--listen', '127.0.0.1:0', '--metrics', 'off']);
    site.gateway = await site.run(BINARY, [
      'gateway', '--listen', '127.0.0.1:0', '--url', site.url, '--access-log', 'off', ...gateway,
    ]);
    return site;
  }

  /** Starts a program and gives the address that it says it listens on. */
  async run(program, args) {
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'], env: ENVIRONMENT });
    this.#processes.push(child);
    for await (const line of createInterface(child.stdout)) {
      const found = /listening on (\S+)/.exec(line);
      if (found) return found[1];
    }
    throw new Error(`${program} ${args[0]} ended before it listened`);
  }

  /** The base URL of an application over the queue. */
  async overQueue(handler, { service = `app${++this.#services}`, ...options } = {}) {
    const serving = await serve(handler, { service, url: this.url, ...options });
    this.#closing.push(() => serving.close());
    return `${this.gateway}/${service}`;
  }

  /** The base URL of an application that Node's own server serves. */
  async direct(handler) {
    const server = http.createServer(handler).listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    this.#closing.push(() => new Promise((resolve) => {
      server.close(resolve);
      server.closeAllConnections();
    }));
    return `http://127.0.0.1:${server.address().port}`;
  }

  /** One application of `make`'s each way: what it keeps in memory is then the same in both. */
  async both(make) {
    return [await this.direct(make()), await this.overQueue(make())];
  }

  async stop() {
    for (const close of this.#closing.splice(0).reverse()) await close();
    for (const child of this.#processes.reverse()) {
      child.kill('SIGTERM');
      if (child.exitCode === null && child.signalCode === null) await new Promise((resolve) => child.once('exit', resolve));
    }
    await rm(this.#folder, { recursive: true, force: true });
  }
}
