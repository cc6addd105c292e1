import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from '@jest/globals';
import { createClock } from '../../../../local/clock.ts';
import {
  createFunctionPool,
  type FunctionPoolOptions,
  type LocalFunctionPool,
} from '../../../../local/lambda/pool.ts';
import type { Caller } from '../../../../local/types.ts';
import { newFolder, type TestFunction, templateWith } from '../small-template.ts';

const open: LocalFunctionPool[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((pool) => pool.close()));
});

function start(functions: Record<string, TestFunction>, options: Partial<FunctionPoolOptions> = {}) {
  const template = templateWith(functions);
  const clock = createClock();
  const callers: Caller[] = [];
  const logDir = newFolder();
  const pool = createFunctionPool({
    template,
    clock,
    credentials: {
      issue: (caller) => {
        callers.push(caller);
        return { accessKeyId: `ASIA${callers.length}`, secretAccessKey: 'secret', sessionToken: 'token' };
      },
    },
    awsEndpointUrl: () => 'http://127.0.0.1:1',
    log: () => {},
    logDir,
    asyncRetryDelaysMs: [5, 5],
    ...options,
  });
  open.push(pool);
  return {
    pool,
    clock,
    callers,
    template,
    logOf: (name: string) => readFileSync(join(logDir, `${name}.log`), 'utf8'),
  };
}

const echo = 'export const handler = async (event) => event;';
/** Counts its events in the thread's own memory, and answers after `event.ms`. */
const counter = `let count = 0;
  export const handler = async ({ ms = 0 }) => {
    count += 1;
    await new Promise((resolve) => setTimeout(resolve, ms));
    return { count, key: process.env.AWS_ACCESS_KEY_ID };
  };`;

describe('an answer', () => {
  test('travels as JSON, as do events', async () => {
    const { pool } = start({ Echo: { code: echo } });
    const event = { text: 'é', gone: undefined, when: new Date(0) };
    await expect(pool.invoke('Echo', event)).resolves.toEqual({
      payload: { text: 'é', when: '1970-01-01T00:00:00.000Z' },
    });
  });

  test('is null where the handler returns nothing', async () => {
    const { pool } = start({ Quiet: { code: 'export const handler = () => {};' } });
    await expect(pool.invoke('Quiet', {})).resolves.toEqual({ payload: null });
  });

  test('comes from a function by its name, ARN or short name; an unknown name is not found', async () => {
    const { pool, template } = start({
      Echo: {
        code: echo,
        properties: { Environment: { Variables: { POWERTOOLS_SERVICE_NAME: 'echo-it' } } },
      },
    });
    const fn = template.resources.get('Echo');
    for (const name of [fn?.physicalId ?? '', fn?.arn ?? '', 'echo-it']) {
      await expect(pool.invoke(name, 1)).resolves.toEqual({ payload: 1 });
      expect(pool.shortName(name)).toBe('echo-it');
    }
    await expect(pool.invoke('nobody', 1)).rejects.toMatchObject({
      name: 'ResourceNotFoundException',
      status: 404,
    });
  });

  test('over 6 MB is Function.ResponseSizeTooLarge', async () => {
    const { pool } = start({ Big: { code: 'export const handler = async (size) => "x".repeat(size - 2);' } });
    const { payload } = await pool.invoke('Big', 6_291_556);
    expect(payload).toHaveLength(6_291_554);
    await expect(pool.invoke('Big', 6_291_557)).resolves.toMatchObject({
      functionError: 'Unhandled',
      payload: { errorType: 'Function.ResponseSizeTooLarge' },
    });
  });

  test('to an event of exactly 6 MB is fine; one byte more is refused with 413', async () => {
    const { pool } = start({ Length: { code: 'export const handler = async (event) => event.length;' } });
    await expect(pool.invoke('Length', 'x'.repeat(6_291_454))).resolves.toEqual({ payload: 6_291_454 });
    const refused = { name: 'RequestTooLargeException', status: 413 };
    await expect(pool.invoke('Length', 'x'.repeat(6_291_455))).rejects.toMatchObject(refused);
    await expect(pool.invoke('Length', 'é'.repeat(3_145_728))).rejects.toMatchObject(refused);
  });
});

describe('a failure', () => {
  test('that the handler throws is Handled, and the thread lives on', async () => {
    const code = `let count = 0;
      export const handler = async () => { count += 1; if (count === 1) throw new RangeError('no'); return count; };`;
    const { pool } = start({ Picky: { code } });
    await expect(pool.invoke('Picky', {})).resolves.toMatchObject({
      functionError: 'Handled',
      payload: {
        errorType: 'RangeError',
        errorMessage: 'no',
        trace: expect.arrayContaining(['RangeError: no']),
      },
    });
    await expect(pool.invoke('Picky', {})).resolves.toEqual({ payload: 2 });
  });

  test.each([
    ['process.exit', 'process.exit(3)', 'Runtime.ExitError', /exit status 3/],
    ['killing itself', 'process.kill(process.pid, "SIGKILL")', 'Runtime.ExitError', /exit status 137/],
    [
      'a promise that nobody catches',
      'Promise.reject(new Error("lost")); await new Promise(() => {})',
      'Runtime.UnhandledPromiseRejection',
      /lost/,
    ],
    [
      'an exception in a timer',
      'setTimeout(() => { throw new TypeError("late") }); await new Promise(() => {})',
      'TypeError',
      /late/,
    ],
  ])('by %s is Unhandled, and the next event gets a new thread', async (_, statement, errorType, message) => {
    const code = `let count = 0;
      export const handler = async (die) => { count += 1; if (die) { ${statement}; } return count; };`;
    const { pool } = start({ Mortal: { code } });
    await pool.invoke('Mortal', false);
    await expect(pool.invoke('Mortal', true)).resolves.toMatchObject({
      functionError: 'Unhandled',
      payload: { errorType, errorMessage: expect.stringMatching(message) },
    });
    await expect(pool.invoke('Mortal', false)).resolves.toEqual({ payload: 1 });
  });

  test('to load the code is reported as such', async () => {
    const { pool } = start({
      Broken: { code: 'throw new SyntaxError("bad bundle");' },
      Empty: { code: 'export const other = 1;' },
      Lost: { code: echo, properties: { Handler: 'main.handler' } },
    });
    await expect(pool.invoke('Broken', {})).resolves.toMatchObject({ payload: { errorType: 'SyntaxError' } });
    await expect(pool.invoke('Empty', {})).resolves.toMatchObject({
      payload: { errorType: 'Runtime.HandlerNotFound' },
    });
    await expect(pool.invoke('Lost', {})).resolves.toMatchObject({
      payload: { errorType: 'Runtime.ImportModuleError' },
    });
  });

  test('to be done in time ends the thread, an endless loop included', async () => {
    const code = 'export const handler = async (loop) => { while (loop) {} return 1; };';
    const { pool } = start({ Slow: { code, properties: { Timeout: 1 } } });
    await expect(pool.invoke('Slow', true)).resolves.toMatchObject({
      functionError: 'Unhandled',
      payload: {
        errorType: 'Sandbox.Timedout',
        errorMessage: expect.stringContaining('Task timed out after 1.00 seconds'),
      },
    });
    await expect(pool.invoke('Slow', false)).resolves.toEqual({ payload: 1 });
  });

  test('for lack of memory is Runtime.OutOfMemory, and spares the others', async () => {
    const code =
      'export const handler = async (eat) => { const all = []; while (eat) all.push(new Array(1e5).fill({})); return 1; };';
    const { pool } = start({
      Hungry: { code, properties: { MemorySize: 128, Timeout: 60 } },
      Echo: { code: echo },
    });
    await expect(pool.invoke('Hungry', true)).resolves.toMatchObject({
      functionError: 'Unhandled',
      payload: { errorType: 'Runtime.OutOfMemory' },
    });
    await expect(pool.invoke('Echo', 1)).resolves.toEqual({ payload: 1 });
  }, 60_000);

  test('of the machine (a killed thread) is Runtime.ExitError', async () => {
    const { pool, callers } = start({ Counter: { code: counter } });
    await pool.invoke('Counter', {});
    const running = pool.invoke('Counter', { ms: 60_000 });
    const [caller] = callers;
    if (caller?.kind !== 'role' || caller.workerId === undefined) throw new Error('no worker');
    pool.kill(caller.workerId);
    await expect(running).resolves.toMatchObject({ payload: { errorType: 'Runtime.ExitError' } });
  });
});

describe('threads', () => {
  test('take one event at a time, are used again when free, and are credentials apart', async () => {
    const { pool } = start({ Counter: { code: counter } });
    const both = await Promise.all([
      pool.invoke('Counter', { ms: 300 }),
      pool.invoke('Counter', { ms: 300 }),
    ]);
    const keys = both.map(({ payload }) => (payload as { key: string }).key);
    expect(both.map(({ payload }) => (payload as { count: number }).count)).toEqual([1, 1]);
    expect(new Set(keys).size).toBe(2);
    await expect(pool.invoke('Counter', {})).resolves.toMatchObject({ payload: { count: 2 } });
  });

  test('are as many as the reserved concurrency; further events wait their turn', async () => {
    const { pool, callers } = start({
      Counter: { code: counter, properties: { ReservedConcurrentExecutions: 2 } },
    });
    const results = await Promise.all(Array.from({ length: 7 }, () => pool.invoke('Counter', { ms: 20 })));
    expect(results.every(({ functionError }) => functionError === undefined)).toBe(true);
    expect(callers).toHaveLength(2);
  });

  test('of all functions together stay under the limit', async () => {
    const { pool } = start({ A: { code: counter }, B: { code: counter } }, { maxInstances: 2 });
    const results = await Promise.all(
      Array.from({ length: 8 }, (_, index) => pool.invoke(index % 2 ? 'A' : 'B', { ms: 10 })),
    );
    expect(results.every(({ functionError }) => functionError === undefined)).toBe(true);
  });

  test('without work are ended', async () => {
    const { pool, callers } = start({ Counter: { code: counter } }, { idleMs: 20 });
    await pool.invoke('Counter', {});
    await new Promise((resolve) => setTimeout(resolve, 1000));
    await expect(pool.invoke('Counter', {})).resolves.toMatchObject({ payload: { count: 1 } });
    expect(callers).toHaveLength(2);
  });

  test("know the template's variables and Lambda's, and nothing of this process", async () => {
    process.env.SECRET_OF_THE_DEVELOPER = 'x';
    const code = 'export const handler = async () => process.env;';
    const Environment = { Variables: { TABLE_NAME: 'table' } };
    const { pool, template } = start({ Env: { code, properties: { Environment, MemorySize: 256 } } });
    const { payload } = await pool.invoke('Env', {});
    delete process.env.SECRET_OF_THE_DEVELOPER;
    expect(payload).toMatchObject({
      TABLE_NAME: 'table',
      AWS_LAMBDA_FUNCTION_NAME: template.resources.get('Env')?.physicalId,
      AWS_LAMBDA_FUNCTION_MEMORY_SIZE: '256',
      AWS_REGION: 'us-east-1',
      AWS_ACCESS_KEY_ID: 'ASIA1',
      AWS_SESSION_TOKEN: 'token',
      AWS_ENDPOINT_URL: 'http://127.0.0.1:1',
    });
    expect(payload).not.toHaveProperty('SECRET_OF_THE_DEVELOPER');
    expect(payload).not.toHaveProperty('HOME');
  });

  test('are told their role by their credentials', async () => {
    const { pool, callers, template } = start({ Echo: { code: echo } });
    await pool.invoke('Echo', 1);
    expect(callers).toEqual([
      {
        kind: 'role',
        roleLogicalId: 'EchoRole',
        roleArn: template.resources.get('EchoRole')?.arn,
        functionName: template.resources.get('Echo')?.physicalId,
        workerId: 1,
      },
    ]);
  });

  test("follow the stack's clock with Date, not with timers", async () => {
    const code = `export const handler = async (ms) => {
      const before = performance.now();
      await new Promise((resolve) => setTimeout(resolve, ms));
      class Later extends Date {}
      return { now: Date.now(), made: new Date().getTime(), later: new Later().getTime(),
        kinds: [new Date() instanceof Date, new Later() instanceof Later, new Date(0).toISOString(), new Date().constructor === Date],
        waited: performance.now() - before };
    };`;
    const { pool, clock } = start({ Time: { code } });
    await pool.invoke('Time', 0);
    clock.advance(86_400_000);
    const { payload } = await pool.invoke('Time', 20);
    const { now, made, later, kinds, waited } = payload as Record<string, number> & { kinds: unknown[] };
    for (const time of [now, made, later])
      expect(Math.abs((time ?? 0) - Date.now() - 86_400_000)).toBeLessThan(5000);
    expect(kinds).toEqual([true, true, '1970-01-01T00:00:00.000Z', true]);
    expect(waited).toBeLessThan(5000);
  });

  test('give the handler a context', async () => {
    const code = `export const handler = async (event, context) =>
      ({ ...context, left: context.getRemainingTimeInMillis() });`;
    const { pool, template } = start({ Context: { code, properties: { Timeout: 30, MemorySize: 512 } } });
    const { payload } = await pool.invoke('Context', {});
    const fn = template.resources.get('Context');
    expect(payload).toMatchObject({
      functionName: fn?.physicalId,
      invokedFunctionArn: fn?.arn,
      memoryLimitInMB: '512',
      logGroupName: `/aws/lambda/${fn?.physicalId}`,
      awsRequestId: expect.stringMatching(/^[0-9a-f-]{36}$/),
    });
    const { left } = payload as { left: number };
    expect(left).toBeGreaterThan(29_000);
    expect(left).toBeLessThanOrEqual(30_000);
  });

  test('print into the log, one line each, up to the moment they are ended', async () => {
    const code =
      'export const handler = async () => { console.log("two\\nlines"); process.stderr.write("end\\n"); process.exit(); };';
    const { pool, logOf } = start({ Loud: { code } });
    await pool.invoke('Loud', {});
    const lines = logOf('Loud').split('\n');
    expect(lines).toContain('two\rlines');
    expect(lines).toContain('end');
    expect(
      lines.some((line) => line.startsWith('REPORT RequestId:') && line.endsWith('Runtime.ExitError')),
    ).toBe(true);
  });
});

describe('an asynchronous event', () => {
  const failing = `import { appendFileSync } from 'node:fs';
    export const handler = async ({ file, failures }) => {
      appendFileSync(file, 'x');
      const { readFileSync } = await import('node:fs');
      if (readFileSync(file, 'utf8').length <= failures) throw new Error('not yet');
    };`;
  const tries = (file: string) => readFileSync(file, 'utf8').length;

  test('is tried three times in all', async () => {
    const letters: string[] = [];
    const { pool } = start(
      { Failing: { code: failing, properties: { DeadLetterConfig: { TargetArn: 'arn:queue' } } } },
      { deadLetter: (_, event) => letters.push(event) },
    );
    const [once, never] = [join(newFolder(), 'once'), join(newFolder(), 'never')];
    pool.invokeAsync('Failing', { file: once, failures: 1 });
    pool.invokeAsync('Failing', { file: never, failures: 99 });
    await pool.idle();
    expect(tries(once)).toBe(2);
    expect(tries(never)).toBe(3);
    expect(letters.map((letter) => JSON.parse(letter).file)).toEqual([never]);
  });

  test('is delivered twice where a test asks for it', async () => {
    const { pool } = start({ Failing: { code: failing } });
    const file = join(newFolder(), 'twice');
    pool.duplicateAsync = true;
    pool.invokeAsync('Failing', { file, failures: 0 });
    await pool.idle();
    expect(tries(file)).toBe(2);
  });
});
