import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { bundleFunctions } from '../../infra/bundle.ts';
import { permissionsOf, UPLOAD_FUNCTIONS, type UploadFunctionName } from '../../infra/function-map.ts';
import { commandsOf } from '../support/commands.ts';
import { readable, type Statement, synthesise } from './synthesised.ts';

const stack = synthesise();
const names = Object.keys(UPLOAD_FUNCTIONS) as UploadFunctionName[];
const bundles = bundleFunctions(names);

const STAGED = 'when {"StringLike":{"s3:prefix":"staging/*"}}';

/** Written out once more, by hand: a permission is added here by somebody who means it. */
const MAY: Record<UploadFunctionName, string[]> = {
  'receive-chunk': [
    'dynamodb:GetItem on Table',
    'dynamodb:PutItem on Table',
    'dynamodb:UpdateItem on Table',
    's3:AbortMultipartUpload on Bucket/uploads/*',
    's3:PutObject on Bucket/staging/*',
    's3:PutObject on Bucket/uploads/*',
    'states:StartExecution on WorkflowStateMachine',
  ],
  'test-chunk': ['dynamodb:GetItem on Table'],
  'get-options': [],
  'create-upload': [
    'dynamodb:GetItem on Table',
    'dynamodb:PutItem on Table',
    'dynamodb:Query on Table',
    'dynamodb:UpdateItem on Table',
    's3:AbortMultipartUpload on Bucket/uploads/*',
    `s3:ListBucket on Bucket ${STAGED}`,
    's3:ListMultipartUploadParts on Bucket/uploads/*',
    's3:PutObject on Bucket/staging/*',
    's3:PutObject on Bucket/uploads/*',
    'states:StartExecution on WorkflowStateMachine',
  ],
  'get-upload': ['dynamodb:GetItem on Table', 'dynamodb:Query on Table'],
  'sign-parts': [
    'dynamodb:GetItem on Table',
    's3:PutObject on Bucket/staging/*',
    's3:PutObject on Bucket/uploads/*',
  ],
  'record-parts': [
    'dynamodb:GetItem on Table',
    'dynamodb:UpdateItem on Table',
    'states:StartExecution on WorkflowStateMachine',
  ],
  'abort-upload': [
    'dynamodb:BatchWriteItem on Table',
    'dynamodb:GetItem on Table',
    'dynamodb:Query on Table',
    'dynamodb:UpdateItem on Table',
    's3:AbortMultipartUpload on Bucket/uploads/*',
    's3:DeleteObject on Bucket/staging/*',
    `s3:ListBucket on Bucket ${STAGED}`,
    's3:ListBucketMultipartUploads on Bucket',
  ],
  'gather-parts': [
    'dynamodb:GetItem on Table',
    'dynamodb:Query on Table',
    'dynamodb:UpdateItem on Table',
    's3:AbortMultipartUpload on Bucket/uploads/*',
    's3:GetObject on Bucket/staging/*',
    's3:ListBucket on Bucket',
    's3:PutObject on Bucket/uploads/*',
  ],
  'assemble-part': [
    'dynamodb:GetItem on Table',
    'dynamodb:UpdateItem on Table',
    's3:GetObject on Bucket/staging/*',
    's3:ListBucket on Bucket',
    's3:PutObject on Bucket/uploads/*',
  ],
  'complete-upload': [
    'dynamodb:GetItem on Table',
    'dynamodb:Query on Table',
    'dynamodb:UpdateItem on Table',
    's3:DeleteObject on Bucket/staging/*',
    's3:GetObject on Bucket/uploads/*',
    's3:ListBucket on Bucket',
    's3:ListMultipartUploadParts on Bucket/uploads/*',
    's3:PutObject on Bucket/uploads/*',
  ],
  'record-failure': [
    'dynamodb:GetItem on Table',
    'dynamodb:UpdateItem on Table',
    'events:PutEvents on EventBus',
    'sqs:SendMessage on Undelivered',
  ],
  watchdog: [
    'dynamodb:GetItem on Table',
    'dynamodb:Query on Table',
    'dynamodb:Query on Table/index/by-next-look',
    'dynamodb:UpdateItem on Table',
    'events:PutEvents on EventBus',
    's3:AbortMultipartUpload on Bucket/uploads/*',
    's3:DeleteObject on Bucket/staging/*',
    `s3:ListBucket on Bucket ${STAGED}`,
    's3:ListBucketMultipartUploads on Bucket',
    's3:ListMultipartUploadParts on Bucket/uploads/*',
    'states:DescribeExecution on arn:<Partition>:states:<Region>:<AccountId>:execution:WorkflowStateMachine.Name:*',
    'states:RedriveExecution on arn:<Partition>:states:<Region>:<AccountId>:execution:WorkflowStateMachine.Name:*',
    'states:StartExecution on WorkflowStateMachine',
  ],
};

const allowedTo = (name: UploadFunctionName): string[] => stack.allowed(stack.fn(name).Properties.Role);

/** With everything turned on that gives functions more to do. */
const featured = synthesise({
  checkContent: true,
  maxUploadsPerOwner: 10,
  authorizeFunctionArn: 'arn:aws:lambda:us-east-1:000000000000:function:authorize',
});
const INVOKE = 'lambda:InvokeFunction on arn:aws:lambda:us-east-1:000000000000:function:authorize';
const MAY_WITH_FEATURES: Partial<Record<UploadFunctionName, string[]>> = {
  'receive-chunk': [INVOKE],
  'create-upload': [INVOKE],
};

describe('each function may do exactly what it does', () => {
  test.each(names)('%s', (name) => {
    const { true: logging = [], false: others = [] } = Object.groupBy(allowedTo(name), (one) =>
      String(one.startsWith('logs:')),
    ) as Partial<Record<'true' | 'false', string[]>>;
    expect(others).toEqual(MAY[name]);
    expect(logging.map((one) => one.split(' ')[0])).toEqual(['logs:CreateLogStream', 'logs:PutLogEvents']);
    expect(new Set(logging.map((one) => one.split(' on ')[1])).size).toBe(1);
  });

  test.each(names)('%s, with everything turned on', (name) => {
    const more = featured
      .allowed(featured.fn(name).Properties.Role)
      .filter((one) => !one.startsWith('logs:') && !MAY[name].includes(one));
    expect(more).toEqual(MAY_WITH_FEATURES[name] ?? []);
  });

  test('only who asks the authorizing function knows it', () => {
    const knowing = names.filter(
      (name) => 'AUTHORIZE_FUNCTION_ARN' in featured.fn(name).Properties.Environment.Variables,
    );
    expect(knowing).toEqual(['receive-chunk', 'create-upload']);
  });

  test('has a role and a log group of its own', () => {
    const functions = stack.byType('AWS::Lambda::Function');
    expect(new Set(functions.map(({ Properties }) => JSON.stringify(Properties.Role))).size).toBe(
      names.length,
    );
    expect(
      new Set(functions.map(({ Properties }) => JSON.stringify(Properties.LoggingConfig.LogGroup))).size,
    ).toBe(names.length);
  });
});

/**
 * What a call of the SDK needs, by AWS's own documentation of each operation. UploadPart and its like need
 * s3:PutObject: https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html#mpuAndPermissions
 */
const NEEDS: Record<string, string> = {
  'dynamodb/BatchWriteItem': 'dynamodb:BatchWriteItem',
  'dynamodb/DeleteItem': 'dynamodb:DeleteItem',
  'dynamodb/GetItem': 'dynamodb:GetItem',
  'dynamodb/PutItem': 'dynamodb:PutItem',
  'dynamodb/Query': 'dynamodb:Query',
  'dynamodb/UpdateItem': 'dynamodb:UpdateItem',
  'eventbridge/PutEvents': 'events:PutEvents',
  'lambda/Invoke': 'lambda:InvokeFunction',
  's3/AbortMultipartUpload': 's3:AbortMultipartUpload',
  's3/CompleteMultipartUpload': 's3:PutObject',
  's3/CreateMultipartUpload': 's3:PutObject',
  's3/DeleteObjects': 's3:DeleteObject',
  's3/GetObject': 's3:GetObject',
  's3/HeadObject': 's3:GetObject',
  's3/ListMultipartUploads': 's3:ListBucketMultipartUploads',
  's3/ListObjectsV2': 's3:ListBucket',
  's3/ListParts': 's3:ListMultipartUploadParts',
  's3/PutObject': 's3:PutObject',
  's3/UploadPart': 's3:PutObject',
  // And s3:GetObject on what is copied, which the same function reads.
  's3/UploadPartCopy': 's3:PutObject',
  'sfn/DescribeExecution': 'states:DescribeExecution',
  'sfn/RedriveExecution': 'states:RedriveExecution',
  'sfn/StartExecution': 'states:StartExecution',
};

describe("the functions' code and their permissions agree", () => {
  test.each(names)('%s may do what the SDK commands in its bundle need, and nothing else', (name) => {
    const needed = commandsOf(name).map((command) => {
      const action = NEEDS[command];
      if (!action) throw new Error(`${command} is new here: look up what it needs, and add it to the table.`);
      return action;
    });
    const may = permissionsOf(UPLOAD_FUNCTIONS[name], ['authorizeUpload']);
    // Listing here only turns S3's 403 for a missing object into a 404.
    const { missingObjects, ...sent } = may;
    expect([...new Set(Object.values(sent).flat())].sort()).toEqual([...new Set(needed)].sort());
    const readsObjects = commandsOf(name).some((command) =>
      ['s3/GetObject', 's3/HeadObject'].includes(command),
    );
    expect(missingObjects !== undefined).toBe(readsObjects);
  });

  test.each(names)('%s gets exactly the variables that its code reads', (name) => {
    const folder = bundles.get(name)?.folder ?? '';
    const code = readdirSync(folder)
      .map((file) => readFileSync(join(folder, file), 'utf8'))
      .join('\n');
    const variables = ['BUCKET_NAME', 'EVENT_BUS_NAME', 'SETTINGS', 'STATE_MACHINE_ARN', 'TABLE_NAME'];
    const read = variables.filter((variable) => code.includes(`"${variable}"`));
    const given = Object.keys(stack.fn(name).Properties.Environment.Variables);
    expect(given.filter((variable) => !variable.startsWith('POWERTOOLS_')).sort()).toEqual(read);
    expect(stack.fn(name).Properties.Environment.Variables.POWERTOOLS_SERVICE_NAME).toBe(name);
  });
});

test("the workflow's role may invoke its three functions, mark the upload, and put the event", () => {
  expect(stack.allowed(stack.only('AWS::StepFunctions::StateMachine').Properties.RoleArn)).toEqual([
    'dynamodb:UpdateItem on Table',
    'events:PutEvents on EventBus',
    'lambda:InvokeFunction on FunctionsAssemblePart',
    'lambda:InvokeFunction on FunctionsCompleteUpload',
    'lambda:InvokeFunction on FunctionsGatherParts',
  ]);
});

describe('every permission is one that AWS knows', () => {
  const { services, conditions } = JSON.parse(
    readFileSync(new URL('./iam-actions.json', import.meta.url), 'utf8'),
  ) as { services: Record<string, Record<string, string>>; conditions: Record<string, string> };
  const everything = synthesise({
    tracing: true,
    workflowLogs: 'all',
    kmsKey: 'new',
    checkContent: true,
    authorizeFunctionArn: 'arn:aws:lambda:us-east-1:000000000000:function:authorize',
  });
  const whole = everything
    .byType('AWS::IAM::Policy')
    .flatMap(({ Properties }) => Properties.PolicyDocument.Statement as Statement[]);
  const statements = whole.flatMap(({ Action, Resource }) =>
    [Action]
      .flat()
      .flatMap((action) => [Resource].flat().map((one) => ({ action, resource: readable(one) }))),
  );

  /** The resource types that an action applies to; undefined for an action that does not exist. */
  const typesOf = (action: string): string[] | undefined => {
    const [service = '', name = ''] = action.split(':');
    return Object.entries(services[service] ?? {})
      .find(([, names]) => names.split(' ').includes(name))?.[0]
      .split(' ');
  };

  test('no action is invented', () => {
    expect(statements.map(({ action }) => action).filter((action) => !typesOf(action))).toEqual([]);
    expect(typesOf('s3:CompleteMultipartUpload')).toBeUndefined();
    expect(typesOf('s3:ListParts')).toBeUndefined();
  });

  /** How a resource of each type looks, once readable. */
  const SHAPES: Record<string, RegExp> = {
    '*': /^\*$/,
    bucket: /^Bucket$/,
    'event-bus': /^EventBus$/,
    execution: /:execution:/,
    function: /^Functions[A-Za-z]+$|:function:authorize$/,
    index: /^Table\/index\/by-next-look$/,
    key: /^Key$/,
    'log-group': /^.*Logs$/,
    'log-stream': /^.*Logs$/,
    object: /^Bucket\/(uploads|staging)\/\*$/,
    queue: /^Undelivered$/,
    statemachine: /^WorkflowStateMachine$/,
    table: /^Table$/,
  };

  test('every action is allowed on a resource of a type that it applies to', () => {
    const misplaced = statements.filter(
      ({ action, resource }) => !(typesOf(action) ?? []).some((type) => SHAPES[type]?.test(resource)),
    );
    expect(misplaced).toEqual([]);
  });

  test('every condition is on a key that its action knows: a key that it does not know never holds', () => {
    const conditioned = whole.flatMap(({ Action, Condition }) =>
      Object.values((Condition ?? {}) as Record<string, object>)
        .flatMap((keys) => Object.keys(keys))
        .filter((key) => !key.startsWith('aws:'))
        .flatMap((key) => [Action].flat().map((action) => ({ key, action }))),
    );
    expect(new Set(conditioned.map(({ key }) => key))).toEqual(new Set(['kms:ViaService', 's3:prefix']));
    const unknown = conditioned.filter(
      ({ key, action }) => !conditions[key]?.split(' ').includes(action.split(':')[1] ?? ''),
    );
    expect(unknown).toEqual([]);
  });

  test('all resources are allowed only where an action takes none', () => {
    for (const { action, resource } of statements.filter(({ resource }) => resource === '*')) {
      expect({ action, resource, types: typesOf(action) }).toEqual({ action, resource, types: ['*'] });
    }
  });
});

test('a customer managed key may be used through S3 and DynamoDB alone, by those who use them', () => {
  const encrypted = synthesise({ kmsKey: 'new' });
  const keyUse = (name: string): string[] =>
    encrypted
      .allowed(encrypted.fn(name).Properties.Role)
      .filter((one) => one.startsWith('kms:'))
      .map((one) => one.replace(/ on Key when .*ViaService":\{"Fn::Join.*"(s3|dynamodb)\..*/, ' by $1'));
  expect(keyUse('get-options')).toEqual([]);
  expect(keyUse('test-chunk')).toEqual([
    'kms:Decrypt by dynamodb',
    'kms:DescribeKey by dynamodb',
    'kms:Encrypt by dynamodb',
    'kms:GenerateDataKey by dynamodb',
  ]);
  expect(keyUse('sign-parts')).toEqual([
    'kms:Decrypt by dynamodb',
    'kms:Decrypt by s3',
    'kms:DescribeKey by dynamodb',
    'kms:Encrypt by dynamodb',
    'kms:GenerateDataKey by dynamodb',
    'kms:GenerateDataKey by s3',
  ]);
});
