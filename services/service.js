// What every service of this folder begins and ends with.

import { connect } from 'verteilt';

/** Connected and serving, a process has so long to end what it holds. */
const GRACE_MS = 4_000;

/**
 * Runs a service until it shall end: at SIGTERM or Ctrl-C, or, started with `--until-stdin-closes`, when whoever
 * started it is gone.
 *
 * @param {string} name
 * @param {(service: { client, instance: string, signal: AbortSignal }) => Promise<Promise[]>} start resolves, once
 *   it serves, with promises of its parts: each resolves when that has ended, with the error that ended it if the
 *   signal did not
 */
export async function run(name, start) {
  const stop = new AbortController();
  for (const signal of ['SIGTERM', 'SIGINT']) process.once(signal, () => stop.abort());
  if (process.argv.includes('--until-stdin-closes')) process.stdin.resume().once('close', () => stop.abort());
  stop.signal.addEventListener('abort', () => setTimeout(() => process.exit(1), GRACE_MS).unref());

  const client = await connect(process.env.VERTEILT_URL, { name, connectWaitMs: 30_000, closeTimeoutMs: GRACE_MS / 2 });
  const instance = `${name}-${process.pid}`;
  const parts = await start({ client, instance, signal: stop.signal });
  console.log(`${instance} serves`);
  const ends = await Promise.all(parts);
  await client.close();
  const error = ends.find((end) => end instanceof Error);
  if (error && !stop.signal.aborted) throw error;
}
