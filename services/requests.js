// Requests between services that are no HTTP applications: an endpoint says what is asked (`POST /prices`).

const JSON_TYPE = { 'content-type': 'application/json' };

/** What another service refused, or that it does not answer: a status and a sentence. */
class Refusal extends Error {
  constructor(status, reason) {
    super(reason);
    this.status = status;
  }
}

/** The handler of a service from a table of endpoints. What a handler refuses or is refused goes to the caller. */
export function handler(endpoints) {
  return async (request) => {
    const handle = endpoints[request.endpoint];
    try {
      if (handle === undefined) throw new Refusal(404, `nothing is at ${request.endpoint}`);
      await handle(request, request.bodyEnded && request.firstChunk.length === 0 ? null : await readJson(request));
    } catch (error) {
      if (request.replied) throw error;
      // Of the client's errors those say "later" that are about the way there, not about what was sent.
      const status = error.status ?? (error.code ? 503 : 500);
      if (status === 500) throw error;
      await request.reply(status, JSON_TYPE, JSON.stringify({ reason: error.message }));
    }
  };
}

async function readJson(request) {
  const text = await request.body.text();
  try {
    return JSON.parse(text);
  } catch {
    throw new Refusal(400, 'the body is no JSON');
  }
}

export function refuse(status, reason) {
  throw new Refusal(status, reason);
}

/** Asks another service on behalf of a request: with what is left of its deadline, and given up together with it. */
export async function ask(request, service, endpoint) {
  const response = await request.call(service, { endpoint });
  const text = await response.body.text();
  if (response.status >= 300) throw new Refusal(response.status, reasonIn(text) ?? `${service} failed`);
  return text === '' ? null : JSON.parse(text);
}

function reasonIn(text) {
  try {
    return JSON.parse(text).reason;
  } catch {
    return undefined;
  }
}

/** Passes a request on: whoever gets it answers its sender, and this service is done with it. */
export function passOn(request, service, endpoint, content) {
  return request.forward(service, { endpoint, headers: JSON_TYPE, body: content === undefined ? '' : JSON.stringify(content) });
}

export function answer(request, status, content) {
  return request.reply(status, JSON_TYPE, JSON.stringify(content));
}
