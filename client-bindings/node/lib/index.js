'use strict';

const { Client, connect } = require('./client');
const { VerteiltError } = require('./errors');
const { HeaderBlock } = require('./headers');

module.exports = { connect, Client, HeaderBlock, VerteiltError };
