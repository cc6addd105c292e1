import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from '@jest/globals';
import { KEPT_EVENTS, openEventLog } from '../../../local/events/log.ts';
import { compilePattern } from '../../../local/events/pattern.ts';
import { parseRate } from '../../../local/events/rules.ts';
import { compileInput } from '../../../local/events/target-input.ts';
import {
  createEvents,
  type DeadLetter,
  type EventEnvelope,
  type EventsOptions,
} from '../../../local/events.ts';
import type { Caller, JsonAnswer, LocalTemplate, Resource } from '../../../local/types.ts';

const functionArn = 'arn:aws:lambda:us-east-1:000000000000:function:record-failure';
const machineArn = 'arn:aws:states:us-east-1:000000000000:stateMachine:complete-upload';
const roleArn = 'arn:aws:iam::000000000000:role/start';
const ruleArn = 'arn:aws:events:us-east-1:000000000000:rule/failed';

const fn = { type: 'AWS::Lambda::Function', physicalId: 'record-failure', arn: functionArn };
const toFunction = { Id: 'Target0', Arn: functionArn };
const failedRule = {
  type: 'AWS::Events::Rule',
  arn: ruleArn,
  properties: {
    EventPattern: { source: ['aws.states'], detail: { status: ['FAILED', 'TIMED_OUT', 'ABORTED'] } },
    State: 'ENABLED',
    Targets: [toFunction],
  },
};
const failed = {
  source: 'aws.states',
  detailType: 'Step Functions Execution Status Change',
  resources: ['arn:execution'],
  detail: { status: 'FAILED' },
};

type Parts = Record<string, Partial<Resource> & { type: string }>;

function templateOf(parts: Parts): LocalTemplate {
  const resources = Object.entries(parts).map(
    ([logicalId, part]): Resource => ({
      logicalId,
      properties: {},
      metadata: {},
      physicalId: part.arn ?? logicalId,
      arn: undefined,
      ...part,
    }),
  );
  return {
    stackName: 'test',
    account: '000000000000',
    region: 'us-east-1',
    resources: new Map(resources.map((one) => [one.logicalId, one])),
    outputs: new Map(),
    byType: (type) => resources.filter((one) => one.type === type),
    assetPath: () => {
      throw new Error('no assets here');
    },
  };
}

type Call = { service: string; operation: string; input: Record<string, unknown>; caller: Caller };
type Answer = (call: Call, calls: Call[]) => JsonAnswer | Promise<JsonAnswer>;
const ok: Answer = () => ({ status: 200, body: { StatusCode: 200, Payload: null } });
const functionFailed: JsonAnswer = {
  status: 200,
  body: { FunctionError: 'Unhandled', Payload: { errorType: 'Bad' } },
};

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

function freshDir(): string {
  const dir = mkdtempSync(join(tmpdir(), 'events-'));
  cleanups.push(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

function bench(parts: Parts, answer: Answer = ok, more: Partial<EventsOptions> = {}) {
  const calls: Call[] = [];
  const lines: string[] = [];
  let offset = 0;
  const clock = { now: () => Date.now() + offset, advance: (ms: number) => void (offset += ms) };
  const events = createEvents({
    template: templateOf(parts),
    dir: more.dir ?? freshDir(),
    clock,
    call: async (service, operation, input, caller) => {
      const call = { service, operation, input, caller };
      calls.push(call);
      return answer(call, calls);
    },
    retryDelaysMs: [1],
    lookEveryMs: 0,
    log: (line) => void lines.push(line),
    ...more,
  });
  let closed = false;
  const close = async () => {
    if (!closed) await events.close();
    closed = true;
  };
  cleanups.push(close);
  const put = async (...Entries: object[]) =>
    (await events.engine('PutEvents', { Entries }, { kind: 'root' })).body as {
      FailedEntryCount: number;
      Entries: Record<string, string>[];
    };
  return { events, calls, lines, clock, put, close };
}

const envelope: EventEnvelope = {
  version: '0',
  id: 'e1',
  'detail-type': 'Upload Completed',
  source: 'resumable-uploads',
  account: '000000000000',
  time: '2026-11-22T10:00:00Z',
  region: 'us-east-1',
  resources: ['arn:one', 'arn:two'],
  detail: {
    key: 'uploads/a/video.mp4',
    size: 1500,
    tags: ['new', 'hot'],
    owner: { name: 'Ann' },
    parts: [{ n: 1 }, { n: 2 }],
  },
};

describe('event patterns', () => {
  const size = (...filters: unknown[]) => ({ detail: { size: filters } });
  const key = (...filters: unknown[]) => ({ detail: { key: filters } });

  test.each<[string, unknown, boolean]>([
    ['a value', { source: ['resumable-uploads'] }, true],
    ['another value', { source: ['other'] }, false],
    ['one of the values', { source: ['other', 'resumable-uploads'] }, true],
    ['several fields, all of them', { source: ['resumable-uploads'], 'detail-type': ['Other'] }, false],
    ['a number', size(1500), true],
    ['a number given as text', size('1500'), false],
    ['an element of an array', { detail: { tags: ['hot'] } }, true],
    ['no element of an array', { detail: { tags: ['cold'] } }, false],
    ['resources', { resources: ['arn:two'] }, true],
    ['an object in an array', { detail: { parts: { n: [2] } } }, true],
    ['no object in an array', { detail: { parts: { n: [3] } } }, false],
    ['a field that is not there', { detail: { nothing: ['x'] } }, false],
    ['a field inside one that is not there', { detail: { nothing: { inner: ['x'] } } }, false],
    ['prefix', key({ prefix: 'uploads/' }), true],
    ['prefix, otherwise', key({ prefix: 'staging/' }), false],
    ['prefix without regard to case', key({ prefix: { 'equals-ignore-case': 'UPLOADS/' } }), true],
    ['suffix', key({ suffix: '.mp4' }), true],
    ['suffix, otherwise', key({ suffix: '.mov' }), false],
    ['suffix without regard to case', key({ suffix: { 'equals-ignore-case': '.MP4' } }), true],
    ['equals-ignore-case', { source: [{ 'equals-ignore-case': 'Resumable-Uploads' }] }, true],
    ['wildcard', key({ wildcard: 'uploads/*/video.*' }), true],
    ['wildcard, otherwise', key({ wildcard: 'uploads/*/x' }), false],
    ['wildcard with a literal dot', key({ wildcard: 'uploads/a/video?mp4' }), false],
    ['anything-but a text', { source: [{ 'anything-but': 'other' }] }, true],
    ['anything-but that text', { source: [{ 'anything-but': 'resumable-uploads' }] }, false],
    ['anything-but a list', size({ 'anything-but': [1500, 2] }), false],
    ['anything-but a prefix', key({ 'anything-but': { prefix: 'uploads/' } }), false],
    ['anything-but prefixes', key({ 'anything-but': { prefix: ['staging/', 'tmp/'] } }), true],
    ['anything-but a suffix', key({ 'anything-but': { suffix: '.mov' } }), true],
    ['anything-but on a field that is not there', { detail: { nothing: [{ 'anything-but': 'x' }] } }, false],
    ['numeric =', size({ numeric: ['=', 1500] }), true],
    ['numeric range', size({ numeric: ['>', 0, '<=', 1500] }), true],
    ['numeric range, otherwise', size({ numeric: ['>', 0, '<', 1500] }), false],
    ['numeric >= on text', key({ numeric: ['>=', 0] }), false],
    ['exists', size({ exists: true }), true],
    ['exists false', { detail: { nothing: [{ exists: false }] } }, true],
    ['exists false inside what is not there', { detail: { nothing: { inner: [{ exists: false }] } } }, true],
    ['exists false of what is there', size({ exists: false }), false],
    ['exists on an object, which is no leaf', { detail: { owner: [{ exists: true }] } }, false],
    ['$or, second', { detail: { $or: [{ size: [1] }, { key: [{ prefix: 'uploads/' }] }] } }, true],
    ['$or, none', { $or: [{ source: ['x'] }, { account: ['y'] }] }, false],
    ['$or and a field', { source: ['x'], $or: [{ account: ['000000000000'] }, { region: ['x'] }] }, false],
  ])('%s', (_, pattern, matches) => {
    expect(compilePattern(pattern)(envelope)).toBe(matches);
  });

  test('null matches null only', () => {
    const matches = compilePattern({ detail: { error: [null] } });
    expect(matches({ detail: { error: null } })).toBe(true);
    expect(matches({ detail: {} })).toBe(false);
  });

  test('a wildcard’s \\* is an asterisk', () => {
    const matches = compilePattern({ name: [{ wildcard: 'a\\*b*' }] });
    expect(matches({ name: 'a*bc' })).toBe(true);
    expect(matches({ name: 'axbc' })).toBe(false);
  });

  test.each<[unknown]>([
    [{}],
    [[]],
    [{ source: 'text' }],
    [{ source: [] }],
    [{ source: [['nested']] }],
    [{ source: [{ cidr: '10.0.0.0/8' }] }],
    [{ source: [{ prefix: 'a', suffix: 'b' }] }],
    [{ source: [{ prefix: 5 }] }],
    [{ source: [{ exists: 'yes' }] }],
    [{ source: [{ wildcard: 'a**b' }] }],
    [{ source: [{ wildcard: 'a\\b' }] }],
    [{ source: [{ numeric: ['>', '5'] }] }],
    [{ source: [{ numeric: ['~', 5] }] }],
    [{ source: [{ 'anything-but': { cidr: 'x' } }] }],
    [{ source: [{ 'anything-but': [] }] }],
    [{ $or: [{ source: ['x'] }] }],
  ])('does not guess at %j', (pattern) => {
    expect(() => compilePattern(pattern)).toThrow();
  });
});

describe('what a target receives', () => {
  const names = { ruleArn, ruleName: 'failed' };

  test('the event, a constant or a part', () => {
    expect(compileInput({}, names)(envelope)).toBe(envelope);
    expect(compileInput({ Input: '{"a":1}' }, names)(envelope)).toEqual({ a: 1 });
    expect(compileInput({ InputPath: '$.detail.parts[1].n' }, names)(envelope)).toBe(2);
  });

  const transform = (InputTemplate: string, InputPathsMap: Record<string, string> = {}) =>
    compileInput({ InputTransformer: { InputTemplate, InputPathsMap } }, names)(envelope);

  test('a template with values, inside strings and outside', () => {
    const template =
      '{"text": "<name> wrote <key>", "size": <size>, "owner": <owner>, "name": <name>, "none": <none>}';
    const paths = {
      name: '$.detail.owner.name',
      key: '$.detail.key',
      size: '$.detail.size',
      owner: '$.detail.owner',
    };
    expect(transform(template, { ...paths, none: '$.detail.none' })).toEqual({
      text: 'Ann wrote uploads/a/video.mp4',
      size: 1500,
      owner: { name: 'Ann' },
      name: 'Ann',
      none: '',
    });
  });

  test('the predefined values', () => {
    expect(transform('{"rule": "<aws.events.rule-name>", "event": <aws.events.event.json>}')).toEqual({
      rule: 'failed',
      event: envelope,
    });
  });

  test('a template that is plain text', () => {
    expect(transform('"<name> is done"', { name: '$.detail.owner.name' })).toBe('Ann is done');
    expect(transform('<name> is done', { name: '$.source' })).toBe('"resumable-uploads" is done');
  });

  test.each([
    [{ Input: '{', InputPath: '$' }],
    [{ Input: '{' }],
    [{ InputPath: '$.detail[*]' }],
    [{ InputTransformer: { InputTemplate: '<unknown>' } }],
  ])('refuses %j', (settings) => {
    expect(() => compileInput(settings, names)).toThrow();
  });
});

describe('PutEvents', () => {
  const entry = { Source: 'resumable-uploads', DetailType: 'Upload Completed', Detail: '{"size":1}' };
  const busRule = {
    type: 'AWS::Events::Rule',
    arn: 'arn:aws:events:us-east-1:000000000000:rule/uploads/completed',
    properties: {
      EventBusName: 'uploads',
      EventPattern: { source: ['resumable-uploads'] },
      Targets: [toFunction],
    },
  };
  const bus = {
    type: 'AWS::Events::EventBus',
    physicalId: 'uploads',
    arn: 'arn:aws:events:us-east-1:000000000000:event-bus/uploads',
  };
  const parts = { fn, bus, busRule };

  test('brings an event in AWS’s envelope to a function, as EventBridge for the rule', async () => {
    const { put, events, calls } = bench(parts);
    const answer = await put({ ...entry, EventBusName: 'uploads', Resources: ['arn:one'] });
    expect(answer).toEqual({ FailedEntryCount: 0, Entries: [{ EventId: expect.any(String) }] });
    await events.idle();
    expect(calls).toEqual([
      {
        service: 'lambda',
        operation: 'Invoke',
        caller: { kind: 'service', service: 'events.amazonaws.com', sourceArn: busRule.arn },
        input: {
          FunctionName: functionArn,
          Payload: {
            version: '0',
            id: answer.Entries[0]?.['EventId'],
            'detail-type': 'Upload Completed',
            source: 'resumable-uploads',
            account: '000000000000',
            time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/),
            region: 'us-east-1',
            resources: ['arn:one'],
            detail: { size: 1 },
          },
        },
      },
    ]);
  });

  test('a bus may be given by its ARN; an event on another bus goes elsewhere', async () => {
    const { put, events, calls } = bench(parts);
    await put({ ...entry, EventBusName: bus.arn }, entry, { ...entry, EventBusName: 'nowhere' });
    await events.idle();
    expect(calls).toHaveLength(1);
    expect(events.list().events.map((one) => [one.bus, one.matchedRules])).toEqual([
      ['uploads', ['completed']],
      ['default', []],
      ['nowhere', []],
    ]);
  });

  test('the entry’s Time is the event’s', async () => {
    const { put, events } = bench(parts);
    await put({ ...entry, Time: 1_700_000_000.75 });
    expect(events.list().events[0]?.event.time).toBe('2023-11-14T22:13:20Z');
  });

  test.each([
    [{ ...entry, Source: undefined }, 'InvalidArgument'],
    [{ ...entry, DetailType: '' }, 'InvalidArgument'],
    [{ Source: 'a', DetailType: 'b' }, 'InvalidArgument'],
    [{ ...entry, Detail: 'text' }, 'MalformedDetail'],
    [{ ...entry, Detail: '[1]' }, 'MalformedDetail'],
    [{ ...entry, Detail: '"text"' }, 'MalformedDetail'],
    [{ ...entry, Source: 'aws.states' }, 'NotAuthorizedForSourceException'],
  ])('refuses an entry alone: %j', async (bad, ErrorCode) => {
    const answer = await bench(parts).put(entry, bad);
    expect(answer).toMatchObject({
      FailedEntryCount: 1,
      Entries: [{ EventId: expect.any(String) }, { ErrorCode }],
    });
    expect(answer.Entries[1]).not.toHaveProperty('EventId');
  });

  test('refuses a request of none, of eleven entries, or over 256 KiB', async () => {
    const { put, events } = bench(parts);
    const refusal = { name: 'ValidationException', status: 400 };
    await expect(put()).rejects.toMatchObject(refusal);
    await expect(put(...Array.from({ length: 11 }, () => entry))).rejects.toMatchObject(refusal);
    await expect(
      put({ ...entry, Detail: JSON.stringify({ text: 'x'.repeat(262_144) }) }),
    ).rejects.toMatchObject({
      ...refusal,
      message: 'Total size of the entries in the request is over the limit.',
    });
    expect(events.list().events).toEqual([]);
  });

  test('another operation is unknown', async () => {
    await expect(bench(parts).events.engine('PutRule', {}, { kind: 'root' })).rejects.toMatchObject({
      name: 'UnknownOperationException',
    });
  });
});

describe('deliveries', () => {
  const parts = { fn, failedRule };

  test('a service’s own event goes to the rules of the default bus that match', async () => {
    const { events, calls } = bench(parts);
    events.emit(failed);
    events.emit({ ...failed, detail: { status: 'SUCCEEDED' } });
    await events.idle();
    expect(calls).toHaveLength(1);
    expect(events.list().events.map(({ deliveries }) => deliveries)).toEqual([
      [{ rule: 'failed', target: functionArn, status: 'delivered', attempts: 1 }],
      [],
    ]);
  });

  test('a disabled rule is silent', async () => {
    const properties = { ...failedRule.properties, State: 'DISABLED' };
    const { events, calls } = bench({ fn, failedRule: { ...failedRule, properties } });
    events.emit(failed);
    await events.idle();
    expect(calls).toEqual([]);
  });

  test('a function that fails gets the event twice more', async () => {
    const { events, calls } = bench(parts, (_, all) =>
      all.length < 3 ? functionFailed : { status: 200, body: {} },
    );
    events.emit(failed);
    await events.idle();
    expect(calls).toHaveLength(3);
    expect(events.list().events[0]?.deliveries[0]).toMatchObject({ status: 'delivered', attempts: 3 });
  });

  test('after that, the event is among the dead, with the reason', async () => {
    const { events, calls, lines } = bench(parts, () => functionFailed);
    events.emit(failed);
    await events.idle();
    expect(calls).toHaveLength(3);
    expect(events.dead()).toMatchObject([
      {
        event: { detail: { status: 'FAILED' } },
        deliveries: [{ status: 'dead', attempts: 3, reason: '{"errorType":"Bad"}' }],
      },
    ]);
    expect(lines).toEqual([expect.stringContaining('rule failed: gave up on event')]);
  });

  test('the function’s own MaximumRetryAttempts counts', async () => {
    const config = {
      type: 'AWS::Lambda::EventInvokeConfig',
      properties: { FunctionName: 'record-failure', MaximumRetryAttempts: 0 },
    };
    const { events, calls } = bench({ ...parts, config }, () => functionFailed);
    events.emit(failed);
    await events.idle();
    expect(calls).toHaveLength(1);
  });

  test('without permission to invoke, the event is dead at once', async () => {
    const refusal = {
      status: 403,
      body: { __type: 'AccessDeniedException', message: 'no resource-based policy allows it' },
    };
    const { events, calls } = bench(parts, () => refusal);
    events.emit(failed);
    await events.idle();
    expect(calls).toHaveLength(1);
    expect(events.dead()[0]?.deliveries[0]?.reason).toBe(
      'AccessDeniedException: no resource-based policy allows it',
    );
  });

  test('a target out of reach is tried again, as often as its RetryPolicy says', async () => {
    const Targets = [{ ...toFunction, RetryPolicy: { MaximumRetryAttempts: 4 } }];
    const rule = { ...failedRule, properties: { ...failedRule.properties, Targets } };
    const { events, calls } = bench({ fn, rule }, (_, all) =>
      all.length % 2
        ? { status: 503, body: { __type: 'ServiceUnavailable' } }
        : Promise.reject(new Error('cut')),
    );
    events.emit(failed);
    await events.idle();
    expect(calls).toHaveLength(5);
    expect(events.dead()[0]?.deliveries[0]).toMatchObject({ attempts: 5 });
  });

  test('a target out of reach is given up when the event is older than its RetryPolicy says', async () => {
    const Targets = [{ ...toFunction, RetryPolicy: { MaximumEventAgeInSeconds: 60 } }];
    const rule = { ...failedRule, properties: { ...failedRule.properties, Targets } };
    const { events, calls, clock } = bench({ fn, rule }, () => {
      clock.advance(25_000);
      return { status: 503, body: {} };
    });
    events.emit(failed);
    await events.idle();
    expect(calls).toHaveLength(3);
  });

  test('what is given up goes to the queue that is named for it', async () => {
    const letters: DeadLetter[] = [];
    const Targets = [{ ...toFunction, DeadLetterConfig: { Arn: 'arn:queue:of-the-rule' } }];
    const rule = { ...failedRule, properties: { ...failedRule.properties, Targets } };
    const properties = { DeadLetterConfig: { TargetArn: 'arn:queue:of-the-function' } };
    const answers = [
      functionFailed,
      functionFailed,
      functionFailed,
      { status: 403, body: { __type: 'Denied' } },
    ];
    const { events } = bench({ fn: { ...fn, properties }, rule }, () => answers.shift() as JsonAnswer, {
      deadLetter: (letter) => void letters.push(letter),
    });
    events.emit(failed);
    await events.idle();
    events.emit(failed);
    await events.idle();
    const common = {
      ruleArn,
      targetArn: functionArn,
      input: expect.objectContaining({ detail: failed.detail }),
    };
    expect(letters).toEqual([
      { ...common, queueArn: 'arn:queue:of-the-function', from: 'lambda', reason: '{"errorType":"Bad"}' },
      { ...common, queueArn: 'arn:queue:of-the-rule', from: 'events', reason: 'Denied: status 403' },
    ]);
  });

  test('a state machine is started as the target’s role', async () => {
    const machine = { type: 'AWS::StepFunctions::StateMachine', arn: machineArn };
    const role = { type: 'AWS::IAM::Role', arn: roleArn };
    const Targets = [{ Id: 'Target0', Arn: machineArn, RoleArn: roleArn, InputPath: '$.detail' }];
    const rule = { ...failedRule, properties: { ...failedRule.properties, Targets } };
    const { events, calls } = bench({ machine, role, rule });
    events.emit(failed);
    await events.idle();
    expect(calls).toEqual([
      {
        service: 'states',
        operation: 'StartExecution',
        input: {
          stateMachineArn: machineArn,
          name: expect.stringMatching(/^[0-9a-f_-]{73}$/),
          input: '{"status":"FAILED"}',
        },
        caller: { kind: 'role', roleLogicalId: 'role', roleArn },
      },
    ]);
  });

  test('each target of each rule gets the event, whatever becomes of the others', async () => {
    const Targets = [toFunction, { ...toFunction, Id: 'Target1', Input: '"second"' }];
    const rule = { ...failedRule, properties: { ...failedRule.properties, Targets } };
    const { events } = bench({ fn, rule }, ({ input }) =>
      input['Payload'] === 'second' ? { status: 200, body: {} } : functionFailed,
    );
    events.emit(failed);
    await events.idle();
    expect(events.list().events[0]?.deliveries.map(({ status }) => status)).toEqual(['dead', 'delivered']);
  });

  test('duplicate delivers everything twice', async () => {
    const { events, calls } = bench(parts);
    events.disturb({ duplicate: true });
    events.emit(failed);
    await events.idle();
    expect(calls).toHaveLength(2);
    expect(calls[0]?.input).toEqual(calls[1]?.input);
  });

  test('shuffle delivers out of order, the same way for the same seed', async () => {
    const orderOf = async (seed: number) => {
      const { events, calls } = bench(parts);
      events.disturb({ shuffle: seed });
      for (let number = 0; number < 20; number += 1)
        events.emit({ ...failed, detail: { ...failed.detail, number } });
      await events.idle();
      return calls.map(({ input }) => (input['Payload'] as EventEnvelope).detail['number'] as number);
    };
    const order = await orderOf(1);
    const inOrder = Array.from({ length: 20 }, (_, index) => index);
    expect(order).not.toEqual(inOrder);
    expect(order.toSorted((a, b) => a - b)).toEqual(inOrder);
    expect(await orderOf(1)).toEqual(order);
    expect(await orderOf(2)).not.toEqual(order);
  });

  test('what was not delivered is delivered after a restart, and only that', async () => {
    const dir = freshDir();
    const before = bench(
      parts,
      (_, all) => (all.length === 1 ? { status: 200, body: {} } : new Promise(() => {})),
      { dir },
    );
    before.events.emit({ ...failed, detail: { status: 'FAILED', first: true } });
    await before.events.idle();
    before.events.emit({ ...failed, detail: { status: 'FAILED', second: true } });
    await before.close();
    const after = bench(parts, ok, { dir });
    expect(after.events.list().events[1]?.deliveries[0]?.status).toBe('pending');
    after.events.resume();
    after.events.resume();
    await after.events.idle();
    expect(after.calls.map(({ input }) => (input['Payload'] as EventEnvelope).detail)).toEqual([
      { status: 'FAILED', second: true },
    ]);
    expect(after.events.list().events[1]?.deliveries[0]?.status).toBe('delivered');
  });

  test('list goes on after a number', async () => {
    const { events } = bench(parts);
    for (let number = 0; number < 3; number += 1) events.emit({ ...failed, detail: { number } });
    const { events: all } = events.list();
    expect(events.list({ after: all[0]?.seq ?? 0 }).events).toEqual(all.slice(1));
    expect(events.list({ limit: 1 }).events).toEqual(all.slice(0, 1));
  });
});

describe('the log', () => {
  test(`keeps the last ${KEPT_EVENTS} events and every one that is still to be delivered`, () => {
    const log = openEventLog(freshDir());
    cleanups.push(() => log.close());
    const kept = log.add('default', envelope, [{ rule: ruleArn, target: 'Target0' }]);
    const over = log.add('default', envelope, [{ rule: ruleArn, target: 'Target0' }]);
    log.update(over.deliveries[0]?.id ?? 0, { status: 'delivered', attempts: 1, reason: null });
    for (let count = 2; count < KEPT_EVENTS + 100; count += 1) log.add('default', envelope, []);
    const [first, second] = log.list(0, 2);
    expect(first?.seq).toBe(kept.seq);
    expect(second?.seq).toBe(101);
    expect(log.pending().map(({ seq }) => seq)).toEqual([kept.seq]);
  }, 30_000);
});

describe('schedules', () => {
  const schedule = {
    type: 'AWS::Events::Rule',
    arn: 'arn:aws:events:us-east-1:000000000000:rule/watch',
    properties: { ScheduleExpression: 'rate(5 minutes)', State: 'ENABLED', Targets: [toFunction] },
  };
  const minutes = (count: number) => count * 60_000;

  test('runs when the stack’s clock comes to it, once however far it was advanced', async () => {
    const { events, calls, clock } = bench({ fn, schedule });
    expect(events.runDueSchedules()).toEqual([]);
    clock.advance(minutes(5));
    expect(events.runDueSchedules()).toEqual(['watch']);
    expect(events.runDueSchedules()).toEqual([]);
    clock.advance(minutes(7 * 24 * 60));
    expect(events.runDueSchedules()).toEqual(['watch']);
    expect(events.runDueSchedules()).toEqual([]);
    await events.idle();
    expect(calls.map(({ input }) => input['Payload'])).toMatchObject([
      { source: 'aws.events', 'detail-type': 'Scheduled Event', resources: [schedule.arn], detail: {} },
      { source: 'aws.events' },
    ]);
  });

  test('looks at the clock by itself', async () => {
    const { calls, clock } = bench({ fn, schedule }, ok, { lookEveryMs: 5 });
    clock.advance(minutes(6));
    for (let wait = 0; wait < 100 && calls.length === 0; wait++)
      await new Promise((resolve) => setTimeout(resolve, 20));
    expect(calls).toHaveLength(1);
  });

  test('a disabled schedule does not run', () => {
    const properties = { ...schedule.properties, State: 'DISABLED' };
    const { events, clock } = bench({ fn, schedule: { ...schedule, properties } });
    clock.advance(minutes(10));
    expect(events.runDueSchedules()).toEqual([]);
  });

  test.each(['schedule', 'watch'])('runSchedule(%j) waits until the function is done', async (name) => {
    let done = false;
    const { events } = bench({ fn, schedule }, async () => {
      await new Promise((resolve) => setTimeout(resolve, 20));
      done = true;
      return { status: 200, body: {} };
    });
    expect(await events.runSchedule(name)).toEqual([
      { rule: 'watch', target: functionArn, status: 'delivered', attempts: 1 },
    ]);
    expect(done).toBe(true);
  });

  test('runSchedule tells what went wrong', async () => {
    const { events } = bench({ fn, schedule, failedRule }, () => functionFailed);
    expect(await events.runSchedule('watch')).toMatchObject([
      { status: 'dead', reason: '{"errorType":"Bad"}' },
    ]);
    await expect(events.runSchedule('nothing')).rejects.toMatchObject({ name: 'ResourceNotFoundException' });
    await expect(events.runSchedule('failedRule')).rejects.toMatchObject({
      name: 'ResourceNotFoundException',
    });
  });

  test.each([
    ['rate(1 minute)', 60_000],
    ['rate(5 minutes)', 300_000],
    ['rate(1 hour)', 3_600_000],
    ['rate(2 days)', 172_800_000],
  ])('%s', (expression, ms) => {
    expect(parseRate(expression)).toBe(ms);
  });

  test.each(['rate(1 minutes)', 'rate(5 minute)', 'rate(0 minutes)', 'cron(0 12 * * ? *)', 'rate(5 weeks)'])(
    'refuses %s and says what to use',
    (expression) => {
      expect(() => parseRate(expression)).toThrow(/use rate\(5 minutes\)/);
    },
  );
});

describe('rules', () => {
  const withRule = (properties: Record<string, unknown>) => () =>
    createEvents({
      template: templateOf({ fn, rule: { ...failedRule, properties } }),
      dir: freshDir(),
      clock: { now: Date.now, advance: () => {} },
      call: async () => ({ status: 200, body: {} }),
    });
  const { EventPattern } = failedRule.properties;

  test.each([
    ['no pattern and no schedule', { Targets: [] }],
    ['an unknown operator', { EventPattern: { source: [{ cidr: 'x' }] } }],
    ['a bus that is not there', { EventPattern, EventBusName: 'nowhere' }],
    [
      'a target that is not there',
      { EventPattern, Targets: [{ Id: 'a', Arn: 'arn:aws:sqs:us-east-1:0:q' }] },
    ],
    [
      'target settings without effect here',
      { EventPattern, Targets: [{ ...toFunction, SqsParameters: {} }] },
    ],
    ['a schedule by cron', { ScheduleExpression: 'cron(0 12 * * ? *)', Targets: [toFunction] }],
  ])('%s is an error that names the rule', (_, properties) => {
    expect(withRule(properties)).toThrow(/^rule: /);
  });
});
