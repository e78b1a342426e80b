// Events to everybody who listens. Whoever reads too slowly is let go and, being a browser, comes again.

const LATEST = 20;
const BEHIND_BYTES_MAX = 256 * 1024;

export class Feed {
  #totals;
  #latest = [];
  #listeners = new Set();
  #isTotalsDue = false;

  /** @param totals gives what they are now */
  constructor(totals) {
    this.#totals = totals;
  }

  /** @param {import('node:http').ServerResponse} res */
  join(res) {
    res.write(event('totals', this.#totals()) + this.#latest.join(''));
    this.#listeners.add(res);
    res.once('close', () => this.#listeners.delete(res));
  }

  tell(kind, content) {
    const text = event(kind, content);
    this.#latest.push(text);
    if (this.#latest.length > LATEST) this.#latest.shift();
    this.#write(text);
    // Once for all that come in one turn.
    if (this.#isTotalsDue) return;
    this.#isTotalsDue = true;
    setImmediate(() => {
      this.#isTotalsDue = false;
      this.#write(event('totals', this.#totals()));
    });
  }

  end() {
    for (const res of this.#listeners) res.end();
  }

  #write(text) {
    for (const res of this.#listeners) {
      if (res.writableLength > BEHIND_BYTES_MAX) res.destroy();
      else res.write(text);
    }
  }
}

function event(kind, content) {
  return `event: ${kind}\ndata: ${JSON.stringify(content)}\n\n`;
}
