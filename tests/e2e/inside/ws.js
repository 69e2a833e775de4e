// WebSockets by node's ws: ws.js URL-OF-THE-ORIGIN; prints what came of them.
const { createHash, randomBytes } = require('crypto');
const { WebSocket } = require('ws');
const at = process.argv[2];
const large = 8 << 20;
const sha256 = bytes => createHash('sha256').update(bytes).digest('hex');

// A socket whose messages are awaited one by one.
async function open(path, protocols, options) {
  const ws = new WebSocket(at + path, protocols, options);
  const came = [], waiting = [];
  ws.on('message', (data, binary) => {
    const message = binary ? data : data.toString();
    if (waiting.length) waiting.shift()(message); else came.push(message);
  });
  ws.next = () => came.length ? Promise.resolve(came.shift()) : new Promise(r => waiting.push(r));
  ws.over = new Promise(r => ws.on('close', (code, why) => r([code, why.toString()])));
  await new Promise((resolve, reject) => ws.on('open', resolve).on('error', reject));
  return ws;
}

(async () => {
  const out = {};
  let ws = await open('/echo', ['v1.moat', 'v2.moat']);
  out.subprotocol = ws.protocol;
  ws.send('small');
  out.text = await ws.next();
  ws.send(Buffer.from('00ff80', 'hex'));
  out.binary = (await ws.next()).toString('hex');
  ws.send('');
  out.empty = await ws.next();
  ws.ping('are you there?');
  out.pong = await new Promise(r => ws.on('pong', data => r(data.toString())));
  ws.send('in ', { fin: false });
  ws.send('three ', { fin: false });
  ws.send('frames', { fin: true });
  out.fragments = await ws.next();
  ws.close(4002, 'enough');
  out['own close'] = await ws.over;
  ws = await open('/both', [], { perMessageDeflate: false });
  const mine = randomBytes(large);
  ws.send(mine);
  const theirs = await ws.next();
  out.both = [await ws.next() === sha256(mine), await ws.next() === sha256(theirs), theirs.length];
  ws.close();
  ws = await open('/close');
  out['their close'] = await ws.over;
  console.log(JSON.stringify(out));
})().catch(error => { console.error(error); process.exit(1); });
