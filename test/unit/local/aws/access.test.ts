import { describe, expect, test } from '@jest/globals';
import { createAccess } from '../../../../local/aws/access.ts';
import { type JsonService, jsonSubject } from '../../../../local/aws/json-needs.ts';
import { readS3Request, s3Needs } from '../../../../local/aws/s3-operations.ts';
import {
  account,
  allow,
  bucket,
  document,
  lambdaFunction,
  resource,
  role,
  roleCaller,
  table,
  templateOf,
} from './fakes.ts';

const keyArn = `arn:aws:kms:us-east-1:${account}:key/k`;
const plain = templateOf([bucket('videos'), table('uploads'), lambdaFunction('stack-a', 'ARole')]);
const encrypted = templateOf([
  bucket('videos', {
    BucketEncryption: {
      ServerSideEncryptionConfiguration: [
        { ServerSideEncryptionByDefault: { SSEAlgorithm: 'aws:kms', KMSMasterKeyID: keyArn } },
      ],
    },
  }),
  table('uploads', { SSESpecification: { SSEEnabled: true, KMSMasterKeyId: keyArn } }),
  resource('AWS::KMS::Key', 'Key', { KeyPolicy: document() }, { physicalId: 'k', arn: keyArn }),
]);

const s3 = (method: string, url: string, headers: Record<string, string> = {}, template = plain) => {
  const request = { method, url, headers };
  const read = readS3Request(request);
  if (!read) return undefined;
  const needs = s3Needs(template, request, read, { presigned: false });
  return { operation: read.operation, needs: needs.map(({ action, resource }) => `${action} ${resource}`) };
};
const object = 'arn:aws:s3:::videos/a b';

describe('S3 requests and what they need', () => {
  test.each<[string, string, string, Record<string, string>, string[]]>([
    ['ListBuckets', 'GET', '/', {}, ['s3:ListAllMyBuckets *']],
    ['CreateMultipartUpload', 'POST', '/videos/a%20b?uploads', {}, [`s3:PutObject ${object}`]],
    ['UploadPart', 'PUT', '/videos/a%20b?partNumber=1&uploadId=u', {}, [`s3:PutObject ${object}`]],
    ['CompleteMultipartUpload', 'POST', '/videos/a%20b?uploadId=u', {}, [`s3:PutObject ${object}`]],
    ['AbortMultipartUpload', 'DELETE', '/videos/a%20b?uploadId=u', {}, [`s3:AbortMultipartUpload ${object}`]],
    ['ListParts', 'GET', '/videos/a%20b?uploadId=u', {}, [`s3:ListMultipartUploadParts ${object}`]],
    [
      'ListMultipartUploads',
      'GET',
      '/videos?uploads',
      {},
      ['s3:ListBucketMultipartUploads arn:aws:s3:::videos'],
    ],
    ['ListObjectsV2', 'GET', '/videos/?list-type=2&prefix=x', {}, ['s3:ListBucket arn:aws:s3:::videos']],
    ['HeadBucket', 'HEAD', '/videos', {}, ['s3:ListBucket arn:aws:s3:::videos']],
    ['HeadObject', 'HEAD', '/videos/a%20b', {}, [`s3:GetObject ${object}`]],
    ['GetObject', 'GET', '/videos/a%20b?x-id=GetObject', {}, [`s3:GetObject ${object}`]],
    ['GetObject', 'GET', '/videos/a%20b?versionId=v', {}, [`s3:GetObjectVersion ${object}`]],
    [
      'GetObjectAttributes',
      'GET',
      '/videos/a%20b?attributes',
      {},
      [`s3:GetObject ${object}`, `s3:GetObjectAttributes ${object}`],
    ],
    ['DeleteObject', 'DELETE', '/videos/a%20b', {}, [`s3:DeleteObject ${object}`]],
    [
      'PutObject',
      'PUT',
      '/videos/a%20b',
      { 'x-amz-tagging': 'a=b' },
      [`s3:PutObject ${object}`, `s3:PutObjectTagging ${object}`],
    ],
    [
      'CopyObject',
      'PUT',
      '/videos/a%20b',
      { 'x-amz-copy-source': '/from/c%2Fd?versionId=1' },
      ['s3:GetObject arn:aws:s3:::from/c/d', `s3:PutObject ${object}`],
    ],
    [
      'UploadPartCopy',
      'PUT',
      '/videos/a%20b?partNumber=1&uploadId=u',
      { 'x-amz-copy-source': 'from/c' },
      ['s3:GetObject arn:aws:s3:::from/c', `s3:PutObject ${object}`],
    ],
    ['PutObject', 'PUT', '/videos/a+b&c', {}, ['s3:PutObject arn:aws:s3:::videos/a+b&c']],
  ])('%s: %s %s', (operation, method, url, headers, needs) => {
    expect(s3(method, url, headers)).toEqual({ operation, needs });
  });

  test('subresources that are not served are no plain GET or PUT', () => {
    expect(s3('GET', '/videos?policy')).toBeUndefined();
    expect(s3('PUT', '/videos/k?retention')).toBeUndefined();
    expect(s3('POST', '/videos/k')).toBeUndefined();
  });

  test("a customer's key is needed to write, to read, and for parts both", () => {
    const kms = (method: string, url: string) =>
      s3(method, url, {}, encrypted)?.needs.filter((need) => need.startsWith('kms:'));
    expect(kms('PUT', '/videos/k')).toEqual([`kms:GenerateDataKey ${keyArn}`]);
    expect(kms('GET', '/videos/k')).toEqual([`kms:Decrypt ${keyArn}`]);
    expect(kms('PUT', '/videos/k?uploadId=u&partNumber=1')).toEqual([
      `kms:GenerateDataKey ${keyArn}`,
      `kms:Decrypt ${keyArn}`,
    ]);
    expect(kms('POST', '/videos/k?uploadId=u')).toEqual([`kms:Decrypt ${keyArn}`]);
    expect(kms('DELETE', '/videos/k?uploadId=u')).toEqual([]);
  });
});

describe('JSON calls and what they need', () => {
  const tableArn = `arn:aws:dynamodb:us-east-1:${account}:table/uploads`;
  const needs = (service: JsonService, operation: string, input: Record<string, unknown>, template = plain) =>
    jsonSubject(template, service, operation, input).needs.map(
      ({ action, resource }) => `${action} ${resource}`,
    );
  const execution = `arn:aws:states:us-east-1:${account}:execution:m:e`;

  test.each<[JsonService, string, Record<string, unknown>, string[]]>([
    ['dynamodb', 'UpdateItem', { TableName: 'uploads' }, [`dynamodb:UpdateItem ${tableArn}`]],
    ['dynamodb', 'UpdateItem', { TableName: tableArn }, [`dynamodb:UpdateItem ${tableArn}`]],
    ['dynamodb', 'Query', { TableName: 'uploads', IndexName: 'i' }, [`dynamodb:Query ${tableArn}/index/i`]],
    [
      'dynamodb',
      'BatchWriteItem',
      { RequestItems: { uploads: [] } },
      [`dynamodb:BatchWriteItem ${tableArn}`],
    ],
    [
      'dynamodb',
      'TransactWriteItems',
      { TransactItems: [{ Put: { TableName: 'uploads' } }, { ConditionCheck: { TableName: 'uploads' } }] },
      [`dynamodb:PutItem ${tableArn}`, `dynamodb:ConditionCheckItem ${tableArn}`],
    ],
    ['states', 'StartExecution', { stateMachineArn: 'arn:m' }, ['states:StartExecution arn:m']],
    ['states', 'DescribeExecution', { executionArn: execution }, [`states:DescribeExecution ${execution}`]],
    [
      'events',
      'PutEvents',
      { Entries: [{ EventBusName: 'bus' }, {}] },
      [
        `events:PutEvents arn:aws:events:us-east-1:${account}:event-bus/bus`,
        `events:PutEvents arn:aws:events:us-east-1:${account}:event-bus/default`,
      ],
    ],
    [
      'lambda',
      'Invoke',
      { FunctionName: 'stack-a' },
      [`lambda:InvokeFunction arn:aws:lambda:us-east-1:${account}:function:stack-a`],
    ],
    [
      'lambda',
      'Invoke',
      { FunctionName: `arn:aws:lambda:us-east-1:${account}:function:stack-a:$LATEST` },
      [`lambda:InvokeFunction arn:aws:lambda:us-east-1:${account}:function:stack-a`],
    ],
  ])('%s %s %j', (service, operation, input, expected) => {
    expect(needs(service, operation, input)).toEqual(expected);
  });

  test("a table under a customer's key needs the key", () => {
    expect(needs('dynamodb', 'GetItem', { TableName: 'uploads' }, encrypted)).toContain(
      `kms:Decrypt ${keyArn}`,
    );
  });

  test('leading keys are those of the items and queries that name them', () => {
    const keys = (operation: string, input: Record<string, unknown>) =>
      jsonSubject(plain, 'dynamodb', operation, { TableName: 'uploads', ...input }).needs[0]?.context?.[
        'dynamodb:leadingkeys'
      ];
    expect(keys('GetItem', { Key: { pk: { S: 'me' }, sk: { S: 'x' } } })).toEqual(['me']);
    expect(keys('PutItem', { Item: { pk: { S: 'me' } } })).toEqual(['me']);
    expect(
      keys('Query', {
        KeyConditionExpression: '#p = :p AND begins_with(sk, :s)',
        ExpressionAttributeNames: { '#p': 'pk' },
        ExpressionAttributeValues: { ':p': { S: 'me' }, ':s': { S: 'x' } },
      }),
    ).toEqual(['me']);
    const only = createAccess(
      templateOf([
        role(
          'R',
          'lambda.amazonaws.com',
          allow('dynamodb:*', '*', {
            Condition: { 'ForAllValues:StringEquals': { 'dynamodb:LeadingKeys': ['me'] } },
          }),
        ),
        table('uploads'),
      ]),
    );
    const scan = jsonSubject(plain, 'dynamodb', 'Scan', { TableName: 'uploads' }).needs;
    expect(() => only.refusal(roleCaller('R'), scan)).toThrow('does not tell the values');
  });
});

describe('roles of the template', () => {
  const need = (action: string, target: string) => [{ action, resource: target }];

  test('inline, attached and managed policies count; the sentence is that of AWS', () => {
    const access = createAccess(
      templateOf([
        role('R', 'lambda.amazonaws.com', allow('s3:GetObject', 'arn:aws:s3:::b/*')),
        resource('AWS::IAM::Policy', 'Attached', {
          Roles: ['R'],
          PolicyDocument: document(allow(['s3:PutObject', 's3:AbortMultipartUpload'], 'arn:aws:s3:::b/*')),
        }),
        resource('AWS::IAM::Policy', 'Others', { Roles: ['X'], PolicyDocument: document(allow('*', '*')) }),
      ]),
    );
    const caller = roleCaller('R', { functionName: 'stack-receive' });
    expect(access.refusal(caller, need('s3:GetObject', 'arn:aws:s3:::b/k'))).toBeUndefined();
    expect(access.refusal(caller, need('s3:PutObject', 'arn:aws:s3:::b/k'))).toBeUndefined();
    expect(access.refusal(caller, need('s3:DeleteObject', 'arn:aws:s3:::b/k'))?.message).toBe(
      `User: arn:aws:sts::${account}:assumed-role/R/stack-receive is not authorized to perform: s3:DeleteObject on resource: arn:aws:s3:::b/k because no identity-based policy allows the s3:DeleteObject action`,
    );
    expect(access.refusal({ kind: 'root' }, need('s3:DeleteObject', 'x'))).toBeUndefined();
  });

  test('grants tell what was used, and one can be taken away', () => {
    const access = createAccess(
      templateOf([
        role(
          'R',
          'lambda.amazonaws.com',
          allow(['s3:Get*', 's3:PutObject'], 'arn:aws:s3:::b/*'),
          allow('s3:*', '*'),
        ),
      ]),
    );
    const put = () => access.refusal(roleCaller('R'), need('s3:PutObject', 'arn:aws:s3:::b/k'));
    put();
    put();
    expect(access.grants().map(({ statementIndex, used }) => [statementIndex, used])).toEqual([
      [
        0,
        [
          {
            action: 's3:PutObject',
            actionPattern: 's3:PutObject',
            resourcePattern: 'arn:aws:s3:::b/*',
            count: 2,
          },
        ],
      ],
      [1, []],
    ]);
    access.setWithout([
      { holder: 'R', statementIndex: 0, action: 's3:PutObject' },
      { holder: 'R', statementIndex: 1 },
    ]);
    expect(put()).toMatchObject({ action: 's3:PutObject' });
    expect(access.refusal(roleCaller('R'), need('s3:GetObject', 'arn:aws:s3:::b/k'))).toBeUndefined();
    access.setWithout([]);
    expect(put()).toBeUndefined();
    expect(() => access.setWithout([{ holder: 'R', statementIndex: 2 }])).toThrow('no grant 2');
    expect(() => access.setWithout([{ holder: 'R', statementIndex: 0, action: 's3:X' }])).toThrow('s3:X');
  });

  test('a role that its service cannot assume is refused at the start', () => {
    expect(() =>
      createAccess(templateOf([role('R', 'ec2.amazonaws.com'), lambdaFunction('f', 'R')])),
    ).toThrow('lambda.amazonaws.com may not assume R');
    expect(() => createAccess(templateOf([lambdaFunction('f', 'Gone')]))).toThrow('no role');
  });

  test('an unknown managed policy throws when the role is used', () => {
    const base = role('R', 'lambda.amazonaws.com');
    const access = createAccess(
      templateOf([
        {
          ...base,
          properties: {
            ...base.properties,
            ManagedPolicyArns: ['arn:aws:iam::aws:policy/AdministratorAccess'],
          },
        },
      ]),
    );
    expect(() => access.refusal(roleCaller('R'), need('a:b', '*'))).toThrow('AdministratorAccess');
  });

  test("EventBridge invokes a function only by the function's permission, from that rule", () => {
    const target = lambdaFunction('f', 'R');
    const rule = `arn:aws:events:us-east-1:${account}:rule/r`;
    const access = createAccess(
      templateOf([
        role('R', 'lambda.amazonaws.com'),
        target,
        resource('AWS::Lambda::Permission', 'P', {
          Action: 'lambda:InvokeFunction',
          FunctionName: target.arn,
          Principal: 'events.amazonaws.com',
          SourceArn: rule,
        }),
      ]),
    );
    const invoke = (service: string, sourceArn: string) =>
      access.refusal({ kind: 'service', service, sourceArn }, [
        { action: 'lambda:InvokeFunction', resource: String(target.arn), owner: target },
      ]);
    expect(invoke('events.amazonaws.com', rule)).toBeUndefined();
    expect(invoke('events.amazonaws.com', `${rule}2`)?.message).toContain('no resource-based policy');
    expect(invoke('apigateway.amazonaws.com', rule)).toBeDefined();
  });

  test('a bucket policy that demands TLS lets the loopback endpoint through', () => {
    const videos = bucket('videos');
    const access = createAccess(
      templateOf([
        role('R', 'lambda.amazonaws.com', allow('s3:*', '*')),
        videos,
        resource('AWS::S3::BucketPolicy', 'BP', {
          Bucket: 'videos',
          PolicyDocument: document({
            Effect: 'Deny',
            Action: 's3:*',
            Principal: { AWS: '*' },
            Resource: ['arn:aws:s3:::videos', 'arn:aws:s3:::videos/*'],
            Condition: { Bool: { 'aws:SecureTransport': 'false' } },
          }),
        }),
      ]),
    );
    const get = [{ action: 's3:GetObject', resource: 'arn:aws:s3:::videos/k', owner: videos }];
    expect(access.refusal(roleCaller('R'), get)).toBeUndefined();
  });
});
