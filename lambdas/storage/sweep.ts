import {
  ListMultipartUploadsCommand,
  type ListMultipartUploadsCommandOutput,
  paginateListObjectsV2,
} from '@aws-sdk/client-s3';
import { objectPrefix, stagingPrefix, type UploadRecord } from '../upload/record.ts';
import { abortMultipartUpload, type Bucket, type MultipartUpload } from './multipart.ts';
import { deleteObjects } from './staging.ts';

/**
 * Removes what this attempt, and those before it, left in S3: multipart uploads in progress (also ones whose id was
 * never recorded, since their function died first) and staged chunks. Finished objects stay, and so does everything
 * of a newer attempt.
 */
export async function sweepStorage(bucket: Bucket, upload: UploadRecord): Promise<void> {
  const { client, bucketName } = bucket;
  const isOurs = (key: string, prefix: string): boolean => {
    const attempt = key.slice(prefix.length).split('/')[0] ?? '';
    // A key of another shape can only be another owner's, below a key prefix of the deployer's.
    return /^[0-9a-z]{14}$/.test(attempt) && attempt <= upload.attempt;
  };

  const objects = objectPrefix(upload);
  for await (const orphan of multipartUploadsIn(bucket, objects)) {
    if (isOurs(orphan.key, objects)) await abortMultipartUpload(bucket, orphan);
  }

  const staging = stagingPrefix(upload);
  for await (const { Contents } of paginateListObjectsV2(
    { client },
    { Bucket: bucketName, Prefix: staging },
  )) {
    const keys = (Contents ?? []).map(({ Key = '' }) => Key).filter((key) => isOurs(key, staging));
    if (keys.length > 0) await deleteObjects(bucket, keys);
  }
}

async function* multipartUploadsIn(
  { client, bucketName }: Bucket,
  prefix: string,
): AsyncGenerator<MultipartUpload> {
  let marker: { KeyMarker?: string; UploadIdMarker?: string } | undefined = {};
  while (marker) {
    const page: ListMultipartUploadsCommandOutput = await client.send(
      new ListMultipartUploadsCommand({ Bucket: bucketName, Prefix: prefix, ...marker }),
    );
    for (const { Key = '', UploadId = '' } of page.Uploads ?? []) yield { key: Key, s3UploadId: UploadId };
    marker =
      page.IsTruncated && page.NextKeyMarker
        ? { KeyMarker: page.NextKeyMarker, UploadIdMarker: page.NextUploadIdMarker ?? '' }
        : undefined;
  }
}
