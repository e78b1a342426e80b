// `analytics`: counts, and shows what happens as it happens.
//
// GET /totals   what all orders add up to
// GET /events   server-sent events: `totals`, `order`, `mail`; the latest ones first, to whoever comes in
//
// Its totals are in memory. So it commits nothing to its groups: a restart counts from the first record again.

import express from 'express';
import { serve } from 'verteilt';

import { follow } from '../records.js';
import { run } from '../service.js';
import { Feed } from './feed.js';
import { Totals } from './totals.js';

const totals = new Totals();
const feed = new Feed(() => totals);

function analytics() {
  const app = express();
  app.disable('x-powered-by');
  app.get('/totals', (req, res) => res.json(totals));
  app.get('/events', (req, res) => {
    res.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
    feed.join(res);
  });
  return app;
}

await run('analytics', async (service) => {
  const { client, instance, signal } = service;
  const group = { group: 'analytics' };
  const orders = follow(service, 'orders.placed', group, ({ content, timeMs }) => {
    if (totals.addOrder(content)) feed.tell('order', { ...content, timeMs });
  });
  const mails = follow(service, 'mails.sent', group, ({ content, timeMs }) => {
    totals.addMail();
    feed.tell('mail', { ...content, timeMs });
  });
  const serving = await serve(analytics(), { service: 'analytics', client, instance, signal });
  signal.addEventListener('abort', () => feed.end());
  return [orders, mails, serving.service.ended];
});
