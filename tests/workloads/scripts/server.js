// A keep-alive HTTP server: "COUNT-ON-THIS-CONNECTION sha256" of the body. Inside, a heap of objects is rewritten beside
// a checksum, so that the garbage collector has work too.
'use strict';
const crypto = require('crypto');
const fs = require('fs');
const http = require('http');

function end(why) {
  fs.writeFileSync('/tmp/wrong', why);
  process.exit(1);
}

const entries = [];
let sum = 0;
for (let i = 0; i < 50000; i++) {
  entries.push({value: i, text: 'entry ' + i});
  sum += i;
}
let at = 0;
setInterval(() => {
  for (let i = 0; i < 500; i++) {
    at = (at + 7919) % entries.length;
    const value = Math.floor(Math.random() * 1e6);
    sum += value - entries[at].value;
    entries[at] = {value, text: 'entry ' + value};
  }
}, 10);
setInterval(() => {
  let found = 0;
  for (const entry of entries) {
    if (entry.text !== 'entry ' + entry.value) end('an entry has changed');
    found += entry.value;
  }
  if (found !== sum) end('the sum is ' + found + ' instead of ' + sum);
}, 200);

const server = http.createServer((request, response) => {
  const hash = crypto.createHash('sha256');
  request.on('data', (part) => hash.update(part));
  request.on('end', () => {
    request.socket.count = (request.socket.count || 0) + 1;
    response.end(request.socket.count + ' ' + hash.digest('hex'));
  });
});
server.keepAliveTimeout = 60000;
server.listen(7000, '0.0.0.0');
