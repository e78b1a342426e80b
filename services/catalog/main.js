// `catalog`: what there is to buy. An ordinary Express application; it runs as often as you like.
//
// GET /items?q=cat&group=Food+%26+Drink&from=0   a page of stickers, and how many there are in all
// GET /items?ids=fox,rocket                      these
// GET /items/fox                                 this one

import express from 'express';
import { serve } from 'verteilt';

import { run } from '../service.js';
import { find, groups, search } from './stickers.js';

/** Stickers of an answer. */
const MOST = 18;

function catalog(instance) {
  const app = express();
  app.disable('x-powered-by');
  app.use((req, res, next) => {
    res.set('x-served-by', instance);
    next();
  });
  app.get('/items', (req, res) => {
    const { q = '', group = '', ids, from = '0' } = req.query;
    if (ids !== undefined) {
      res.json(String(ids).split(',').map(find).filter(Boolean));
      return;
    }
    const found = search(String(q), String(group));
    const first = Number.parseInt(from, 10) || 0;
    res.json({ total: found.length, groups, most: MOST, items: found.slice(first, first + MOST) });
  });
  app.get('/items/:id', (req, res) => {
    const sticker = find(req.params.id);
    if (sticker) res.json(sticker);
    else res.status(404).json({ reason: `there is no ${req.params.id} here` });
  });
  return app;
}

await run('catalog', async ({ client, instance, signal }) => {
  const serving = await serve(catalog(instance), { service: 'catalog', client, instance, signal });
  return [serving.service.ended];
});
