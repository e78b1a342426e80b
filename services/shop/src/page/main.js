// The parts of the page, and how they know of each other. What was seen once stays: a service that is gone comes back.

import { $ } from './dom.js';
import { Cart } from './cart.js';
import { Catalogue } from './catalogue.js';
import { showReceipt } from './receipt.js';
import { listen } from './live.js';
import { watchServices } from './services.js';

const cart = new Cart({
  onChange: () => catalogue.draw(),
  onReceipt: showReceipt,
});
const catalogue = new Catalogue({ cart });

listen({ onStock: (items) => catalogue.stock(items) });
watchServices({
  onChange: (names) => {
    catalogue.reachable(names);
    if (names.has('orders')) cart.openCheckout();
    if (names.has('analytics')) $('live').hidden = false;
  },
});
