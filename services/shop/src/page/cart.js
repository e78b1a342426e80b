// The cart of this tab, and its checkout.

import { $, ask, element, euros, reason, text } from './dom.js';

/** A service may just be starting again; an order is one, however often it is sent. */
const CHECKOUT_TRIES = 4;
const PAUSE_MS = 700;

export class Cart {
  #id;
  #content = {};
  #known = new Map();
  #canCheckOut = false;
  #isBusy = false;
  #onChange;
  #onReceipt;

  constructor({ onChange, onReceipt }) {
    this.#onChange = onChange;
    this.#onReceipt = onReceipt;
    $('checkout').onsubmit = (event) => {
      event.preventDefault();
      this.#checkOut();
    };
    this.#begin();
  }

  #begin() {
    this.#id = crypto.getRandomValues(new Uint32Array(3)).reduce((id, part) => `${id}-${part.toString(36)}`, 'cart');
    this.#content = {};
    this.#draw();
  }

  /** Names and prices, from wherever they were seen. */
  know(items) {
    for (const item of items) this.#known.set(item.id, item);
  }

  /** There is somebody who sells. */
  openCheckout() {
    if (this.#canCheckOut) return;
    this.#canCheckOut = true;
    this.#draw();
  }

  count(id) {
    return this.#content[id] ?? 0;
  }

  async set(id, count) {
    const answer = await ask(`/cart/carts/${this.#id}/${id}/${count}`, { method: 'PUT' });
    if (answer.status === 200) this.#content = answer.body;
    $('refusal').textContent = answer.status === 200 ? '' : reason(answer);
    this.#draw();
    this.#onChange();
  }

  async #checkOut() {
    this.#isBusy = true;
    this.#draw();
    const order = JSON.stringify({ cart: this.#id, mail: $('mail').value });
    const headers = { 'content-type': 'application/json' };
    let answer;
    for (let tries = 0; tries < CHECKOUT_TRIES; tries += 1) {
      if (tries > 0) await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
      answer = await ask('/checkout', { method: 'POST', headers, body: order });
      if (answer.status > 0 && answer.status < 500) break;
    }
    this.#isBusy = false;
    const isSold = answer.status < 300 && answer.status > 0;
    $('refusal').textContent = isSold ? '' : reason(answer);
    if (isSold) {
      this.#begin();
      this.#onReceipt(answer.body, answer.answer.headers.get('x-request-id'));
      this.#onChange();
    } else this.#draw();
  }

  #draw() {
    const lines = Object.entries(this.#content).map(([id, count]) => ({ count, ...this.#known.get(id), id }));
    const total = lines.reduce((sum, { cents, count }) => sum + cents * count, 0);
    const rows = lines.map(({ id, emoji, name, cents, count }) => element('li', {},
      text(emoji, 'emoji'), text(name),
      element('button', { textContent: '\u2212', ariaLabel: `One ${name} less`, onclick: () => this.set(id, count - 1) }),
      text(count),
      element('button', { textContent: '+', ariaLabel: `One ${name} more`, onclick: () => this.set(id, count + 1) }),
      text(euros(cents * count), 'money')));
    rows.push(lines.length === 0
      ? element('li', { className: 'soft', textContent: 'Nothing yet: add a sticker.' })
      : element('li', { className: 'total' }, text(''), text('Before discounts'), text(euros(total), 'money')));
    $('cart').replaceChildren(...rows);
    $('buy').disabled = lines.length === 0 || this.#isBusy || !this.#canCheckOut;
    $('buy').textContent = this.#isBusy ? 'On its way' : 'Check out';
  }
}
