// What was sold, and the way that its request took through the services.

import { $, ask, element, euros, text } from './dom.js';

const row = (emoji, what, cents, className = '') => element('li', { className }, text(emoji, 'emoji'), text(what), text(euros(cents), 'money'));

export function showReceipt(receipt, requestId) {
  $('receipt').hidden = false;
  $('number').textContent = `#${receipt.receipt}`;
  const rows = receipt.lines.map(({ emoji, name, count, cents }) => row(emoji, `${count} \u00d7 ${name}`, cents * count));
  if (receipt.discount_cents > 0) rows.push(row('', 'A tenth off for three alike', -receipt.discount_cents, 'soft'));
  rows.push(row('', 'Total', receipt.total_cents, 'total'), row('', 'of which VAT', receipt.vat_cents, 'soft'));
  $('lines').replaceChildren(...rows);
  $('trace').textContent = `verteilt trace ${requestId}`;
  showWay(requestId);
}

async function showWay(requestId) {
  const { status, body } = await ask(`/page/trace/${requestId}`);
  const spans = status === 200 ? spansOf(body) : [];
  const end = Math.max(1, ...spans.map((span) => span.end));
  $('took').textContent = spans.length > 0 ? ms(end) : 'is forgotten already';
  $('way').replaceChildren(...spans.map((span) => draw(span, end)));
}

const ms = (us) => `${(us / 1000).toFixed(1)} ms`;

function draw({ depth, service, instance, endpoint, begin, end }, all) {
  const name = text(service);
  name.style.paddingLeft = `${depth * 0.9}rem`;
  const bar = element('i');
  bar.style.left = `${(100 * begin) / all}%`;
  bar.style.width = `${(100 * (end - begin)) / all}%`;
  const track = element('span', { className: 'track' }, bar);
  return element('li', { className: depth > 0 ? 'child' : '', title: `${endpoint} at ${instance}` }, name, track, text(ms(end - begin), 'money'));
}

/** From when to when each worker held a request, in the order in which they began; how deep says whose it was. */
function spansOf(requests) {
  const depths = new Map();
  const spans = requests.flatMap(({ request, parent, steps }) => {
    const depth = parent === null ? 0 : (depths.get(parent) ?? 0) + 1;
    depths.set(request, depth);
    return held(steps).map((span) => ({ depth, ...span }));
  });
  return spans.sort((one, other) => one.begin - other.begin);
}

/** A worker has it until it passes it on or answers. */
function held(steps) {
  const spans = [];
  let open = null;
  for (const { kind, at_us: at, service, instance, endpoint } of steps) {
    if (kind === 'started') {
      open = { service, instance, endpoint, begin: at, end: at };
      spans.push(open);
    } else if (open !== null && ['forwarded', 'replied', 'ended'].includes(kind)) {
      open.end = at;
      open = null;
    }
  }
  return spans;
}
