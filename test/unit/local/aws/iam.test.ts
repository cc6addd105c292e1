import { describe, expect, test } from '@jest/globals';
import { type AccessRequest, evaluate, type Principal, readPolicy } from '../../../../local/aws/iam.ts';
import { allow, document } from './fakes.ts';

const me: Principal = { kind: 'role', roleArn: 'arn:aws:iam::000000000000:role/me', account: '000000000000' };
const object = 'arn:aws:s3:::bucket/uploads/a.mp4';
const request = (
  action: string,
  resource = object,
  context: AccessRequest['context'] = {},
): AccessRequest => ({
  action,
  resource,
  context,
});
const identity = (...statements: object[]) => readPolicy('mine', document(...statements));
const decide = (statements: object[], asked: AccessRequest) =>
  evaluate(identity(...statements), [], me, asked).allowed;
const deny = (action: string | string[], target: string | string[], more: object = {}) => ({
  ...allow(action, target, more),
  Effect: 'Deny',
});

describe('actions and resources', () => {
  test.each<[string, object[], string, string, boolean]>([
    ['no statement', [], 's3:GetObject', object, false],
    ['the very action and resource', [allow('s3:GetObject', object)], 's3:GetObject', object, true],
    ['another action', [allow('s3:GetObject', object)], 's3:PutObject', object, false],
    ['another case of the action', [allow('S3:getobject', object)], 's3:GetObject', object, true],
    ['a star in the action', [allow('s3:Get*', object)], 's3:GetObject', object, true],
    ['a star that does not reach', [allow('s3:Get*', object)], 's3:PutObject', object, false],
    ['a question mark', [allow('s3:?etObject', object)], 's3:GetObject', object, true],
    ['a dot is no wildcard', [allow('s3.GetObject', object)], 's3:GetObject', object, false],
    ['a prefix', [allow('s3:*', 'arn:aws:s3:::bucket/uploads/*')], 's3:GetObject', object, true],
    ['another prefix', [allow('s3:*', 'arn:aws:s3:::bucket/staging/*')], 's3:GetObject', object, false],
    ['the bucket is not its objects', [allow('s3:*', 'arn:aws:s3:::bucket')], 's3:GetObject', object, false],
    [
      'a star does not reach over colons',
      [allow('s3:*', 'arn:aws:*:::bucket/*')],
      's3:GetObject',
      'arn:aws:s3:us-east-1:1:bucket/x',
      false,
    ],
    ['everything', [allow('*', '*')], 's3:GetObject', object, true],
    ['NotAction', [{ Effect: 'Allow', NotAction: 's3:Put*', Resource: '*' }], 's3:GetObject', object, true],
    [
      'NotAction names it',
      [{ Effect: 'Allow', NotAction: 's3:Get*', Resource: '*' }],
      's3:GetObject',
      object,
      false,
    ],
    [
      'NotResource',
      [{ Effect: 'Allow', Action: '*', NotResource: 'arn:aws:s3:::other/*' }],
      's3:GetObject',
      object,
      true,
    ],
    [
      'NotResource names it',
      [{ Effect: 'Allow', Action: '*', NotResource: 'arn:aws:s3:::bucket/*' }],
      's3:GetObject',
      object,
      false,
    ],
    [
      'a Deny wins over an Allow before it',
      [allow('*', '*'), deny('s3:GetObject', '*')],
      's3:GetObject',
      object,
      false,
    ],
    ['a Deny of something else', [allow('*', '*'), deny('s3:PutObject', '*')], 's3:GetObject', object, true],
  ])('%s', (_name, statements, action, resource, allowed) => {
    expect(decide(statements, request(action, resource))).toBe(allowed);
  });
});

describe('conditions', () => {
  const met = (condition: object, context: AccessRequest['context']) =>
    decide(
      [allow('s3:ListBucket', '*', { Condition: condition })],
      request('s3:ListBucket', object, context),
    );

  test.each<[string, object, AccessRequest['context'], boolean]>([
    ['StringEquals', { StringEquals: { 's3:prefix': ['a', 'b'] } }, { 's3:prefix': 'b' }, true],
    ['StringEquals, other', { StringEquals: { 's3:prefix': 'a' } }, { 's3:prefix': 'A' }, false],
    ['StringEquals, missing', { StringEquals: { 's3:prefix': 'a' } }, {}, false],
    ['StringEqualsIfExists, missing', { StringEqualsIfExists: { 's3:prefix': 'a' } }, {}, true],
    [
      'StringEqualsIfExists, other',
      { StringEqualsIfExists: { 's3:prefix': 'a' } },
      { 's3:prefix': 'b' },
      false,
    ],
    ['StringNotEquals, missing', { StringNotEquals: { 's3:prefix': 'a' } }, {}, true],
    [
      'StringNotEquals, one of them',
      { StringNotEquals: { 's3:prefix': ['a', 'b'] } },
      { 's3:prefix': 'b' },
      false,
    ],
    ['StringLike', { StringLike: { 's3:prefix': 'up*/?' } }, { 's3:prefix': 'uploads/x' }, true],
    ['StringNotLike', { StringNotLike: { 's3:prefix': 'up*' } }, { 's3:prefix': 'uploads' }, false],
    ['the key in another case', { StringEquals: { 'S3:Prefix': 'a' } }, { 's3:prefix': 'a' }, true],
    ['Bool', { Bool: { 'aws:SecureTransport': 'false' } }, { 'aws:securetransport': 'true' }, false],
    ['Bool as JSON', { Bool: { 'aws:SecureTransport': true } }, { 'aws:securetransport': 'true' }, true],
    ['NumericLessThan', { NumericLessThan: { 's3:max-keys': '10' } }, { 's3:max-keys': '9' }, true],
    ['NumericLessThan, equal', { NumericLessThan: { 's3:max-keys': 10 } }, { 's3:max-keys': '10' }, false],
    [
      'NumericGreaterThanEquals',
      { NumericGreaterThanEquals: { 's3:max-keys': 10 } },
      { 's3:max-keys': '10' },
      true,
    ],
    [
      'DateLessThan',
      { DateLessThan: { 'aws:CurrentTime': '2026-01-01T00:00:00Z' } },
      { 'aws:currenttime': '2025-12-31T00:00:00Z' },
      true,
    ],
    [
      'ArnLike',
      { ArnLike: { 'aws:SourceArn': 'arn:aws:events:*:*:rule/x*' } },
      { 'aws:sourcearn': 'arn:aws:events:us-east-1:1:rule/xy' },
      true,
    ],
    [
      'ArnEquals, other',
      { ArnEquals: { 'aws:SourceArn': 'arn:aws:events:us-east-1:1:rule/x' } },
      { 'aws:sourcearn': 'arn:aws:events:us-east-1:1:rule/y' },
      false,
    ],
    ['Null true, missing', { Null: { 's3:prefix': 'true' } }, {}, true],
    ['Null true, there', { Null: { 's3:prefix': 'true' } }, { 's3:prefix': '' }, false],
    [
      'ForAllValues',
      { 'ForAllValues:StringEquals': { 'dynamodb:LeadingKeys': ['a', 'b'] } },
      { 'dynamodb:leadingkeys': ['a', 'b'] },
      true,
    ],
    [
      'ForAllValues, one is not',
      { 'ForAllValues:StringEquals': { 'dynamodb:LeadingKeys': 'a' } },
      { 'dynamodb:leadingkeys': ['a', 'b'] },
      false,
    ],
    [
      'ForAnyValue',
      { 'ForAnyValue:StringLike': { 'dynamodb:LeadingKeys': 'a*' } },
      { 'dynamodb:leadingkeys': ['b', 'ax'] },
      true,
    ],
    [
      'all operators must be met',
      { StringEquals: { 's3:prefix': 'a' }, Bool: { 'aws:SecureTransport': 'true' } },
      { 's3:prefix': 'a', 'aws:securetransport': 'false' },
      false,
    ],
  ])('%s', (_name, condition, context, expected) => {
    expect(met(condition, context)).toBe(expected);
  });

  test.each<[string, object]>([
    ['an unknown operator', { StringAlmost: { 's3:prefix': 'a' } }],
    ['an unknown key', { StringEquals: { 'aws:PrincipalTag/team': 'a' } }],
    ['an unknown key with IfExists', { StringEqualsIfExists: { 'aws:PrincipalOrgID': 'o' } }],
    ['a policy variable', { StringLike: { 's3:prefix': '${aws:username}/*' } }],
    [
      'an unknown key behind one that is not met',
      { StringEquals: { 's3:prefix': 'no', 'aws:UserAgent': 'x' } },
    ],
    ['a number that is none', { NumericLessThan: { 's3:max-keys': 'ten' } }],
  ])('%s throws instead of passing', (_name, condition) => {
    expect(() => met(condition, { 's3:prefix': 'a', 's3:max-keys': '1' })).toThrow(
      expect.objectContaining({ name: 'UnsupportedPolicy' }),
    );
  });

  test('several values without a set operator throw', () => {
    const condition = { StringEquals: { 'dynamodb:LeadingKeys': 'a' } };
    expect(() => met(condition, { 'dynamodb:leadingkeys': ['a', 'b'] })).toThrow('ForAllValues');
  });
});

describe('policy documents', () => {
  test.each<[string, unknown]>([
    ['another version', { Version: '2008-10-17', Statement: [] }],
    ['an unknown element', document({ ...allow('a:b', '*'), NotPrincipal: '*' })],
    ['another effect', document({ ...allow('a:b', '*'), Effect: 'Maybe' })],
    ['both Action and NotAction', document({ ...allow('a:b', '*'), NotAction: 'a:c' })],
    ['neither', document({ Effect: 'Allow', Resource: '*' })],
    ['a variable in a resource', document(allow('a:b', 'arn:aws:s3:::b/${aws:username}'))],
    ['an intrinsic left over', document(allow('a:b', [{ Ref: 'X' }] as unknown as string[]))],
  ])('%s throws', (_name, policy) => {
    expect(() => readPolicy('p', policy)).toThrow(expect.objectContaining({ name: 'UnsupportedPolicy' }));
  });

  test('half an ARN throws', () => {
    expect(() => decide([allow('s3:*', 'arn:aws:s3*')], request('s3:GetObject'))).toThrow('Not a whole ARN');
  });
});

describe('resource policies', () => {
  const withPrincipal = (principal: unknown, more: object = {}) =>
    readPolicy('resource', document({ ...allow('s3:GetObject', '*'), Principal: principal, ...more }));
  const ask = request('s3:GetObject', object, {
    'aws:sourcearn': 'arn:aws:events:us-east-1:000000000000:rule/r',
  });

  test.each<[string, unknown, Principal, boolean]>([
    ['everyone', '*', { kind: 'anonymous' }, true],
    ['everyone, the other way', { AWS: '*' }, me, true],
    ['the role itself', { AWS: ['arn:aws:iam::000000000000:role/me'] }, me, true],
    ['another role', { AWS: 'arn:aws:iam::000000000000:role/you' }, me, false],
    ['the account leaves it to the identity', { AWS: 'arn:aws:iam::000000000000:root' }, me, false],
    [
      'the service',
      { Service: 'events.amazonaws.com' },
      { kind: 'service', service: 'events.amazonaws.com' },
      true,
    ],
    [
      'another service',
      { Service: 'sns.amazonaws.com' },
      { kind: 'service', service: 'events.amazonaws.com' },
      false,
    ],
    ['a role where only the account is named', { AWS: '000000000000' }, { kind: 'anonymous' }, false],
  ])('%s', (_name, principal, who, allowed) => {
    expect(evaluate([], withPrincipal(principal), who, ask).allowed).toBe(allowed);
  });

  test("a bucket's Deny wins over the identity's Allow", () => {
    const identityPolicy = identity(allow('s3:*', '*'));
    expect(evaluate(identityPolicy, withPrincipal('*', { Effect: 'Deny' }), me, ask)).toMatchObject({
      allowed: false,
      reason: 'explicit-deny',
      by: { statement: { source: 'resource[0]' } },
    });
  });

  test("a key's policy must speak first: the account named and the identity allowed", () => {
    const mine = identity(allow('s3:GetObject', '*'));
    const account = withPrincipal({ AWS: 'arn:aws:iam::000000000000:root' });
    expect(evaluate(mine, account, me, ask, 'resource-first').allowed).toBe(true);
    expect(evaluate([], account, me, ask, 'resource-first').allowed).toBe(false);
    expect(evaluate(mine, [], me, ask, 'resource-first').allowed).toBe(false);
    expect(evaluate([], withPrincipal({ AWS: '*' }), me, ask, 'resource-first').allowed).toBe(true);
  });

  test('an unknown kind of principal throws', () => {
    expect(() => evaluate([], withPrincipal({ Federated: 'x' }), me, ask)).toThrow('Federated');
  });
});
