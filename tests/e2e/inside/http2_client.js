// Inside the sandbox: what only a client that speaks HTTP/2 itself can try. Prints JSON.
//
// usage: node http2_client.js HOST
'use strict';
const http2 = require('http2');
const host = 'https://' + process.argv[2];
const out = {};

function connect() {
  return new Promise((done, fail) => {
    const session = http2.connect(host);
    session.once('error', fail);
    session.once('remoteSettings', settings => {
      session.on('error', () => {});
      session.settingsSeen = settings;
      done(session);
    });
  });
}

// The whole of one exchange.
function ask(session, headers, body, early) {
  return new Promise(done => {
    const stream = session.request(headers, {endStream: body === undefined});
    const seen = {informational: [], body: '', length: 0, code: 0};
    stream.on('headers', head => seen.informational.push(head[':status']));
    stream.on('response', head => { seen.head = head; seen.status = head[':status']; });
    stream.on('trailers', trailers => { seen.trailers = trailers; });
    stream.on('data', piece => {
      seen.length += piece.length;
      if (seen.body.length < 10000) seen.body += piece;
    });
    stream.on('error', error => { seen.error = error.code; });
    stream.on('close', () => { seen.code = stream.rstCode; done(seen); });
    // node may wait for ever to send a body that nobody wants any more (RST_STREAM, NO_ERROR).
    if (early) stream.on('end', () => done(seen));
    if (body !== undefined) stream.end(body);
  });
}

const later = time => new Promise(go => setTimeout(go, time));

(async () => {
  const session = await connect();
  out.extended = session.settingsSeen.enableConnectProtocol;

  const echo = await ask(session, {':path': '/echo', ':method': 'POST', 'x-twice': ['1', '2'],
                                   'cookie': ['a=1', 'b=2'], 'te': 'trailers'}, 'hello');
  out.echo = JSON.parse(echo.body);
  out.many = (await Promise.all(Array.from({length: 60}, (unused, n) =>
      ask(session, {':path': '/echo?' + n})))).filter(seen => seen.status === 200).length;
  const hints = await ask(session, {':path': '/hints'});
  out.hints = [hints.informational, hints.body, hints.trailers && hints.trailers['x-sum']];
  out.none = [];
  for (const code of [200, 204, 304]) {
    const seen = await ask(session, {':path': '/status/' + code});
    out.none.push([seen.status, seen.length, seen.code]);
  }
  const head = await ask(session, {':path': '/bytes/1000', ':method': 'HEAD'});
  out.head = [head.status, head.head['content-length'], head.length];
  const cut = await ask(session, {':path': '/cut'});
  out.cut = [cut.status, cut.body, cut.code !== 0];
  const refused = await ask(session, {':path': '/refuse/1', ':method': 'POST'});
  out.refused = [refused.status, refused.body];
  const early = await ask(session, {':path': '/early', ':method': 'POST'},
                          Buffer.alloc(4000000), true);
  out.early = [early.status, early.body];
  out.goaway = [];
  for (let i = 0; i < 3; i++) {
    out.goaway.push((await ask(session, {':path': '/goaway'})).body);
  }

  // A stream that nobody reads holds up no other, on this side or the other.
  const stalled = [1, 2, 3, 4, 5, 6].map(() => {
    const stream = session.request({':path': '/bytes/20000000'});
    stream.on('error', () => {});
    return stream;
  });
  await later(300);
  out.beside = (await ask(session, {':path': '/echo'})).status;
  out.stalled = (await Promise.all(stalled.map(stream => new Promise(done => {
    let length = 0;
    stream.on('data', piece => { length += piece.length; });
    stream.on('close', () => done(length));
  }))));

  // Reset by us: the origin sees it.
  const hang = session.request({':path': '/hang'});
  hang.on('error', () => {});
  await later(200);
  hang.close(http2.constants.NGHTTP2_CANCEL);
  await later(200);

  // A WebSocket's tunnel; what is in it is nobody's business.
  if (out.extended) {
    out.tunnel = await new Promise(done => {
      const stream = session.request({':method': 'CONNECT', ':protocol': 'websocket',
                                      ':path': '/tunnel', 'sec-websocket-version': '13'},
                                     {endStream: false});
      let got = '';
      stream.on('response', head => {
        got += head[':status'] + ' ';
        stream.write('ping');
        setTimeout(() => stream.end('pong'), 50);
      });
      stream.on('data', piece => { got += piece; });
      stream.on('error', error => done(error.code));
      stream.on('end', () => done(got));
    });
  }

  // A GOAWAY of ours: what is under way ends well.
  const last = ask(session, {':path': '/bytes/500000'});
  await later(20);
  session.close();
  out.last = (await last).length;
  console.log(JSON.stringify(out));
})().catch(error => { console.log(JSON.stringify({failed: String(error), ...out})); });
