import { setTimeout as pause } from 'node:timers/promises';
import { DeleteObjectsCommand, GetObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import { type Bucket, isS3Error, unquoted } from './multipart.ts';

/** Stores a chunk until the workflow assembles it. A chunk sent again replaces the former. */
export async function stageChunk(
  { client, bucketName }: Bucket,
  key: string,
  body: Uint8Array,
): Promise<string> {
  const { ETag } = await client.send(
    new PutObjectCommand({ Bucket: bucketName, Key: key, Body: body, ContentLength: body.byteLength }),
  );
  return unquoted(ETag);
}

/** @throws S3's `NoSuchKey` when the chunk is not there */
export async function readChunk({ client, bucketName }: Bucket, key: string): Promise<Uint8Array> {
  const { Body } = await client.send(new GetObjectCommand({ Bucket: bucketName, Key: key }));
  if (!Body) throw new Error(`S3 answered without a body for ${key}.`);
  return await Body.transformToByteArray();
}

/** The beginning of a staged object, and what S3 says of the whole; undefined where there is none. */
export async function readBeginning(
  { client, bucketName }: Bucket,
  key: string,
  length: number,
): Promise<{ bytes: Uint8Array; size: number; etag: string } | undefined> {
  try {
    const { Body, ContentRange, ETag } = await client.send(
      new GetObjectCommand({ Bucket: bucketName, Key: key, Range: `bytes=0-${length - 1}` }),
    );
    if (!Body) throw new Error(`S3 answered without a body for ${key}.`);
    const bytes = await Body.transformToByteArray();
    const size = Number(ContentRange?.split('/')[1] ?? bytes.byteLength);
    return { bytes, size, etag: unquoted(ETag) };
  } catch (error) {
    if (isS3Error(error, 'NoSuchKey')) return undefined;
    throw error;
  }
}

/** DeleteObjects takes 1,000 keys at most; deleting what is not there succeeds. Deletions are free of charge. */
export async function deleteObjects(bucket: Bucket, keys: readonly string[]): Promise<void> {
  for (let from = 0; from < keys.length; from += 1000)
    await deleteBatch(bucket, keys.slice(from, from + 1000));
}

/** Tries of one batch. The SDK repeats what failed as a whole, not what a 200 says was left. */
const BATCH_TRIES = 4;

async function deleteBatch({ client, bucketName }: Bucket, keys: readonly string[]): Promise<void> {
  let left = keys;
  for (let tries = 1; ; tries++) {
    const { Errors = [] } = await client.send(
      new DeleteObjectsCommand({
        Bucket: bucketName,
        Delete: { Quiet: true, Objects: left.map((Key) => ({ Key })) },
      }),
    );
    const [failed] = Errors;
    if (!failed) return;
    if (tries === BATCH_TRIES)
      throw new Error(`S3 did not delete ${failed.Key}: ${failed.Code} ${failed.Message ?? ''}`);
    left = Errors.map(({ Key = '' }) => Key);
    await pause(Math.random() * 100 * 2 ** tries);
  }
}
