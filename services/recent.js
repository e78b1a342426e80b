// Names that were seen lately: what comes a second time is known. Of a topic's records some may.

export class Recent {
  #names = new Set();
  #max;

  constructor(max = 10_000) {
    this.#max = max;
  }

  /** Whether it is new; from now on it is not. */
  add(name) {
    if (this.#names.has(name)) return false;
    this.#names.add(name);
    if (this.#names.size > this.#max) this.#names.delete(this.#names.values().next().value);
    return true;
  }
}
