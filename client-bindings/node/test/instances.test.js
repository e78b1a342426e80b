'use strict';

const assert = require('node:assert/strict');
const { fork } = require('node:child_process');
const { once } = require('node:events');
const path = require('node:path');
const { test, before, after } = require('node:test');
const { connect } = require('../lib/index.js');
const { startBroker, within, until } = require('./broker');

const SCRIPT = path.join(__dirname, 'fixtures/instances.js');

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

/** Starts the script; gives the parent and what it said first. */
async function start(t, env = {}) {
  const { VERTEILT_INSTANCE: _, ...own } = process.env;
  const parent = fork(SCRIPT, [], { env: { ...own, BROKER_URL: broker.url, ...env }, stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
  t.after(() => parent.kill('SIGKILL'));
  const [message] = await within(once(parent, 'message'), 'the instances');
  return { parent, message };
}

async function pidsThatServe() {
  const [service] = await client.services({ service: 'multi' });
  return (service?.instances ?? []).map((instance) => instance.process).sort();
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

test('one process for each instance; one that is killed comes back', async (t) => {
  const { parent, message: { pids } } = await start(t);
  assert.equal(new Set([...pids, parent.pid]).size, 3);
  assert.deepEqual(await pidsThatServe(), [...pids].sort());
  process.kill(pids[0], 'SIGKILL');
  const again = await until('there are two again', async () => {
    const found = await pidsThatServe();
    return found.length === 2 && !found.includes(pids[0]) && found;
  });
  assert.ok(again.includes(pids[1]));
  const answers = await Promise.all(Array.from({ length: 20 }, async () => (await client.request('multi')).body.text()));
  assert.deepEqual([...new Set(answers.map(Number))].sort(), again);
  await client.pushBatch('multi-jobs', ['a', 'b', 'c']);
  await until('the jobs are done', async () => (await client.queues.stats('multi-jobs')).done === 3);
  const exit = once(parent, 'exit');
  parent.kill('SIGTERM');
  await within(exit, 'the end of the parent');
});

test('on SIGTERM every child finishes what it has', async (t) => {
  const { parent, message: { pids } } = await start(t);
  const slow = client.request('multi', { endpoint: 'slow' });
  await until('it runs', async () => {
    const [service] = await client.services({ service: 'multi' });
    return service.instances.some((instance) => instance.inFlight === 1);
  });
  const exit = once(parent, 'exit');
  parent.kill('SIGTERM');
  const response = await within(slow, 'the answer');
  assert.equal(response.status, 200);
  assert.ok(pids.includes(Number(await response.body.text())));
  const [, signal] = await within(exit, 'the end of the parent');
  assert.equal(signal, 'SIGTERM');
  assert.deepEqual(pids.filter(isAlive), []);
});

test('children end with a parent that was killed', async (t) => {
  const { parent, message: { pids } } = await start(t);
  parent.kill('SIGKILL');
  await until('they are gone', () => !pids.some(isAlive));
  await assert.rejects(client.request('multi'), { code: 'NO_WORKER' });
});

test('instances that end before they serve are given up', async (t) => {
  const { parent, message } = await start(t, { FAIL_AT_START: '1' });
  assert.deepEqual(message, { failed: 'INSTANCES_FAILED' });
  parent.kill('SIGTERM');
});
