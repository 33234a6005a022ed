'use strict';
// Millrace for Node.js: a process that offers functions as executors. See README.md and docs/sdk.md.
const {ConfigurationError, Refused, Unreachable, VERSION, Worker} = require('./worker');
const {Cancelled} = require('./tasks');
const {SecretError} = require('./secret');

module.exports = {Cancelled, ConfigurationError, Refused, SecretError, Unreachable, VERSION, Worker};
