// What was sold, and the way that its request took through the services.

import { $, ask, element, euros, text } from './dom.js';

const row = (emoji, what, cents, className = '') => element('li', { className }, text(emoji), text(what), text(euros(cents), 'money'));

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
  const spans = status === 200 ? body.flatMap(held) : [];
  const end = Math.max(1, ...spans.map((span) => span.end));
  $('took').textContent = spans.length > 0 ? `${(end / 1000).toFixed(1)} ms` : 'is forgotten already';
  $('way').replaceChildren(...spans.map((span) => {
    const bar = element('i', {});
    bar.style.left = `${(100 * span.begin) / end}%`;
    bar.style.width = `${(100 * (span.end - span.begin)) / end}%`;
    return element('li', { className: span.isChild ? 'child' : '', title: `${span.endpoint} at ${span.instance}` },
      text(span.service), element('span', { className: 'track' }, bar), text(`${((span.end - span.begin) / 1000).toFixed(1)} ms`, 'money'));
  }));
}

/** From when to when each worker held a request: until it passed it on or answered. */
function held({ parent, steps }) {
  const spans = [];
  for (const step of steps) {
    if (step.kind === 'started') {
      spans.push({ service: step.service, instance: step.instance, endpoint: step.endpoint, isChild: parent !== null, begin: step.at_us, end: step.at_us });
    } else if (['forwarded', 'replied', 'ended'].includes(step.kind) && spans.length > 0) {
      const last = spans.at(-1);
      if (last.end === last.begin) last.end = step.at_us;
    }
  }
  return spans;
}
