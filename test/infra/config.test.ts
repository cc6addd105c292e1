import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { loadConfig } from '../../infra/config.ts';

const directory = mkdtempSync(join(tmpdir(), 'uploads-config-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const load = (
  context: Record<string, unknown>,
  env: Record<string, string> = {},
): ReturnType<typeof loadConfig> => loadConfig({ context, env, directory });

describe('what a person writes', () => {
  test.each<[Record<string, unknown>, unknown]>([
    [{ maxFileSize: '100 GiB' }, 100 * 2 ** 30],
    [{ maxFileSize: '1.5GiB' }, 1.5 * 2 ** 30],
    [{ maxFileSize: 5_000_000 }, 5_000_000],
    [{ maxFileSize: '5000000' }, 5_000_000],
  ])('%j is a size', (context, bytes) => {
    expect(load(context).stack.maxFileSize?.toBytes()).toBe(bytes);
  });

  test.each<[string, number]>([
    ['90s', 90],
    ['15m', 900],
    ['24h', 86_400],
    ['7d', 604_800],
  ])('"%s" is a time', (keepRecords, seconds) => {
    expect(load({ keepRecords }).stack.keepRecords?.toSeconds()).toBe(seconds);
  });

  test('lists on the command line are split at commas; objects and lists can be JSON', () => {
    expect(load({ allowedOrigins: 'https://a.example, https://b.example' }).stack.allowedOrigins).toEqual([
      'https://a.example',
      'https://b.example',
    ]);
    expect(load({ allowedExtensions: '[".mp4"]' }).stack.allowedExtensions).toEqual(['.mp4']);
    expect(
      load({ auth: '{"type":"jwt","issuer":"https://login.example.com","audience":"uploads"}' }).stack.auth,
    ).toEqual({ type: 'jwt', issuer: 'https://login.example.com', audience: ['uploads'], scopes: [] });
  });

  test('quotas are a number and a size', () => {
    expect(load({ maxUploadsPerOwner: '20', maxBytesPerOwner: '500 GiB' }).stack).toMatchObject({
      maxUploadsPerOwner: 20,
    });
    expect(() => load({ maxUploadsPerOwner: 'many' })).toThrow('write a whole number');
    expect(() => load({ authorizeFunctionArn: 'authorize' })).toThrow('write the ARN of a Lambda function');
  });

  test('what AWS itself keeps in the context is not ours to judge', () => {
    expect(load({ '@aws-cdk/core:x': true, 'aws:cdk:y': 1, 'cli-telemetry': false }).stack).toEqual({});
  });

  test.each<[Record<string, unknown>, string]>([
    [{ allowOrigins: '*' }, 'There is no option "allowOrigins"; did you mean "allowedOrigins"?'],
    [{ urlexpiry: '1h' }, 'There is no option "urlexpiry"; did you mean "urlExpiry"?'],
    [{ colour: 'red' }, 'There is no option "colour"; the options are stackName, auth, '],
    [{ partSize: '16 MB' }, 'partSize: "16 MB" is not understood; write a size like "16 MiB"'],
    [{ partSize: '0.5 B' }, 'partSize: "0.5 B" is not understood'],
    [
      { urlExpiry: '1 hour' },
      'urlExpiry: "1 hour" is not understood; write a time like "1h" (units: s, m, h, d).',
    ],
    [{ urlExpiry: 3600 }, 'urlExpiry: 3600 is not understood; write a time like "1h"'],
    [{ transferAcceleration: 'yes' }, 'transferAcceleration: "yes" is not understood; write true or false.'],
    [{ removalPolicy: 'delete' }, 'removalPolicy: "delete" is not understood; write one of retain, destroy.'],
    [{ logRetentionDays: 8 }, 'logRetentionDays: 8 is not understood; write one of 1, 3, 5, 7, 14, 30'],
    [{ stackName: 'my stack' }, 'stackName: "my stack" is not understood'],
    [{ auth: 'cognito' }, 'auth: "cognito" is not understood; write "iam", or {"type": "jwt"'],
    [{ auth: 'none' }, 'auth: "none" lets anyone on the internet upload at your cost'],
    [{ auth: { type: 'jwt', issuer: 'https://a.example', audiences: 'x' } }, 'auth: {"type":"jwt"'],
    [{ throttle: { rate: 5 } }, 'throttle: {"rate":5} is not understood'],
    [{ reservedConcurrency: { 'recieve-chunk': 5 } }, 'did you mean "receive-chunk"?'],
    [{ config: 'nowhere.json' }, 'config: there is no file '],
  ])('%j is refused in one sentence', (context, sentence) => {
    expect(() => load(context)).toThrow(sentence);
  });
});

describe('the file', () => {
  beforeAll(() => {
    writeFileSync(join(directory, 'uploads.config.json'), '{"partSize": "32 MiB", "keepRecords": "1d"}');
    writeFileSync(join(directory, 'other.json'), '{"stackName": "Other", "auth": "iam"}');
    writeFileSync(join(directory, 'broken.json'), '{"partSize": ');
  });

  test('is read when it is there, and the command line goes over it', () => {
    const { stack, stackName } = load({ keepRecords: '2d' });
    expect(stackName).toBe('ResumableUploads');
    expect(stack.partSize?.toMebibytes()).toBe(32);
    expect(stack.keepRecords?.toDays()).toBe(2);
  });

  test('can be another one', () => {
    expect(load({ config: 'other.json' })).toEqual({ stackName: 'Other', stack: { auth: { type: 'iam' } } });
  });

  test('that is no JSON is named', () => {
    expect(() => load({ config: 'broken.json' })).toThrow(
      'broken.json does not hold a JSON object of options',
    );
  });

  test('that comes as an example can be used as it is', () => {
    const example = fileURLToPath(new URL('../../uploads.config.example.json', import.meta.url));
    expect(load({ config: example }).stack.auth).toMatchObject({ type: 'jwt' });
  });
});

describe('on this machine only', () => {
  const local = { UPLOADS_LOCAL: '1' };

  test('the API is open, to pages of any origin', () => {
    expect(load({ config: 'empty.json' }, local).stack).toEqual({
      auth: { type: 'none' },
      allowedOrigins: ['*'],
    });
  });

  beforeAll(() => writeFileSync(join(directory, 'empty.json'), '{}'));

  test.each([
    ['iam', { type: 'iam' }],
    ['none', { type: 'none' }],
    [
      'jwt',
      {
        type: 'jwt',
        issuer: 'http://127.0.0.1:3000/_local/issuer',
        audience: ['resumable-uploads'],
        scopes: [],
      },
    ],
  ])('AUTH=%s chooses the authorization', (AUTH, auth) => {
    const env = { ...local, AUTH, UPLOADS_LOCAL_URL: 'http://127.0.0.1:3000' };
    expect(load({ config: 'empty.json' }, env).stack.auth).toEqual(auth);
    expect(load({ config: 'empty.json' }, { AUTH }).stack.auth).toBeUndefined();
  });

  test('a wrong AUTH is told', () => {
    expect(() => load({}, { ...local, AUTH: 'oauth' })).toThrow('AUTH is "oauth"; write none, jwt or iam.');
    expect(() => load({}, { ...local, AUTH: 'jwt' })).toThrow('set UPLOADS_LOCAL_URL');
  });

  test('options go over what is local', () => {
    const { stack } = load({ auth: 'iam', allowedOrigins: 'https://a.example', config: 'empty.json' }, local);
    expect(stack).toEqual({ auth: { type: 'iam' }, allowedOrigins: ['https://a.example'] });
  });
});

describe('the app', () => {
  const root = fileURLToPath(new URL('../../', import.meta.url));
  const run = (context: Record<string, unknown>, env: Record<string, string> = {}) => {
    const out = mkdtempSync(join(directory, 'out-'));
    const { status, stderr } = spawnSync(process.execPath, ['infra/app.ts'], {
      cwd: root,
      encoding: 'utf8',
      env: {
        PATH: process.env['PATH'],
        CDK_OUTDIR: out,
        CDK_CONTEXT_JSON: JSON.stringify({ config: join(directory, 'empty.json'), ...context }),
        ...env,
      },
    });
    return { status, stderr, out };
  };
  const templateIn = (
    out: string,
  ): { Resources: Record<string, { Type: string }>; Outputs: Record<string, unknown> } =>
    JSON.parse(readFileSync(join(out, 'ResumableUploads.template.json'), 'utf8'));

  test('says what is wrong in one line, without a stack trace', () => {
    expect(run({ partSize: '1 MiB' })).toMatchObject({
      status: 1,
      stderr: 'partSize is 1 MiB: S3 takes parts of 5 MiB to 5 GiB; give a size in that range.\n',
    });
  });

  test('synthesises locally what it deploys, but for authorization and origins', () => {
    const { status, stderr, out } = run({});
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    const local = run({}, { UPLOADS_LOCAL: '1', AUTH: 'iam' });
    const { Resources: deployed } = templateIn(out);
    const { Resources: here } = templateIn(local.out);
    expect(Object.keys(here)).toEqual(Object.keys(deployed));
    const different = Object.keys(here).filter(
      (id) => JSON.stringify(here[id]) !== JSON.stringify(deployed[id]),
    );
    expect(different.map((id) => String(here[id]?.Type)).sort()).toEqual([
      'AWS::ApiGatewayV2::Api',
      'AWS::S3::Bucket',
    ]);
  });

  test('tells what a client, a consumer and an operator need', () => {
    const { out } = run({}, { UPLOADS_LOCAL: '1' });
    expect(Object.keys(templateIn(out).Outputs).sort()).toEqual([
      'ApiUrl',
      'BucketName',
      'ConsoleUrl',
      'EventBusName',
      'StateMachineArn',
      'TableName',
    ]);
  });
});
