'use strict';

// A peer that says what a scenario tells it to, and hears what a client says.

const net = require('node:net');
const { writeFrame, frameReader, frameToJson } = require('../frames');
const { within } = require('../broker');

class Peer {
  #server = net.createServer((socket) => this.#connections.put(socket));
  #connections = new Line();
  #socket = null;
  #frames = null;
  #closed = null;

  async listen() {
    await new Promise((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
  }

  get url() {
    return `verteilt://127.0.0.1:${this.#server.address().port}`;
  }

  async accept() {
    const socket = await within(this.#connections.take(), 'a connection to the peer');
    const frames = new Line();
    this.#socket = socket;
    this.#frames = frames;
    this.#closed = new Promise((resolve) => socket.once('close', resolve));
    socket.on('error', () => {});
    const read = frameReader((frame) => {
      const json = frameToJson(frame);
      if (json.type !== 'HEARTBEAT') frames.put(json);
    });
    socket.on('data', read);
  }

  next() {
    return within(this.#frames.take(), 'a frame of the client');
  }

  send(frame) {
    this.#socket.write(frame.hex === undefined ? writeFrame(frame) : Buffer.from(frame.hex, 'hex'));
  }

  closed() {
    return within(this.#closed, 'the client to close the connection');
  }

  drop() {
    this.#socket.destroy();
  }

  close() {
    this.#socket?.destroy();
    this.#server.close();
  }
}

/** Things that come, and those who wait for them. */
class Line {
  #things = [];
  #waiting = [];

  put(thing) {
    const taker = this.#waiting.shift();
    if (taker) taker(thing);
    else this.#things.push(thing);
  }

  take() {
    if (this.#things.length > 0) return Promise.resolve(this.#things.shift());
    return new Promise((resolve) => this.#waiting.push(resolve));
  }
}

module.exports = { Peer, Line };
