// The requests a second of one Express application, directly and through gateway and broker, in turns, with wrk.
//
//   node run.js [--rounds 3] [--seconds 10] [--connections 64]
//
// EXPRESS=express4 takes the other Express; VERTEILT_BIN another binary. On a machine of two cores wrk, gateway,
// broker and worker share them, so what the queue costs is taken from the application, too.
'use strict';

const path = require('node:path');

const { inTurns, options, run, site, start } = require('../../../../benches/wrk.js');

const values = options();

run(async (folder) => {
  const { broker, gateway } = await site(folder);
  const app = path.join(__dirname, 'app.js');
  const direct = await start(process.execPath, [app, 'direct'], /(.+)/);
  const service = await start(process.execPath, [app, 'queue', broker], /(.+)/);
  await inTurns({ queue: `${gateway}/${service}/items/4`, direct: `${direct}/items/4` }, values);
});
