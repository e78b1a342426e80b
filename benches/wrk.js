// Requests a second to several addresses, in turns, with wrk: what the runs beside Express and Moleculer share.
'use strict';

const { execFile, spawn } = require('node:child_process');
const { mkdtempSync, rmSync } = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const readline = require('node:readline');
const { parseArgs, promisify } = require('node:util');

const BINARY = process.env.VERTEILT_BIN ?? path.resolve(__dirname, '../target/release/verteilt');
// The binary takes VERTEILT_... for its configuration.
const ENVIRONMENT = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('VERTEILT_')));
const children = [];

/** What was asked for: rounds, seconds of a turn, connections, and `more` options of the run. */
function options(more = {}) {
  return parseArgs({
    options: {
      rounds: { type: 'string', default: '3' },
      seconds: { type: 'string', default: '10' },
      connections: { type: 'string', default: '64' },
      ...more,
    },
  }).values;
}

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

/** A broker with a gateway in front of it: their addresses. */
async function site(folder) {
  const listen = ['--listen', '127.0.0.1:0'];
  const broker = await start(BINARY, ['serve', '--data', path.join(folder, 'data'), ...listen, '--metrics', 'off'], /^listening on (\S+)/);
  const gateway = await start(BINARY, ['gateway', ...listen, '--url', broker, '--access-log', 'off'], /^listening on (\S+)/);
  return { broker, gateway };
}

async function wrk(url, seconds, connections) {
  const args = ['-t', '1', '-c', connections, '-d', `${seconds}s`, '--latency', url];
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

/** Asks each address in turn, after a turn to warm up, and prints the medians of the first beside those of the second. */
async function inTurns(ways, { rounds, seconds, connections }) {
  const names = Object.keys(ways);
  const got = Object.fromEntries(names.map((name) => [name, []]));
  console.log(`${os.cpus().length} cores, Node ${process.versions.node}, ${connections} connections, ${seconds} s a turn`);
  for (const name of names) await wrk(ways[name], 3, connections);
  for (let round = 1; round <= rounds; round++) {
    for (const name of names) {
      const { rate, p50, p99 } = await wrk(ways[name], seconds, connections);
      got[name].push({ rate, p50, p99 });
      console.log(`${name.padEnd(9)} ${rate.toFixed(0).padStart(7)} requests/s   p50 ${p50.toFixed(2)} ms   p99 ${p99.toFixed(2)} ms`);
    }
  }
  const [ours, theirs] = names;
  const ratio = (key) => (median(got[ours].map((one) => one[key])) / median(got[theirs].map((one) => one[key]))).toFixed(2);
  console.log(`${ours} / ${theirs}, medians: requests ${ratio('rate')}   p50 ${ratio('p50')}   p99 ${ratio('p99')}`);
}

/** Runs a comparison in a folder of its own, and ends what it started. */
function run(main) {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'verteilt-bench-'));
  main(folder).catch((error) => {
    console.error(error.message);
    process.exitCode = 1;
  }).finally(() => {
    for (const child of children) child.kill();
    rmSync(folder, { recursive: true, force: true });
  });
}

module.exports = { inTurns, options, run, site, start };
