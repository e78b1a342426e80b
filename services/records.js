// Topics as the services use them.

/**
 * Hands every record of a topic to `handle({ content, timeMs, commit })`, one after the other. `options` as of `consume`.
 * @returns a promise that resolves when the service ends
 */
export async function follow({ client, signal }, topic, options, handle) {
  await client.topics.create(topic, { partitions: 2 });
  const consumer = await client.topics.consume(topic, { ...options, signal });
  return readOn(consumer, signal, handle);
}

async function readOn(consumer, signal, handle) {
  try {
    for await (const record of consumer) {
      await handle({ content: record.json(), timeMs: record.timeMs, commit: () => consumer.commit(record) });
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}
