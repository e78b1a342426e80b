'use strict';

const { Client, connect } = require('./client');
const { VerteiltError } = require('./errors');
const { HeaderBlock } = require('./headers');
const { serve, loadRoutes } = require('./http');

module.exports = { connect, serve, loadRoutes, Client, HeaderBlock, VerteiltError };
