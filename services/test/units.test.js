// What needs no broker.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { find, search } from '../catalog/stickers.js';
import { priced } from '../pricing/prices.js';
import { Recent } from '../recent.js';

test('a search finds names with every word, in one group or in all', () => {
  assert.ok(search('', '').length > 1800);
  assert.deepEqual(search('hot DRINK', '').map(({ id }) => id), []);
  assert.deepEqual(search(' hot  bev', '').map(({ id }) => id), ['hot_beverage']);
  assert.ok(search('cat', '').length > search('cat', 'Animals & Nature').length);
  assert.equal(find('fox').emoji, '🦊');
  assert.equal(find('unicorns'), undefined);
});

test('every sticker has a price', () => {
  assert.deepEqual(search('', '').filter(({ cents }) => !(cents > 0)), []);
});

test('three alike cost a tenth less, and the tax is in the total', () => {
  const order = { order: 'a', mail: 'm', lines: [{ id: 'fox', count: 3 }, { id: 'rocket', count: 2 }] };
  const { lines, ...sums } = priced(order, [find('rocket'), find('fox')]);
  assert.deepEqual(lines.map((line) => line.total_cents), [513, 360]);
  assert.deepEqual(sums, { order: 'a', mail: 'm', discount_cents: 57, vat_cents: 139, total_cents: 873 });
});

test('what is seen a second time is known, until much else was seen', () => {
  const recent = new Recent(2);
  assert.deepEqual(['a', 'a', 'b', 'c', 'c', 'a'].map((name) => recent.add(name)), [true, false, true, true, false, true]);
});
