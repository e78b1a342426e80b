'use strict';

const assert = require('node:assert/strict');
const { once } = require('node:events');
const { test, before, after } = require('node:test');
const { connect } = require('../lib/index.js');
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

test('a job is pushed, taken and done', async () => {
  const pushed = await client.push('mail', 'hello', { headers: { to: 'ü' }, priority: -3 });
  assert.deepEqual([pushed.durability, pushed.duplicate], ['disk', false]);
  const [peeked] = await client.queues.peek('mail');
  assert.deepEqual([peeked.id, peeked.state, peeked.priority, peeked.body.toString()], [pushed.id, 'ready', -3, 'hello']);
  const [job, ...more] = await client.reserve('mail', { max: 10, waitMs: 1000 });
  assert.equal(more.length, 0);
  assert.deepEqual([job.id, job.queue, job.attempt, job.text(), job.headers.get('TO')], [pushed.id, 'mail', 1, 'hello', 'ü']);
  assert.equal(typeof job.token, 'bigint');
  await job.touch();
  await job.ack();
  await assert.rejects(job.nack(), { code: 'ALREADY_SETTLED' });
  const stats = await client.queues.stats('mail');
  assert.deepEqual([stats.done, stats.ready, stats.leased], [1, 0, 0]);
  assert.deepEqual(await client.reserve('mail'), []);
  assert.ok((await client.queues.list()).some(({ queue }) => queue === 'mail'));
});

test('memory jobs keep all 64 bits of their ids', async () => {
  const pushed = await Promise.all(['a', 'b'].map((body) => client.push('memory', body, { durability: 'memory' })));
  assert.equal(pushed[0].durability, 'memory');
  assert.ok(BigInt(pushed[0].id) >= 2n ** 63n);
  assert.equal(BigInt(pushed[1].id) - BigInt(pushed[0].id), 1n);
  const jobs = await client.reserve('memory', { max: 2, waitMs: 1000 });
  assert.deepEqual(jobs.map((job) => job.id), pushed.map(({ id }) => id));
  await Promise.all(jobs.map((job) => job.ack()));
});

test('many pushes at once share frames and keep their order', async () => {
  const pushed = await Promise.all(Array.from({ length: 5000 }, (_, i) => client.push('order', `${i}`)));
  for (let i = 1; i < pushed.length; i++) assert.equal(Number(pushed[i].id), Number(pushed[i - 1].id) + 1);
  const batch = await client.pushBatch('order', ['x', 'y'], { headers: { a: '1' } });
  assert.equal(batch.length, 2);
  let expected = 0;
  for await (const job of client.subscribe('order', { credit: 100 })) {
    if (expected === 5000) {
      assert.deepEqual([job.text(), job.headers.get('a')], ['x', '1']);
      await job.ack();
      break;
    }
    assert.equal(job.text(), `${expected}`);
    expected += 1;
    job.ack();
  }
  // What was delivered and not taken went back.
  const [last] = await client.reserve('order', { waitMs: 5000 });
  assert.equal(last.text(), 'y');
  await last.ack();
});

test('large bodies go in parts, both ways', async () => {
  const body = Buffer.alloc(5 * 1024 * 1024 + 17, 'abcdefg');
  const pushes = await Promise.all([client.push('large', body, { headers: { a: 'b' } }), client.push('large', 'small'), client.push('large', body)]);
  const jobs = [];
  while (jobs.length < 3) jobs.push(...(await client.reserve('large', { max: 3, waitMs: 5000 })));
  const byId = new Map(jobs.map((job) => [job.id, job]));
  assert.ok(body.equals(byId.get(pushes[0].id).body));
  assert.equal(byId.get(pushes[0].id).headers.get('a'), 'b');
  assert.equal(byId.get(pushes[1].id).text(), 'small');
  assert.ok(body.equals(byId.get(pushes[2].id).body));
  await Promise.all(jobs.map((job) => job.ack()));
  await assert.rejects(client.push('large', Buffer.alloc(64 * 1024 * 1024 + 1)), { code: 'BODY_TOO_LARGE', number: 201 });
});

test('nack, release, delay and attempts', async () => {
  await client.push('again', 'x', { attempts: 2 });
  const take = async () => (await client.reserve('again', { waitMs: 10000 }))[0];
  let job = await take();
  await job.release();
  job = await take();
  // A run of its own, but not one of the two.
  assert.equal(job.attempt, 2);
  await job.nack({ delayMs: 0 });
  job = await take();
  assert.equal(job.attempt, 3);
  await job.nack();
  const stats = await client.queues.stats('again');
  assert.deepEqual([stats.dead, stats.ready], [1, 0]);
  assert.equal(await client.queues.purge('again'), 1);
  await client.push('again', 'later', { delayMs: 300 });
  assert.equal((await client.queues.stats('again')).scheduled, 1);
  assert.equal((await take()).text(), 'later');
});

test('a lease that ends is told to the job', async () => {
  await client.push('short', 'x', { leaseMs: 50 });
  const [job] = await client.reserve('short', { waitMs: 5000 });
  assert.equal(job.leaseMs, 50);
  await within(once(job.signal, 'abort'), 'the end of the lease');
  assert.equal(job.signal.reason.code, 'LEASE_LOST');
  await assert.rejects(job.ack(), { code: 'LEASE_LOST' });
  const [again] = await client.reserve('short', { waitMs: 5000 });
  assert.equal(again.attempt, 2);
});

test('a worker acks, nacks, and keeps leases alive', async () => {
  const seen = [];
  const failures = [];
  const onError = (error, job) => failures.push([error.message, job.attempt]);
  const worker = await client.work('work', { concurrency: 4, onError }, async (job) => {
    seen.push(job.text());
    if (job.text() === 'fails' && job.attempt === 1) throw new Error('once');
    if (job.text() === 'own') await job.ack();
    // Longer than the lease: it is touched meanwhile.
    if (job.text() === 'long') await new Promise((resolve) => setTimeout(resolve, 2500));
  });
  await client.pushBatch('work', ['a', 'fails', 'own']);
  await client.push('work', 'long', { leaseMs: 2000 });
  await until('all are done', async () => (await client.queues.stats('work')).done === 4);
  assert.deepEqual(failures, [['once', 1]]);
  const counts = await worker.drain();
  assert.deepEqual(counts, { done: 3, failed: 1, lost: 0, settledByHandler: 1, released: 0 });
  assert.equal(await worker.ended, null);
  assert.deepEqual(seen.sort(), ['a', 'fails', 'fails', 'long', 'own']);
});

test('a worker that is stopped gives back what it has not finished', async () => {
  const aborter = new AbortController();
  let begun = 0;
  const worker = await client.work('stop', { concurrency: 2, graceMs: 50, signal: aborter.signal }, () => {
    begun += 1;
    return new Promise(() => {});
  });
  await client.pushBatch('stop', ['a', 'b', 'c']);
  await until('two run', () => begun === 2);
  aborter.abort();
  await within(worker.ended, 'the end of the worker');
  const jobs = [];
  while (jobs.length < 3) jobs.push(...(await client.reserve('stop', { max: 3, waitMs: 5000 })));
  assert.deepEqual(jobs.map((job) => job.text()).sort(), ['a', 'b', 'c']);
  assert.equal((await client.queues.stats('stop')).pushed, 3);
  await Promise.all(jobs.map((job) => job.ack()));
});

test('signals end what waits', async () => {
  const reserve = client.reserve('nothing', { waitMs: 60000, signal: AbortSignal.timeout(20) });
  await assert.rejects(reserve, { name: 'TimeoutError' });
  const aborter = new AbortController();
  const subscription = client.subscribe('nothing', { signal: aborter.signal });
  const next = subscription.next();
  aborter.abort();
  await assert.rejects(next, { name: 'AbortError' });
});

test('pause and resume; wrong arguments', async () => {
  await client.push('paused', 'x');
  await client.queues.pause('paused');
  assert.deepEqual(await client.reserve('paused'), []);
  await client.queues.resume('paused');
  assert.equal((await client.reserve('paused', { waitMs: 5000 })).length, 1);
  await assert.rejects(client.queues.stats('unknown-queue'), { code: 'QUEUE_UNKNOWN', number: 300, retryable: false });
  await assert.rejects(client.push('Bad Name', 'x'), { code: 'BAD_NAME' });
  await assert.rejects(client.push('ok', 5), { code: 'BAD_ARGUMENT' });
  await assert.rejects(client.push('ok', 'x', { leaseMs: 0 }), { code: 'BAD_ARGUMENT' });
  await assert.rejects(client.push('ok', 'x', { durability: 'replicated' }), { code: 'UNSUPPORTED' });
});

test('pushes wait while too much is unanswered, and all arrive', async () => {
  const small = await connect(broker.url, { pushBytesMax: 2 * 1024 * 1024 });
  const body = Buffer.alloc(300 * 1024, 'x');
  const pushed = await Promise.all(Array.from({ length: 40 }, () => small.push('budget', body)));
  assert.equal(new Set(pushed.map(({ id }) => id)).size, 40);
  assert.equal((await small.queues.stats('budget')).ready, 40);
  await small.close();
  await assert.rejects(small.push('budget', 'x'), { code: 'CLOSED' });
});

test('nothing is lost or doubled when the broker is killed under pushes and acks', async () => {
  const pushed = [];
  let stop = false;
  const pushing = Promise.all(Array.from({ length: 20 }, async (_, lane) => {
    for (let i = 0; !stop; i++) {
      const body = `${lane}-${i}`;
      await client.push('killed', body);
      pushed.push(body);
    }
  }));
  for (let round = 0; round < 3; round++) {
    const before = pushed.length;
    await until('some were pushed', () => pushed.length > before + 200);
    const back = once(client, 'connected');
    await broker.restart();
    await within(back, 'the connection');
  }
  stop = true;
  await within(pushing, 'the pushes');
  const done = [];
  const worker = await client.work('killed', { concurrency: 100, onError() {} }, async (job) => {
    await job.ack();
    done.push(job.text());
  });
  await until('half is done', () => done.length > pushed.length / 2);
  await broker.restart();
  await until('all are done', async () => {
    const stats = await client.queues.stats('killed').catch(() => ({}));
    return stats.ready === 0 && stats.leased === 0 && stats.failed === 0;
  });
  await worker.drain();
  assert.equal((await client.queues.stats('killed')).pushed, pushed.length);
  assert.equal(new Set(pushed).size, pushed.length);
  // An ack whose answer was lost with the connection is not counted here; nothing is acked twice.
  assert.equal(new Set(done).size, done.length);
});

test('a job in hand is still held after the broker was killed', async () => {
  await client.push('in-hand', 'x');
  const [job] = await client.reserve('in-hand', { waitMs: 5000 });
  const back = once(client, 'connected');
  await broker.restart();
  await within(back, 'the connection');
  await job.ack();
  assert.equal((await client.queues.stats('in-hand')).done, 1);
});

test('close finishes what runs and says goodbye', async () => {
  const other = await connect(broker.url);
  let finished = 0;
  await other.work('closing', { concurrency: 2 }, async () => {
    await new Promise((resolve) => setTimeout(resolve, 50));
    finished += 1;
  });
  await other.pushBatch('closing', ['a', 'b']);
  await until('they run', async () => (await client.queues.stats('closing')).leased === 2);
  const last = other.push('closing', 'c');
  await other.close();
  await last;
  const stats = await client.queues.stats('closing');
  assert.equal(finished, 2);
  assert.deepEqual([stats.done, stats.ready, stats.leased], [2, 1, 0]);
});
