import { describe, expect, test } from '@jest/globals';
import { createCallLog } from '../../../../local/aws/calls.ts';
import { createFaults, type Target } from '../../../../local/aws/faults.ts';
import type { AwsCall, FaultRule } from '../../../../local/types.ts';

const target: Target = {
  service: 's3',
  operation: 'UploadPart',
  caller: 'receive-chunk',
  killable: true,
  resource: 'videos/staging/a',
};
const fail: FaultRule['action'] = { kind: 'fail', status: 503, code: 'SlowDown' };
const strikes = (rules: FaultRule[], count: number, on: Target = target): string =>
  strikesOf(createFaultsWith(rules), count, on);
const createFaultsWith = (rules: FaultRule[]) => {
  const faults = createFaults();
  faults.set(rules);
  return faults;
};
const strikesOf = (faults: ReturnType<typeof createFaults>, count: number, on: Target = target): string =>
  Array.from({ length: count }, () => (faults.strike(on).action ? 'x' : '.')).join('');

describe('fault rules', () => {
  test('strike once by default, after skipping, as often as said, or always', () => {
    expect(strikes([{ action: fail }], 4)).toBe('x...');
    expect(strikes([{ action: fail, skip: 2 }], 4)).toBe('..x.');
    expect(strikes([{ action: fail, skip: 1, times: 2 }], 5)).toBe('.xx..');
    expect(strikes([{ action: fail, times: 0 }], 4)).toBe('xxxx');
  });

  test.each<[string, Partial<FaultRule>, boolean]>([
    ['service', { service: 's3' }, true],
    ['another service', { service: 'dynamodb' }, false],
    ['another operation', { operation: 'PutObject' }, false],
    ['caller', { caller: 'receive-chunk' }, true],
    ['another caller', { caller: 'client' }, false],
    ['a part of the resource', { resource: 'staging/' }, true],
    ['another resource', { resource: 'uploads/' }, false],
    ['all but one', { service: 's3', operation: 'UploadPart', caller: 'test-chunk' }, false],
  ])('match by %s', (_name, matcher, struck) => {
    expect(strikes([{ ...matcher, action: fail }], 1)).toBe(struck ? 'x' : '.');
  });

  test('a kill needs a worker thread', () => {
    const kill: FaultRule = { action: { kind: 'kill', when: 'before' } };
    expect(strikes([kill], 1)).toBe('x');
    expect(strikes([kill], 1, { ...target, killable: false })).toBe('.');
  });

  test.each<[string, FaultRule['action'], string[]]>([
    ['late error', { kind: 'late-error', code: 'InternalError' }, ['CompleteMultipartUpload']],
    ['cut midway', { kind: 'cut', when: 'midway' }, ['GetObject', 'PutObject', 'UploadPart']],
    [
      'partial success',
      { kind: 'partial', code: 'InternalError' },
      ['DeleteObjects', 'PutEvents', 'BatchWriteItem'],
    ],
  ])('a %s strikes only where AWS has it', (_name, action, operations) => {
    for (const operation of operations) expect(strikes([{ action }], 1, { ...target, operation })).toBe('x');
    for (const operation of ['HeadObject', 'UpdateItem', 'StartExecution'])
      expect(strikes([{ action }], 1, { ...target, operation })).toBe('.');
  });

  test('dice fall the same for the same seed, and for each rule apart', () => {
    const rule: FaultRule = { action: fail, times: 0, probability: 0.3, seed: 7 };
    const thrown = strikes([rule], 200);
    expect(strikes([rule], 200)).toBe(thrown);
    expect(strikes([{ ...rule, seed: 8 }], 200)).not.toBe(thrown);
    const hits = thrown.replaceAll('.', '').length;
    expect(hits).toBeGreaterThan(40);
    expect(hits).toBeLessThan(80);
    expect(strikes([{ ...rule, operation: 'Other' }, rule], 200)).toBe(thrown);
  });

  test('delays add up before the first other action, and counts can be read', () => {
    const faults = createFaultsWith([
      { id: 'slow', action: { kind: 'delay', ms: 5 }, times: 0 },
      { action: { kind: 'delay', ms: 6 }, times: 0 },
      { action: fail },
    ]);
    expect(faults.strike(target)).toEqual({
      delayMs: 11,
      action: fail,
      label: 'delay 5, delay 6, fail SlowDown',
    });
    expect(faults.strike(target)).toEqual({ delayMs: 11, action: undefined, label: 'delay 5, delay 6' });
    expect(faults.list().map(({ seen, struck }) => [seen, struck])).toEqual([
      [2, 2],
      [2, 2],
      [2, 1],
    ]);
  });

  test.each<[string, object]>([
    ['a misspelt field', { opperation: 'UploadPart', action: fail }],
    ['an unknown action', { action: { kind: 'explode' } }],
    ['no action', {}],
    ['kill without when', { action: { kind: 'kill' } }],
    ['kill in the middle', { action: { kind: 'kill', when: 'midway' } }],
    ['cut without when', { action: { kind: 'cut' } }],
    ['partial without a code', { action: { kind: 'partial' } }],
    ['fail without a code', { action: { kind: 'fail', status: 503 } }],
    ['a probability over 1', { action: fail, probability: 2 }],
  ])('%s is refused, and the rules stay as they were', (_name, rule) => {
    const faults = createFaultsWith([{ id: 'old', action: fail }]);
    expect(() => faults.set([rule as FaultRule])).toThrow(RangeError);
    expect(faults.list().map((state) => state.rule.id)).toEqual(['old']);
  });
});

describe('the call log', () => {
  const call: Omit<AwsCall, 'seq'> = {
    at: 0,
    service: 's3',
    operation: 'GetObject',
    caller: { kind: 'root' },
    presigned: false,
    resource: 'b/k',
    status: 200,
    bytesIn: 0,
    bytesOut: 0,
    durationMs: 1,
  };
  const seqs = (log: ReturnType<typeof createCallLog>, after: number) =>
    log.after(after).map(({ seq }) => seq);

  test('gives what came after a number, also over a clear', () => {
    const log = createCallLog();
    for (let n = 0; n < 5; n += 1) log.add(call);
    expect(seqs(log, 0)).toEqual([1, 2, 3, 4, 5]);
    expect(seqs(log, 3)).toEqual([4, 5]);
    expect(seqs(log, 5)).toEqual([]);
    log.clear();
    log.add(call);
    expect(seqs(log, 0)).toEqual([6]);
    expect(seqs(log, 6)).toEqual([]);
  });

  test('keeps the newest', () => {
    const log = createCallLog(3);
    for (let n = 0; n < 20; n += 1) {
      log.add(call);
      expect(seqs(log, 0)).toEqual([n - 1, n, n + 1].filter((seq) => seq > 0));
    }
  });
});
