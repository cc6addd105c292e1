/**
 * `npm run soak -- [--seconds 600] [--seed 7] [--parallel 8] [--engines real]`: uploads under faults, as many as fit
 * into the time. Prints figures as JSON; ends with 1 where anything was not as it must be.
 */
import { parseArgs } from 'node:util';
import setUp, { tearDown } from '../engines/global-setup.ts';
import { TestStack } from '../support/stack.ts';
import { PART } from './plan.ts';
import { soak } from './soak.ts';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '600' },
    seed: { type: 'string', default: '7' },
    parallel: { type: 'string', default: '8' },
    engines: { type: 'string' },
  },
});

const number = (name: string, text: string): number => {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new Error(`--${name} is "${text}"; write a whole number`);
  return value;
};

async function main(): Promise<number> {
  const options = {
    seconds: number('seconds', values.seconds),
    seed: number('seed', values.seed),
    parallel: number('parallel', values.parallel),
  };
  if (values.engines !== undefined) process.env.ENGINES = values.engines;
  await setUp();
  const stack = new TestStack({ context: { partSize: PART } });
  try {
    await stack.start();
    const log = (line: string): void => {
      process.stderr.write(`${new Date().toISOString()} ${line}\n`);
    };
    const { figures, findings } = await soak(stack, { ...options, log });
    process.stdout.write(`${JSON.stringify(figures, null, 2)}\n`);
    for (const finding of findings) process.stdout.write(`${finding}\n`);
    return findings.length === 0 ? 0 : 1;
  } finally {
    await stack.stop();
    await tearDown();
  }
}

process.exitCode = await main();
