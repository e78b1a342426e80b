// HTTP requests a second through gateway and broker to a Rust service, and through moleculer-web and NATS to a
// Moleculer service, in turns, with wrk: in both, three processes behind the load.
//
//   npm ci && node run.js [--rounds 3] [--seconds 10] [--connections 64] [--service BINARY]
//
// The service is the example `service` of the Rust client; NATS is the one that `make bench-tools` installs.
'use strict';

const { execFile, spawn } = require('node:child_process');
const { existsSync, mkdtempSync, rmSync } = require('node:fs');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');
const readline = require('node:readline');
const { parseArgs, promisify } = require('node:util');

const TARGET = path.resolve(__dirname, '../../target');
const BINARY = process.env.VERTEILT_BIN ?? path.join(TARGET, 'release/verteilt');
const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '10' },
    connections: { type: 'string', default: '64' },
    service: { type: 'string', default: path.join(TARGET, 'release/examples/service') },
  },
});
const children = [];
// The binary takes VERTEILT_... for its configuration.
const ENVIRONMENT = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('VERTEILT_')));

/** Starts a program and gives what `pattern` finds in its first lines, on either output. */
async function start(program, args, pattern) {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], env: ENVIRONMENT });
  children.push(child);
  const found = (stream) => new Promise((resolve, reject) => {
    readline.createInterface(stream).on('line', (line) => {
      const match = pattern.exec(line);
      if (match) resolve(match[1]);
    }).on('close', () => reject(new Error(`${program} ${args.join(' ')} ended`)));
  });
  return Promise.any([found(child.stdout), found(child.stderr)]);
}

async function freePort() {
  const server = net.createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function wrk(url) {
  const args = ['-t', '1', '-c', values.connections, '-d', `${values.seconds}s`, '--latency', url];
  const { stdout } = await promisify(execFile)('wrk', args);
  const failed = /Non-2xx or 3xx responses: (\d+)|Socket errors: (.+)/.exec(stdout);
  if (failed) throw new Error(`${url}: ${failed[0]}`);
  const latency = (percentile) => {
    const [, number, unit] = new RegExp(`${percentile}%\\s+([\\d.]+)(us|ms|s)`).exec(stdout);
    return number * { us: 0.001, ms: 1, s: 1000 }[unit];
  };
  return { rate: +/Requests\/sec:\s+([\d.]+)/.exec(stdout)[1], p50: latency(50), p99: latency(99) };
}

const median = (numbers) => numbers.toSorted((a, b) => a - b)[numbers.length >> 1];

async function ours(folder) {
  const listen = ['--listen', '127.0.0.1:0'];
  const broker = await start(BINARY, ['serve', '--data', path.join(folder, 'data'), ...listen, '--metrics', 'off'], /^listening on (\S+)/);
  const gateway = await start(BINARY, ['gateway', ...listen, '--url', broker, '--access-log', 'off'], /^listening on (\S+)/);
  await start(values.service, [broker], /^serving/);
  return `${gateway}/things/items/4`;
}

async function theirs() {
  const installed = path.join(TARGET, 'bench-tools/bin/nats-server');
  const [nats, port] = [await freePort(), await freePort()];
  await start(existsSync(installed) ? installed : 'nats-server', ['-a', '127.0.0.1', '-p', `${nats}`], /Server is ready/);
  const transporter = `nats://127.0.0.1:${nats}`;
  await start(process.execPath, [path.join(__dirname, 'service.js'), transporter], /^ready/);
  await start(process.execPath, [path.join(__dirname, 'gateway.js'), transporter, `${port}`], /^ready/);
  return `http://127.0.0.1:${port}/items/4`;
}

async function main(folder) {
  const ways = { verteilt: { url: await ours(folder), all: [] }, moleculer: { url: await theirs(), all: [] } };
  console.log(`${os.cpus().length} cores, Node ${process.versions.node}, ${values.connections} connections, ${values.seconds} s a turn`);
  for (const { url } of Object.values(ways)) {
    const answer = await (await fetch(url)).json();
    if (answer.id !== '4' || answer.price !== 250) throw new Error(`${url} answered ${JSON.stringify(answer)}`);
    await wrk(url);
  }
  for (let round = 1; round <= values.rounds; round++) {
    for (const [name, way] of Object.entries(ways)) {
      const got = await wrk(way.url);
      way.all.push(got);
      console.log(`${name.padEnd(9)} ${got.rate.toFixed(0).padStart(7)} requests/s   p50 ${got.p50.toFixed(2)} ms   p99 ${got.p99.toFixed(2)} ms`);
    }
  }
  const ratio = (key) => median(ways.verteilt.all.map((got) => got[key])) / median(ways.moleculer.all.map((got) => got[key]));
  console.log(`verteilt / moleculer, medians: requests ${ratio('rate').toFixed(2)}   p50 ${ratio('p50').toFixed(2)}   p99 ${ratio('p99').toFixed(2)}`);
}

const folder = mkdtempSync(path.join(os.tmpdir(), 'verteilt-bench-'));
main(folder).catch((error) => {
  console.error(error.message);
  process.exitCode = 1;
}).finally(() => {
  for (const child of children) child.kill();
  rmSync(folder, { recursive: true, force: true });
});
