'use strict';

// The scenarios of client-bindings/conformance, played against a real broker.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const { Broker, within } = require('./broker');
const { resolve, match } = require('./conformance/pattern');
const { STEPS } = require('./conformance/steps');

const FOLDER = path.join(__dirname, '../../conformance');
const PATIENCE_MS = 20000;
const KEYS = ['do', 'as', 'expect', 'error', 'start', 'eventually', 'times'];

/** Everything that a scenario has at hand. */
class Stage {
  broker = new Broker();
  clients = new Map();
  peers = new Map();
  kept = new Map();
  begun = new Map();
  #started = new Map();

  handle = (name) => {
    const [first, ...places] = name.split('.');
    assert.ok(this.kept.has(first), `nothing was kept as ${first}`);
    return places.reduce((handle, place) => handle[place], this.kept.get(first).handle);
  };

  async play(step) {
    if (step.do === 'finish' || step.do === 'pending') return this.#finish(step);
    assert.ok(step.do in STEPS, `no such step: ${step.do}`);
    if (!step.start) return this.#judge(step, () => this.#act(step));
    const outcome = { ended: false, step, promise: this.#act(step) };
    const ended = () => {
      outcome.ended = true;
    };
    outcome.promise.then(ended, ended);
    this.#started.set(step.as, outcome);
    return undefined;
  }

  #finish(step) {
    const outcome = this.#started.get(step.of);
    assert.ok(outcome, `nothing was begun as ${step.of}`);
    if (step.do === 'pending') return assert.equal(outcome.ended, false, `${step.of} has ended`);
    return this.#judge({ ...step, as: step.of }, () => outcome.promise);
  }

  #act(step) {
    const once = async (i) => {
      const given = Object.fromEntries(Object.entries(step).filter(([key]) => !KEYS.includes(key)));
      const patternless = step.do === 'peer_expect' ? given : resolve(given, this.kept, i);
      if (step.do === 'peer_expect') patternless.frame = resolve(given.frame, this.kept, i);
      return (await STEPS[step.do]({ ...patternless, as: step.as }, this)) ?? {};
    };
    if (step.times === undefined) return once();
    return Promise.all(Array.from({ length: step.times }, (_, i) => once(i))).then((results) => ({
      value: results.map(({ value }) => value), handle: results.map(({ handle }) => handle),
    }));
  }

  async #judge(step, act) {
    const end = Date.now() + PATIENCE_MS;
    for (;;) {
      try {
        await this.#judgeOnce(step, act);
        return;
      } catch (error) {
        if (!step.eventually || Date.now() > end) throw error;
        await new Promise((done) => setTimeout(done, 5));
      }
    }
  }

  async #judgeOnce(step, act) {
    let result;
    try {
      result = await within(act(), `the step ${step.do}`);
    } catch (error) {
      if (step.error === undefined) throw error;
      assert.ok([step.error].flat().includes(error.code), `${error.stack}\nis not ${step.error}`);
      return;
    }
    assert.equal(step.error, undefined, `${step.do} did not fail: ${JSON.stringify(result.value)}`);
    if (step.expect !== undefined) match(result.value, resolve(step.expect, this.kept));
    if (step.as !== undefined) this.kept.set(step.as, result);
  }

  async clear() {
    for (const client of this.clients.values()) await client.close({ timeoutMs: 10 }).catch(() => {});
    for (const peer of this.peers.values()) peer.close();
    await this.broker.remove();
    await Promise.allSettled([...this.#started.values()].filter(({ ended }) => ended).map(({ promise }) => promise));
  }
}

for (const file of fs.readdirSync(FOLDER).filter((name) => name.endsWith('.json'))) {
  const { scenarios } = JSON.parse(fs.readFileSync(path.join(FOLDER, file), 'utf8'));
  for (const { name, steps } of scenarios) {
    test(`${file.replace('.json', '')}: ${name}`, { concurrency: false }, async () => {
      const stage = new Stage();
      try {
        for (const [at, step] of steps.entries()) {
          await stage.play(step).catch((error) => {
            error.message = `step ${at + 1} ${JSON.stringify(step)}\n${error.message}`;
            throw error;
          });
        }
      } finally {
        await stage.clear();
      }
    });
  }
}

test('the scenarios use the vocabulary of their README, and all of it is used', () => {
  const readme = fs.readFileSync(path.join(FOLDER, 'README.md'), 'utf8');
  const described = new Set([...readme.matchAll(/^\| (`[a-z_]+`(?:, `[a-z_]+`)*) \| .* \| .*\|$/gm)].flatMap(([, names]) => names.match(/[a-z_]+/g)));
  const used = new Set();
  for (const file of fs.readdirSync(FOLDER).filter((name) => name.endsWith('.json'))) {
    const { scenarios } = JSON.parse(fs.readFileSync(path.join(FOLDER, file), 'utf8'));
    for (const { steps } of scenarios) for (const step of steps) used.add(step.do);
  }
  assert.deepEqual([...used].sort(), [...described].sort());
  assert.deepEqual([...Object.keys(STEPS), 'finish', 'pending'].sort(), [...described].sort());
});
