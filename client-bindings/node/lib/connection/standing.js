'use strict';

const AGAIN_MS = 1000;

/**
 * Says something that holds for one connection: its owner does so on each one that comes.
 * @param alive whether it is still wanted @param refused called when the broker will not have it
 */
function sayAgain(driver, call, alive, refused) {
  driver.call({ ...call, once: true }).catch((error) => {
    if (!alive() || driver.ended) return;
    if (!error.retryable) {
      refused(error);
      return;
    }
    // Without a connection the next one is told by itself.
    setTimeout(() => {
      if (alive() && driver.ready) sayAgain(driver, call, alive, refused);
    }, AGAIN_MS).unref();
  });
}

module.exports = { sayAgain };
