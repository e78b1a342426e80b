'use strict';

// What each step does: client-bindings/conformance/README.md. A step gives `{ value, handle }`: what a
// scenario sees, and what later steps go on with.

const { connect } = require('../../lib/index.js');
const { within, until } = require('../broker');
const { Line, Peer } = require('./peer');
const { toBody, fromBody, match } = require('./pattern');

const DURABILITY = (options) => ({
  headers: options.headers, priority: options.priority, delayMs: options.delay_ms, attempts: options.attempts,
  leaseMs: options.lease_ms, durability: options.durability,
});

function seenJob(job) {
  return { id: job.id, attempt: job.attempt, queue: job.queue, body: fromBody(job.body), headers: [...job.headers] };
}

function seenRecord(record) {
  const { partition, offset, timeMs } = record;
  return { partition, offset, time_ms: timeMs, key: fromBody(record.key), value: fromBody(record.value), headers: [...record.headers] };
}

const STEPS = {
  // ---- the broker and clients
  async broker({ action }, { broker }) {
    if (action === 'start') await broker.start();
    else await broker.kill(action === 'stop' ? 'SIGTERM' : 'SIGKILL');
  },
  async connect({ client, namespace, peer }, { broker, clients, peers }) {
    const url = peer === undefined ? broker.url : peers.get(peer).url;
    clients.set(client, await connect(url, { namespace, requestTimeoutMs: 20000 }));
  },
  close: ({ client }, { clients }) => clients.get(client).close(),
  disconnected: ({ client }, { clients }) => until('the connection is gone', () => !clients.get(client).connected),

  // ---- jobs
  async push(step, { clients }) {
    return { value: await clients.get(step.client).push(step.queue, toBody(step.body), DURABILITY(step)) };
  },
  async push_batch(step, { clients }) {
    return { value: await clients.get(step.client).pushBatch(step.queue, step.bodies.map(toBody), DURABILITY(step)) };
  },
  async reserve({ client, queue, max, wait_ms: waitMs }, { clients }) {
    const jobs = await clients.get(client).reserve(queue, { max, waitMs });
    return { value: jobs.map(seenJob), handle: jobs };
  },
  async subscribe({ client, queue, credit }, { clients }) {
    const subscription = clients.get(client).subscribe(queue, { credit });
    await subscription.ready;
    return { handle: subscription };
  },
  async next({ of }, { handle }) {
    const next = await within(handle(of).next(), `the next of ${of}`);
    return { value: next.value === undefined ? seenJob(next) : seenRecord(next), handle: next };
  },
  async unsubscribe({ of }, { handle }) {
    await handle(of).close();
    await handle(of).unsubscribed;
  },
  ack: ({ job }, { handle }) => handle(job).ack(),
  release: ({ job }, { handle }) => handle(job).release(),
  nack: ({ job, delay_ms: delayMs }, { handle }) => handle(job).nack({ delayMs }),
  touch: ({ job, lease_ms: leaseMs }, { handle }) => handle(job).touch(leaseMs),
  keep_alive: ({ job }, { handle }) => handle(job).keepAlive(),
  async lost({ job }, { handle }) {
    const { signal } = handle(job);
    await within(ofSignal(signal), 'the end of the lease');
    return { value: { code: signal.reason.code } };
  },
  async queue_stats({ client, queue }, { clients }) {
    return { value: await clients.get(client).queues.stats(queue) };
  },

  // ---- topics
  topic_create: ({ client, topic, partitions }, { clients }) => clients.get(client).topics.create(topic, { partitions }),
  topic_delete: ({ client, topic }, { clients }) => clients.get(client).topics.delete(topic),
  async publish({ client, topic, value, key, partition, headers }, { clients }) {
    return { value: await clients.get(client).topics.publish(topic, toBody(value), { key, partition, headers }) };
  },
  async consume({ client, topic, from, group, credit }, { clients }) {
    const start = typeof from === 'object' ? { offset: from.offset, timeMs: from.time_ms } : from;
    const consumer = await clients.get(client).topics.consume(topic, { from: start, group, credit });
    return { value: { partitions: consumer.partitions }, handle: consumer };
  },
  partitions: ({ of }, { handle }) => ({ value: handle(of).partitions }),
  commit: ({ of, record }, { handle }) => handle(of).commit(handle(record)),
  async group_stats({ client, topic }, { clients }) {
    return { value: await clients.get(client).topics.groups(topic) };
  },

  // ---- requests
  async serve({ client, service, version, concurrency }, { clients }) {
    const line = new Line();
    const served = await clients.get(client).serve(service, { version, concurrency }, (request) => {
      line.put(request);
      // It lasts as long as the scenario wants.
      return new Promise(() => {});
    });
    return { handle: { served, line } };
  },
  async take({ of }, { handle }) {
    const request = await within(handle(of).line.take(), 'a request');
    const value = {
      id: request.id, endpoint: request.endpoint, headers: [...request.headers], body: fromBody(request.firstChunk),
      forwards: request.forwards, remaining_ms: request.remainingMs(), attempt: request.attempt,
    };
    return { value, handle: { request, out: null } };
  },
  reply: ({ request, status, headers, body }, { handle }) => handle(request).request.reply(status, headers, toBody(body)),
  reply_start({ request, status, headers }, { handle }) {
    handle(request).out = handle(request).request.replyStart(status, headers);
  },
  write: ({ request, chunk }, { handle }) => handle(request).out.write(toBody(chunk)),
  end: ({ request, chunk }, { handle }) => handle(request).out.end(toBody(chunk)),
  break: ({ request }, { handle }) => handle(request).out.fail(),
  async read({ request }, { handle }) {
    const piece = await handle(request).request.read();
    return { value: piece === null ? null : fromBody(piece) };
  },
  forward: ({ request, service, endpoint, headers, body }, { handle }) =>
    handle(request).request.forward(service, { endpoint, headers, body: toBody(body) }),
  async call(step, { handle }) {
    return answered(await handle(step.request).request.call(step.service, options(step)));
  },
  async cancelled({ request }, { handle }) {
    const { signal } = handle(request).request;
    await within(ofSignal(signal), 'the cancel');
    return { value: { code: signal.reason.code } };
  },
  drain: ({ of }, { handle }) => handle(of).served.drain({ graceMs: 1000 }),
  async request(step, { clients, begun }) {
    const own = { aborter: new AbortController(), stream: step.stream ? new Line() : null };
    if (step.as) begun.set(step.as, own);
    try {
      const response = await clients.get(step.client).request(step.service, {
        ...options(step), signal: own.aborter.signal, body: own.stream ? written(own.stream) : toBody(step.body),
      });
      return answered(response);
    } catch (error) {
      throw own.aborter.signal.aborted ? Object.assign(new Error('cancelled'), { code: 'CANCELLED' }) : error;
    }
  },
  send({ of, chunk, end }, { begun }) {
    begun.get(of).stream.put(end ? null : toBody(chunk));
  },
  cancel: ({ of }, { begun }) => begun.get(of).aborter.abort(),
  async body({ of }, { handle }) {
    return { value: fromBody(await handle(of).body.bytes()) };
  },
  async chunk({ of }, { handle }) {
    const piece = await within(handle(of).body.read(), 'a piece');
    return { value: piece === null ? null : fromBody(piece) };
  },
  async detach(step, { clients }) {
    const { requestId, known } = await clients.get(step.client).detach(step.service, options(step));
    return { value: { id: requestId, known } };
  },
  async result({ client, id, wait_ms: waitMs }, { clients }) {
    const { state, status, headers, body, error } = await clients.get(client).result(id, { waitMs });
    const replied = body && { status, headers: [...headers], body: fromBody(await body.bytes()) };
    return { value: { state, code: error?.code, ...replied } };
  },
  async trace({ client, id }, { clients }) {
    const [request] = await clients.get(client).trace(id);
    return { value: request.steps.map((step) => step.kind) };
  },

  // ---- a scripted peer
  async peer({ name }, { peers }) {
    const peer = new Peer();
    peers.set(name, peer);
    await peer.listen();
  },
  peer_accept: ({ peer }, { peers }) => peers.get(peer).accept(),
  async peer_expect({ peer, frame }, { peers }) {
    const found = await peers.get(peer).next();
    match(found, frame, 'the frame');
    return { value: found };
  },
  peer_send: ({ peer, frame }, { peers }) => peers.get(peer).send(frame),
  peer_closed: ({ peer }, { peers }) => peers.get(peer).closed(),
  peer_drop: ({ peer }, { peers }) => peers.get(peer).drop(),
};

function options({ version, endpoint, headers, body, deadline_ms: deadlineMs, id, durability }) {
  return { version, endpoint, headers, body: toBody(body), deadlineMs, id, durability };
}

function answered(response) {
  const { requestId: id, status, replayed } = response;
  return { value: { id, status, headers: [...response.headers], replayed }, handle: response };
}

async function* written(line) {
  for (let chunk = await line.take(); chunk !== null; chunk = await line.take()) yield chunk;
}

function ofSignal(signal) {
  return signal.aborted ? Promise.resolve() : new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
}

module.exports = { STEPS };
