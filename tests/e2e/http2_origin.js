// Origins on loopback that speak HTTP/2 (and HTTP/1.1 to who wants no other), and HTTP/1.1 only.
//
// usage: node http2_origin.js CERTIFICATE_DIRECTORY LOG READY
//
// Logs each request as it arrived and each stream that was reset, one JSON object a line; writes
// "HTTP2_PORT HTTP1_PORT" to READY once both listen; ends when its standard input does.
'use strict';
const crypto = require('crypto');
const fs = require('fs');
const http2 = require('http2');
const https = require('https');
const stream = require('stream');

const [directory, log, ready] = process.argv.slice(2);
const certificate = {
  cert: fs.readFileSync(directory + '/origin.crt'),
  key: fs.readFileSync(directory + '/origin.key'),
};
const note = entry => fs.appendFileSync(log, JSON.stringify(entry) + '\n');
const sessions = new Map();  // to their number
const number = session => {
  if (session && !sessions.has(session)) sessions.set(session, sessions.size + 1);
  return session ? sessions.get(session) : 0;
};

const block = crypto.createHash('sha512').update('moat').digest();
function* pattern(size) {
  const piece = Buffer.concat(Array(1024).fill(block));
  for (let sent = 0; sent < size; sent += piece.length) {
    yield piece.subarray(0, Math.min(piece.length, size - sent));
  }
}

// By the compatibility interface, so that they are the same in both versions.
const routes = {
  echo(request, response, body) {
    const trailers = request.rawTrailers || [];
    response.setHeader('Content-Type', 'application/json');
    response.end(JSON.stringify({version: request.httpVersion, method: request.method,
                                 headers: request.rawHeaders, trailers,
                                 session: number(request.stream && request.stream.session),
                                 length: body.length,
                                 sha256: crypto.createHash('sha256').update(body).digest('hex')}));
  },
  bytes(request, response, body, size) {
    response.setHeader('Content-Length', size);
    stream.pipeline(stream.Readable.from(pattern(Number(size))), response, () => {});
  },
  hints(request, response) {
    response.writeEarlyHints({link: '</style.css>; rel=preload'});
    response.setHeader('Trailer', 'X-Sum');
    response.write('body');
    response.addTrailers({'X-Sum': '42'});
    response.end();
  },
  events(request, response) {
    response.setHeader('Content-Type', 'text/event-stream');
    let count = 0;
    const timer = setInterval(() => {
      response.write('data: ' + Date.now() + '\n\n');
      if (++count === 5) { clearInterval(timer); response.end(); }
    }, 60);
  },
  status(request, response, body, code) {
    response.statusCode = Number(code);
    response.end();
  },
  cookies(request, response) {
    response.setHeader('Set-Cookie', ['a=1', 'b=2']);
    response.end(request.headers.cookie || 'none');
  },
  hang() {},
  cut(request, response) {
    response.write('half');
    setTimeout(() => {
      if (request.stream) request.stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR);
      else request.socket.destroy();
    }, 50);
  },
  refuse(request, response, body, times) {
    const key = request.url;
    refusals.set(key, (refusals.get(key) || 0) + 1);
    if (request.stream && refusals.get(key) <= Number(times)) {
      return request.stream.close(http2.constants.NGHTTP2_REFUSED_STREAM);
    }
    response.end('after ' + refusals.get(key));
  },
  goaway(request, response) {
    response.end('bye');
    if (request.stream) request.stream.session.close();
    else request.socket.end();
  },
};
const refusals = new Map();
// Answered before their body is read.
const early = {
  early(request, response) {
    response.statusCode = 413;
    response.end('too big');
    request.resume();
  },
};

function serve(request, response) {
  const [name, argument] = request.url.split('?')[0].slice(1).split('/');
  const entry = {path: request.url, method: request.method, version: request.httpVersion,
                 headers: request.rawHeaders,
                 session: number(request.stream && request.stream.session)};
  note(entry);
  if (request.stream) {
    request.stream.on('close', () => {
      const code = request.stream.rstCode;
      if (code) note({path: request.url, reset: code});
    });
  }
  request.on('error', () => {});
  response.on('error', () => {});
  if (early[name]) return early[name](request, response);
  const pieces = [];
  request.on('data', piece => pieces.push(piece));
  request.on('end', () => {
    if (!routes[name]) { response.statusCode = 404; return response.end('no such route'); }
    routes[name](request, response, Buffer.concat(pieces), argument);
  });
}

// A socket of any protocol, over an upgrade or an extended CONNECT: gives back what it gets.
const accept = key => crypto.createHash('sha1')
    .update(key + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11').digest('base64');

const both = http2.createSecureServer({...certificate, allowHTTP1: true,
                                       settings: {enableConnectProtocol: true}});
both.on('request', serve);
both.on('connect', ({stream: tunnel, headers}) => {
  note({path: headers[':path'], method: 'CONNECT', protocol: headers[':protocol'], version: '2.0',
        session: number(tunnel.session)});
  tunnel.on('error', () => {});
  if (headers[':protocol'] !== 'websocket') return tunnel.close();
  tunnel.respond({':status': 200});
  tunnel.pipe(tunnel);
});
const only1 = https.createServer(certificate, serve);
for (const server of [both, only1]) {
  server.on('upgrade', (request, socket, head) => {
    note({path: request.url, method: request.method, version: request.httpVersion,
          upgrade: request.headers.upgrade});
    socket.on('error', () => {});
    socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n' +
                 'Connection: Upgrade\r\nSec-WebSocket-Accept: ' +
                 accept(request.headers['sec-websocket-key']) + '\r\n\r\n');
    if (head.length) socket.write(head);
    socket.pipe(socket);
  });
  server.on('sessionError', () => {});
  server.on('clientError', (error, socket) => socket.destroy());
}
both.listen(0, '127.0.0.1', () => only1.listen(0, '127.0.0.1', () => {
  fs.writeFileSync(ready + '.new', both.address().port + ' ' + only1.address().port);
  fs.renameSync(ready + '.new', ready);
}));
process.stdin.on('end', () => process.exit(0));
process.stdin.resume();
