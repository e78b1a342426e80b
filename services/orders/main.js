// `orders`: where a checkout begins, and where an order that was sold is written down.
//
// POST /checkout {"cart", "mail"}   goes on to pricing, and from there to stock, which answers with the receipt
// POST /placed                      stock says that it has sold this; told to all who care

import { answer, ask, handler, passOn, refuse } from '../requests.js';
import { run } from '../service.js';

const PLACED = 'orders.placed';

/** An order has the name of its cart, so one that is sent twice is still one. */
async function checkout(request, wanted) {
  const { cart, mail } = wanted ?? {};
  if (typeof cart !== 'string' || !/^[a-z0-9-]{1,64}$/.test(cart)) refuse(400, 'say which cart: up to 64 letters, digits and hyphens');
  if (typeof mail !== 'string' || !/^[^@\s]+@[^@\s]+$/.test(mail)) refuse(400, 'say where the mail goes');
  const content = Object.entries(await ask(request, 'cart', `GET /carts/${cart}`));
  if (content.length === 0) {
    // Sold before, perhaps: its sender did not get the receipt and asks again.
    await passOn(request, 'stock', `GET /sales/${cart}`);
    return;
  }
  const lines = content.map(([id, count]) => ({ id, count }));
  await passOn(request, 'pricing', 'POST /prices', { order: cart, mail, lines });
}

/** Its sender waits until this is on the disk. If that answer is lost, the same order comes again. */
const placed = (client) => async (request, order) => {
  await client.topics.publish(PLACED, JSON.stringify(order), { key: order.order });
  await ask(request, 'cart', `DELETE /carts/${order.order}`);
  await answer(request, 201, { order: order.order });
};

await run('orders', async ({ client, instance, signal }) => {
  await client.topics.create(PLACED, { partitions: 2 });
  const endpoints = { 'POST /checkout': checkout, 'POST /placed': placed(client) };
  const service = await client.serve('orders', { instance, signal }, handler(endpoints));
  return [service.ended];
});
