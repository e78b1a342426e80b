'use strict';

const DELAY_FIRST_MS = 50;
const DELAY_MAX_MS = 5000;

/** The wait before attempt `attempt` (from 0): doubled each time, of which a random half is taken off. */
function backoffMs(attempt, { delayFirstMs = DELAY_FIRST_MS, delayMaxMs = DELAY_MAX_MS } = {}) {
  const full = Math.min(delayFirstMs * 2 ** Math.min(attempt, 20), delayMaxMs);
  return full * (0.5 + 0.5 * Math.random());
}

module.exports = { backoffMs };
