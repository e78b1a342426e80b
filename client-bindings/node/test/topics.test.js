'use strict';

const assert = require('node:assert/strict');
const { once } = require('node:events');
const { test, before, after } = require('node:test');
const { connect } = require('../lib/index.js');
const { crc32 } = require('../lib/topics/crc32');
const { startBroker, within, until } = require('./broker');

let broker;
let client;
before(async () => {
  broker = await startBroker();
  client = await connect(broker.url);
});
after(async () => {
  await client.close();
  await broker.remove();
});

/** The next `count` records. */
async function take(consumer, count) {
  const records = [];
  while (records.length < count) records.push(await within(consumer.next(), `record ${records.length}`));
  return records;
}

test('records are published and read from wherever one likes', async () => {
  const { topics } = client;
  await topics.create('log', { partitions: 1 });
  await topics.create('log', { partitions: 1 });
  await assert.rejects(topics.create('log', { partitions: 2 }), { code: 'TOPIC_EXISTS' });
  await assert.rejects(topics.publish('no-topic', 'x'), { code: 'TOPIC_UNKNOWN', number: 306 });
  const published = await topics.publishBatch('log', ['0', '1', { value: '2', headers: { a: 'ü' }, partition: 0 }]);
  assert.deepEqual(published.map(({ partition, offset }) => [partition, offset]), [[0, 0], [0, 1], [0, 2]]);
  const all = await topics.consume('log', { from: 'earliest' });
  const records = await take(all, 3);
  assert.deepEqual(records.map((record) => record.text()), ['0', '1', '2']);
  assert.equal(records[2].headers.get('a'), 'ü');
  const latest = await topics.consume('log');
  await topics.publish('log', '3');
  assert.equal((await take(latest, 1))[0].text(), '3');
  const offset = await topics.consume('log', { from: { offset: 2 } });
  assert.deepEqual((await take(offset, 2)).map((record) => record.offset), [2, 3]);
  const time = await topics.consume('log', { from: { timeMs: (await take(all, 1))[0].timeMs } });
  assert.equal((await take(time, 1))[0].timeMs >= records[2].timeMs, true);
  const stats = await topics.stats('log');
  assert.deepEqual([stats.partitions, stats.records, stats.subscriptions], [1, 4, 4]);
  for (const consumer of [all, latest, offset, time]) await consumer.close();
  assert.equal((await topics.stats('log')).subscriptions, 0);
});

test('records of a key go to its partition and keep their order', async () => {
  const { topics } = client;
  assert.equal(crc32(Buffer.from('123456789')), 0xcbf43926);
  await topics.create('keyed', { partitions: 8 });
  const places = await Promise.all(Array.from({ length: 1000 }, (_, i) => topics.publish('keyed', `${i}`, { key: `key-${i % 50}` })));
  places.forEach(({ partition }, i) => assert.equal(partition, crc32(Buffer.from(`key-${i % 50}`)) % 8));
  const consumer = await topics.consume('keyed', { from: 'earliest', credit: 10 });
  const last = new Map();
  for (const record of await take(consumer, 1000)) {
    const key = record.key.toString();
    assert.ok(Number(record.text()) > (last.get(key) ?? -1));
    last.set(key, Number(record.text()));
  }
  assert.equal(last.size, 50);
  await consumer.close();
});

test('members of a group share the partitions and go on where it committed', async () => {
  const { topics } = client;
  await topics.create('shared', { partitions: 4 });
  for (let partition = 0; partition < 4; partition++) await topics.publishBatch('shared', ['a', 'b', 'c'], { partition });
  const one = await topics.consume('shared', { group: 'readers' });
  assert.deepEqual(one.partitions, [0, 1, 2, 3]);
  const two = await topics.consume('shared', { group: 'readers' });
  await until('they share', () => one.partitions.length === 2 && two.partitions.length === 2);
  assert.deepEqual([...one.partitions, ...two.partitions].sort(), [0, 1, 2, 3]);
  // Of what the first had taken in before, what it has lost is dropped.
  const mine = (await take(one, 6)).filter(({ partition }) => one.partitions.includes(partition));
  for (const record of mine.filter(({ offset }) => offset === 1)) await one.commit(record);
  const [theirs] = two.partitions;
  await assert.rejects(one.commit({ partition: theirs, offset: 0 }), { code: 'PARTITION_LOST' });
  await one.close();
  await until('the other has all', () => two.partitions.length === 4);
  const [group] = await topics.groups('shared');
  assert.deepEqual([group.group, group.members], ['readers', 1]);
  const records = await take(two, 6 + 2);
  for (const partition of new Set(mine.map((record) => record.partition))) {
    const offsets = records.filter((record) => record.partition === partition).map((record) => record.offset);
    assert.deepEqual(offsets, [2]);
  }
  await two.close();
});

test('credit bounds what is on its way', async () => {
  const { topics } = client;
  await topics.create('credit', { partitions: 1 });
  await topics.publishBatch('credit', Array.from({ length: 500 }, (_, i) => `${i}`));
  const consumer = await topics.consume('credit', { from: 'earliest', credit: 5 });
  const records = await take(consumer, 500);
  records.forEach((record, i) => assert.equal(record.text(), `${i}`));
  await consumer.close();
});

test('a consumer ends with its topic, its signal, its loop', async () => {
  const { topics } = client;
  await topics.create('ends', { partitions: 1, retentionMs: 60000, retentionBytes: 1000000 });
  await topics.setRetention('ends', { retentionMs: 1000 });
  assert.deepEqual([(await topics.stats('ends')).retentionMs, (await topics.stats('ends')).retentionBytes], [1000, 0]);
  const aborter = new AbortController();
  const aborted = await topics.consume('ends', { signal: aborter.signal });
  const next = aborted.next();
  aborter.abort();
  await assert.rejects(next, { name: 'AbortError' });
  const looped = await topics.consume('ends');
  await topics.publish('ends', 'x');
  for await (const record of looped) {
    assert.equal(record.text(), 'x');
    break;
  }
  assert.equal(looped.open, false);
  const deleted = await topics.consume('ends');
  const pending = deleted.next();
  await topics.delete('ends');
  await assert.rejects(within(pending, 'the end'), { code: 'TOPIC_UNKNOWN' });
  assert.ok(!(await topics.list()).some(({ topic }) => topic === 'ends'));
});

test('readers and publishes go on after the broker was killed, without gaps or doubles', async () => {
  const { topics } = client;
  await topics.create('killed', { partitions: 3 });
  const reader = await topics.consume('killed', { from: 'earliest', credit: 50 });
  const member = await topics.consume('killed', { group: 'g', credit: 50 });
  let stop = false;
  let count = 0;
  const publishing = Promise.all(Array.from({ length: 10 }, async (_, lane) => {
    for (let i = 0; !stop; i++) {
      await topics.publish('killed', `${lane}-${i}`, i % 2 ? { key: `${lane}` } : {});
      count += 1;
    }
  }));
  const seen = [];
  const reading = (async () => {
    for await (const record of reader) seen.push(record);
  })();
  const committed = new Map();
  const following = (async () => {
    for await (const record of member) {
      const lost = await member.commit(record).then(() => false, (error) => error.code === 'PARTITION_LOST' || Promise.reject(error));
      if (!lost) committed.set(record.partition, record.offset);
    }
  })();
  for (let round = 0; round < 3; round++) {
    const before = count;
    await until('some were published', () => count > before + 100);
    const back = once(client, 'connected');
    await broker.restart();
    await within(back, 'the connection');
  }
  stop = true;
  await within(publishing, 'the publishes');
  await until('all were read', () => seen.length >= count);
  const next = new Map();
  for (const { partition, offset, skipped } of seen) {
    assert.equal(offset, next.get(partition) ?? 0);
    assert.equal(skipped, 0);
    next.set(partition, offset + 1);
  }
  assert.equal(seen.length, count);
  assert.equal(new Set(seen.map((record) => record.text())).size, count);
  await until('all is committed', async () => (await topics.groups('killed'))[0].lag === 0);
  await reader.close();
  await member.close();
  await Promise.all([reading, following]);
});
