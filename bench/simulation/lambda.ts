import type { UploadFunctionName } from '../../infra/function-map.ts';
import { type Meter, tokenBucket } from './meter.ts';
import { QUOTAS } from './quotas.ts';
import type { SimulatedTime } from './time.ts';

/** The account has no more concurrency, or the function cannot grow as fast. */
export class Throttled extends Error {
  override readonly name = 'Throttled';
}

export interface SimulatedLambda {
  /**
   * Runs a function: its calls take their simulated time, its own work `cpuMs`.
   *
   * @throws Throttled
   */
  run<T>(name: UploadFunctionName, cpuMs: number, task: () => Promise<T>): Promise<T>;
}

const COLD_START_MS = 500;

/** Lambda's instances: one for each request at a time, new ones as fast as AWS makes them, within the account's quota. */
export function simulatedLambda(
  time: SimulatedTime,
  meter: Meter,
  concurrency: number = QUOTAS.lambdaConcurrency,
): SimulatedLambda {
  const functions = new Map<string, { idle: number; growth: { take(): boolean } }>();
  let running = 0;
  const functionOf = (name: string) => {
    const known = functions.get(name) ?? {
      idle: 0,
      growth: tokenBucket(time.now, QUOTAS.lambdaNewInstances, QUOTAS.lambdaNewInstancesPerSecond),
    };
    functions.set(name, known);
    return known;
  };
  return {
    async run(name, cpuMs, task) {
      const fn = functionOf(name);
      const isCold = fn.idle === 0;
      if (running >= concurrency || (isCold && !fn.growth.take())) {
        meter.add('throttled');
        throw new Throttled(`${name} is throttled.`);
      }
      if (!isCold) fn.idle--;
      running++;
      const release = [meter.hold('in flight'), meter.hold(`in flight: ${name}`)];
      meter.add(isCold ? 'cold starts' : 'warm starts');
      try {
        await time.sleep(cpuMs + (isCold ? COLD_START_MS : 0));
        return await task();
      } finally {
        running--;
        fn.idle++;
        for (const done of release) done();
      }
    },
  };
}
