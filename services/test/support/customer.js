// A customer who shops as long as asked, and looks at every answer: is it the own one, and is a refusal one of those
// that may be?

import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';

import { search } from '../../catalog/stickers.js';
import { ask, checkOut, put } from './shopping.js';
import { DEADLINE_MS } from './until.js';

const STICKERS = search('', '');
/** What a request may meet while the service that it is for, or one behind it, is dead. */
const AWAY = new Set([502, 503, 504]);
/** Before the same is asked again. */
const PAUSE_MS = 20;

/** What became of all requests, and the receipts by cart. */
export class Tally {
  #counts = new Map();
  orders = new Map();
  answers = 0;

  add(what, status) {
    this.answers += 1;
    const key = `${what} ${status}`;
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1);
  }

  count(what, status) {
    return this.#counts.get(`${what} ${status}`) ?? 0;
  }

  statuses(what) {
    return [...this.#counts.keys()].filter((key) => key.startsWith(`${what} `)).map((key) => Number(key.split(' ')[1]));
  }

  toString() {
    return [...this.#counts].sort().map(([key, count]) => `${key}: ${count}`).join(', ');
  }
}

export class Customer {
  #gateway;
  #name;
  #random;
  #carts = 0;

  constructor(gateway, name, random, tally) {
    this.#gateway = gateway;
    this.#name = name;
    this.#random = random;
    this.tally = tally;
  }

  async shopUntil(closing) {
    while (!closing.aborted) {
      const wish = this.#random.next();
      if (wish < 0.5) await this.look();
      else if (wish < 0.8) await this.#visitTheLiving();
      else await this.buy();
    }
  }

  /** One sticker of the catalogue. */
  async look() {
    const { id } = this.#random.of(STICKERS);
    const { status, body, text } = await ask(`${this.#gateway}/catalog/items/${id}`);
    this.tally.add('catalog', status);
    if (AWAY.has(status)) return;
    assert.equal(status, 200, text);
    assert.equal(body.id, id, 'the answer of another');
  }

  /** Services that nobody kills answer as ever. */
  async #visitTheLiving() {
    const answers = [await ask(`${this.#gateway}/cart/carts/none`), await ask(`${this.#gateway}/stock/sales/none`)];
    assert.deepEqual(answers.map(({ status }) => status), [200, 404], answers.map(({ text }) => text).join());
    this.tally.add('living', 200);
  }

  /** Fills a cart and insists on its receipt. */
  async buy() {
    const cart = `cart-${this.#name}-${this.#carts}`;
    this.#carts += 1;
    const wanted = {};
    for (let kinds = this.#random.between(1, 3); kinds > 0; kinds -= 1) wanted[this.#random.of(STICKERS).id] = this.#random.between(1, 3);
    const content = {};
    for (const [item, count] of Object.entries(wanted)) {
      const { status, body } = await this.#insist('put', [200, 409], () => put(this.#gateway, cart, item, count));
      if (status === 200) content[item] = count;
      if (status === 200) assert.deepEqual(body, content, 'the cart of another');
    }
    if (Object.keys(content).length === 0) return;
    const mail = `${cart}@example.org`;
    const { body } = await this.#insist('checkout', [200, 201], () => checkOut(this.#gateway, cart, mail));
    assert.deepEqual([body.order, body.mail], [cart, mail], 'the receipt of another');
    assert.deepEqual(Object.fromEntries(body.lines.map(({ id, count }) => [id, count])), content);
    this.tally.orders.set(cart, body);
  }

  /** The same again until it is answered as it should be; in between it may only be refused for a while. */
  async #insist(what, wanted, send) {
    for (const end = performance.now() + DEADLINE_MS; ; await pause(PAUSE_MS)) {
      const answer = await send();
      this.tally.add(what, answer.status);
      if (wanted.includes(answer.status)) return answer;
      assert.ok(AWAY.has(answer.status), `${what}: ${answer.status} ${answer.text}`);
      assert.ok(performance.now() < end, `${what}: for ${DEADLINE_MS} ms nothing but ${answer.text}`);
    }
  }
}
