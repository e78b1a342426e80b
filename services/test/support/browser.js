// Chromium without a window, by way of chromedriver and its WebDriver protocol (JSON over HTTP).

import { spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';

import { end, start } from './process.js';
import { until } from './until.js';

const has = (program) => spawnSync(program, ['--version']).status === 0;

/** Why there can be no browser, or false. */
export const missing = has('chromedriver') && has('chromium') ? false : 'Chromium is not installed (packages chromium, chromium-driver)';

const OPTIONS = {
  'goog:chromeOptions': {
    args: ['--headless=new', '--no-sandbox', '--disable-dev-shm-usage', '--force-device-scale-factor=1', '--hide-scrollbars'],
  },
  'goog:loggingPrefs': { browser: 'ALL' },
};
/** How WebDriver names an element. */
const ELEMENT = 'element-6066-11e4-a52e-4f735466cecf';

export class Browser {
  #driver;
  #session;

  static async open() {
    const browser = new Browser();
    let port;
    browser.#driver = start('chromedriver', ['--port=0'], { onLine: (line) => { port ??= /successfully on port (\d+)/.exec(line)?.[1]; } });
    const base = `http://127.0.0.1:${await until('chromedriver listens', () => port)}/session`;
    const { sessionId } = await send('POST', base, { capabilities: { alwaysMatch: { browserName: 'chrome', ...OPTIONS } } });
    browser.#session = `${base}/${sessionId}`;
    return browser;
  }

  async visit(url, width, height) {
    await this.#post('window/rect', { width, height });
    await this.#post('url', { url });
  }

  /** What an expression says in the page. */
  evaluate(expression) {
    return this.#post('execute/sync', { script: `return ${expression}`, args: [] });
  }

  /** The text that is to be seen in an element. */
  text(selector) {
    return this.#act(selector, (element) => send('GET', `${this.#session}/element/${element}/text`));
  }

  click(selector) {
    return this.#act(selector, (element) => this.#post(`element/${element}/click`, {}));
  }

  async type(selector, text) {
    const element = await this.#find(selector);
    await this.#post(`element/${element}/clear`, {});
    return this.#post(`element/${element}/value`, { text });
  }

  async screenshot(file) {
    await writeFile(file, Buffer.from(await send('GET', `${this.#session}/screenshot`), 'base64'));
  }

  /** What the page complained about. */
  complaints() {
    return this.#post('se/log', { type: 'browser' });
  }

  async close() {
    if (this.#session) await send('DELETE', this.#session);
    await end(this.#driver);
  }

  /** Nothing was done to an element that was drawn anew in between: then the new one is taken. */
  async #act(selector, act) {
    for (let tries = 1; ; tries += 1) {
      try {
        return await act(await this.#find(selector));
      } catch (error) {
        if (tries === 20 || !error.message.startsWith('stale element reference')) throw error;
      }
    }
  }

  async #find(selector) {
    return (await this.#post('element', { using: 'css selector', value: selector }))[ELEMENT];
  }

  #post(what, content) {
    return send('POST', `${this.#session}/${what}`, content);
  }
}

async function send(method, url, content) {
  const answer = await fetch(url, { method, body: content && JSON.stringify(content), signal: AbortSignal.timeout(60_000) });
  const { value } = await answer.json();
  if (!answer.ok) throw new Error(`${value.error}: ${value.message}`);
  return value;
}
