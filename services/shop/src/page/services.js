// Who serves: a dot an instance. Kill one and see.

import { $, ask, element, text } from './dom.js';

const EVERY_MS = 1_500;
/** In the order of the way that a checkout takes, the others behind them. */
const ORDER = ['catalog', 'cart', 'orders', 'pricing', 'stock', 'analytics', 'page'];

const known = new Map();

export async function watchServices({ onChange }) {
  const { status, body } = await ask('/page/services');
  if (status === 200) {
    for (const name of known.keys()) known.set(name, []);
    for (const { service, instances } of body) known.set(service, instances);
    onChange(new Set([...known].filter(([, instances]) => instances.length > 0).map(([name]) => name)));
    draw();
  }
  setTimeout(watchServices, EVERY_MS, { onChange });
}

function draw() {
  const names = [...known.keys()].sort((one, other) => place(one) - place(other));
  $('services').replaceChildren(...names.map((name) => {
    const instances = known.get(name);
    const title = instances.map(({ instance, process, done }) => `${instance}, process ${process}: ${done} done`).join('\n');
    const dots = instances.length > 0 ? instances.map(() => element('i')) : [element('i')];
    return element('li', { title, className: instances.length > 0 ? '' : 'gone' }, text(name), ...dots);
  }));
}

const place = (name) => (ORDER.indexOf(name) + ORDER.length + 1) % (ORDER.length + 1);
