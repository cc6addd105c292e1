// Jest runs what Node runs: types are stripped by Node's own stripper, line for line, so nothing else can
// change the code under test and no compiler has to be kept in step with it.
const { stripTypeScriptTypes } = require('node:module');

module.exports = { process: (source) => ({ code: stripTypeScriptTypes(source) }) };
