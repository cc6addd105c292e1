import { describe, expect, test } from '@jest/globals';
import { readFunctionAnswer } from '../../../../local/api/answer.ts';
import { type ApiRequest, buildEvent, type EventContext } from '../../../../local/api/event.ts';

const request: ApiRequest = {
  method: 'POST',
  path: '/my/path',
  query: 'parameter1=value1&parameter1=value2&parameter2=value',
  rawHeaders: [
    ...['Header1', 'value1', 'Header2', 'value1', 'HEADER2', 'value2'],
    ...[
      'Cookie',
      'cookie1=a; cookie2=b',
      'User-Agent',
      'agent',
      'Content-Type',
      'text/plain',
      'Connection',
      'close',
    ],
  ],
  protocol: 'HTTP/1.1',
  sourceIp: '192.0.2.1',
  body: Buffer.from('Hello from Lambda'),
};
const context: EventContext = {
  accountId: '123456789012',
  apiId: 'api-id',
  region: 'us-east-1',
  stage: '$default',
  stageVariables: { stageVariable1: 'value1' },
  routeKey: 'POST /my/{parameter1}',
  pathParameters: { parameter1: 'path' },
  authorizer: { jwt: { claims: { claim1: 'value1' }, scopes: ['scope1'] } },
  requestId: 'id',
  now: Date.UTC(2020, 2, 12, 19, 3, 58),
};

describe("a function's event", () => {
  test('has the shape that API Gateway documents for payload format 2.0', () => {
    expect(buildEvent(request, context)).toEqual({
      version: '2.0',
      routeKey: 'POST /my/{parameter1}',
      rawPath: '/my/path',
      rawQueryString: 'parameter1=value1&parameter1=value2&parameter2=value',
      cookies: ['cookie1=a', 'cookie2=b'],
      headers: {
        header1: 'value1',
        header2: 'value1,value2',
        'user-agent': 'agent',
        'content-type': 'text/plain',
      },
      queryStringParameters: { parameter1: 'value1,value2', parameter2: 'value' },
      requestContext: {
        accountId: '123456789012',
        apiId: 'api-id',
        authorizer: { jwt: { claims: { claim1: 'value1' }, scopes: ['scope1'] } },
        domainName: 'api-id.execute-api.us-east-1.amazonaws.com',
        domainPrefix: 'api-id',
        http: {
          method: 'POST',
          path: '/my/path',
          protocol: 'HTTP/1.1',
          sourceIp: '192.0.2.1',
          userAgent: 'agent',
        },
        requestId: 'id',
        routeKey: 'POST /my/{parameter1}',
        stage: '$default',
        time: '12/Mar/2020:19:03:58 +0000',
        timeEpoch: 1584039838000,
      },
      body: 'Hello from Lambda',
      pathParameters: { parameter1: 'path' },
      isBase64Encoded: false,
      stageVariables: { stageVariable1: 'value1' },
    });
  });

  test('leaves out what is not there', () => {
    const bare = { ...request, query: '', rawHeaders: [], body: Buffer.alloc(0) };
    const { stageVariables: _, authorizer: __, ...rest } = context;
    const event = buildEvent(bare, { ...rest, pathParameters: {} });
    for (const name of ['cookies', 'queryStringParameters', 'pathParameters', 'stageVariables', 'body']) {
      expect(event).not.toHaveProperty(name);
    }
    expect(event).toMatchObject({ isBase64Encoded: false });
  });

  test.each([
    ['text/plain; charset=utf-8', false],
    ['application/json', false],
    ['application/json; charset=utf-8', false],
    ['application/xml', false],
    ['application/javascript', false],
    ['application/octet-stream', true],
    ['multipart/form-data; boundary=x', true],
    ['application/x-www-form-urlencoded', true],
    ['application/problem+json', true],
    ['video/mp4', true],
    [undefined, true],
  ])('with a body of type %s has it in base64: %s', (type, isBase64Encoded) => {
    const body = Buffer.from([0xff, 0x00, 0x80]);
    const rawHeaders = type === undefined ? [] : ['content-type', type];
    const event = buildEvent({ ...request, rawHeaders, body }, context);
    expect(event).toMatchObject({
      isBase64Encoded,
      body: body.toString(isBase64Encoded ? 'base64' : 'utf8'),
    });
  });

  test('decodes query strings as forms do, and keeps hostile names plain', () => {
    const event = buildEvent({ ...request, query: 'a=1+2%203&__proto__=x&b' }, context);
    expect(event.queryStringParameters).toEqual(
      Object.fromEntries([
        ['a', '1 2 3'],
        ['__proto__', 'x'],
        ['b', ''],
      ]),
    );
    expect(event.rawQueryString).toBe('a=1+2%203&__proto__=x&b');
  });
});

describe("a function's answer", () => {
  test('with a statusCode says everything itself', () => {
    const headers = { 'Content-Type': 'text/html', 'X-Number': 5 };
    const payload = { statusCode: 201, headers, cookies: ['a=1', 'b=2'], body: '<p>' };
    expect(readFunctionAnswer(payload)).toEqual({
      status: 201,
      headers: { 'content-type': 'text/html', 'x-number': '5' },
      cookies: ['a=1', 'b=2'],
      body: '<p>',
    });
  });

  test('in base64 becomes bytes', () => {
    const { body } = readFunctionAnswer({ statusCode: 200, body: '/wCA', isBase64Encoded: true });
    expect(body).toEqual(Buffer.from([0xff, 0x00, 0x80]));
  });

  test.each([
    [{ message: 'hello' }, '{"message":"hello"}'],
    ['hello', 'hello'],
    [null, 'null'],
  ])('without a statusCode is a 200 with JSON: %j', (payload, body) => {
    expect(readFunctionAnswer(payload)).toEqual({
      status: 200,
      headers: { 'content-type': 'application/json' },
      body,
    });
  });

  test.each([
    { statusCode: 'many' },
    { statusCode: 1000 },
    { statusCode: 200, body: {} },
    { statusCode: 200, cookies: 'a=1' },
  ])('that makes no sense is a 500: %j', (payload) => {
    expect(readFunctionAnswer(payload)).toMatchObject({
      status: 500,
      body: '{"message":"Internal Server Error"}',
    });
  });
});
