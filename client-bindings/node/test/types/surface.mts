// Compiled, never run: what must be accepted, and what must not.
import { connect, HeaderBlock, VerteiltError, type Client, type Job, type Request } from 'verteilt';

const client: Client = await connect('verteilt://127.0.0.1:7450', { signal: AbortSignal.timeout(1000), name: 'types' });
client.on('connected', ({ epoch, capabilities }) => [epoch, capabilities.length]);
client.once('reconnecting', ({ attempt, delayMs }) => attempt + delayMs);

const service = await client.serve('name', { concurrency: 2, metadata: { a: 1 } }, async (request: Request) => {
  const first: Buffer | null = await request.read();
  const values: string[] = request.headers.getAll('a');
  const out = request.replyStart(200, [['a', 'b']]);
  const more: boolean = await out.write(first ?? values.join());
  await out.end();
  if (more) await request.forward('other', { body: request.body });
  const response = await request.call('other', { deadlineMs: 5 });
  return { status: response.status, headers: response.headers, body: await response.body.bytes() };
});
const left: number = await service.drain({ graceMs: 1 });
await client.serve('sync', {}, () => ({ body: 'x' }));
await client.serve('nothing', {}, (request) => { request.reply(200); });
// @ts-expect-error a status is a number
await client.serve('wrong', {}, () => ({ status: '200' }));

const response = await client.request('name', { body: (async function* () { yield 'x'; })(), headers: new HeaderBlock({ a: ['1', 2n] }) });
for await (const chunk of response.body) chunk.toString('hex');
for (const [name, value] of response.headers) name + value;
// @ts-expect-error no such option
await client.request('name', { timeout: 5 });

const { id, duplicate }: { id: string; duplicate: boolean } = await client.push('queue', Buffer.from('x'), { delayMs: 5, durability: 'memory' });
for await (const job of client.subscribe('queue', { credit: 5 })) await job.ack();
const worker = await client.work('queue', { concurrency: 5 }, async (job: Job) => job.json().a);
const { done } = await worker.drain();
const { pids } = await client.serve('name', { instances: 'cores', concurrency: 5 }, () => {});
const [stats] = await client.queues.list();
// @ts-expect-error no such level
await client.push('queue', 'x', { durability: 'stone' });

await client.topics.create('topic', { partitions: 3, retentionMs: 5 });
await client.topics.publishBatch('topic', ['a', { value: 'b', key: 'c' }]);
for await (const record of await client.topics.consume('topic', { group: 'g', from: { time: new Date() } })) {
  const key: Buffer = record.key;
  const offset: number = record.offset + key.length;
  await (await client.topics.consume('topic')).commit({ partition: record.partition, offset });
}

try {
  await client.close({ timeoutMs: 5 });
} catch (error) {
  if (error instanceof VerteiltError && error.retryable) console.log(error.code, error.number, error.holder?.service);
}
console.log(left, id, duplicate, done, stats.ready, pids);

const { requestId, known } = await client.detach('name', { body: 'x', fingerprint: 'y' });
const result = await client.result(requestId, { waitMs: 5 });
if (result.state === 'replied') console.log(result.status, await result.body.text());
else if (result.state === 'failed') console.log(result.error.code, known);
// @ts-expect-error only durability disk can be detached
await client.detach('name', { durability: 'memory' });
