// What a customer does.

const JSON_TYPE = { 'content-type': 'application/json' };
/** Longer than any deadline on the way: whoever waits longer, hangs. */
const HANGS_MS = 40_000;

export async function ask(url, options) {
  const answer = await fetch(url, { ...options, signal: AbortSignal.timeout(HANGS_MS) });
  const text = await answer.text();
  return { status: answer.status, id: answer.headers.get('x-request-id'), text, body: parsed(text) };
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

export const put = (gateway, cart, item, count) => ask(`${gateway}/cart/carts/${cart}/${item}/${count}`, { method: 'PUT' });

export const checkOut = (gateway, cart, mail) => ask(`${gateway}/checkout`, {
  method: 'POST', headers: JSON_TYPE, body: JSON.stringify({ cart, mail }),
});
