import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { loadTemplate, type RawTemplate, resolveTemplate } from '../../../local/template.ts';
import { newFolder } from './small-template.ts';

const place = { stackName: 'Uploads', account: '111122223333', region: 'eu-west-1' };
const noAssets = () => {
  throw new Error('no assets here');
};
const load = (raw: RawTemplate) => resolveTemplate(raw, place, noAssets);

/** What a value becomes as a bucket's tag. */
const resolved = (value: unknown, more: Partial<RawTemplate> = {}) => {
  const template = load({
    ...more,
    Resources: { Bucket: { Type: 'AWS::S3::Bucket', Properties: { Probe: value } }, ...more.Resources },
  });
  return template.resources.get('Bucket')?.properties.Probe;
};

describe('intrinsic functions', () => {
  test.each([
    ['Ref to a pseudo parameter', { Ref: 'AWS::Region' }, 'eu-west-1'],
    [
      'Ref to a resource is its name',
      { 'Fn::Join': ['', ['s3://', { Ref: 'Other' }]] },
      's3://uploads-other-111122223333',
    ],
    ['GetAtt as list', { 'Fn::GetAtt': ['Other', 'Arn'] }, 'arn:aws:s3:::uploads-other-111122223333'],
    ['GetAtt as text', { 'Fn::GetAtt': 'Other.Arn' }, 'arn:aws:s3:::uploads-other-111122223333'],
    ['Join', { 'Fn::Join': ['-', ['a', 1, { Ref: 'AWS::Partition' }]] }, 'a-1-aws'],
    [
      'Sub',
      { 'Fn::Sub': '${AWS::AccountId}/${Other.Arn}/${!Literal}' },
      '111122223333/arn:aws:s3:::uploads-other-111122223333/${Literal}',
    ],
    [
      'Sub with variables',
      { 'Fn::Sub': ['${a}-${Other}', { a: { Ref: 'AWS::Region' } }] },
      'eu-west-1-uploads-other-111122223333',
    ],
    ['Select from Split', { 'Fn::Select': [1, { 'Fn::Split': ['/', 'a/b/c'] }] }, 'b'],
    ['If', { 'Fn::If': ['Small', 'yes', 'no'] }, 'no'],
    [
      'If without a value leaves the property out',
      { a: { 'Fn::If': ['Small', 1, { Ref: 'AWS::NoValue' }] }, b: 2 },
      { b: 2 },
    ],
    ['FindInMap', { 'Fn::FindInMap': ['Sizes', { Ref: 'AWS::Region' }, 'count'] }, 3],
    ['Base64', { 'Fn::Base64': 'text' }, 'dGV4dA=='],
    ['a parameter has its default', { Ref: 'Size' }, 'large'],
  ])('%s', (_, value, expected) => {
    const more: Partial<RawTemplate> = {
      Parameters: { Size: { Type: 'String', Default: 'large' } },
      Conditions: {
        Small: {
          'Fn::And': [{ 'Fn::Equals': [{ Ref: 'Size' }, 'small'] }, { 'Fn::Not': [{ Condition: 'Never' }] }],
        },
        Never: { 'Fn::Or': [{ 'Fn::Equals': ['a', 'b'] }, { 'Fn::Equals': ['c', 'd'] }] },
      },
      Mappings: { Sizes: { 'eu-west-1': { count: 3 } } },
      Resources: { Other: { Type: 'AWS::S3::Bucket' } },
    };
    expect(resolved(value, more)).toEqual(expected);
  });

  test.each([
    ['an unknown function', { 'Fn::Transform': {} }, /Bucket \(AWS::S3::Bucket\).*Fn::Transform/],
    ['an import from another stack', { 'Fn::ImportValue': 'x' }, /Fn::ImportValue is not supported/],
    ['an unknown name', { Ref: 'Nobody' }, /no resource or parameter Nobody/],
    ['an unknown attribute', { 'Fn::GetAtt': ['Bucket', 'Colour'] }, /Bucket\.Colour/],
    ['a parameter without a value', { Ref: 'Given' }, /Given \(String\) has no value/],
    ['an item that is not there', { 'Fn::Select': [3, ['a']] }, /no item 3/],
  ])('%s is an error that names the resource', (_, value, message) => {
    expect(() => resolved(value, { Parameters: { Given: { Type: 'String' } } })).toThrow(message);
  });

  test('a name that depends on itself is an error, not an endless loop', () => {
    const Properties = { BucketName: { Ref: 'Bucket' } };
    expect(() => load({ Resources: { Bucket: { Type: 'AWS::S3::Bucket', Properties } } })).toThrow(
      /depends on itself/,
    );
  });
});

describe('resources', () => {
  test('a type that the local stack does not know is an error', () => {
    expect(() => load({ Resources: { Db: { Type: 'AWS::RDS::DBInstance' } } })).toThrow(
      /^Db \(AWS::RDS::DBInstance\): the local stack does not know/,
    );
  });

  test('a property that would be left out is an error', () => {
    const Properties = { Layers: ['arn:aws:lambda:eu-west-1:111122223333:layer:x:1'] };
    expect(() => load({ Resources: { Fn: { Type: 'AWS::Lambda::Function', Properties } } })).toThrow(
      /^Fn \(AWS::Lambda::Function\): Layers/,
    );
  });

  test('one whose condition does not hold does not exist', () => {
    const template = load({
      Conditions: { Never: { 'Fn::Equals': ['a', 'b'] } },
      Resources: { Db: { Type: 'AWS::RDS::DBInstance', Condition: 'Never' } },
    });
    expect(template.resources.size).toBe(0);
  });

  test('names and ARNs are those that AWS would give, the same every time', () => {
    const raw: RawTemplate = {
      Resources: {
        ReceiveChunk1234: { Type: 'AWS::Lambda::Function' },
        Machine: { Type: 'AWS::StepFunctions::StateMachine', Properties: { StateMachineName: 'complete' } },
        Api: { Type: 'AWS::ApiGatewayV2::Api', Properties: { ProtocolType: 'HTTP' } },
        Rule: { Type: 'AWS::Events::Rule', Properties: { Name: 'done', EventBusName: { Ref: 'Bus' } } },
        Bus: { Type: 'AWS::Events::EventBus', Properties: { Name: 'uploads' } },
      },
      Outputs: { Url: { Value: { 'Fn::GetAtt': ['Api', 'ApiEndpoint'] } } },
    };
    const { resources, outputs } = load(raw);
    const fn = resources.get('ReceiveChunk1234');
    expect(fn?.physicalId).toMatch(/^Uploads-ReceiveChunk1234-[0-9A-F]{12}$/);
    expect(fn?.arn).toBe(`arn:aws:lambda:eu-west-1:111122223333:function:${fn?.physicalId}`);
    expect(resources.get('Machine')?.physicalId).toBe(
      'arn:aws:states:eu-west-1:111122223333:stateMachine:complete',
    );
    expect(resources.get('Rule')?.arn).toBe('arn:aws:events:eu-west-1:111122223333:rule/uploads/done');
    expect(outputs.get('Url')).toMatch(/^https:\/\/[0-9a-z]{10}\.execute-api\.eu-west-1\.amazonaws\.com$/);
    expect(load(raw).resources.get('ReceiveChunk1234')?.physicalId).toBe(fn?.physicalId);
  });

  test('long names are cut to what AWS takes', () => {
    const logicalId = 'A'.repeat(200);
    const { resources } = load({ Resources: { [logicalId]: { Type: 'AWS::Lambda::Function' } } });
    expect(resources.get(logicalId)?.physicalId).toHaveLength(64);
  });
});

describe('reading a synthesised app', () => {
  const writeApp = (artifacts: object) => {
    const dir = newFolder();
    const write = (name: string, content: object) => writeFileSync(join(dir, name), JSON.stringify(content));
    write('manifest.json', { artifacts });
    write('Uploads.template.json', {
      Resources: {
        Fn: { Type: 'AWS::Lambda::Function', Properties: { Code: { S3Bucket: 'b', S3Key: 'abc.zip' } } },
      },
    });
    write('Uploads.assets.json', {
      files: { abc: { source: { path: 'asset.abc' }, destinations: { current: { objectKey: 'abc.zip' } } } },
    });
    mkdirSync(join(dir, 'asset.abc'));
    return dir;
  };
  const stack = { type: 'aws:cloudformation:stack', properties: { templateFile: 'Uploads.template.json' } };

  test('finds the stack and its assets', () => {
    const dir = writeApp({ Uploads: stack, 'Uploads.assets': { type: 'cdk:asset-manifest' } });
    const template = loadTemplate(dir);
    const fn = template.resources.get('Fn');
    expect(template.stackName).toBe('Uploads');
    expect(fn && template.assetPath(fn)).toBe(join(dir, 'asset.abc'));
  });

  test('asks which stack, where there are several', () => {
    const dir = writeApp({ Uploads: stack, Other: stack });
    expect(() => loadTemplate(dir)).toThrow(/Uploads, Other/);
    expect(loadTemplate(dir, 'Uploads').stackName).toBe('Uploads');
  });
});
