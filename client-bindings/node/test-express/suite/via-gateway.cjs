// Loaded into mocha: supertest's requests go through a gateway, and the applications they are for answer over the
// queue. GATEWAY and BROKER say where those are.
'use strict';

const http = require('node:http');
const net = require('node:net');
const path = require('node:path');

const { serve } = require('../..');

// Each request is for an application of its own: applications take turns in that many services.
const SERVICES = 200;

const { GATEWAY, BROKER } = process.env;
const supertest = path.join(process.cwd(), 'node_modules/supertest');
const Test = require(supertest).Test;

const servers = new Array(SERVICES);
let next = 0;

const ready = (async () => {
  const { connect } = require('../..');
  const client = await connect(BROKER);
  await Promise.all(servers.fill(null).map((_, slot) => serve(
    (req, res) => { servers[slot].emit('request', req, res); },
    { service: `t${slot}`, client, concurrency: 16 },
  )));
})();

// Tests write to a request as soon as it is made: it is the connection that waits for the services.
class Agent extends http.Agent {
  createConnection(options, callback) {
    ready.then(() => callback(null, net.connect(options)), callback);
  }
}
const agent = new Agent();

Test.prototype.serverAddress = function serverAddress(server, url) {
  const slot = next++ % SERVICES;
  servers[slot] = server;
  this.agent(agent);
  // Some ask where the server listens.
  this._server = { address: () => ({ address: '127.0.0.1', family: 'IPv4', port: +new URL(GATEWAY).port }) };
  return `${GATEWAY}/t${slot}${url}`;
};

process.on('exit', () => process.stderr.write(`requests through the gateway: ${next}\n`));
