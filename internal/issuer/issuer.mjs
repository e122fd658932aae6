// A certified OpenID provider, for tests: https on 127.0.0.1, device flow, JWT
// access tokens for one audience, keys that rotate on request. Its pages take
// any name and password. Configuration is one JSON line on standard input.
import https from 'node:https';
import readline from 'node:readline';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { generateKeyPairSync, randomBytes } from 'node:crypto';

const require = createRequire(process.cwd() + '/');
const { Provider } = await import(pathToFileURL(require.resolve('oidc-provider')).href);

const lines = readline.createInterface({ input: process.stdin });
const next = lines[Symbol.asyncIterator]();
const conf = JSON.parse((await next.next()).value);

const newKey = () => {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return { ...privateKey.export({ format: 'jwk' }), kid: randomBytes(8).toString('hex'), alg: 'RS256', use: 'sig' };
};
let keys = [newKey()];
let handler;
let accessSeconds = 300;

const start = () => {
  const provider = new Provider(conf.issuer, {
    clients: [
      { client_id: conf.client, token_endpoint_auth_method: 'none', application_type: 'native', redirect_uris: [], response_types: [],
        grant_types: ['urn:ietf:params:oauth:grant-type:device_code', 'refresh_token'] },
    ],
    jwks: { keys },
    cookies: { keys: ['test'] },
    ttl: { AccessToken: () => accessSeconds },
    features: {
      deviceFlow: { enabled: true },
      devInteractions: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => conf.audiences[0],
        useGrantedResource: () => true,
        getResourceServerInfo: (ctx, resource) => {
          if (!conf.audiences.includes(resource)) throw new Error('unknown resource');
          return { scope: 'control', audience: resource, accessTokenTTL: accessSeconds, accessTokenFormat: 'jwt', jwt: { sign: { alg: 'RS256' } } };
        },
      },
    },
  });
  provider.on('server_error', (_, err) => console.error(err));
  handler = provider.callback();
};
start();

https.createServer({ key: conf.key, cert: conf.cert }, (req, res) => handler(req, res))
  .listen(conf.port, '127.0.0.1', () => console.log('ready'));

for (;;) {
  const { value, done } = await next.next();
  if (done) process.exit(0);
  const [command, argument] = value.split(' ');
  if (command === 'rotate') { keys = [newKey()]; start(); } // sessions and grants are forgotten too
  if (command === 'lifetime') accessSeconds = Number(argument);
  console.log('done');
}
