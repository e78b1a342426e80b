// The whole shop as `verteilt up` starts it.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { connect } from 'verteilt';

import { find } from '../catalog/stickers.js';
import { ask, checkOut, put } from './support/shopping.js';
import { Up } from './support/up.js';
import { until } from './support/until.js';

let up;
let client;

before(async () => {
  up = await Up.start({ env: { REMINDER_MS: '500' } });
  client = await connect(up.url);
  await up.whole();
});

after(async () => {
  await client?.close();
  await up?.stop();
});

/** Everything in a topic so far. */
async function records(topic, count) {
  const found = [];
  const signal = AbortSignal.timeout(60_000);
  const consumer = await client.topics.consume(topic, { from: 'earliest', signal });
  while (found.length < count) found.push((await consumer.next()).json());
  await consumer.close();
  return found;
}

test('up tells what it has started', () => {
  assert.match(up.told, /^shop +stock, cart, page; in Node: catalog x2, pricing, orders, mailer, analytics$/m);
});

test('a checkout goes from service to service, and the last one answers', async () => {
  await put(up.gateway, 'way', 'fox', 3);
  await put(up.gateway, 'way', 'red_apple', 1);
  const { status, body, id } = await checkOut(up.gateway, 'way', 'ada@example.org');
  assert.equal(status, 201, JSON.stringify(body));
  assert.deepEqual(body.lines.map(({ id: item, count }) => [item, count]), [['fox', 3], ['red_apple', 1]]);
  assert.equal(body.total_cents, 513 + 160);

  // One request that was forwarded twice, and those that were made for it.
  const trace = await client.trace(id);
  const held = ({ steps }) => steps.filter(({ kind }) => kind === 'started').map(({ service, endpoint }) => `${service}: ${endpoint}`);
  const [own, ...made] = trace.map(held);
  assert.deepEqual(own, ['orders: POST /checkout', 'pricing: POST /prices', 'stock: POST /sales']);
  assert.deepEqual(made.flat().sort(), [
    'cart: DELETE /carts/way', 'cart: GET /carts/way', 'catalog: GET /items?ids=fox,red_apple', 'orders: POST /placed',
  ]);
  assert.ok(trace.slice(1).every(({ parentRequestId }) => parentRequestId !== null));

  // Sent twice, it is the same order.
  const again = await checkOut(up.gateway, 'way', 'ada@example.org');
  assert.deepEqual([again.status, again.body], [200, body]);
});

test('mailer and analytics each learn of every order, and a reminder comes later', async () => {
  await put(up.gateway, 'heard', 'rocket', 2);
  assert.equal((await checkOut(up.gateway, 'heard', 'grace@example.org')).status, 201);
  const letters = await until('both letters are sent', async () => {
    const sent = (await client.topics.stats('mails.sent')).records;
    const own = (await records('mails.sent', sent)).filter(({ order }) => order === 'heard');
    return own.length === 2 && own;
  });
  assert.deepEqual(letters.map(({ kind, to }) => [kind, to]), [['confirmation', 'grace@example.org'], ['reminder', 'grace@example.org']]);
  await until('it is counted', async () => {
    const { body } = await ask(`${up.gateway}/analytics/totals`);
    return body.orders === 2 && body.best.some(({ name, count }) => name === 'rocket' && count === 2);
  });
});

test('events come live, the latest first of all', async () => {
  const stream = await fetch(`${up.gateway}/analytics/events`, { signal: AbortSignal.timeout(60_000) });
  const reader = stream.body.pipeThrough(new TextDecoderStream()).getReader();
  let seen = '';
  const see = async (what) => {
    while (!seen.includes(what)) {
      const { value, done } = await reader.read();
      assert.equal(done, false, seen);
      seen += value;
    }
  };
  await see('event: totals');
  await put(up.gateway, 'live', 'fox', 1);
  assert.equal((await checkOut(up.gateway, 'live', 'live@example.org')).status, 201);
  await see('"order":"live"');
  await see('"kind":"reminder","order":"live"');
  await reader.cancel();
});

test('what cannot be is refused in plain words', async () => {
  const refused = async (answer) => {
    const { status, body } = await answer;
    return [status, body.reason];
  };
  assert.deepEqual(await refused(put(up.gateway, 'no', 'unicorns', 1)), [404, 'there is no unicorns here']);
  assert.deepEqual(await refused(put(up.gateway, 'no', 'fox', 1000)), [409, 'sold out']);
  assert.deepEqual(await refused(checkOut(up.gateway, 'no', 'a@b.c')), [404, 'this cart is empty']);
  assert.equal((await checkOut(up.gateway, 'no', 'nobody')).status, 400);
  assert.equal((await checkOut(up.gateway, undefined, 'a@b.c')).status, 400);
});

test('stock and catalogue know the same stickers', async () => {
  const { body } = await ask(`${up.gateway}/stock/items`);
  for (const { id, name, emoji, cents, room } of body) {
    const { group, ...sticker } = find(id);
    assert.deepEqual({ id, name, emoji, cents, room }, sticker);
  }
});

test('a service that is killed comes back', async () => {
  const { pricing: [killed] } = await up.processes();
  process.kill(killed, 'SIGKILL');
  await until('another process serves', async () => {
    const { pricing = [] } = await up.processes();
    return pricing.length === 1 && pricing[0] !== killed;
  });
  await put(up.gateway, 'after', 'fox', 1);
  assert.equal((await checkOut(up.gateway, 'after', 'a@example.org')).status, 201);
});

const isAlive = (pid) => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

test('services end with up, however it ends', async () => {
  for (const signal of ['SIGKILL', 'SIGTERM']) {
    const other = await Up.start();
    await other.whole();
    const { catalog, pricing, orders, analytics } = await other.processes();
    const processes = [catalog, pricing, orders, analytics].flat();
    assert.ok(processes.every(isAlive));
    other.child.kill(signal);
    await until(`all are gone after ${signal}`, () => !processes.some(isAlive));
    await other.stop();
  }
});
