// Files both ways: uploads of 10 MB through multer, static files with ranges.

import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import express4 from 'express4';
import express5 from 'express5';
import multer from 'multer';
import serveStatic from 'serve-static';

import { Site } from '../support/site.js';
import { askBoth } from '../support/client.js';

const MIB = 1024 * 1024;
const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');

let site;
let folder;
const large = randomBytes(3 * MIB);

before(async () => {
  site = await Site.start();
  folder = await mkdtemp(path.join(tmpdir(), 'verteilt-files-'));
  await mkdir(path.join(folder, 'sub'));
  const files = { 'index.html': '<h1>Hello</h1>', 'page.txt': 'abcdefghij'.repeat(10), 'large.bin': large, 'sub/index.html': 'sub' };
  for (const [name, content] of Object.entries(files)) {
    await writeFile(path.join(folder, name), content);
    await utimes(path.join(folder, name), 1_700_000_000, 1_700_000_000);
  }
});
after(async () => {
  await site.stop();
  await rm(folder, { recursive: true });
});

function multipart(parts) {
  const pieces = [];
  for (const { head, body } of parts) {
    pieces.push(Buffer.from(`--frontier\r\nContent-Disposition: form-data; ${head}\r\n\r\n`), body, Buffer.from('\r\n'));
  }
  pieces.push(Buffer.from('--frontier--\r\n'));
  return { method: 'POST', headers: { 'content-type': 'multipart/form-data; boundary=frontier' }, body: Buffer.concat(pieces) };
}

for (const [version, express] of [['Express 4', express4], ['Express 5', express5]]) {
  describe(version, () => {
    test('multer takes 10 MB into memory and onto the disk', async () => {
      const make = () => {
        const app = express();
        const about = (req, res) => res.json({
          fields: req.body,
          files: req.files.map((file) => [file.fieldname, file.originalname, file.mimetype, file.size, file.buffer && sha256(file.buffer)]),
        });
        app.post('/memory', multer({ storage: multer.memoryStorage() }).array('file'), about);
        app.post('/disk', multer({ dest: path.join(folder, 'uploads') }).any(), about);
        app.use((error, req, res, next) => { res.status(413).send(error.code); });
        return app;
      };
      const urls = await site.both(make);
      const file = randomBytes(10 * MIB);
      const upload = multipart([
        { head: 'name="title"', body: Buffer.from('ten') },
        { head: 'name="file"; filename="ten.bin"\r\nContent-Type: application/x-ten', body: file },
      ]);
      const [direct, overQueue] = await askBoth(urls, '/memory', upload);
      assert.equal(direct.status, 200);
      assert.deepEqual(JSON.parse(direct.body), {
        fields: { title: 'ten' }, files: [['file', 'ten.bin', 'application/x-ten', 10 * MIB, sha256(file)]],
      });
      assert.deepEqual(overQueue, direct);

      const [ondisk, queuedToDisk] = await askBoth(urls, '/disk', upload);
      assert.equal(ondisk.status, 200);
      assert.deepEqual(queuedToDisk, ondisk);
    });

    test('multer refuses what is too large', async () => {
      const make = () => express()
        .post('/', multer({ limits: { fileSize: 1000 } }).single('file'), (req, res) => res.send('taken'))
        .use((error, req, res, next) => { res.status(413).send(error.code); });
      const urls = await site.both(make);
      const upload = multipart([{ head: 'name="file"; filename="a"', body: Buffer.alloc(2000) }]);
      const [direct, overQueue] = await askBoth(urls, '/', upload);
      assert.deepEqual([direct.status, direct.body], [413, 'LIMIT_FILE_SIZE']);
      assert.deepEqual(overQueue, direct);
    });

    test('serve-static, whole and in ranges', async () => {
      const make = () => express()
        .use('/files', serveStatic(folder, { maxAge: '1h' }))
        .use('/own', express.static(folder, { index: 'page.txt', extensions: ['txt'] }));
      const urls = await site.both(make);
      const requests = [
        ['/files/', {}, 200],
        ['/files/page.txt', {}, 200],
        ['/files/page.txt', { method: 'HEAD' }, 200],
        ['/files/page.txt', { headers: { range: 'bytes=10-19' } }, 206],
        ['/files/page.txt', { headers: { range: 'bytes=-5' } }, 206],
        ['/files/page.txt', { headers: { range: 'bytes=0-4,10-14' } }, 200],
        ['/files/page.txt', { headers: { range: 'bytes=1000-' } }, 416],
        ['/files/page.txt', { headers: { 'if-modified-since': new Date(1_700_000_000_000).toUTCString() } }, 304],
        ['/files/page.txt', { headers: { 'if-unmodified-since': new Date(0).toUTCString() } }, 412],
        ['/files/large.bin', {}, 200],
        ['/files/large.bin', { headers: { range: 'bytes=1000000-2999999' } }, 206],
        ['/files/sub', {}, 301],
        ['/files/missing', {}, 404],
        ['/files/page.txt', { method: 'POST' }, 404],
        ['/own/', {}, 200],
        ['/own/page', {}, 200],
      ];
      for (const [path, options, status] of requests) {
        const [direct, overQueue] = await askBoth(urls, path, options);
        assert.equal(direct.status, status, path);
        assert.deepEqual(overQueue, direct, `${path} ${JSON.stringify(options)}`);
      }
    });
  });
}
