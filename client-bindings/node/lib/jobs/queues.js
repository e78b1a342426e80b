'use strict';

const { badArgument } = require('../errors');
const { HeaderBlock } = require('../headers');
const { checkName, checkNumber } = require('../names');
const { TYPE } = require('../protocol/frame_types');
const { ENUMS } = require('../protocol/schema');

const STATES = Object.fromEntries(Object.entries(ENUMS.JobState).map(([name, number]) => [number, name.toLowerCase()]));
const PURGE_JOBS = 10000;

/** What can be asked and said about queues: `Client.queues`. */
class Queues {
  #driver;

  constructor(driver) {
    this.#driver = driver;
  }

  /** The numbers of all queues, in the order of their names. */
  async list({ signal } = {}) {
    const all = [];
    for (;;) {
      const after = all.length === 0 ? '' : all[all.length - 1].queue;
      const reply = await this.#stats('', after, signal);
      all.push(...reply.queues);
      if (!reply.more || reply.queues.length === 0) return all;
    }
  }

  /** The numbers of one queue. */
  async stats(queue, { signal } = {}) {
    checkName(queue);
    const { queues } = await this.#stats(queue, '', signal);
    return queues[0];
  }

  #stats(queue, after, signal) {
    return this.#call('the numbers of queues', TYPE.QUEUE_STATS, 'QueueStatsRequest', { queue, after }, TYPE.QUEUE_STATS_REPLY, signal);
  }

  /** Looks at jobs without taking them. `state`: ready (the default), scheduled, leased, failed or dead. */
  async peek(queue, { state = 'ready', max = 1, signal } = {}) {
    checkName(queue);
    const number = ENUMS.JobState[state.toUpperCase()];
    if (number === undefined) throw badArgument('state is scheduled, ready, leased, failed or dead');
    const message = { queue, state: number, jobsMax: checkNumber(max, 'max', 1, 1000, 1) };
    const call = { what: 'the jobs', type: TYPE.QUEUE_PEEK, name: 'QueuePeek', message, answer: TYPE.QUEUE_PEEKED, signal };
    return this.#driver.call({ ...call, onAnswer: peeked });
  }

  /** Delivers nothing any more; leases that exist go on. Survives a restart. */
  async pause(queue, options) {
    await this.#pause(queue, true, options);
  }

  async resume(queue, options) {
    await this.#pause(queue, false, options);
  }

  #pause(queue, paused, { signal } = {}) {
    checkName(queue);
    return this.#call('the pause', TYPE.QUEUE_PAUSE, 'QueuePause', { queue, paused }, TYPE.OK, signal);
  }

  /** Removes all jobs that nobody holds, and gives how many. */
  async purge(queue, { signal } = {}) {
    checkName(queue);
    let removed = 0;
    for (;;) {
      const message = { queue, jobsMax: PURGE_JOBS };
      const reply = await this.#call('the purge', TYPE.QUEUE_PURGE, 'QueuePurge', message, TYPE.QUEUE_PURGED, signal);
      removed += Number(reply.jobs);
      if (!reply.more) return removed;
    }
  }

  #call(what, type, name, message, answer, signal) {
    return this.#driver.call({ what, type, name, message, answer, signal });
  }
}

function peeked(message, buf, start) {
  let at = start;
  return message.jobs.map((job) => {
    const body = at + job.headerLength;
    const headers = HeaderBlock.fromBlock(buf.latin1Slice(at, body));
    at = body + job.bodyLength;
    return {
      id: String(job.id),
      state: STATES[job.state] ?? 'unspecified',
      priority: job.priority,
      attempts: job.attempts,
      attemptsMax: job.attemptsMax,
      dueMs: Number(job.dueMs),
      bodyBytes: Number(job.bodyBytes),
      headers,
      /** As far as the frame reached. */
      body: Buffer.from(buf.subarray(body, at)),
    };
  });
}

module.exports = { Queues };
