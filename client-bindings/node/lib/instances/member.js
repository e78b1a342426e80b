'use strict';

// The side of a child: what it serves, and its end.

const INDEX = process.env.VERTEILT_INSTANCE;
const DRAIN_MS = 10000;

const members = new Set();
let stopping = null;

/** Whether this process was started by a supervisor: the number that it has there, or null. */
function instanceIndex() {
  return INDEX === undefined || process.send === undefined ? null : Number(INDEX);
}

/**
 * This process now serves or works on something.
 * @param key what the supervisor knows it by
 * @param member `{ drain({ graceMs }) }` @param client closed at the end
 */
function join(key, member, client, graceMs = DRAIN_MS) {
  if (members.size === 0) listen();
  members.add({ member, client, graceMs });
  process.send({ verteilt: 'ready', key });
}

function listen() {
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  process.on('disconnect', stop);
  process.on('message', (message) => {
    if (message?.verteilt === 'drain') stop();
  });
}

/** Finishes what runs, then ends the process; also when the supervisor is gone. */
function stop() {
  stopping ??= drain().then(() => process.exit(0));
}

async function drain() {
  const all = [...members];
  await Promise.allSettled(all.map(({ member, graceMs }) => member.drain({ graceMs })));
  await Promise.allSettled([...new Set(all.map(({ client }) => client))].map((client) => client.close({ timeoutMs: DRAIN_MS })));
}

module.exports = { instanceIndex, join, DRAIN_MS };
