import { Duration, Size, Token } from 'aws-cdk-lib';
import { GiB, MiB, S3_LIMITS } from '../lambdas/parts/geometry.ts';
import { MAX_COUNTED_UPLOADS, type UploadSettings } from '../lambdas/upload/settings.ts';
import { InvalidOption } from './invalid-option.ts';

/** What may be uploaded, how it is cut, and how long everything lives. */
export interface UploadRules {
  /**
   * The smallest file taken.
   * @default Size.bytes(1): S3 has no multipart upload of nothing
   */
  readonly minFileSize?: Size;
  /**
   * The largest file taken; S3's own limit is 48.8 TiB (10,000 parts of 5 GiB).
   * @default Size.tebibytes(1)
   */
  readonly maxFileSize?: Size;
  /**
   * Media types taken, for example `video/mp4` or `video/*`. It is what the client says about its file; see
   * `checkContent`.
   * @default any
   */
  readonly allowedContentTypes?: readonly string[];
  /**
   * File name endings taken, with their dot, for example `.mp4`.
   * @default any
   */
  readonly allowedExtensions?: readonly string[];
  /**
   * Looks at a file's first bytes: they must be of the announced type. In presigned mode the first part is then
   * staged, looked at when all parts are there, and copied into its place, for one more PUT and one GET.
   * @default false
   */
  readonly checkContent?: boolean;
  /**
   * Uploads that one owner may have in progress, 1 to 1,000; more are refused until one is completed, aborted or
   * expired. Costs two writes for each upload.
   * @default any number
   */
  readonly maxUploadsPerOwner?: number;
  /**
   * Bytes, as announced, that one owner may have in progress, with at most 1,000 uploads. A larger file is refused
   * whatever `maxFileSize` says.
   * @default any number
   */
  readonly maxBytesPerOwner?: Size;
  /**
   * Bytes of a part that a browser PUTs to S3 by a presigned URL, 5 MiB to 5 GiB. A file that would need more
   * than 10,000 of them gets larger ones.
   * @default Size.mebibytes(16)
   */
  readonly partSize?: Size;
  /**
   * How long a presigned URL can be used, 1 minute to 7 days. A URL also ends with the credentials of the function
   * that signed it, whatever it says: those last 12 hours at most, so nothing is gained above that.
   * @default Duration.hours(1)
   */
  readonly urlExpiry?: Duration;
  /**
   * An upload without a new part for this long has expired. At least 15 minutes (the watchdog looks every 5) and
   * not less than `urlExpiry`.
   * @default Duration.hours(24)
   */
  readonly abandonAfter?: Duration;
  /**
   * An upload not completed this long after its start has expired in any case. The bucket's lifecycle rules
   * follow from it: they clean up what is left, at least a day later.
   * @default Duration.days(7)
   */
  readonly maxUploadAge?: Duration;
  /**
   * How long the record of a completed upload stays. As long, the client is told that its file is already there.
   * @default Duration.days(7)
   */
  readonly keepRecords?: Duration;
  /**
   * Uploads travel over S3 Transfer Acceleration: faster from afar, at $0.04 to $0.08 per GB.
   * @default false
   */
  readonly transferAcceleration?: boolean;
}

/** The longest session of a role, and so the longest life of a URL that it signs: https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-presigned-url.html */
export const LONGEST_ROLE_SESSION = Duration.hours(12);

/** @throws InvalidOption naming the option and what to write instead */
export function settingsOf(rules: UploadRules): UploadSettings {
  const settings: UploadSettings = {
    minFileSize: (rules.minFileSize ?? Size.bytes(1)).toBytes(),
    maxFileSize: (rules.maxFileSize ?? Size.tebibytes(1)).toBytes(),
    allowedContentTypes: (rules.allowedContentTypes ?? []).map((type) => type.toLowerCase()),
    allowedExtensions: (rules.allowedExtensions ?? []).map((extension) => extension.toLowerCase()),
    partSize: (rules.partSize ?? Size.mebibytes(16)).toBytes(),
    urlExpirySeconds: seconds('urlExpiry', rules.urlExpiry ?? Duration.hours(1)),
    abandonAfterSeconds: seconds('abandonAfter', rules.abandonAfter ?? Duration.hours(24)),
    maxAgeSeconds: seconds('maxUploadAge', rules.maxUploadAge ?? Duration.days(7)),
    keepRecordSeconds: seconds('keepRecords', rules.keepRecords ?? Duration.days(7)),
    accelerate: rules.transferAcceleration ?? false,
    ...(rules.checkContent && { checkContent: true }),
    ...(rules.maxUploadsPerOwner !== undefined && { maxUploadsPerOwner: rules.maxUploadsPerOwner }),
    ...(rules.maxBytesPerOwner && { maxBytesPerOwner: rules.maxBytesPerOwner.toBytes() }),
  };
  checkQuotas(settings);
  checkSizes(settings);
  checkTimes(settings);
  for (const type of settings.allowedContentTypes) {
    if (!/^[a-z0-9][\w.+-]*\/(\*|[a-z0-9][\w.+-]*)$/.test(type)) {
      refuse(`allowedContentTypes: "${type}" is not a media type: write one like "video/mp4" or "video/*".`);
    }
  }
  for (const extension of settings.allowedExtensions) {
    if (!/^\.[^./\\\s]+$/.test(extension)) {
      refuse(
        `allowedExtensions: "${extension}" is not a file name's ending: write one with its dot, like ".mp4".`,
      );
    }
  }
  checkLength(settings);
  return settings;
}

/** All of a function's environment is 4 KB at most: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html */
const MAX_SETTINGS_BYTES = 3_000;

function checkLength(settings: UploadSettings): void {
  const bytes = Buffer.byteLength(JSON.stringify(settings));
  if (bytes > MAX_SETTINGS_BYTES) {
    refuse(
      `allowedContentTypes and allowedExtensions are too long: as settings of a function all options take ${bytes} bytes, and ${MAX_SETTINGS_BYTES} fit; name types together, like "video/*".`,
    );
  }
}

function checkSizes({ minFileSize, maxFileSize, partSize }: UploadSettings): void {
  for (const [name, bytes] of Object.entries({ minFileSize, maxFileSize, partSize })) {
    if (!Number.isSafeInteger(bytes)) refuse(`${name} is ${bytes} bytes: give a whole number of bytes.`);
  }
  if (minFileSize < 1) {
    refuse('minFileSize is 0: S3 has no multipart upload of nothing; give 1 byte or more.');
  }
  if (maxFileSize > S3_LIMITS.maxObjectSize) {
    refuse(
      `maxFileSize is ${bytesText(maxFileSize)}: S3 stores 48.8 TiB at most (10,000 parts of 5 GiB); give that or less.`,
    );
  }
  if (maxFileSize < minFileSize) {
    refuse(
      `maxFileSize (${bytesText(maxFileSize)}) is below minFileSize (${bytesText(minFileSize)}): no file could be uploaded; raise maxFileSize or lower minFileSize.`,
    );
  }
  if (partSize < S3_LIMITS.minPartSize || partSize > S3_LIMITS.maxPartSize) {
    refuse(
      `partSize is ${bytesText(partSize)}: S3 takes parts of 5 MiB to 5 GiB; give a size in that range.`,
    );
  }
}

function checkQuotas({ maxUploadsPerOwner, maxBytesPerOwner, minFileSize }: UploadSettings): void {
  if (
    maxUploadsPerOwner !== undefined &&
    !(
      Number.isInteger(maxUploadsPerOwner) &&
      maxUploadsPerOwner >= 1 &&
      maxUploadsPerOwner <= MAX_COUNTED_UPLOADS
    )
  ) {
    refuse(
      `maxUploadsPerOwner is ${maxUploadsPerOwner}: all are counted in one item, which is charged by its size; give a whole number from 1 to ${MAX_COUNTED_UPLOADS}, or leave it out.`,
    );
  }
  if (maxBytesPerOwner !== undefined && maxBytesPerOwner < minFileSize) {
    refuse(
      `maxBytesPerOwner (${bytesText(maxBytesPerOwner)}) is below minFileSize (${bytesText(minFileSize)}): no file could be uploaded; raise it.`,
    );
  }
}

function checkTimes(settings: UploadSettings): void {
  const { urlExpirySeconds, abandonAfterSeconds, maxAgeSeconds, keepRecordSeconds } = settings;
  if (urlExpirySeconds < MINUTE || urlExpirySeconds > 7 * DAY) {
    refuse(
      `urlExpiry is ${timeText(urlExpirySeconds)}: a presigned URL lives 1 minute to 7 days, and never longer than the signing role's session of at most 12 hours; give a time in that range.`,
    );
  }
  if (abandonAfterSeconds < 15 * MINUTE) {
    refuse(
      `abandonAfter is ${timeText(abandonAfterSeconds)}: the watchdog looks every 5 minutes, and a client on a bad line needs some of them; give 15 minutes or more.`,
    );
  }
  if (abandonAfterSeconds < urlExpirySeconds) {
    refuse(
      `abandonAfter (${timeText(abandonAfterSeconds)}) is below urlExpiry (${timeText(urlExpirySeconds)}): a part could still be on its way when its upload is given up; raise abandonAfter or lower urlExpiry.`,
    );
  }
  if (maxAgeSeconds < abandonAfterSeconds) {
    refuse(
      `maxUploadAge (${timeText(maxAgeSeconds)}) is below abandonAfter (${timeText(abandonAfterSeconds)}), which then never applies; raise maxUploadAge or lower abandonAfter.`,
    );
  }
  if (maxAgeSeconds > 365 * DAY) {
    refuse(
      `maxUploadAge is ${timeText(maxAgeSeconds)}: parts of unfinished uploads are billed as long; give 365 days or less.`,
    );
  }
  if (keepRecordSeconds < 15 * MINUTE) {
    refuse(
      `keepRecords is ${timeText(keepRecordSeconds)}: a client that lost the last answer would upload its file again; give 15 minutes or more.`,
    );
  }
}

const MINUTE = 60;
const DAY = 86_400;

function seconds(name: string, duration: Duration): number {
  if (Token.isUnresolved(duration)) {
    refuse(`${name} is known at deployment only: give a Duration with a literal amount.`);
  }
  return duration.toSeconds();
}

const bytesText = (bytes: number): string =>
  bytes >= GiB
    ? `${amount(bytes / GiB)} GiB`
    : bytes >= MiB
      ? `${amount(bytes / MiB)} MiB`
      : `${bytes} bytes`;

const timeText = (value: number): string =>
  value % DAY === 0
    ? `${value / DAY} days`
    : value % MINUTE === 0
      ? `${value / MINUTE} minutes`
      : `${value} seconds`;

const amount = (value: number): string => String(Math.round(value * 100) / 100);

function refuse(sentence: string): never {
  throw new InvalidOption(sentence);
}
