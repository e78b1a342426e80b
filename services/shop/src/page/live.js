// What happens, as it happens: server-sent events through the gateway.

import { $, element, euros, text } from './dom.js';

const SHOWN = 8;
const PAUSE_MS = 2_000;

/** As long as the tab is seen: a browser has few connections to one place, and each stream holds one. */
export function listen({ onStock }) {
  const streams = [
    new Stream('/stock/events', { message: onStock }),
    new Stream('/analytics/events', { totals: showTotals, order: showOrder, mail: showMail }, showState),
  ];
  const turn = () => streams.forEach((stream) => (document.hidden ? stream.close() : stream.open()));
  document.addEventListener('visibilitychange', turn);
  turn();
}

/** An EventSource that comes again also after a 503, which its service answers while it is started anew. */
class Stream {
  #path;
  #handlers;
  #onState;
  #source = null;
  #pause;

  constructor(path, handlers, onState = () => {}) {
    this.#path = path;
    this.#handlers = handlers;
    this.#onState = onState;
  }

  open() {
    this.close();
    const source = new EventSource(this.#path);
    source.onopen = () => this.#onState(true);
    source.onerror = () => {
      this.#onState(false);
      if (source.readyState === EventSource.CLOSED) this.#pause = setTimeout(() => this.open(), PAUSE_MS);
    };
    for (const [kind, handle] of Object.entries(this.#handlers)) {
      source.addEventListener(kind, ({ data }) => handle(JSON.parse(data)));
    }
    this.#source = source;
  }

  close() {
    clearTimeout(this.#pause);
    this.#source?.close();
  }
}

function showState(isOn) {
  // The latest ones come again with each connection.
  if (isOn) $('events').replaceChildren();
  $('state').textContent = isOn ? 'orders and mails' : 'waiting for analytics';
  $('state').className = isOn ? 'state on' : 'state';
}

function showOrder({ timeMs, lines, total_cents: total }) {
  const what = lines.map(({ emoji, count }) => `${count}\u2009\u00d7\u2009${emoji}`).join('\u2002');
  happened(timeMs, 'Order', `${what}\u2003${euros(total)}`);
}

function showMail({ timeMs, kind, to, subject }) {
  happened(timeMs, kind === 'reminder' ? 'Reminder' : 'Mail', `${to}: ${subject}`);
}

function happened(timeMs, kind, what) {
  const time = new Date(timeMs).toLocaleTimeString('en-GB');
  const line = element('li', { className: 'new' }, text(time, 'soft money'), text(kind, 'kind'), text(what));
  $('events').prepend(line);
  while ($('events').children.length > SHOWN) $('events').lastChild.remove();
}

function showTotals({ orders, cents, stickers, mails, best }) {
  const totals = { Orders: orders, Stickers: stickers, Mails: mails, Sales: euros(cents) };
  $('totals').replaceChildren(...Object.entries(totals).map(([what, value]) => element('div', {},
    element('dt', { textContent: what }), element('dd', { textContent: value.toLocaleString('en') }))));
  $('best').replaceChildren(...best.map(({ emoji, name, count }) => element('li', {},
    text(emoji, 'emoji'), text(name), text(count, 'money soft'))));
}
