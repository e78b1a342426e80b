// What happens, as it happens: server-sent events through the gateway.

import { $, element, euros, text } from './dom.js';

const SHOWN = 8;

export function listen({ onStock }) {
  const stock = new EventSource('/stock/events');
  stock.onmessage = ({ data }) => onStock(JSON.parse(data));

  const events = new EventSource('/analytics/events');
  const state = (content, isOn) => {
    $('state').textContent = content;
    $('state').className = isOn ? 'state on' : 'state';
  };
  // The latest ones come again with each connection.
  events.onopen = () => {
    $('events').replaceChildren();
    state('orders and mails', true);
  };
  events.onerror = () => {
    state('waiting for analytics', false);
    // A status other than 200 ends it for good: begin anew.
    if (events.readyState === EventSource.CLOSED) {
      stock.close();
      setTimeout(() => listen({ onStock }), 2_000);
    }
  };
  const on = (kind, show) => events.addEventListener(kind, ({ data }) => show(JSON.parse(data)));
  on('totals', showTotals);
  on('order', (order) => happened('Order', `${order.lines.map(({ emoji, count }) => `${count}\u2009\u00d7\u2009${emoji}`).join('  ')}   ${euros(order.total_cents)}`));
  on('mail', ({ kind, to, subject }) => happened(kind === 'reminder' ? 'Reminder' : 'Mail', `${to}: ${subject}`));
}

function happened(kind, what) {
  const time = new Date().toLocaleTimeString('en-GB');
  const line = element('li', { className: 'new' }, text(time, 'soft money'), text(kind, 'kind'), text(what));
  $('events').prepend(line);
  while ($('events').children.length > SHOWN) $('events').lastChild.remove();
}

function showTotals({ orders, cents, stickers, mails, best }) {
  const totals = { Orders: orders, Stickers: stickers, Mails: mails, Sales: euros(cents) };
  $('totals').replaceChildren(...Object.entries(totals).map(([what, value]) => element('div', {},
    element('dt', { textContent: what }), element('dd', { textContent: value.toLocaleString('en') }))));
  $('best').replaceChildren(...best.map(({ emoji, name, count }) => element('li', {}, text(emoji, 'emoji'), text(name), text(count, 'money soft'))));
}
