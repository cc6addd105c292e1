/**
 * What the deployer decided, as the functions get it in their `SETTINGS` variable. The construct fills it from its
 * props; the defaults are there.
 */
export interface UploadSettings {
  /** Bytes; 1 at least: S3 has no multipart upload of nothing. */
  readonly minFileSize: number;
  /** Bytes; S3's own limit is 48.8 TiB. */
  readonly maxFileSize: number;
  /** Media types such as `video/mp4` or `video/*`. Empty: any. */
  readonly allowedContentTypes: readonly string[];
  /** File name endings such as `.mp4`, lower case. Empty: any. */
  readonly allowedExtensions: readonly string[];
  /** Bytes of a presigned part, unless the file needs larger ones to stay within 10,000. */
  readonly partSize: number;
  /** How long a presigned URL can be used. */
  readonly urlExpirySeconds: number;
  /** An upload without a new part for this long has expired. */
  readonly abandonAfterSeconds: number;
  /** An upload not completed this long after its start has expired in any case. */
  readonly maxAgeSeconds: number;
  /** How long the record of a completed upload stays: as long, its parts are answered as already there. */
  readonly keepRecordSeconds: number;
  /** URLs use S3 Transfer Acceleration. */
  readonly accelerate: boolean;
  /** Uploads that one owner may have in progress; absent: any number. */
  readonly maxUploadsPerOwner?: number;
  /** Bytes, as announced, that one owner may have in progress; absent: any number. */
  readonly maxBytesPerOwner?: number;
  /** First bytes must be what the announced type says. Absent: they are not looked at. */
  readonly checkContent?: boolean;
}

/**
 * Entries of one owner at most, also where only bytes are limited: each takes some 90 bytes of an item that a write
 * is charged for by its size.
 */
export const MAX_COUNTED_UPLOADS = 1_000;
