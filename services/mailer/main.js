// `mailer`: writes to customers. What it would hand to a mail server goes to the topic `mails.sent`, so that
// nothing leaves this machine.
//
// It reads `orders.placed` as a group of its own, and for each order pushes a job that is due later: the reminder.
// Both are at least once. A record is committed behind the letter and the job, so a mailer that dies between them
// does both again.

import { follow } from '../records.js';
import { Recent } from '../recent.js';
import { run } from '../service.js';
import { confirmation, reminder } from './letters.js';

const REMINDER_MS = Number(process.env.REMINDER_MS ?? 20_000);

await run('mailer', async (service) => {
  const { client, signal } = service;
  await client.topics.create('mails.sent', { partitions: 2 });
  const send = (letter) => client.topics.publish('mails.sent', JSON.stringify(letter), { key: letter.order });
  const seen = new Recent();

  const reading = follow(service, 'orders.placed', { group: 'mailer' }, async ({ content: order, commit }) => {
    if (seen.add(order.order)) {
      await send(confirmation(order));
      await client.push('reminders', JSON.stringify(order), { delayMs: REMINDER_MS });
    }
    await commit();
  });
  const reminding = await client.work('reminders', { concurrency: 4, signal }, (job) => send(reminder(job.json())));
  return [reading, reminding.ended];
});
