'use strict';

// A line that breaks again and again, in the middle of frames: nothing is lost, nothing doubled.

const assert = require('node:assert/strict');
const { once } = require('node:events');
const net = require('node:net');
const { test, before, after } = require('node:test');
const { connect } = require('../lib/index.js');
const { startBroker, within, until } = require('./broker');

const CUTS = 24;

let broker;
let straight;
before(async () => {
  broker = await startBroker();
  straight = await connect(broker.url);
});
after(async () => {
  await straight.close();
  await broker.remove();
});

/** Passes bytes on, and ends each connection after so many of them, `CUTS` times. */
class BrokenLine {
  #seed = 7;
  cuts = 0;

  constructor(port) {
    this.server = net.createServer((socket) => {
      const far = net.connect(port, '127.0.0.1');
      socket.setNoDelay();
      far.setNoDelay();
      let left = 200 + this.#random(this.cuts < CUTS / 2 ? 4000 : 60000);
      const end = () => {
        socket.destroy();
        far.destroy();
      };
      const pass = (to) => (bytes) => {
        if (this.cuts >= CUTS || left > bytes.length) {
          left -= bytes.length;
          to.write(bytes);
          return;
        }
        // The front of it still arrives.
        to.write(bytes.subarray(0, left), () => {
          this.cuts += 1;
          end();
        });
        left = 0;
      };
      socket.on('data', pass(far)).on('error', end).on('close', end);
      far.on('data', pass(socket)).on('error', end).on('close', end);
    });
  }

  #random(below) {
    this.#seed = (this.#seed * 1103515245 + 12345) % 2 ** 31;
    return this.#seed % below;
  }

  async listen() {
    this.server.listen(0, '127.0.0.1');
    await once(this.server, 'listening');
    return `verteilt://127.0.0.1:${this.server.address().port}`;
  }
}

/** A client behind a line that breaks `CUTS` times and is whole then. */
async function broken(t) {
  const line = new BrokenLine(broker.port);
  const url = await line.listen();
  const client = await connect(url, { connectWaitMs: 20000, reconnect: { delayFirstMs: 1, delayMaxMs: 10 } });
  t.after(async () => {
    await client.close();
    line.server.close();
  });
  return { client, line };
}

/** Does something in several lanes until the line has broken often enough; gives how often that was. */
async function inLanes(line, lanes, once) {
  let count = 0;
  await Promise.all(Array.from({ length: lanes }, async (_, lane) => {
    for (let i = 0; line.cuts < CUTS; i++) {
      await within(once(`${lane}-${i}`), `${lane}-${i}`);
      count += 1;
    }
  }));
  return count;
}

test('pushes and publishes arrive once', async (t) => {
  const { client, line } = await broken(t);
  await straight.topics.create('cut', { partitions: 3 });
  const large = Buffer.alloc(30000, 'x');
  const count = await inLanes(line, 20, async (name) => {
    await client.push('cut', name, { headers: { name } });
    await client.topics.publish('cut', name, name.length % 2 ? { key: name } : {});
    if (name.endsWith('5')) await client.push('cut-large', large);
  });
  assert.equal((await straight.queues.stats('cut')).pushed, count);
  assert.equal((await straight.topics.stats('cut')).published, count);
  const reader = await straight.topics.consume('cut', { from: 'earliest' });
  const seen = new Set();
  for (let i = 0; i < count; i++) seen.add((await within(reader.next(), `record ${i}`)).text());
  await reader.close();
  assert.equal(seen.size, count);
  const jobs = new Set();
  while (jobs.size < count) for (const job of await straight.reserve('cut', { max: 1000, waitMs: 5000 })) jobs.add(job.text());
  assert.deepEqual(jobs, seen);
});

test('a job that was acked does not come again', async (t) => {
  const { client, line } = await broken(t);
  const acked = new Set();
  const again = [];
  const begun = new Map();
  const worker = await client.work('cut-work', { concurrency: 50, onError() {} }, async (job) => {
    if (acked.has(job.id)) again.push(job.id);
    begun.get(job.text())();
    await job.ack();
    acked.add(job.id);
  });
  const count = await inLanes(line, 50, async (name) => {
    const runs = new Promise((resolve) => begun.set(name, resolve));
    await straight.push('cut-work', name);
    await runs;
  });
  await until('all are done', async () => (await straight.queues.stats('cut-work')).done === count);
  assert.deepEqual(again, []);
  assert.ok(acked.size > 0 && acked.size <= count);
  await worker.drain();
});

test('a reader goes on where it was', async (t) => {
  const { client, line } = await broken(t);
  await straight.topics.create('cut-read', { partitions: 2 });
  const reader = await client.topics.consume('cut-read', { from: 'earliest', credit: 20 });
  const next = new Map();
  let read = 0;
  const reading = (async () => {
    for await (const { partition, offset } of reader) {
      assert.equal(offset, next.get(partition) ?? 0);
      next.set(partition, offset + 1);
      read += 1;
    }
  })();
  const count = await inLanes(line, 50, (name) => straight.topics.publish('cut-read', name));
  await until('all is read', () => read === count);
  await reader.close();
  await reading;
});

test('each request has its own answer, or an error that says so', async (t) => {
  const { client, line } = await broken(t);
  await straight.serve('cut-echo', {}, async (request) => ({ body: await request.body.bytes() }));
  await client.serve('cut-far', {}, async (request) => ({ body: await request.body.bytes() }));
  let answers = 0;
  const codes = new Set();
  const ask = async (from, service, name) => {
    const response = await from.request(service, { body: name, deadlineMs: 10000 }).catch((error) => error);
    if (response instanceof Error) return codes.add(response.code);
    const body = await response.body.text().catch((error) => codes.add(error.code) && name);
    assert.equal(body, name);
    answers += 1;
    return undefined;
  };
  await inLanes(line, 10, async (name) => {
    await ask(client, 'cut-echo', name);
    await ask(straight, 'cut-far', name);
  });
  assert.ok(answers > CUTS);
  for (const code of codes) assert.ok(['REQUEST_LOST', 'WORKER_LOST', 'NO_WORKER'].includes(code), code);
});
