// What all orders and mails add up to.

import { Recent } from '../recent.js';

const BEST = 5;
const ORDERS_KNOWN = 100_000;

export class Totals {
  #orders = 0;
  #cents = 0;
  #stickers = 0;
  #mails = 0;
  #sold = new Map();
  #seen = new Recent(ORDERS_KNOWN);

  /** Whether it was not counted before. */
  addOrder({ order, lines, total_cents: cents }) {
    if (!this.#seen.add(order)) return false;
    this.#orders += 1;
    this.#cents += cents;
    for (const { id, emoji, name, count } of lines) {
      this.#stickers += count;
      const row = this.#sold.get(id) ?? { emoji, name, count: 0 };
      row.count += count;
      this.#sold.set(id, row);
    }
    return true;
  }

  addMail() {
    this.#mails += 1;
  }

  toJSON() {
    const best = [...this.#sold.values()].sort((one, other) => other.count - one.count).slice(0, BEST);
    return { orders: this.#orders, cents: this.#cents, stickers: this.#stickers, mails: this.#mails, best };
  }
}
