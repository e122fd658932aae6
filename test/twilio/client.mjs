// What client/main.go does with the Go library, with Twilio's official Node
// library, unmodified. It is told where to go by its environment alone: HTTP_PROXY,
// NODE_EXTRA_CA_CERTS, TWILIO_REGION, TWILIO_EDGE. It runs in the folder in which
// `make twilio` has installed the library.
import { createHash } from 'node:crypto';
import { createRequire } from 'node:module';
import https from 'node:https';

const require = createRequire(process.cwd() + '/');
const twilio = require('twilio');
const { HttpsProxyAgent } = require('https-proxy-agent');

let input = '';
for await (const part of process.stdin) input += part;
const t = JSON.parse(input);
const client = twilio(t.User, t.Password, { accountSid: t.Account });

const fault = (e) => ({ code: e.code, status: e.status, message: e.message, more_info: e.moreInfo, reason: e.details?.reason });
const refused = async (promise) => {
  try {
    await promise;
  } catch (e) {
    return fault(e);
  }
  return { message: 'it was not refused' };
};
const sids = async (params) => (await client.calls.list(params)).map((c) => c.sid);

// The library leaves the sound to whoever has its address.
const sound = (url) =>
  new Promise((resolve, reject) => {
    const sum = createHash('sha256');
    https
      .get(url, { agent: new HttpsProxyAgent(process.env.HTTP_PROXY), auth: `${t.User}:${t.Password}` }, (resp) => {
        if (resp.statusCode !== 200) reject(new Error(`sound: ${resp.statusCode}`));
        resp.on('data', (b) => sum.update(b));
        resp.on('end', () => resolve(sum.digest('hex')));
      })
      .on('error', reject);
  });

const out = {};
if (t.Wrong) {
  out.fault = await refused(client.calls.list());
} else {
  out.all = await sids({ pageSize: 5 });
  out.limited = await sids({ pageSize: 5, limit: 7 });
  out.span = await sids({ startTimeAfter: new Date(t.After), startTimeBefore: new Date(t.Before) });
  out.to = await sids({ to: t.Number, status: 'completed', pageSize: 1 });
  const c = await client.calls(t.Call).fetch();
  const date = (d) => (d ? d.toUTCString() : null);
  out.call = { sid: c.sid, account_sid: c.accountSid, from: c.from, to: c.to, status: c.status, direction: c.direction, duration: c.duration,
    start_time: date(c.startTime), end_time: date(c.endTime), date_created: date(c.dateCreated), price: c.price, uri: c.uri, api_version: c.apiVersion };
  out.not_found = await refused(client.calls('CA00000000000000000000000000000000').fetch());
  out.absent = await refused(client.calls.create({ to: t.Number, from: t.Number, url: 'https://example.test/' }));
  const recordings = await client.recordings.list({ pageSize: 1 });
  out.recordings = recordings.map((r) => r.sid);
  out.call_recordings = (await client.calls(t.Call).recordings.list()).map((r) => r.sid);
  out.sound = await sound(recordings.find((r) => r.sid === t.Recording).mediaUrl + '.wav');
  out.usage = (await client.usage.records.list()).map((r) => `${r.category} ${r.count} ${r.usage}`);
  out.daily = (await client.usage.records.daily.list({ category: 'calls', pageSize: 1 })).map((r) => `${r.startDate.toISOString().slice(0, 10)} ${r.count}`);
  out.held = await refused(client.calls(t.Held).remove());
  await client.recordings(t.Recording).remove();
  out.after_deletion = [await refused(client.recordings(t.Recording).fetch())];
  await client.calls(t.Call).remove();
  out.after_deletion.push(await refused(client.calls(t.Call).fetch()));
}
process.stdout.write(JSON.stringify(out) + '\n');
