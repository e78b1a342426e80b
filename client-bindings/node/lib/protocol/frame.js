'use strict';

/** Length, type, flags, reserved, correlation, length of the message. */
const HEADER_BYTES = 20;
/** What the length field of a frame without message and payload counts. */
const LENGTH_MIN = 16;
/** On OK: it answers all settlings up to its correlation. */
const FLAG_CUMULATIVE = 1;

module.exports = { HEADER_BYTES, LENGTH_MIN, FLAG_CUMULATIVE };
