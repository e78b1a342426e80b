// Express's own tests, directly and through gateway, broker and worker:
//
//   node suite/run.js CHECKOUT [--keep]
//
// CHECKOUT is a folder with the sources of Express 4 or 5 and its tests (`git clone` of expressjs/express, at a
// tag); packages of the registry come without tests. It is copied, its packages are installed in the copy. Ends
// with 1 if fewer than 98 of 100 cases that pass directly pass through the gateway.

import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { Site } from '../support/site.js';

const PART_WANTED = 0.98;
const here = path.dirname(fileURLToPath(import.meta.url));
const VIA_GATEWAY = path.join(here, 'via-gateway.cjs');

/** The checkout with its packages, in target/. */
function copyOf(checkout) {
  const { version, scripts } = JSON.parse(readFileSync(path.join(checkout, 'package.json')));
  const copy = path.resolve(here, '../../../../target/express-suite', version);
  if (!existsSync(path.join(copy, 'node_modules'))) {
    mkdirSync(copy, { recursive: true });
    cpSync(checkout, copy, { recursive: true, filter: (from) => path.basename(from) !== 'node_modules' && path.basename(from) !== '.git' });
    execFileSync('npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund'], { cwd: copy, stdio: 'inherit' });
  }
  return { version, copy, uses: scripts.test };
}

/** Runs all cases and gives the titles that passed, and why others did not. */
function mocha(cwd, { more = [], env = {} } = {}) {
  const args = [
    path.join(cwd, 'node_modules/mocha/bin', existsSync(path.join(cwd, 'node_modules/mocha/bin/mocha.js')) ? 'mocha.js' : '_mocha'),
    '--require', 'test/support/env', ...more, '--reporter', 'json', '--check-leaks', '--exit', 'test/', 'test/acceptance/',
  ];
  const { stdout, stderr } = spawnSync(process.execPath, args, {
    cwd, env: { ...process.env, ...env }, encoding: 'utf8', maxBuffer: 2 ** 28, timeout: 600_000,
  });
  const begin = stdout.indexOf('{\n  "stats"');
  if (begin < 0) throw new Error(`mocha gave no report:\n${stderr.slice(-2000)}`);
  const report = JSON.parse(stdout.slice(begin));
  const failed = new Map(report.failures.map(({ fullTitle, err }) => [fullTitle, err.message ?? 'failed']));
  return { passed: titles(report.passes), failed, said: stderr };
}

/** Titles, numbered where several cases have the same. */
function titles(cases) {
  const seen = new Map();
  return new Set(cases.map(({ fullTitle }) => {
    const count = (seen.get(fullTitle) ?? 0) + 1;
    seen.set(fullTitle, count);
    return count === 1 ? fullTitle : `${fullTitle} (${count})`;
  }));
}

const { version, copy } = copyOf(process.argv[2] ?? '.');
const direct = mocha(copy);
// The tests are the proxy that some of them speak of.
const site = await Site.start({ gateway: ['--trust-proxy', '127.0.0.0/8'] });
let queue;
try {
  queue = mocha(copy, { more: ['--require', VIA_GATEWAY], env: { GATEWAY: site.gateway, BROKER: site.url } });
} finally {
  await site.stop();
}

const lost = [...direct.passed].filter((title) => !queue.passed.has(title));
for (const title of lost) console.log(`- ${title}\n    ${(queue.failed.get(title.replace(/ \(\d+\)$/, '')) ?? '').split('\n')[0]}`);
const part = (direct.passed.size - lost.length) / direct.passed.size;
console.log(`Express ${version}: ${direct.passed.size} cases pass directly, ${direct.passed.size - lost.length} of them over the queue`
  + ` (${(100 * part).toFixed(1)} %), ${/gateway: (\d+)/.exec(queue.said)?.[1]} requests through the gateway`);
process.exitCode = part < PART_WANTED ? 1 : 0;
