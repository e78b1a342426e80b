// `pricing`: what an order costs. It needs an answer of the catalogue, so it asks; it needs none of stock, so it
// passes the order on.
//
// POST /prices   an order; goes on to stock as a sale

import { ask, handler, passOn, refuse } from '../requests.js';
import { run } from '../service.js';
import { priced } from './prices.js';

async function price(request, order) {
  const ids = order.lines.map(({ id }) => id);
  const items = await ask(request, 'catalog', `GET /items?ids=${ids.join(',')}`);
  if (items.length < ids.length) refuse(404, 'the catalogue does not have all of it');
  await passOn(request, 'stock', 'POST /sales', priced(order, items));
}

await run('pricing', async ({ client, instance, signal }) => {
  const service = await client.serve('pricing', { instance, signal }, handler({ 'POST /prices': price }));
  return [service.ended];
});
