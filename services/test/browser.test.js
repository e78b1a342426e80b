// The page, as somebody sees it who opens it. SCREENSHOT=FILE.png keeps how it looks at the end.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';

import { groups } from '../catalog/stickers.js';
import { Browser, missing } from './support/browser.js';
import { checkOut, put } from './support/shopping.js';
import { Up } from './support/up.js';
import { until } from './support/until.js';

let up;
let browser;

before(async () => {
  if (missing) return;
  up = await Up.start({ env: { REMINDER_MS: '1500' } });
  await up.whole();
  browser = await Browser.open();
});

after(async () => {
  await browser?.close();
  await up?.stop();
});

const shows = (selector, what) => until(`${selector} shows ${what}`, async () => (await browser.text(selector)).includes(what));
const totals = () => browser.evaluate('[...document.querySelectorAll("#totals dd")].map((value) => value.textContent)');
const count = (selector) => browser.evaluate(`document.querySelectorAll('${selector}').length`);

async function add(what) {
  await browser.type('#search', what);
  await until(`${what} is found`, async () => (await count(`#items [aria-label="Add ${what}"]`)) === 1);
  await browser.click(`#items [aria-label="Add ${what}"]`);
  await shows('#cart', what);
}

test('stickers are found, bought, and everything that follows is seen live', { skip: missing }, async () => {
  await browser.visit(up.gateway, 1360, 1290);
  await shows('#found', '1,914 stickers');
  await shows('#state', 'orders and mails');
  await shows('#services', 'analytics');

  // Somebody else's order, seen here.
  await put(up.gateway, 'other', 'rainbow', 3);
  await checkOut(up.gateway, 'other', 'grace@example.org');
  await shows('#events', 'grace@example.org: Your stickers');

  await add('rocket');
  await add('octopus');
  await browser.click('#cart [aria-label="One octopus more"]');
  await browser.click('#cart [aria-label="One octopus more"]');
  await shows('#cart .total', '7.50');
  await browser.click('#buy');
  await shows('#number', '#2');
  await shows('#lines .total', '6.93');
  await shows('#cart', 'Nothing yet');

  await shows('#way', 'pricing');
  const way = await browser.evaluate('[...document.querySelectorAll("#way li:not(.child) > :first-child")].map((row) => row.textContent)');
  assert.deepEqual(way, ['orders', 'pricing', 'stock']);
  assert.equal(await count('#way li.child'), 4);
  await shows('#events', 'ada@example.org: Your stickers');
  await shows('#events', 'ada@example.org: Where did you put');
  await until('all is counted', async () => isDeepStrictEqual(await totals(), ['2', '7', '4', '11.79 €']));
  await shows('#best', 'octopus');

  await browser.type('#search', ' ');
  await shows('#found', '1,914 stickers');
  // The first one is for all groups.
  await browser.click(`#group option:nth-child(${groups.indexOf('Animals & Nature') + 2})`);
  await shows('#found', '160 stickers');
  await browser.click('#items [aria-label="Add fox"]');
  await shows('#cart .total', '1.90');

  assert.deepEqual((await browser.complaints()).filter(({ level }) => level === 'SEVERE'), []);
  if (process.env.SCREENSHOT) await browser.screenshot(process.env.SCREENSHOT);
});

test('a service that dies is seen, and the shop goes on', { skip: missing }, async () => {
  const { analytics: [killed] } = await up.processes();
  process.kill(killed, 'SIGKILL');
  await until('the page listens to the next one', async () => {
    const { analytics = [] } = await up.processes();
    return analytics.length === 1 && analytics[0] !== killed && (await browser.text('#state')) === 'orders and mails';
  });
  await browser.click('#buy');
  await shows('#number', '#3');
  // It has counted all again, from the first record.
  await until('three orders', async () => (await totals())[0] === '3');
});
