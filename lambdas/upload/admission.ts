import { Problem } from '../http/problems.ts';
import { abortMultipartUpload, type Bucket } from '../storage/multipart.ts';
import { type AuthorizeHook, authorizeUpload } from './authorize.ts';
import { type UploadIdentity, uploadIdOf } from './identity.ts';
import { getOrCreateUpload, newUpload } from './lifecycle.ts';
import { hasQuota, QuotaExceeded, release, reserve } from './quota.ts';
import { objectKey, statusAt, type UploadRecord } from './record.ts';
import type { UploadSettings } from './settings.ts';
import type { Table } from './store.ts';

export interface AdmissionServices {
  readonly table: Table;
  readonly bucket: Bucket;
  readonly settings: UploadSettings;
  /** The deployer's function, where there is one. */
  readonly hook?: AuthorizeHook | undefined;
}

/**
 * Finds the live attempt of an upload, or lets a new one begin: if the deployer's function allows it, and it fits into
 * what its owner may have in progress. Neither is asked about one that is there.
 *
 * @param mayStartOver whether a new attempt may take the place of one that has failed, was aborted or has expired
 * @throws Problem `upload-refused`, `quota-exceeded`, `upload-not-open`
 */
export async function admitUpload(
  services: AdmissionServices,
  identity: UploadIdentity,
  file: {
    readonly contentType: string;
    readonly pieceSize: number;
    readonly metadata?: Readonly<Record<string, string>> | undefined;
  },
  { claims, now }: { claims?: Readonly<Record<string, string>> | undefined; now: number },
  { mayStartOver }: { readonly mayStartOver: boolean } = { mayStartOver: true },
): Promise<{ upload: UploadRecord; created: boolean }> {
  const { table, bucket, settings } = services;
  const counted = hasQuota(settings);
  let decided: ReturnType<typeof decide> | undefined;
  const create = async (previous: UploadRecord | undefined): Promise<UploadRecord | undefined> => {
    if (previous && !mayStartOver)
      throw new Problem(
        'upload-not-open',
        `The upload is ${statusAt(previous, now)}: to send the file again, begin with its first chunk.`,
      );
    decided ??= decide(services.hook, identity, file, claims);
    const upload = newUpload(identity, { ...file, ...(await decided) }, settings, now, previous);
    if (!counted) return upload;
    // Its place is taken by the new one. It may be there still: a function died, or the watchdog is yet to come.
    if (previous) await release(table, previous);
    return (await reserved(table, upload, settings, now)) ? upload : undefined;
  };
  const { upload, created, previous } = await getOrCreateUpload(
    table,
    { owner: identity.owner, uploadId: uploadIdOf(identity) },
    now,
    create,
    async (lost) => {
      if (counted) await release(table, lost);
    },
  );
  // Nobody can complete it any more. Where a quota is set, failing and starting over would store without end.
  if (previous?.s3UploadId)
    await abortMultipartUpload(bucket, { key: objectKey(previous), s3UploadId: previous.s3UploadId });
  return { upload, created };
}

async function decide(
  hook: AuthorizeHook | undefined,
  { owner, mode, fileName, totalSize }: UploadIdentity,
  {
    contentType,
    metadata = {},
  }: { contentType: string; metadata?: Readonly<Record<string, string>> | undefined },
  claims: Readonly<Record<string, string>> | undefined,
): Promise<{ keyPrefix?: string; metadata?: Readonly<Record<string, string>> }> {
  if (!hook) return {};
  const { allow: _, ...decision } = await authorizeUpload(hook, {
    version: '1',
    owner,
    mode,
    fileName,
    size: totalSize,
    contentType,
    metadata,
    ...(claims && { claims }),
  });
  return decision;
}

async function reserved(
  table: Table,
  upload: UploadRecord,
  settings: UploadSettings,
  now: number,
): Promise<boolean> {
  try {
    return await reserve(table, upload, settings, now);
  } catch (error) {
    if (!(error instanceof QuotaExceeded)) throw error;
    // Resumable.js would repeat a 429 a hundred times without a pause; at a 400 it stops, and says why.
    throw new Problem(
      'quota-exceeded',
      error.message,
      { 'retry-after': '60' },
      upload.mode === 'proxy' ? 400 : 429,
    );
  }
}
