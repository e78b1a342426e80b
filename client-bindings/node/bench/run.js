'use strict';

// Figures of this client against a broker of its own: `npm run bench`, or with the url of one that runs.
// Caller and worker are processes of their own; CPU is that of the process that is named.

const { fork } = require('node:child_process');
const { once } = require('node:events');
const { connect } = require('../lib/index.js');
const { Broker } = require('../test/broker');

const SECONDS = Number(process.env.SECONDS ?? 3);
const BODY = Buffer.alloc(256, 'x');

async function main() {
  const broker = process.argv[2] ? null : new Broker();
  await broker?.start();
  const url = process.argv[2] ?? broker.url;
  console.log(`node ${process.version}, ${SECONDS} s each, bodies of ${BODY.length} bytes`);
  try {
    await pushes(url);
    await jobs(url);
    await requests(url);
  } finally {
    await broker?.remove();
  }
}

/** Runs `lanes` loops for a while: how many a second, microseconds of CPU of this process for each. */
async function measure(lanes, once) {
  const cpu = process.cpuUsage();
  const begun = performance.now();
  const end = begun + SECONDS * 1000;
  const times = [];
  let count = 0;
  await Promise.all(Array.from({ length: lanes }, async () => {
    while (performance.now() < end) {
      const start = performance.now();
      await once();
      count += 1;
      if (count % 16 === 0) times.push(performance.now() - start);
    }
  }));
  const seconds = (performance.now() - begun) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  times.sort((one, other) => one - other);
  const at = (share) => (times[Math.floor(times.length * share)] ?? 0).toFixed(2);
  return { rate: count / seconds, cpu: (user + system) / count, count, median: at(0.5), p99: at(0.99) };
}

function tell(what, { rate, cpu, median, p99 }, more = '') {
  const figures = `${Math.round(rate).toLocaleString('en').padStart(9)}/s  ${cpu.toFixed(1).padStart(6)} us CPU  median ${median} ms  p99 ${p99} ms`;
  console.log(`${what.padEnd(34)} ${figures}${more}`);
}

async function pushes(url) {
  const client = await connect(url);
  for (const lanes of [1, 64, 1024]) tell(`push, ${lanes} awaited at a time`, await measure(lanes, () => client.push('bench', BODY)));
  await client.queues.purge('bench');
  await client.close();
}

async function jobs(url) {
  const client = await connect(url);
  const count = 50000;
  await client.pushBatch('bench-work', Array.from({ length: count }, () => BODY));
  const cpu = process.cpuUsage();
  const begun = performance.now();
  let done = 0;
  const worker = await client.work('bench-work', { concurrency: 1000 }, async (job) => {
    await job.ack();
    done += 1;
  });
  while (done < count) await new Promise((resolve) => setTimeout(resolve, 1));
  const ms = performance.now() - begun;
  const { user, system } = process.cpuUsage(cpu);
  console.log(`${'take and ack, 1000 at a time'.padEnd(34)} ${Math.round((count / ms) * 1000).toLocaleString('en').padStart(9)}/s  ${((user + system) / count).toFixed(1).padStart(6)} us CPU`);
  await worker.drain();
  await client.close();
}

async function requests(url) {
  const child = fork(__filename, ['worker', url]);
  await once(child, 'message');
  const client = await connect(url);
  for (const lanes of [1, 64, 256]) {
    const before = await ask(child);
    const result = await measure(lanes, async () => {
      const response = await client.request('bench', { endpoint: 'GET /', headers: { accept: '*/*', host: 'localhost' } });
      await response.body.bytes();
    });
    const cpu = ((await ask(child)) - before) / result.count;
    tell(`request and reply, ${lanes} in flight`, result, `  worker ${cpu.toFixed(1)} us CPU`);
  }
  await client.close();
  child.send('end');
}

/** CPU that the worker has used, in microseconds. */
async function ask(child) {
  child.send('cpu');
  return (await once(child, 'message'))[0];
}

async function work(url) {
  const client = await connect(url);
  const headers = { 'content-type': 'application/json; charset=utf-8', 'cache-control': 'no-store' };
  await client.serve('bench', { concurrency: 256 }, (request) => request.reply(200, headers, '{"hello":"world"}'));
  process.on('message', async (message) => {
    const { user, system } = process.cpuUsage();
    if (message === 'cpu') process.send(user + system);
    else process.exit(0);
  });
  process.send('ready');
}

if (process.argv[2] === 'worker') work(process.argv[3]);
else main();
