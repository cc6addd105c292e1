/** `npm run token -- alice [--expires 1h] [--scope "a b"]`: prints a token for the running stack. */
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { mintToken } from './issuer.ts';
import type { StackDescription } from './stack.ts';

const USAGE = 'usage: npm run token -- <subject> [--expires 1h] [--scope "scope1 scope2"]';

async function main(): Promise<string> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { expires: { type: 'string', default: '1h' }, scope: { type: 'string' } },
  });
  const [subject, ...others] = positionals;
  if (subject === undefined || others.length > 0) throw new Error(USAGE);
  const dir = resolve(process.env.LOCAL_DIR || '.local');
  const { jwt } = readStack(dir);
  if (!jwt) throw new Error('the running stack asks for no tokens: start it with AUTH=jwt');
  return mintToken(dir, {
    ...jwt,
    subject,
    scope: values.scope,
    expiresInSeconds: readSeconds(values.expires),
    now: Date.now(),
  });
}

function readStack(dir: string): StackDescription {
  try {
    return JSON.parse(readFileSync(join(dir, 'stack.json'), 'utf8')) as StackDescription;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    throw new Error(`no stack runs on ${dir}: start it with AUTH=jwt npm start`, { cause: error });
  }
}

function readSeconds(text: string): number {
  const [, number, unit = 's'] = /^(\d+)([smhd]?)$/.exec(text) ?? [];
  if (number === undefined) throw new Error(`--expires is "${text}"; write for example 90s, 30m, 1h or 7d`);
  const seconds = { s: 1, m: 60, h: 3600, d: 86_400 }[unit || 's'] ?? 1;
  return Number(number) * seconds;
}

main().then(
  (token) => process.stdout.write(`${token}\n`),
  (error: Error) => {
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 1;
  },
);
