// A worker in a process of its own, so that what it keeps in memory can be told: bodies of any length both ways.

import { createHash } from 'node:crypto';
import { pipeline } from 'node:stream/promises';
import { Readable } from 'node:stream';

import express from 'express5';
import { serve } from 'verteilt';

const piece = Buffer.alloc(64 * 1024, 'stream ');
const app = express();

/** `?pieces=N` of 64 KiB each. */
app.get('/down', (req, res, next) => {
  let left = +req.query.pieces;
  const source = new Readable({ read() { this.push(left-- > 0 ? piece : null); } });
  pipeline(source, res).catch(next);
});

app.post('/up', async (req, res) => {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of req) {
    hash.update(chunk);
    bytes += chunk.length;
  }
  res.json({ bytes, sha256: hash.digest('hex') });
});

app.post('/echo', (req, res, next) => { pipeline(req, res).catch(next); });

// Who answers while the body is still under way, and never reads it.
let written = 0;
app.get('/unread', (req, res) => {
  const pump = () => {
    let more = true;
    while (more && !res.destroyed) {
      written += piece.length;
      more = res.write(piece);
    }
  };
  res.on('drain', pump);
  pump();
});
app.get('/written', (req, res) => res.json(written));

app.get('/memory', (req, res) => res.json(process.memoryUsage.rss()));

await serve(app, { service: 'streamer', url: process.argv[2] });
console.log('listening on streamer');
