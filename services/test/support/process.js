// The programs under test, as processes.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

// It is for us; a broker refuses keys that it does not know.
const { VERTEILT_BIN, ...environment } = process.env;

export const SERVICES = fileURLToPath(new URL('../..', import.meta.url));
export const VERTEILT = VERTEILT_BIN ?? path.join(SERVICES, '../target/release/verteilt');
/** Built beside it. */
export const RUST_SERVICES = path.join(path.dirname(VERTEILT), 'verteilt-shop');

const running = new Set();
process.once('exit', () => running.forEach((child) => child.kill('SIGKILL')));

/** Starts a program; its lines on standard output go to `onLine`. */
export function start(program, args, { env = {}, onLine = () => {}, stdin = 'ignore' } = {}) {
  const child = spawn(program, args, { cwd: SERVICES, env: { ...environment, ...env }, stdio: [stdin, 'pipe', 'inherit'] });
  running.add(child);
  child.once('exit', () => running.delete(child));
  createInterface(child.stdout).on('line', onLine);
  return child;
}

export const isGone = (child) => child.exitCode !== null || child.signalCode !== null;

export async function end(child, signal = 'SIGTERM') {
  if (isGone(child)) return;
  child.kill(signal);
  await once(child, 'exit');
}
