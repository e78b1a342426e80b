// Services are killed at random under load. The broker, the gateway and every service are processes of their own.
//
// CHAOS_SECONDS=300 takes longer, CHAOS_SEED=7 kills others.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';

import { Customer, Tally } from './support/customer.js';
import { Random } from './support/random.js';
import { Site } from './support/site.js';
import { until } from './support/until.js';

const SECONDS = Number(process.env.CHAOS_SECONDS ?? 12);
const SEED = Number(process.env.CHAOS_SEED ?? 1);
const CUSTOMERS = 16;
/** Between two kills. */
const PAUSE_MS = [50, 450];

let site;
after(() => site?.stop());

test(`services are killed for ${SECONDS} s (seed ${SEED})`, async (context) => {
  site = await Site.start();
  const tally = new Tally();
  const isOver = AbortSignal.timeout(SECONDS * 1000);
  const customers = Array.from({ length: CUSTOMERS }, (_, number) => new Customer(site.gateway, number, new Random(SEED * 1000 + number), tally));
  const shopping = Promise.all(customers.map((customer) => customer.shopUntil(isOver)));
  const kills = await Promise.race([killUntil(isOver, new Random(SEED)), shopping.then(() => assert.fail('nobody shops any more'))]);
  await shopping;
  context.diagnostic(`${kills} kills; ${tally}`);

  assert.ok(kills >= SECONDS, `only ${kills} kills`);
  assert.ok(tally.orders.size > 10 && tally.count('catalog', 200) > 100, `hardly anybody got anything: ${tally}`);
  await allServeAgain();
  await everyOrderIsKnown(tally);
});

async function killUntil(isOver, random) {
  let kills = 0;
  while (!isOver.aborted) {
    const victims = site.instances.filter((instance) => instance.serves);
    if (victims.length > 0) {
      random.of(victims).kill();
      kills += 1;
    }
    await new Promise((resolve) => setTimeout(resolve, random.between(...PAUSE_MS)));
  }
  return kills;
}

async function allServeAgain() {
  await until('every instance serves again', () => site.instances.every((instance) => instance.serves));
  const customer = new Customer(site.gateway, 'last', new Random(SEED), new Tally());
  await customer.buy();
  for (let times = 0; times < 20; times += 1) await customer.look();
  assert.deepEqual(customer.tally.statuses('catalog'), [200]);
}

/** Whoever has a receipt is in the topic with just that order, was counted, and gets a letter. */
async function everyOrderIsKnown(tally) {
  const placed = new Map();
  for (const order of await site.records('orders.placed')) placed.set(order.order, order);
  for (const [cart, receipt] of tally.orders) assert.deepEqual(placed.get(cart), receipt, `the order of ${cart}`);
  await until('analytics has counted all', async () => {
    const totals = await (await fetch(`${site.gateway}/analytics/totals`)).json();
    return totals.orders === placed.size;
  });
  await until('everybody has a letter', async () => {
    const letters = new Set((await site.records('mails.sent')).map(({ order }) => order));
    return [...placed.keys()].every((order) => letters.has(order));
  });
}
