import { Duration, Size } from 'aws-cdk-lib';

/** Sizes and times as people write them. Undefined for what is neither. */

const BYTES = { B: 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40 } as const;

/** `"16 MiB"`, `"1.5 GiB"`, or a number of bytes. Powers of 1000 (MB, GB) are not taken: S3's limits are not in them. */
export function parseSize(value: unknown): Size | undefined {
  if (typeof value === 'number') return isWhole(value) ? Size.bytes(value) : undefined;
  if (typeof value !== 'string') return undefined;
  const match = /^(\d+(?:\.\d+)?)\s*(B|KiB|MiB|GiB|TiB)?$/.exec(value.trim());
  if (!match) return undefined;
  const bytes = Number(match[1]) * BYTES[(match[2] ?? 'B') as keyof typeof BYTES];
  return isWhole(bytes) ? Size.bytes(bytes) : undefined;
}

const SECONDS = { s: 1, m: 60, h: 3600, d: 86_400 } as const;

/** `"90s"`, `"15m"`, `"24h"`, `"7d"`. */
export function parseDuration(value: unknown): Duration | undefined {
  if (typeof value !== 'string') return undefined;
  const match = /^(\d+)\s*(s|m|h|d)$/.exec(value.trim());
  if (!match) return undefined;
  const seconds = Number(match[1]) * SECONDS[match[2] as keyof typeof SECONDS];
  return isWhole(seconds) ? Duration.seconds(seconds) : undefined;
}

const isWhole = (value: number): boolean => Number.isSafeInteger(value) && value >= 0;
