// Requests, and what of their answers can be compared.

import http from 'node:http';

/** The whole answer: status, header fields as they came, body. */
export function ask(base, path, { method = 'GET', headers = {}, body } = {}) {
  return new Promise((resolve, reject) => {
    const request = http.request(base + path, { method, headers, agent: false });
    request.once('error', reject);
    request.once('response', async (response) => {
      try {
        const chunks = [];
        for await (const chunk of response) chunks.push(chunk);
        resolve({ status: response.statusCode, headers: response.headers, fields: response.rawHeaders, body: Buffer.concat(chunks) });
      } catch (error) {
        reject(error);
      }
    });
    request.end(body);
  });
}

// How a message is framed on one connection, when it was sent, and what the gateway adds.
const OF_THE_WAY = new Set(['connection', 'keep-alive', 'transfer-encoding', 'date', 'x-request-id']);

/** What must be the same, however an application is reached. */
export function essence(answer) {
  const fields = [];
  for (let at = 0; at < answer.fields.length; at += 2) {
    const name = answer.fields[at].toLowerCase();
    if (!OF_THE_WAY.has(name)) fields.push(`${name}: ${answer.fields[at + 1]}`);
  }
  return { status: answer.status, fields, body: answer.body.toString('latin1') };
}

/** Asks for the same both ways, and gives both answers as they compare. */
export async function askBoth([direct, overQueue], path, options) {
  const answers = [essence(await ask(direct, path, options)), essence(await ask(overQueue, path, options))];
  // A length that one of them did not have to say is the framing again.
  const said = (answer) => answer.fields.some((field) => field.startsWith('content-length:'));
  if (said(answers[0]) !== said(answers[1])) {
    for (const answer of answers) answer.fields = answer.fields.filter((field) => !field.startsWith('content-length:'));
  }
  return answers;
}
