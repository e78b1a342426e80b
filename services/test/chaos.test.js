// Services are killed at random under load. The broker, the gateway and every service are processes of their own.
//
// CHAOS_KILLS=500 takes longer, CHAOS_SEED=7 kills others.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';

import { Customer, Tally } from './support/customer.js';
import { Random } from './support/random.js';
import { Site } from './support/site.js';
import { until } from './support/until.js';

const KILLS = Number(process.env.CHAOS_KILLS ?? 20);
const SEED = Number(process.env.CHAOS_SEED ?? 1);
const CUSTOMERS = 16;
/** Answers from one kill to the next. */
const ANSWERS = [10, 60];

let site;
after(() => site?.stop());

test(`${KILLS} services are killed (seed ${SEED})`, async (context) => {
  site = await Site.start();
  const tally = new Tally();
  const closing = new AbortController();
  const customers = Array.from({ length: CUSTOMERS }, (_, number) => new Customer(site.gateway, number, new Random(SEED * 1000 + number), tally));
  const shopping = Promise.all(customers.map((customer) => customer.shopUntil(closing.signal)));
  const killing = kill(new Random(SEED), tally).finally(() => closing.abort());
  await Promise.all([shopping, killing]);
  context.diagnostic(String(tally));

  assert.ok(tally.orders.size > 0 && tally.count('catalog', 200) > KILLS, `hardly anybody got anything: ${tally}`);
  await allServeAgain();
  await everyOrderIsKnown(tally);
});

async function kill(random, tally) {
  for (let kills = 0; kills < KILLS; kills += 1) {
    const answers = tally.answers + random.between(...ANSWERS);
    await until(`${answers} answers`, () => tally.answers >= answers);
    const victims = await until('some instance serves', () => {
      const serving = site.instances.filter((instance) => instance.serves);
      return serving.length > 0 && serving;
    });
    random.of(victims).kill();
  }
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
