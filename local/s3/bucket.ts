/** A CORS rule of a bucket. */
export interface CorsRule {
  readonly id?: string;
  /** `*`, or origins with at most one `*` each. */
  readonly allowedOrigins: readonly string[];
  readonly allowedMethods: readonly string[];
  /** Header names with at most one `*` each. */
  readonly allowedHeaders?: readonly string[];
  readonly exposedHeaders?: readonly string[];
  /** Seconds. */
  readonly maxAge?: number;
}

/** A lifecycle rule of a bucket, of the actions that this S3 carries out. */
export interface LifecycleRule {
  readonly id?: string;
  /** Keys that it applies to. @default '' (all) */
  readonly prefix?: string;
  /** @default true */
  readonly enabled?: boolean;
  readonly abortIncompleteMultipartUploadDays?: number;
  readonly expirationDays?: number;
}

export interface BucketOptions {
  readonly corsRules?: readonly CorsRule[];
  readonly lifecycle?: readonly LifecycleRule[];
  /**
   * ETags that are no MD5s and differ for equal bytes, as under SSE-KMS.
   * @default false
   */
  readonly opaqueEtags?: boolean;
}

/**
 * A bucket's options from the properties of an `AWS::S3::Bucket`.
 *
 * @throws Error for a CORS or lifecycle element that this S3 does not carry out: ignoring it would make the local
 * bucket behave unlike the deployed one.
 */
export function bucketOptions(properties: Readonly<Record<string, unknown>>): BucketOptions {
  const cors = list(record(properties.CorsConfiguration).CorsRules).map((rule): CorsRule => {
    const { Id, AllowedOrigins, AllowedMethods, AllowedHeaders, ExposedHeaders, MaxAge, ...rest } =
      record(rule);
    refuse('CORS rule', rest);
    return {
      ...(Id === undefined ? {} : { id: String(Id) }),
      allowedOrigins: list(AllowedOrigins).map(String),
      allowedMethods: list(AllowedMethods).map(String),
      allowedHeaders: list(AllowedHeaders).map(String),
      exposedHeaders: list(ExposedHeaders).map(String),
      ...(MaxAge === undefined ? {} : { maxAge: Number(MaxAge) }),
    };
  });
  const lifecycle = list(record(properties.LifecycleConfiguration).Rules).map((rule): LifecycleRule => {
    const { Id, Prefix, Status, AbortIncompleteMultipartUpload, ExpirationInDays, ...rest } = record(rule);
    refuse('lifecycle rule', rest);
    const { DaysAfterInitiation } = record(AbortIncompleteMultipartUpload);
    return {
      ...(Id === undefined ? {} : { id: String(Id) }),
      ...(Prefix === undefined ? {} : { prefix: String(Prefix) }),
      enabled: Status === 'Enabled',
      ...(DaysAfterInitiation === undefined
        ? {}
        : { abortIncompleteMultipartUploadDays: Number(DaysAfterInitiation) }),
      ...(ExpirationInDays === undefined ? {} : { expirationDays: Number(ExpirationInDays) }),
    };
  });
  const encryption = list(record(properties.BucketEncryption).ServerSideEncryptionConfiguration);
  const opaqueEtags = encryption.some((rule) =>
    String(record(record(rule).ServerSideEncryptionByDefault).SSEAlgorithm ?? '').startsWith('aws:kms'),
  );
  return { corsRules: cors, lifecycle, opaqueEtags };
}

const record = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
const list = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);
const refuse = (what: string, rest: object): void => {
  const names = Object.keys(rest);
  if (names.length > 0)
    throw new Error(`the local S3 does not carry out ${names.join(', ')} of a bucket's ${what}`);
};
