// The requests a second of one Express application, directly and through gateway and broker, in turns, with wrk.
//
//   node run.js [--rounds 3] [--seconds 10] [--connections 64]
//
// EXPRESS=express4 takes the other Express; VERTEILT_BIN another binary. On a machine of two cores wrk, gateway,
// broker and worker share them, so what the queue costs is taken from the application, too.
'use strict';

const { execFile, spawn } = require('node:child_process');
const { mkdtempSync, rmSync } = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const readline = require('node:readline');
const { parseArgs, promisify } = require('node:util');

const BINARY = process.env.VERTEILT_BIN ?? path.resolve(__dirname, '../../../../target/release/verteilt');
const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '10' },
    connections: { type: 'string', default: '64' },
  },
});
const children = [];
// The binary takes VERTEILT_... for its configuration.
const ENVIRONMENT = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('VERTEILT_')));

/** Starts a program and gives what `pattern` finds in its first lines. */
async function start(program, args, pattern) {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'], env: ENVIRONMENT });
  children.push(child);
  for await (const line of readline.createInterface(child.stdout)) {
    const found = pattern.exec(line);
    if (found) return found[1];
  }
  throw new Error(`${program} ${args.join(' ')} ended`);
}

async function wrk(url, seconds) {
  const args = ['-t', '1', '-c', values.connections, '-d', `${seconds}s`, '--latency', url];
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

async function main(folder) {
  const listen = ['--listen', '127.0.0.1:0'];
  const broker = await start(BINARY, ['serve', '--data', path.join(folder, 'data'), ...listen, '--metrics', 'off'], /listening on (\S+)/);
  const gateway = await start(BINARY, ['gateway', ...listen, '--url', broker, '--access-log', 'off'], /listening on (\S+)/);
  const app = path.join(__dirname, 'app.js');
  const direct = await start(process.execPath, [app, 'direct'], /(.+)/);
  const service = await start(process.execPath, [app, 'queue', broker], /(.+)/);

  const ways = { direct: { url: direct, all: [] }, queue: { url: `${gateway}/${service}`, all: [] } };
  console.log(`${os.cpus().length} cores, Node ${process.versions.node}, ${values.connections} connections, ${values.seconds} s a turn`);
  for (const { url } of Object.values(ways)) await wrk(`${url}/items/4`, 3);
  for (let round = 1; round <= values.rounds; round++) {
    for (const [name, way] of Object.entries(ways)) {
      const got = await wrk(`${way.url}/items/4`, values.seconds);
      way.all.push(got);
      console.log(`${name.padEnd(7)} ${got.rate.toFixed(0).padStart(7)} requests/s   p50 ${got.p50.toFixed(2)} ms   p99 ${got.p99.toFixed(2)} ms`);
    }
  }
  const ratio = (key) => median(ways.queue.all.map((got) => got[key])) / median(ways.direct.all.map((got) => got[key]));
  console.log(`queue / direct, medians: requests ${ratio('rate').toFixed(2)}   p50 ${ratio('p50').toFixed(2)}   p99 ${ratio('p99').toFixed(2)}`);
}

const folder = mkdtempSync(path.join(os.tmpdir(), 'verteilt-bench-'));
main(folder).catch((error) => {
  console.error(error.message);
  process.exitCode = 1;
}).finally(() => {
  for (const child of children) child.kill();
  rmSync(folder, { recursive: true, force: true });
});
