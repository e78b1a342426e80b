// What there is to buy: names and prices from `catalog`, how many are left from `stock`.

import { $, ask, element, euros, text } from './dom.js';

const TYPING_MS = 150;

export class Catalogue {
  #cart;
  #left = new Map();
  #shown = [];
  #from = 0;
  #total = 0;
  #step = 0;
  #isThere;
  #asked = 0;

  constructor({ cart }) {
    this.#cart = cart;
    let typing;
    $('search').oninput = () => {
      clearTimeout(typing);
      typing = setTimeout(() => this.#turn(0), TYPING_MS);
    };
    $('group').onchange = () => this.#turn(0);
    $('before').onclick = () => this.#turn(Math.max(0, this.#from - this.#step));
    $('after').onclick = () => this.#turn(this.#from + this.#step);
  }

  /** Items of which the number has changed. */
  stock(items) {
    for (const item of items) this.#left.set(item.id, item);
    this.#cart.know(items);
    if (this.#isThere === false) this.#showStock();
    this.draw();
  }

  /** Who serves. Without `catalog` there is what `stock` has by itself. */
  reachable(names) {
    const isThere = names.has('catalog');
    if (this.#isThere || isThere === this.#isThere) return;
    this.#isThere = isThere;
    for (const id of ['search', 'group']) $(id).disabled = !isThere;
    if (isThere) this.#turn(0);
    else this.#showStock();
  }

  async #turn(from) {
    const asked = ++this.#asked;
    const query = new URLSearchParams({ q: $('search').value, group: $('group').value, from });
    const found = await ask(`/catalog/items?${query}`);
    // Another question was asked meanwhile.
    if (asked !== this.#asked || found.status !== 200) return;
    const { items, total, groups, most } = found.body;
    this.#from = from;
    this.#step = most;
    this.#total = total;
    this.#shown = items;
    this.#cart.know(items);
    if ($('group').length === 1) $('group').append(...groups.map((group) => new Option(group)));
    $('served').textContent = `served by ${found.answer.headers.get('x-served-by')}`;
    this.draw();
  }

  #showStock() {
    this.#shown = [...this.#left.values()];
    this.#total = this.#shown.length;
    $('served').textContent = 'npm ci --prefix services, and start again: then there are some 1,900 more, and a checkout';
    this.draw();
  }

  draw() {
    $('found').textContent = this.#total === 1 ? '1 sticker' : `${this.#total.toLocaleString('en')} stickers`;
    $('before').disabled = this.#from === 0;
    $('after').disabled = this.#from + this.#shown.length >= this.#total;
    $('items').replaceChildren(...this.#shown.map((item) => this.#card(item)));
  }

  #card({ id, name, emoji, cents, room }) {
    const left = this.#left.get(id)?.left ?? room;
    const mine = this.#cart.count(id);
    return element('div', { className: 'item' },
      element('div', { className: 'emoji', title: name }, text(emoji)),
      element('b', { textContent: name, title: name }),
      element('progress', { max: room, value: left }),
      element('small', { textContent: mine ? `${left} left, ${mine} yours` : `${left} left` }),
      element('div', { className: 'foot' },
        text(euros(cents), 'money'),
        element('button', {
          textContent: 'Add', ariaLabel: `Add ${name}`, disabled: left === 0, onclick: () => this.#cart.set(id, mine + 1),
        })));
  }
}
