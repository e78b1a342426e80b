// The page's few words for what the browser says at length.

export const $ = (id) => document.getElementById(id);

export function element(name, properties, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

export const text = (content, className = '') => element('span', { textContent: content, className });

export const euros = (cents) => `${(cents / 100).toFixed(2)} \u20ac`;

/** What was answered: `{ status, body, answer }`. Without a connection the status is 0. */
export async function ask(path, options) {
  try {
    const answer = await fetch(path, options);
    return { answer, status: answer.status, body: await answer.json() };
  } catch (error) {
    return { answer: null, status: 0, body: { reason: String(error) } };
  }
}

/** Why not, in the words of the service or of the gateway. */
export const reason = ({ body }) => body.reason ?? body.detail ?? 'it did not work';
