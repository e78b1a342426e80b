'use strict';

// A real broker for a test: its own data folder, any free port, killed and started again at will.

const { spawn } = require('node:child_process');
const { once } = require('node:events');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const readline = require('node:readline');

const BINARY = process.env.VERTEILT_BIN ?? path.join(__dirname, '../../../target/release/verteilt');
/** What begins with VERTEILT_ is configuration to a broker. */
const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('VERTEILT_')));
/** No wait of a test is longer. */
const PATIENCE_MS = 20000;

class Broker {
  #data = fs.mkdtempSync(path.join(os.tmpdir(), 'verteilt-node-'));
  #process = null;
  #log = '';
  port = 0;

  get url() {
    return `verteilt://127.0.0.1:${this.port}`;
  }

  get data() {
    return this.#data;
  }

  async start() {
    const args = ['serve', '--data', this.#data, '--listen', `127.0.0.1:${this.port}`, '--grace', '1s'];
    const child = spawn(BINARY, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
    this.#process = child;
    child.stderr.on('data', (text) => {
      this.#log = (this.#log + text).slice(-10000);
    });
    const lines = readline.createInterface({ input: child.stdout });
    const line = await within(
      Promise.race([once(lines, 'line').then(([text]) => text), once(child, 'exit').then(() => null)]),
      'the start of the broker',
    );
    const port = /listening on verteilt:\/\/.*:(\d+)/.exec(line ?? '')?.[1];
    if (port === undefined) throw new Error(`the broker did not start: ${line}\n${this.#log}`);
    this.port = Number(port);
    lines.close();
    child.stdout.resume();
  }

  async kill(signal = 'SIGKILL') {
    const child = this.#process;
    if (child === null) return;
    this.#process = null;
    const exit = once(child, 'exit');
    child.kill(signal);
    await within(exit, 'the end of the broker');
  }

  async restart() {
    await this.kill();
    await this.start();
  }

  async remove() {
    await this.kill();
    fs.rmSync(this.#data, { recursive: true, force: true });
  }
}

/** A broker that runs. Who starts it removes it. */
async function startBroker() {
  const broker = new Broker();
  await broker.start();
  return broker;
}

/** What a promise gives, or an error that names what was waited for. */
function within(promise, what, ms = PATIENCE_MS) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${ms} ms for ${what}`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Asks again and again until the answer is true. */
async function until(what, question) {
  const end = Date.now() + PATIENCE_MS;
  for (;;) {
    const answer = await question();
    if (answer) return answer;
    if (Date.now() > end) throw new Error(`waited ${PATIENCE_MS} ms until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

module.exports = { Broker, startBroker, within, until, BINARY };
