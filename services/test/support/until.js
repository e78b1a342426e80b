// Waiting: always for something, and never for ever.

import { setTimeout as pause } from 'node:timers/promises';

const STEP_MS = 20;
/** Far longer than anything here takes on a busy machine. */
export const DEADLINE_MS = 60_000;

/** What `look` gives once it gives something; an error of it is nothing yet. */
export async function until(what, look, deadlineMs = DEADLINE_MS) {
  const end = performance.now() + deadlineMs;
  for (let last; ; await pause(STEP_MS)) {
    try {
      const found = await look();
      if (found) return found;
      last = `it was ${found}`;
    } catch (error) {
      last = error;
    }
    if (performance.now() > end) throw new Error(`${what}: not within ${deadlineMs} ms`, { cause: last });
  }
}
