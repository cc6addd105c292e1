import { createServer, request as httpRequest, type IncomingMessage, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { afterEach, describe, expect, test } from '@jest/globals';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { createGateway, type GatewayOptions } from '../../../../local/api/gateway.ts';
import type { RawTemplate } from '../../../../local/template.ts';
import { AwsError, type InvokeResult } from '../../../../local/types.ts';
import { templateWith } from '../small-template.ts';

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

async function serve(
  handler: (request: IncomingMessage, response: import('node:http').ServerResponse) => void,
) {
  const server = createServer({ maxHeaderSize: 65_536 }, handler);
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

interface ApiParts {
  readonly routes?: readonly string[];
  readonly routeProperties?: Record<string, unknown>;
  readonly api?: Record<string, unknown>;
  readonly stage?: Record<string, unknown>;
  readonly integration?: Record<string, unknown>;
  readonly authorizer?: Record<string, unknown>;
}

/** An API whose every route calls one function. */
function template({ routes = ['POST /upload', 'GET /uploads/{id}'], ...parts }: ApiParts = {}) {
  const more: RawTemplate['Resources'] = {
    Api: { Type: 'AWS::ApiGatewayV2::Api', Properties: { ProtocolType: 'HTTP', ...parts.api } },
    Stage: { Type: 'AWS::ApiGatewayV2::Stage', Properties: { StageName: '$default', ...parts.stage } },
    Integration: {
      Type: 'AWS::ApiGatewayV2::Integration',
      Properties: {
        IntegrationType: 'AWS_PROXY',
        PayloadFormatVersion: '2.0',
        IntegrationUri: { 'Fn::GetAtt': ['Fn', 'Arn'] },
        ...parts.integration,
      },
    },
    Authorizer: { Type: 'AWS::ApiGatewayV2::Authorizer', Properties: parts.authorizer ?? {} },
    ...Object.fromEntries(
      routes.map((RouteKey, index) => [
        `Route${index}`,
        {
          Type: 'AWS::ApiGatewayV2::Route',
          Properties: {
            RouteKey,
            Target: { 'Fn::Join': ['', ['integrations/', { Ref: 'Integration' }]] },
            ...parts.routeProperties,
          },
        },
      ]),
    ),
  };
  return templateWith({ Fn: { code: '' } }, more);
}

/** @param onRequest is told of each request that has begun, and of its end */
async function start(
  parts: ApiParts = {},
  options: Partial<GatewayOptions> = {},
  onRequest: (request: { readonly handled: Promise<boolean> }) => void = () => {},
) {
  const events: Record<string, unknown>[] = [];
  const gateway = createGateway({
    template: template(parts),
    now: () => Date.now(),
    invoke: async (_, event) => {
      events.push(event as Record<string, unknown>);
      return { payload: { statusCode: 200, body: 'ok' } };
    },
    mayInvoke: () => true,
    authorizeIam: async () => ({ ok: false, status: 403 }),
    log: () => {},
    ...options,
  });
  const url = await serve((request, response) => {
    const handled = gateway.handle(request, response);
    onRequest({ handled });
    handled.then(
      (isOurs) => {
        if (!isOurs) gateway.notFound(request, response);
      },
      () => response.destroy(),
    );
  });
  return { url, events };
}

const answers = (result: InvokeResult) => ({ invoke: async () => result });
const post = (url: string, body: BodyInit, headers: Record<string, string> = {}) =>
  fetch(`${url}/upload`, { method: 'POST', body, headers });

describe('a request', () => {
  test('reaches the function with its parameters, and the answer the client', async () => {
    const { url, events } = await start();
    const response = await fetch(`${url}/uploads/a%20b?x=1`, { headers: { 'X-Test': 'yes' } });
    expect([response.status, await response.text()]).toEqual([200, 'ok']);
    expect(response.headers.get('apigw-requestid')).toMatch(/^[0-9a-f-]{36}$/);
    expect(events).toMatchObject([
      {
        routeKey: 'GET /uploads/{id}',
        rawPath: '/uploads/a b',
        pathParameters: { id: 'a b' },
        headers: { 'x-test': 'yes' },
      },
    ]);
  });

  test('without a route is 404', async () => {
    const { url } = await start();
    const response = await fetch(`${url}/nothing`);
    expect([response.status, await response.text()]).toEqual([404, '{"message":"Not Found"}']);
  });

  test('keeps every byte of a binary body', async () => {
    const { url, events } = await start();
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, index) => index));
    await post(url, bytes, { 'content-type': 'application/octet-stream' });
    expect(events).toMatchObject([{ body: bytes.toString('base64'), isBase64Encoded: true }]);
  });

  test("carries the stage's name in its path where it has one", async () => {
    const { url, events } = await start({ stage: { StageName: 'prod', StageVariables: { color: 'red' } } });
    expect((await fetch(`${url}/uploads/1`)).status).toBe(404);
    expect((await fetch(`${url}/prod/uploads/1`)).status).toBe(200);
    expect(events).toMatchObject([{ rawPath: '/prod/uploads/1', stageVariables: { color: 'red' } }]);
  });

  test('to a function that does not permit the API is 500', async () => {
    const asked: string[] = [];
    const { url, events } = await start({}, { mayInvoke: (_, sourceArn) => asked.push(sourceArn) === 0 });
    expect((await fetch(`${url}/uploads/1`)).status).toBe(500);
    expect(asked).toEqual([
      expect.stringMatching(
        /^arn:aws:execute-api:us-east-1:000000000000:\w{10}\/\$default\/GET\/uploads\/\{id\}$/,
      ),
    ]);
    expect(events).toEqual([]);
  });
});

describe('a limit', () => {
  test('of 10 MB: as much passes the gateway, one byte more is 413', async () => {
    const { url, events } = await start();
    const headers = { 'content-type': 'text/plain' };
    expect((await post(url, 'x'.repeat(10_485_760), headers)).status).toBe(200);
    const tooLarge = await post(url, 'x'.repeat(10_485_761), headers);
    expect([tooLarge.status, await tooLarge.text()]).toEqual([
      413,
      '{"message":"HTTP content length exceeded 10485760 bytes."}',
    ]);
    expect(events).toHaveLength(1);
  });

  test('of 10 MB holds for bodies that do not announce their size, while they are read', async () => {
    const { url, events } = await start();
    let sent = 0;
    const endless = new ReadableStream({
      pull: (controller) => {
        sent += 1;
        controller.enqueue(Buffer.alloc(1_048_576));
      },
    });
    const status = await new Promise<number | undefined>((resolve, reject) => {
      const target = httpRequest(`${url}/upload`, { method: 'POST' }, (response) => {
        resolve(response.statusCode);
        target.destroy();
      });
      target.once('error', reject);
      const source = Readable.fromWeb(endless as Parameters<typeof Readable.fromWeb>[0]);
      // The pipe breaks when the answer has come: that is the point.
      pipeline(source, target).catch(() => {});
    });
    expect(status).toBe(413);
    expect(sent).toBeGreaterThan(10);
    expect(events).toEqual([]);
  });

  test("of Lambda's 6 MB event has its own answer", async () => {
    const invoke = async () => {
      throw new AwsError('RequestTooLargeException', 'too large', 413);
    };
    const { url } = await start({}, { invoke });
    const response = await post(url, 'x');
    expect([response.status, await response.text()]).toEqual([413, '{"message":"Request Too Long"}']);
  });

  test('of 10,240 bytes of request line and headers is 431', async () => {
    const { url } = await start();
    expect((await fetch(`${url}/uploads/1`, { headers: { big: 'x'.repeat(9_500) } })).status).toBe(200);
    expect((await fetch(`${url}/uploads/1`, { headers: { big: 'x'.repeat(10_300) } })).status).toBe(431);
  });

  test("of the integration's time is 503", async () => {
    const { url } = await start(
      { integration: { TimeoutInMillis: 50 } },
      { invoke: () => new Promise(() => {}) },
    );
    const response = await fetch(`${url}/uploads/1`);
    expect([response.status, await response.text()]).toEqual([503, '{"message":"Service Unavailable"}']);
  });

  test("of the stage's throttle is 429", async () => {
    const { url } = await start({
      stage: {
        DefaultRouteSettings: { ThrottlingRateLimit: 0.001, ThrottlingBurstLimit: 2 },
        RouteSettings: { 'POST /upload': { ThrottlingBurstLimit: 1 } },
      },
    });
    const statuses = async (count: number, send: () => Promise<Response>) => {
      const all: number[] = [];
      for (let index = 0; index < count; index += 1) all.push((await send()).status);
      return all;
    };
    expect(await statuses(3, () => fetch(`${url}/uploads/1`))).toEqual([200, 200, 429]);
    expect(await statuses(2, () => post(url, 'x'))).toEqual([200, 429]);
  });
});

test('a function that fails is 500, whatever it says', async () => {
  const payload = { errorType: 'Error', errorMessage: 'secret' };
  const { url } = await start({}, answers({ functionError: 'Unhandled', payload }));
  const response = await fetch(`${url}/uploads/1`);
  expect([response.status, await response.text()]).toEqual([500, '{"message":"Internal Server Error"}']);
});

test('cookies become headers of their own', async () => {
  const { url } = await start({}, answers({ payload: { statusCode: 204, cookies: ['a=1', 'b=2'] } }));
  expect((await fetch(`${url}/uploads/1`)).headers.getSetCookie()).toEqual(['a=1', 'b=2']);
});

test('a client that goes away in the middle of its body reaches no function', async () => {
  const begun = Promise.withResolvers<{ handled: Promise<boolean> }>();
  const { url, events } = await start({}, {}, begun.resolve);
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  socket.write('POST /upload HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nhalf');
  const { handled } = await begun.promise;
  socket.destroy();
  // It is over with the request, and so calls nothing later either.
  await expect(handled).rejects.toThrow('aborted');
  expect(events).toEqual([]);
});

describe('CORS', () => {
  const cors = {
    AllowOrigins: ['https://app.example.com'],
    AllowMethods: ['GET', 'POST'],
    AllowHeaders: ['authorization'],
    ExposeHeaders: ['location'],
    MaxAge: 300,
  };
  const preflight = (url: string, origin: string) =>
    fetch(url, { method: 'OPTIONS', headers: { origin, 'access-control-request-method': 'POST' } });

  test('preflights are answered by the gateway, also where routes want a token', async () => {
    const { url, events } = await start({
      api: { CorsConfiguration: cors },
      routeProperties: { AuthorizationType: 'AWS_IAM' },
    });
    const response = await preflight(`${url}/upload`, 'https://app.example.com');
    expect(response.status).toBe(204);
    expect(Object.fromEntries(response.headers)).toMatchObject({
      'access-control-allow-origin': 'https://app.example.com',
      'access-control-allow-methods': 'GET,POST',
      'access-control-allow-headers': 'authorization',
      'access-control-max-age': '300',
    });
    expect(events).toEqual([]);
  });

  test('an ANY route with an authorizer swallows preflights, as on AWS', async () => {
    const { url } = await start({
      routes: ['ANY /upload'],
      api: { CorsConfiguration: cors },
      routeProperties: { AuthorizationType: 'AWS_IAM' },
    });
    expect((await preflight(`${url}/upload`, 'https://app.example.com')).status).toBe(403);
  });

  test('another origin gets no header', async () => {
    const { url } = await start({ api: { CorsConfiguration: cors } });
    const response = await preflight(`${url}/upload`, 'https://evil.example.com');
    expect([...response.headers.keys()].filter((name) => name.startsWith('access-control'))).toEqual([]);
  });

  test("the gateway's headers replace the function's, on refusals too", async () => {
    const invoke = answers({
      payload: { statusCode: 200, headers: { 'Access-Control-Allow-Origin': '*', location: '/x' } },
    });
    const { url } = await start({ api: { CorsConfiguration: cors } }, invoke);
    const headers = { origin: 'https://app.example.com' };
    const response = await fetch(`${url}/uploads/1`, { headers });
    expect(response.headers.get('access-control-allow-origin')).toBe('https://app.example.com');
    expect(response.headers.get('access-control-expose-headers')).toBe('location');
    const missing = await fetch(`${url}/nothing`, { headers });
    expect(missing.headers.get('access-control-allow-origin')).toBe('https://app.example.com');
  });
});

describe('a JWT authorizer', () => {
  async function startIssuer() {
    const { privateKey, publicKey } = await generateKeyPair('RS256');
    const key = { ...(await exportJWK(publicKey)), kid: 'key', alg: 'RS256' };
    const url = await serve((request, response) => {
      const document = request.url?.endsWith('jwks.json')
        ? { keys: [key] }
        : { issuer: url, jwks_uri: `${url}/jwks.json` };
      response.end(JSON.stringify(document));
    });
    return { url, privateKey };
  }

  async function setUp(scopes?: string[]) {
    const issuer = await startIssuer();
    const api = await start({
      authorizer: {
        IdentitySource: ['$request.header.Authorization'],
        JwtConfiguration: { Issuer: issuer.url, Audience: ['uploads', 'other'] },
      },
      routeProperties: {
        AuthorizationType: 'JWT',
        AuthorizerId: { Ref: 'Authorizer' },
        ...(scopes ? { AuthorizationScopes: scopes } : {}),
      },
    });
    const now = Math.floor(Date.now() / 1000);
    const token = (
      claims: Record<string, unknown> = {},
      key: CryptoKey | Uint8Array = issuer.privateKey,
      alg = 'RS256',
    ) =>
      new SignJWT({ iss: issuer.url, aud: 'uploads', sub: 'alice', exp: now + 60, ...claims })
        .setProtectedHeader({ alg, kid: 'key' })
        .sign(key);
    const call = async (authorization?: string) => {
      const headers: Record<string, string> = authorization === undefined ? {} : { authorization };
      const response = await fetch(`${api.url}/uploads/1`, { headers });
      return {
        status: response.status,
        body: await response.text(),
        challenge: response.headers.get('www-authenticate'),
      };
    };
    return { ...api, issuer, now, token, call };
  }

  test('lets a good token in, with or without Bearer, and hands its claims on as strings', async () => {
    const { call, token, events, now } = await setUp();
    const good = await token({ groups: ['a', 'b'], admin: true, iat: now });
    expect((await call(`Bearer ${good}`)).status).toBe(200);
    expect((await call(good)).status).toBe(200);
    expect(events[0]).toMatchObject({
      requestContext: {
        authorizer: {
          jwt: {
            claims: {
              sub: 'alice',
              aud: 'uploads',
              exp: String(now + 60),
              iat: String(now),
              groups: '[a b]',
              admin: 'true',
            },
            scopes: null,
          },
        },
      },
    });
  });

  test('takes client_id for aud only where there is no aud', async () => {
    const { call, token } = await setUp();
    expect((await call(await token({ aud: undefined, client_id: 'other' }))).status).toBe(200);
    expect((await call(await token({ aud: 'nobody', client_id: 'other' }))).status).toBe(401);
  });

  test('refuses every other token with 401', async () => {
    const { call, token, now, events } = await setUp();
    const stranger = await generateKeyPair('RS256');
    const none = (await token()).split('.').slice(1, 2);
    const unsigned = `${Buffer.from('{"alg":"none","kid":"key"}').toString('base64url')}.${none[0]}.`;
    const bad: Record<string, string | undefined> = {
      none: undefined,
      empty: '',
      garbage: 'Bearer garbage',
      expired: await token({ exp: now - 1 }),
      'not yet valid': await token({ nbf: now + 60 }),
      'issued in the future': await token({ iat: now + 60 }),
      'without expiry': await token({ exp: undefined }),
      'for another audience': await token({ aud: 'elsewhere' }),
      'of another issuer': await token({ iss: 'https://evil.example.com' }),
      'signed by another key': await token({}, stranger.privateKey),
      unsigned,
      'signed with a shared secret': await token({}, Buffer.alloc(32, 1), 'HS256'),
    };
    const statuses = Object.fromEntries(
      await Promise.all(Object.entries(bad).map(async ([name, value]) => [name, (await call(value)).status])),
    );
    expect(statuses).toEqual(Object.fromEntries(Object.keys(bad).map((name) => [name, 401])));
    expect(events).toEqual([]);
    expect(await call()).toEqual({ status: 401, body: '{"message":"Unauthorized"}', challenge: 'Bearer' });
  });

  test("wants one of the route's scopes, or answers 403", async () => {
    const { call, token, events } = await setUp(['uploads/write', 'admin']);
    expect(await call(await token({ scope: 'uploads/read' }))).toMatchObject({
      status: 403,
      body: '{"message":"Forbidden"}',
    });
    expect((await call(await token({ scope: 'uploads/read uploads/write' }))).status).toBe(200);
    expect(events).toMatchObject([
      { requestContext: { authorizer: { jwt: { scopes: ['uploads/write', 'admin'] } } } },
    ]);
  });

  test('that cannot reach its issuer answers 500, and asks again next time', async () => {
    const log: string[] = [];
    const api = await start(
      {
        authorizer: { JwtConfiguration: { Issuer: 'http://127.0.0.1:1', Audience: ['uploads'] } },
        routeProperties: { AuthorizationType: 'JWT', AuthorizerId: { Ref: 'Authorizer' } },
      },
      { log: (line) => log.push(line) },
    );
    for (let times = 0; times < 2; times += 1) {
      expect((await fetch(`${api.url}/uploads/1`, { headers: { authorization: 'x.y.z' } })).status).toBe(500);
    }
    expect(log).toEqual([
      expect.stringContaining('http://127.0.0.1:1'),
      expect.stringContaining('http://127.0.0.1:1'),
    ]);
  });
});

describe('AWS_IAM authorization', () => {
  const routeProperties = { AuthorizationType: 'AWS_IAM' };

  test('gets the request with its body, and the ARN of what is called', async () => {
    const asked: unknown[] = [];
    const { url, events } = await start(
      { routeProperties },
      {
        authorizeIam: async (request, arn) => {
          asked.push(request.body.toString(), arn);
          return { ok: true, authorizer: { iam: { userId: 'u' } } };
        },
      },
    );
    expect((await post(url, 'signed')).status).toBe(200);
    expect(asked).toEqual(['signed', expect.stringMatching(/\/\$default\/POST\/upload$/)]);
    expect(events).toMatchObject([{ requestContext: { authorizer: { iam: { userId: 'u' } } } }]);
  });

  test('answers 403 to all others', async () => {
    const { url } = await start({ routeProperties });
    const response = await post(url, 'unsigned');
    expect([response.status, await response.text()]).toEqual([403, '{"message":"Forbidden"}']);
  });
});

test('what the local gateway does not provide is an error that names the resource', () => {
  const options = {
    now: () => 0,
    invoke: async () => ({ payload: null }),
    mayInvoke: () => true,
    log: () => {},
  };
  const authorizeIam: GatewayOptions['authorizeIam'] = async () => ({ ok: false, status: 403 });
  const create = (parts: ApiParts) => () =>
    createGateway({ ...options, authorizeIam, template: template(parts) });
  expect(create({ integration: { PayloadFormatVersion: '1.0' } })).toThrow(/^Integration: /);
  expect(create({ routeProperties: { AuthorizationType: 'CUSTOM' } })).toThrow(/^Route0: CUSTOM/);
  expect(create({ integration: { IntegrationUri: 'arn:aws:lambda:us-east-1:1:function:x' } })).toThrow(
    /function is not/,
  );
});
