// HTTP requests a second through gateway and broker to a Rust service, and through moleculer-web and NATS to a
// Moleculer service, in turns, with wrk: in both, three processes behind the load.
//
//   npm ci && node run.js [--rounds 3] [--seconds 10] [--connections 64] [--service BINARY]
//
// The service is the example `service` of the Rust client; NATS is the one that `make bench-tools` installs.
'use strict';

const { existsSync } = require('node:fs');
const net = require('node:net');
const path = require('node:path');

const { inTurns, options, run, site, start } = require('../wrk.js');

const TARGET = path.resolve(__dirname, '../../target');
const values = options({ service: { type: 'string', default: path.join(TARGET, 'release/examples/service') } });

async function freePort() {
  const server = net.createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function ours(folder) {
  const { broker, gateway } = await site(folder);
  await start(values.service, [broker], /^serving/);
  return `${gateway}/things/items/4`;
}

async function theirs() {
  const installed = path.join(TARGET, 'bench-tools/bin/nats-server');
  const [nats, port] = [await freePort(), await freePort()];
  await start(existsSync(installed) ? installed : 'nats-server', ['-a', '127.0.0.1', '-p', `${nats}`], /Server is ready/);
  const transporter = `nats://127.0.0.1:${nats}`;
  await start(process.execPath, [path.join(__dirname, 'service.js'), transporter], /^ready/);
  await start(process.execPath, [path.join(__dirname, 'gateway.js'), transporter, `${port}`], /^ready/);
  return `http://127.0.0.1:${port}/items/4`;
}

run(async (folder) => {
  const ways = { verteilt: await ours(folder), moleculer: await theirs() };
  for (const url of Object.values(ways)) {
    const answer = await (await fetch(url)).json();
    if (answer.id !== '4' || answer.price !== 250) throw new Error(`${url} answered ${JSON.stringify(answer)}`);
  }
  await inTurns(ways, values);
});
