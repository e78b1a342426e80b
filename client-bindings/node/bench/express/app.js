// The application that is measured, served directly or over the queue: `node app.js direct`,
// `node app.js queue verteilt://HOST:PORT`, with the Express of ../../test-express. Prints where it is.
'use strict';

const http = require('node:http');
const { createRequire } = require('node:module');
const path = require('node:path');

const { serve } = require('../..');

const installed = createRequire(path.resolve(__dirname, '../../test-express/package.json'));
const [way, url] = process.argv.slice(2);

const app = installed(process.env.EXPRESS ?? 'express5')();
app.get('/items/:id', (req, res) => res.json({ id: req.params.id, name: 'a thing', price: 250 }));

async function main() {
  if (way === 'direct') {
    const server = http.createServer(app).listen(0, '127.0.0.1', () => {
      console.log(`http://127.0.0.1:${server.address().port}`);
    });
  } else {
    await serve(app, { service: 'shop', url });
    console.log('shop');
  }
  process.once('SIGTERM', () => process.exit());
}

main();
