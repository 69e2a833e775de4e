// An HTTP/2 client of node's own: each word names something to try; prints one JSON object.
const http2 = require('http2');
const crypto = require('crypto');

const origin = 'https://allowed.example.test';
const session = http2.connect(origin);
const result = {};

function ask(headers, body, trailers) {
  return new Promise((resolve, reject) => {
    const stream = session.request(headers, {endStream: body === undefined,
                                             waitForTrailers: trailers !== undefined});
    const seen = {informational: [], trailers: {}, bytes: 0};
    const hash = crypto.createHash('sha256');
    let text = '';
    stream.on('headers', (h) => seen.informational.push([h[':status'], h.link]));
    stream.on('response', (h) => { seen.status = h[':status']; seen.headers = h; });
    stream.on('trailers', (h) => { seen.trailers = {...h}; });
    stream.on('wantTrailers', () => stream.sendTrailers(trailers));
    stream.on('data', (chunk) => {
      hash.update(chunk);
      seen.bytes += chunk.length;
      if (text.length < 4096) text += chunk;
    });
    stream.on('error', (error) => { seen.error = error.message; });
    stream.on('close', () => {
      seen.code = stream.rstCode;
      seen.text = text;
      seen.sha256 = hash.digest('hex');
      resolve(seen);
    });
    if (body !== undefined) stream.end(body);
  });
}

const tries = {
  async many() {
    const all = [];
    for (let i = 0; i < 300; i++) all.push(ask({':path': '/bytes/' + (1000 + i)}));
    const seen = await Promise.all(all);
    return seen.filter((one, i) => one.status === 200 && one.bytes === 1000 + i).length;
  },
  async large() {
    const body = Buffer.alloc(6_000_000, 'moat');  // node takes no more at once
    const [up, down] = await Promise.all([
      ask({':method': 'POST', ':path': '/sink'}, body),
      ask({':path': '/chunked/20000000/7777'}),
    ]);
    return {sent: crypto.createHash('sha256').update(body).digest('hex'),
            got: JSON.parse(up.text).sha256, down};
  },
  async trailers() {
    return ask({':method': 'POST', ':path': '/trailers', 'te': 'trailers'}, 'body',
               {'x-checksum': '42'});
  },
  async hints() { return ask({':path': '/hints'}); },
  async cut() { return ask({':path': '/cut'}); },
  async cancel() {
    const stream = session.request({':path': '/slow/20'});
    stream.on('error', () => {});
    await new Promise((resolve) => setTimeout(resolve, 300));
    stream.close(http2.constants.NGHTTP2_CANCEL);
    return (await ask({':path': '/open/after'})).status;
  },
  async misdirected() {
    const there = await ask({':path': '/open', ':authority': 'other.example.test'});
    const here = await ask({':path': '/open'});
    return [there.status, here.status];
  },
  async websocket() {
    if (!session.remoteSettings.enableConnectProtocol)
      await new Promise((resolve) => session.once('remoteSettings', resolve));
    return new Promise((resolve) => {
      const stream = session.request({':method': 'CONNECT', ':protocol': 'websocket',
                                      ':path': '/websocket', 'sec-websocket-version': '13'},
                                     {endStream: false});
      let text = '', status = 0;
      stream.on('response', (h) => { status = h[':status']; stream.write('one '); });
      stream.on('data', (chunk) => {
        text += chunk;
        if (text === 'one ') stream.end('two');
      });
      stream.on('error', (error) => resolve(error.message));
      stream.on('end', () => resolve([status, text]));
    });
  },
};

(async () => {
  for (const name of process.argv.slice(2)) result[name] = await tries[name]();
  session.close();
  console.log(JSON.stringify(result));
})();
