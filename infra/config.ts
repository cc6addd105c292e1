import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { type Duration, RemovalPolicy, type Size } from 'aws-cdk-lib';
import { RetentionDays } from 'aws-cdk-lib/aws-logs';
import { UploadAuth } from './auth.ts';
import { nearest } from './did-you-mean.ts';
import { UPLOAD_FUNCTIONS } from './function-map.ts';
import type { Throttle, UploadThrottle } from './http-api.ts';
import { InvalidOption } from './invalid-option.ts';
import { parseDuration, parseSize } from './quantities.ts';
import type { UploadsStackProps } from './stack.ts';

/**
 * Options of the command line's app: `uploads.config.json` (or what `-c config=<path>` names), and over it `-c` values
 * of the same names. A value on the command line is text: lists are split at commas, objects are JSON.
 */
export interface Config {
  readonly stackName: string;
  readonly stack: UploadsStackProps;
}

export interface ConfigSources {
  /** `-c` values and those of cdk.json. */
  readonly context: Readonly<Record<string, unknown>>;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Where `uploads.config.json` is looked for, and relative paths start. */
  readonly directory: string;
}

/** @throws InvalidOption whose message is one sentence for the person at the terminal */
export function loadConfig(sources: ConfigSources): Config {
  const values = { ...fromFile(sources), ...fromContext(sources.context) };
  const { stackName, ...stack } = parse(values);
  return { stackName: stackName ?? 'ResumableUploads', stack: { ...localDefaults(sources.env), ...stack } };
}

interface Reader<T> {
  readonly expected: string;
  /** Undefined: the value is not what is expected. */
  readonly read: (value: unknown) => T | undefined;
}

type Options = UploadsStackProps & { readonly stackName?: string };

const OPTIONS: { readonly [Name in keyof Required<Options>]: Reader<Options[Name]> } = {
  stackName: text('letters, digits and hyphens, beginning with a letter', /^[A-Za-z][A-Za-z0-9-]{0,127}$/),
  auth: { expected: '"iam", or {"type": "jwt", "issuer": …, "audience": …}', read: auth },
  allowedOrigins: texts('like ["https://app.example.com"]'),
  allowedContentTypes: texts('like ["video/*"]'),
  allowedExtensions: texts('like [".mp4", ".mov"]'),
  checkContent: flag(),
  maxUploadsPerOwner: { expected: 'a whole number', read: wholeNumber },
  maxBytesPerOwner: size('like "500 GiB", or a number of bytes'),
  minFileSize: size('like "1 KiB", or a number of bytes'),
  maxFileSize: size('like "100 GiB", or a number of bytes'),
  partSize: size('like "16 MiB", or a number of bytes'),
  urlExpiry: duration('like "1h"'),
  abandonAfter: duration('like "24h"'),
  maxUploadAge: duration('like "7d"'),
  keepRecords: duration('like "7d"'),
  transferAcceleration: flag(),
  deletionProtection: flag(),
  pointInTimeRecovery: flag(),
  accessLogs: flag(),
  tracing: flag(),
  sourceMaps: flag(),
  dashboard: flag(),
  removalPolicy: choice({ retain: RemovalPolicy.RETAIN, destroy: RemovalPolicy.DESTROY }),
  workflowLogs: choice({ none: 'none', errors: 'errors', all: 'all' } as const),
  logLevel: choice({ DEBUG: 'DEBUG', INFO: 'INFO', WARN: 'WARN', ERROR: 'ERROR' } as const),
  logRetentionDays: { expected: `one of ${retentions().join(', ')}`, read: retention },
  kmsKey: text('"new", or the ARN of a KMS key', /^(new|arn:[\w-]+:kms:.+)$/),
  authorizeFunctionArn: text('the ARN of a Lambda function', /^arn:[\w-]+:lambda:.+:function:.+$/),
  bucketName: text('the name of a bucket of yours', /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/),
  eventBusName: text('the name of an event bus of yours, such as "default"', /^[\w./-]+$/),
  bucketAccessLogsBucketName: text('the name of a bucket of yours', /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/),
  dataEventsBucketName: text('the name of a bucket of yours', /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/),
  throttle: { expected: '{"rateLimit": requests a second, "burstLimit": requests at once}', read: throttle },
  reservedConcurrency: { expected: `{"<function>": a whole number}`, read: counts },
  alarms: flag(),
  alarmTopicArn: text('the ARN of an SNS topic', /^arn:[\w-]+:sns:.+$/),
};

function parse(values: Readonly<Record<string, unknown>>): Options {
  const entries = Object.entries(values).map(([name, value]) => {
    if (!Object.hasOwn(OPTIONS, name)) throw new InvalidOption(unknownOption(name));
    const { expected, read } = OPTIONS[name as keyof Options];
    const parsed = read(value);
    if (parsed === undefined) {
      throw new InvalidOption(`${name}: ${JSON.stringify(value)} is not understood; write ${expected}.`);
    }
    return [name, parsed];
  });
  return Object.fromEntries(entries) as Options;
}

function unknownOption(name: string): string {
  const names = Object.keys(OPTIONS);
  const guess = nearest(name, names);
  return `There is no option "${name}"; ${guess ? `did you mean "${guess}"?` : `the options are ${names.join(', ')}.`}`;
}

function fromFile({ context, directory }: ConfigSources): Record<string, unknown> {
  const named = context['config'];
  const path = resolve(directory, typeof named === 'string' ? named : 'uploads.config.json');
  if (!existsSync(path)) {
    if (named === undefined) return {};
    throw new InvalidOption(`config: there is no file ${path}.`);
  }
  const content = parseJson(readFileSync(path, 'utf8'));
  if (!isObject(content)) {
    throw new InvalidOption(
      `${path} does not hold a JSON object of options, like {"maxFileSize": "100 GiB"}.`,
    );
  }
  const { $schema: _, ...values } = content;
  return values;
}

/**
 * Ours are the plain words of the context: what AWS puts there has a colon, a slash or a hyphen in its name.
 * A value that looks like JSON is taken as such, since `-c` gives text only.
 */
const fromContext = (context: Readonly<Record<string, unknown>>): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries(context)
      .filter(([name]) => /^\w+$/.test(name) && name !== 'config')
      .map(([name, value]) => [
        name,
        typeof value === 'string' && /^[[{]/.test(value) ? (parseJson(value) ?? value) : value,
      ]),
  );

/**
 * The local stack says that it is one. Only then, and only where no option says otherwise, uploads are open to
 * whoever reaches this machine's loopback, from pages of any origin.
 */
function localDefaults(env: ConfigSources['env']): Pick<UploadsStackProps, 'auth' | 'allowedOrigins'> {
  if (env['UPLOADS_LOCAL'] !== '1') return {};
  return { allowedOrigins: ['*'], auth: localAuth(env) };
}

function localAuth(env: ConfigSources['env']): UploadAuth {
  switch (env['AUTH'] ?? 'none') {
    case 'none':
      return UploadAuth.none({ iUnderstandThatAnyoneCanUpload: true });
    case 'iam':
      return UploadAuth.iam();
    case 'jwt':
      if (!env['UPLOADS_LOCAL_URL']) {
        throw new InvalidOption(
          'AUTH=jwt needs the issuer: set UPLOADS_LOCAL_URL to the URL of the local API.',
        );
      }
      return UploadAuth.jwt({
        issuer: `${env['UPLOADS_LOCAL_URL']}/_local/issuer`,
        audience: 'resumable-uploads',
      });
    default:
      throw new InvalidOption(`AUTH is "${env['AUTH']}"; write none, jwt or iam.`);
  }
}

function auth(value: unknown): UploadAuth | undefined {
  if (value === 'iam') return UploadAuth.iam();
  if (value === 'none') return UploadAuth.none();
  if (!isObject(value)) return undefined;
  const { type, issuer, audience, scopes, iUnderstandThatAnyoneCanUpload, ...rest } = value;
  if (Object.keys(rest).length > 0) return undefined;
  if (type === 'iam') return UploadAuth.iam();
  if (type === 'none') {
    return UploadAuth.none({ iUnderstandThatAnyoneCanUpload: iUnderstandThatAnyoneCanUpload === true });
  }
  const audiences = textList(audience);
  const scopeList = scopes === undefined ? [] : textList(scopes);
  if (type !== 'jwt' || typeof issuer !== 'string' || !audiences || !scopeList) return undefined;
  return UploadAuth.jwt({ issuer, audience: audiences, scopes: scopeList });
}

function throttle(value: unknown): UploadThrottle | undefined {
  if (!isObject(value)) return undefined;
  const { routes, ...stage } = value;
  const limits = oneThrottle(stage);
  if (!limits || routes === undefined) return limits;
  if (!isObject(routes)) return undefined;
  const parsed = Object.entries(routes).map(([route, one]) => [route, oneThrottle(one)] as const);
  if (parsed.some(([, one]) => one === undefined)) return undefined;
  return { ...limits, routes: Object.fromEntries(parsed) as Record<string, Throttle> };
}

function oneThrottle(value: unknown): Throttle | undefined {
  if (!isObject(value)) return undefined;
  const { rateLimit, burstLimit, ...rest } = value;
  if (typeof rateLimit !== 'number' || typeof burstLimit !== 'number' || Object.keys(rest).length > 0) {
    return undefined;
  }
  return { rateLimit, burstLimit };
}

function counts(value: unknown): Options['reservedConcurrency'] {
  if (!isObject(value) || Object.values(value).some((one) => typeof one !== 'number')) return undefined;
  for (const name of Object.keys(value)) {
    const guess = nearest(name, Object.keys(UPLOAD_FUNCTIONS));
    if (!Object.hasOwn(UPLOAD_FUNCTIONS, name) && guess) {
      throw new InvalidOption(
        `reservedConcurrency: there is no function "${name}"; did you mean "${guess}"?`,
      );
    }
  }
  return value as Record<string, number>;
}

/** Days and months come as CDK's own enumeration of what CloudWatch Logs takes. */
function retention(value: unknown): RetentionDays | undefined {
  const days = typeof value === 'string' && /^\d+$/.test(value) ? Number(value) : value;
  return typeof days === 'number' && retentions().includes(days) ? (days as RetentionDays) : undefined;
}

function retentions(): number[] {
  return Object.values(RetentionDays).filter((days) => typeof days === 'number' && days !== 9999) as number[];
}

function wholeNumber(value: unknown): number | undefined {
  const number = typeof value === 'string' && /^\d+$/.test(value) ? Number(value) : value;
  return Number.isSafeInteger(number) ? (number as number) : undefined;
}

function text(expected: string, pattern: RegExp): Reader<string> {
  return {
    expected,
    read: (value) => (typeof value === 'string' && pattern.test(value) ? value : undefined),
  };
}

function texts(example: string): Reader<string[]> {
  return { expected: `a list ${example}`, read: textList };
}

function size(expected: string): Reader<Size> {
  return { expected: `a size ${expected} (units: B, KiB, MiB, GiB, TiB)`, read: parseSize };
}

function duration(expected: string): Reader<Duration> {
  return { expected: `a time ${expected} (units: s, m, h, d)`, read: parseDuration };
}

function flag(): Reader<boolean> {
  const values: Record<string, boolean> = { true: true, false: false };
  return { expected: 'true or false', read: (value) => values[String(value)] };
}

function choice<T>(values: Readonly<Record<string, T>>): Reader<T> {
  return {
    expected: `one of ${Object.keys(values).join(', ')}`,
    read: (value) => (typeof value === 'string' && Object.hasOwn(values, value) ? values[value] : undefined),
  };
}

function textList(value: unknown): string[] | undefined {
  if (typeof value === 'string') return value === '' ? [] : value.split(',').map((one) => one.trim());
  return Array.isArray(value) && value.every((one) => typeof one === 'string') ? value : undefined;
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Undefined where the text is no JSON. */
function parseJson(json: string): unknown {
  try {
    return JSON.parse(json) as unknown;
  } catch {
    return undefined;
  }
}
