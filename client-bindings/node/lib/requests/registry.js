'use strict';

const { TYPE } = require('../protocol/frame_types');
const { checkName } = require('../names');
const { idFromHex, idToBytes } = require('./ids');

const HEALTH = ['healthy', 'healthy', 'unhealthy', 'draining'];
const STEPS = ['unknown', 'accepted', 'waiting', 'started', 'forwarded', 'replied', 'ended', 'returned'];

/** `Client.services` */
async function services(driver, { service = '', signal } = {}) {
  if (service !== '') checkName(service);
  const all = [];
  for (;;) {
    const message = { service, after: all.length === 0 ? '' : all[all.length - 1].service };
    const reply = await driver.call({
      what: 'the list of services', type: TYPE.SERVICES, name: 'ServicesRequest', message, answer: TYPE.SERVICES_REPLY, signal,
    });
    for (const found of reply.services) all.push({ ...found, instances: found.instances.map(instance) });
    if (!reply.more || reply.services.length === 0) return all;
  }
}

function instance(stats) {
  const metadata = stats.metadata.map(({ name, value }) => [name, value.toString('utf8')]);
  return { ...stats, health: HEALTH[stats.health] ?? 'healthy', metadata };
}

/** `Client.trace` */
async function trace(driver, requestId, { signal } = {}) {
  const message = { requestId: idToBytes(idFromHex(requestId)) };
  const reply = await driver.call({
    what: 'the trace', type: TYPE.TRACE, name: 'TraceRequest', message, answer: TYPE.TRACE_REPLY, signal,
  });
  return reply.requests.map((request) => ({
    requestId: request.requestId.toString('hex'),
    parentRequestId: request.parentRequestId.length === 0 ? null : request.parentRequestId.toString('hex'),
    gatewayId: request.gatewayId.toString('hex'),
    timeUs: request.timeUs,
    steps: request.steps.map((step) => ({ ...step, kind: STEPS[step.kind] ?? 'unknown' })),
  }));
}

module.exports = { services, trace };
