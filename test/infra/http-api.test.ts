import { describe, expect, test } from '@jest/globals';
import { UploadAuth } from '../../infra/auth.ts';
import { readable, type Synthesised, synthesise } from './synthesised.ts';

const byDefault = synthesise();

const routesOf = (stack: Synthesised): Record<string, string> =>
  Object.fromEntries(
    stack.byType('AWS::ApiGatewayV2::Route').map(({ Properties }) => {
      const integration = stack.resources[Properties.Target['Fn::Join'][1][1].Ref];
      return [Properties.RouteKey, readable(integration?.Properties.IntegrationUri)];
    }),
  );

const authorizationOf = (stack: Synthesised): unknown[] => [
  ...new Set(
    stack
      .byType('AWS::ApiGatewayV2::Route')
      .map(({ Properties }) =>
        `${Properties.AuthorizationType} ${Properties.AuthorizationScopes ?? ''}`.trim(),
      ),
  ),
];

test('has these routes, to these functions', () => {
  expect(routesOf(byDefault)).toEqual({
    'POST /upload': 'FunctionsReceiveChunk',
    'GET /upload': 'FunctionsTestChunk',
    'PUT /upload': 'FunctionsTestChunk',
    'PATCH /upload': 'FunctionsTestChunk',
    'DELETE /upload': 'FunctionsTestChunk',
    'HEAD /upload': 'FunctionsTestChunk',
    'GET /upload/options': 'FunctionsGetOptions',
    'POST /uploads': 'FunctionsCreateUpload',
    'GET /uploads/{uploadId}': 'FunctionsGetUpload',
    'POST /uploads/{uploadId}/part-urls': 'FunctionsSignParts',
    'POST /uploads/{uploadId}/parts': 'FunctionsRecordParts',
    'DELETE /uploads/{uploadId}': 'FunctionsAbortUpload',
  });
});

test('every function behind it ends before API Gateway stops waiting, and speaks payload format 2.0', () => {
  for (const { Properties } of byDefault.byType('AWS::ApiGatewayV2::Integration')) {
    expect(Properties.PayloadFormatVersion).toBe('2.0');
    const target = Properties.IntegrationUri['Fn::GetAtt'][0];
    expect(byDefault.resources[target]?.Properties.Timeout).toBeLessThan(30);
  }
});

describe('authorization', () => {
  test('is by IAM unless told otherwise', () => {
    expect(authorizationOf(byDefault)).toEqual(['AWS_IAM']);
  });

  test('by JWT asks for issuer, audience and scopes on every route', () => {
    const stack = synthesise({
      auth: UploadAuth.jwt({
        issuer: 'https://login.example.com',
        audience: ['web', 'app'],
        scopes: ['upload'],
      }),
    });
    expect(authorizationOf(stack)).toEqual(['JWT upload']);
    expect(stack.only('AWS::ApiGatewayV2::Authorizer').Properties).toMatchObject({
      AuthorizerType: 'JWT',
      IdentitySource: ['$request.header.Authorization'],
      JwtConfiguration: { Issuer: 'https://login.example.com', Audience: ['web', 'app'] },
    });
  });

  test('is absent only on request', () => {
    const stack = synthesise({ auth: UploadAuth.none({ iUnderstandThatAnyoneCanUpload: true }) });
    expect(authorizationOf(stack)).toEqual(['NONE']);
  });

  test('no route takes preflight requests, which carry no authorization', () => {
    for (const route of Object.keys(routesOf(byDefault)))
      expect(route).not.toMatch(/^(ANY|OPTIONS)|\$default/);
  });
});

describe('CORS', () => {
  test('is off by default', () => {
    expect(byDefault.only('AWS::ApiGatewayV2::Api').Properties.CorsConfiguration).toBeUndefined();
  });

  test('lets pages of the given origins send what both kinds of authorization need, and read when to retry', () => {
    const stack = synthesise({ allowedOrigins: ['https://app.example.com', 'http://localhost:5173'] });
    expect(stack.only('AWS::ApiGatewayV2::Api').Properties.CorsConfiguration).toEqual({
      AllowOrigins: ['https://app.example.com', 'http://localhost:5173'],
      AllowMethods: ['GET', 'POST', 'DELETE'],
      AllowHeaders: [
        'authorization',
        'content-type',
        'x-amz-content-sha256',
        'x-amz-date',
        'x-amz-security-token',
      ],
      ExposeHeaders: ['apigw-requestid', 'location', 'retry-after'],
      MaxAge: 7200,
    });
  });
});

describe('the stage', () => {
  const stageOf = (stack: Synthesised) => stack.only('AWS::ApiGatewayV2::Stage').Properties;

  test('throttles, and logs each request without its headers and query', () => {
    expect(stageOf(byDefault)).toMatchObject({
      StageName: '$default',
      AutoDeploy: true,
      DefaultRouteSettings: { ThrottlingRateLimit: 5000, ThrottlingBurstLimit: 5000 },
    });
    const format = stageOf(byDefault).AccessLogSettings.Format;
    expect(JSON.parse(format)).toMatchObject({ requestId: '$context.requestId', status: '$context.status' });
    expect(format).not.toMatch(/authorizer\.claims|querystring|header/i);
  });

  test('throttles single routes lower on request, once they exist', () => {
    const stack = synthesise({
      throttle: {
        rateLimit: 100,
        burstLimit: 50,
        routes: { 'POST /uploads': { rateLimit: 5, burstLimit: 10 } },
      },
      accessLogs: false,
    });
    expect(stageOf(stack)).toMatchObject({
      DefaultRouteSettings: { ThrottlingRateLimit: 100, ThrottlingBurstLimit: 50 },
      RouteSettings: { 'POST /uploads': { ThrottlingRateLimit: 5, ThrottlingBurstLimit: 10 } },
    });
    expect(stageOf(stack).AccessLogSettings).toBeUndefined();
    const stage = stack.only('AWS::ApiGatewayV2::Stage') as unknown as { DependsOn: string[] };
    for (const [id, { Type }] of Object.entries(stack.resources)) {
      if (Type === 'AWS::ApiGatewayV2::Route') expect(stage.DependsOn).toContain(id);
    }
  });
});
