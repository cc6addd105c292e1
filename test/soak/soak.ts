import { setTimeout as pause } from 'node:timers/promises';
import { describeUpload, objectAt, sha256, untilOk } from '../support/clients.ts';
import { type ApiError, conformEvent } from '../support/openapi.ts';
import { type TestStack, until } from '../support/stack.ts';
import { behave, uploadIdOfPlan } from './client.ts';
import { type PlannedUpload, planUpload, planWeather } from './plan.ts';

export interface SoakOptions {
  readonly seed: number;
  /** For how long uploads are begun, or how many; what is under way then is finished. */
  readonly seconds?: number;
  readonly uploads?: number;
  /** Uploads at once. */
  readonly parallel: number;
  /** Told what happens, a line at a time. */
  readonly log?: (line: string) => void;
}

export interface SoakFigures {
  readonly seed: number;
  readonly seconds: number;
  readonly uploads: number;
  readonly byMode: Readonly<Record<string, number>>;
  readonly byBehaviour: Readonly<Record<string, number>>;
  /** How they ended, by their own status. */
  readonly byEnd: Readonly<Record<string, number>>;
  /** Bytes of the objects that were compared with their sources. */
  readonly comparedBytes: number;
  /** Faults that struck, by kind; of functions, those that were set. */
  readonly faults: Readonly<Record<string, number>>;
  readonly events: number;
  /** Events beyond the first of the same id. */
  readonly repeatedEvents: number;
  readonly executions: number;
}

/** A little more than the watchdog's period, than the 24 hours without a sign of life, and than a record's life. */
const WATCHDOG_PERIOD = 301;
const ABANDONED = 25 * 3600 + 60;
const FORGOTTEN = 8 * 86_400 + 60;

/** How often another weather comes, in milliseconds. */
const WEATHER_MS = 3000;
/** Stack time that passes with each weather, in seconds: the watchdog comes round every 15th. */
const WEATHER_SECONDS = 20;

/**
 * Uploads of all kinds under faults of all kinds, until the time is over; then the faults end, the watchdog comes
 * round, and everything is held against what was planned. The stack must have had no other uploads.
 *
 * The seed determines files, clients and faults' dice; which call meets which fault also depends on the machine.
 *
 * @returns figures, and what is not as it must be: one sentence for each finding
 */
export async function soak(
  stack: TestStack,
  { seed, seconds = Infinity, uploads = Infinity, parallel, log = () => {} }: SoakOptions,
): Promise<{ figures: SoakFigures; findings: string[] }> {
  const begin = Date.now();
  const isOver = (): boolean => Date.now() >= begin + seconds * 1000 || begun.length >= uploads;
  const findings: string[] = [];
  const faults: Record<string, number> = {};
  const begun: PlannedUpload[] = [];
  await stack.control('POST', 'async', { duplicate: true });

  let stormy = true;
  const weather = async (): Promise<void> => {
    for (let number = 0; stormy; number++) {
      const { rules, disorder, functionFault } = planWeather(seed, number);
      await stack.setFaults(rules);
      await stack.control('POST', 'events/disorder', disorder);
      await stack.control('POST', 'functions', functionFault);
      count(faults, `${functionFault.fault} of a function`, functionFault.times);
      await pause(WEATHER_MS);
      await stack.advance(WEATHER_SECONDS);
      await countStrikes(stack, faults);
    }
  };
  const client = async (): Promise<void> => {
    while (!isOver()) {
      const number = begun.length;
      const plan = planUpload(seed, number);
      begun.push(plan);
      try {
        await behave(stack, plan, plan.file());
      } catch (error) {
        const finding = `upload ${number} (${plan.mode}, ${plan.behaviour}): ${(error as Error).message}`;
        findings.push(finding);
        log(finding);
      }
      if (number % 100 === 99) log(`${number + 1} uploads begun, ${findings.length} findings`);
    }
  };
  const changing = weather();
  await Promise.all(Array.from({ length: parallel }, client));
  const took = Math.round((Date.now() - begin) / 1000);
  stormy = false;
  await changing;

  await calmDown(stack);
  log('calm; looking at what there is');
  const { byEnd, comparedBytes, keys } = await compareAll(stack, begun, findings);
  const { events, repeatedEvents } = await compareEvents(stack, begun, findings);
  findings.push(...(await leftovers(stack, keys)));
  return {
    figures: {
      seed,
      seconds: took,
      uploads: begun.length,
      byMode: tally(begun.map(({ mode }) => mode)),
      byBehaviour: tally(begun.map(({ behaviour }) => behaviour)),
      byEnd,
      comparedBytes,
      faults,
      events,
      repeatedEvents,
      executions: (await stack.executions()).length,
    },
    findings,
  };
}

const count = (counts: Record<string, number>, name: string, by = 1): void => {
  counts[name] = (counts[name] ?? 0) + by;
};

function tally(names: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const name of names) count(counts, name);
  return counts;
}

async function countStrikes(stack: TestStack, faults: Record<string, number>): Promise<void> {
  for (const { rule, struck } of await stack.faults()) {
    const { action, service } = rule;
    if (struck === 0) continue;
    const what = 'code' in action ? action.code : 'when' in action ? action.when : '';
    count(faults, [service, action.kind, what].filter(Boolean).join(' '), struck);
  }
}

/** No more faults; everything that is due, or stuck, has its time. */
async function calmDown(stack: TestStack): Promise<void> {
  await stack.setFaults([]);
  await stack.control('POST', 'events/disorder', { duplicate: false });
  await stack.control('POST', 'async', { duplicate: false });
  for (const name of Object.keys(stack.functionNames))
    await stack.control('POST', 'functions', { name, fault: 'none' });
  const settle = async (): Promise<void> => {
    await until('the executions to end', 120_000, async () =>
      (await stack.executions()).some(({ status }) => status === 'RUNNING') ? undefined : true,
    );
  };
  await settle();
  // The first look may find a piece unreported, the second starts what is whole, the third sees to it.
  for (let round = 0; round < 4; round++) {
    await stack.advance(WATCHDOG_PERIOD);
    await watchUntilNothingIsDue(stack);
    await settle();
  }
  await stack.advance(ABANDONED);
  await watchUntilNothingIsDue(stack);
  await settle();
  await stack.advance(WATCHDOG_PERIOD);
  await watchUntilNothingIsDue(stack);
}

/** One run takes 100 uploads of each of 16 partitions; another run of it may be under way, by its schedule. */
async function watchUntilNothingIsDue(stack: TestStack): Promise<void> {
  await until('nothing to be due', 300_000, async () => {
    const watch = async () => (await stack.watch()) as { looked: number };
    const { looked } = await untilOk('watch', watch, 60, isBusy);
    return looked === 0 ? true : undefined;
  });
}

/** Lambda's word for it: there is never more than one run of the watchdog. */
const isBusy = (error: unknown): boolean => (error as Error).name === 'TooManyRequestsException';

/** What a client that did not stop must have got; and what becomes of the others. */
const wantedEnd = ({ behaviour }: PlannedUpload): readonly string[] =>
  behaviour === 'leaves'
    ? // All of it may have been sent when it left.
      ['completed', 'expired']
    : behaviour === 'aborts'
      ? ['completed', 'aborted', 'expired']
      : ['completed', 'failed'];

async function compareAll(
  stack: TestStack,
  plans: readonly PlannedUpload[],
  findings: string[],
): Promise<{ byEnd: Record<string, number>; comparedBytes: number; keys: Set<string> }> {
  const byEnd: Record<string, number> = {};
  const keys = new Set<string>();
  let comparedBytes = 0;
  for (const [number, plan] of plans.entries()) {
    const about = `upload ${number} (${plan.mode}, ${plan.behaviour}, ${plan.size} bytes)`;
    const file = plan.file();
    const uploadId = uploadIdOfPlan(plan, file);
    try {
      const { status, key } = await describeUpload(stack, uploadId);
      count(byEnd, String(status));
      if (!wantedEnd(plan).includes(String(status))) findings.push(`${about} is ${String(status)}`);
      if (status !== 'completed') continue;
      keys.add(String(key));
      const object = await objectAt(stack, String(key));
      comparedBytes += object.size;
      if (object.sha256 !== sha256(file.bytes)) findings.push(`${about} is not what was sent`);
    } catch (error) {
      // What was never begun, since its client left before the first piece.
      if (plan.stopsAfter < 1 && isUnknown(error) && isUnfinished(plan)) count(byEnd, 'never begun');
      else findings.push(`${about}: ${(error as Error).message}`);
    }
  }
  return { byEnd, comparedBytes, keys };
}

/** The answer was that there is no such upload. */
const isUnknown = (error: unknown): boolean => ((error as Error).cause as ApiError).status === 404;

const isUnfinished = ({ behaviour }: PlannedUpload): boolean =>
  behaviour === 'leaves' || behaviour === 'aborts';

const EVENT_OF: Readonly<Record<string, string>> = {
  completed: 'Upload Completed',
  failed: 'Upload Failed',
  expired: 'Upload Expired',
};

/** Every end is told, by one event or by repetitions of one; and nothing else is told as the last word. */
async function compareEvents(
  stack: TestStack,
  plans: readonly PlannedUpload[],
  findings: string[],
): Promise<{ events: number; repeatedEvents: number }> {
  const events = await stack.events();
  for (const event of events) conformEvent(event);
  const byUpload = Map.groupBy(events, ({ detail }) => detail.uploadId);
  for (const [number, plan] of plans.entries()) {
    const uploadId = uploadIdOfPlan(plan, plan.file());
    const told = byUpload.get(uploadId) ?? [];
    const last = told.at(-1)?.['detail-type'];
    const status = await describeUpload(stack, uploadId).then(
      (upload) => String(upload.status),
      (error) => {
        if (!isUnknown(error)) throw error;
        return 'never begun';
      },
    );
    if (told.length > 0 || EVENT_OF[status])
      if (last !== EVENT_OF[status]) findings.push(`upload ${number} is ${status}, and "${last}" was told`);
    const completions = told.filter((event) => event['detail-type'] === 'Upload Completed');
    if (new Set(completions.map(({ detail }) => detail.eventId)).size > 1)
      findings.push(`upload ${number} was told to be complete under several ids`);
  }
  const ids = new Set(events.map(({ detail }) => detail.eventId));
  return { events: events.length, repeatedEvents: events.length - ids.size };
}

/** In the end there are the objects, and nothing else: not in the bucket, and not in the table. */
async function leftovers(stack: TestStack, keys: ReadonlySet<string>): Promise<string[]> {
  const findings: string[] = [];
  for (const item of await stack.items())
    if (typeof item['ttl'] !== 'number') findings.push(`an item without TTL: ${JSON.stringify(item)}`);
  // A failed upload keeps what it has for as long as it could be redriven.
  await stack.advance(FORGOTTEN - 2 * 86_400);
  await watchUntilNothingIsDue(stack);
  await stack.advance(WATCHDOG_PERIOD);
  await watchUntilNothingIsDue(stack);
  const objects = await stack.objects();
  const others = objects.filter((key) => !keys.has(key));
  if (others.length > 0) findings.push(`objects that are nobody's: ${others.slice(0, 5).join(', ')}`);
  if (objects.length - others.length !== keys.size)
    findings.push(`${keys.size} objects were there, ${objects.length - others.length} are left`);
  const open = await stack.multipartUploads();
  if (open.length > 0) findings.push(`multipart uploads left: ${open.slice(0, 5).join(', ')}`);
  await stack.advance(FORGOTTEN);
  await stack.sweepTtl();
  const items = await stack.items();
  if (items.length > 0) findings.push(`items left: ${JSON.stringify(items.slice(0, 3))}`);
  return findings;
}
