import { type Answer, isoDate, type OperationContext, owner, quoted, xmlAnswer } from './answer.ts';
import { checksumElement } from './checksums.ts';
import { invalidArgument, S3Error } from './errors.ts';
import type { UploadRecord } from './metadata.ts';
import { abortAnswer, requireUpload } from './multipart.ts';
import { keyEncoder, pageSize } from './request.ts';

export function listParts(context: OperationContext): Answer {
  const { request, bucket, metadata } = context;
  const upload = requireUpload(context);
  const { type, encode } = keyEncoder(request);
  const limit = pageSize(request, 'max-parts');
  const marker = request.query.get('part-number-marker') ?? '0';
  if (!/^\d{1,10}$/.test(marker)) {
    throw invalidArgument(
      'Argument part-number-marker must be an integer between 0 and 2147483647',
      'part-number-marker',
      marker,
    );
  }
  const found = metadata.parts(upload.id, Number(marker), limit + 1);
  const page = found.slice(0, limit);
  return xmlAnswer(
    'ListPartsResult',
    {
      Bucket: bucket.name,
      Key: encode(upload.key),
      UploadId: upload.id,
      Initiator: owner,
      Owner: owner,
      StorageClass: upload.headers['x-amz-storage-class'] ?? 'STANDARD',
      PartNumberMarker: Number(marker),
      NextPartNumberMarker: page.at(-1)?.partNumber ?? 0,
      MaxParts: limit,
      ...(type === undefined ? {} : { EncodingType: type }),
      IsTruncated: found.length > limit && limit > 0,
      ...(upload.checksum === undefined
        ? {}
        : { ChecksumAlgorithm: upload.checksum.algorithm, ChecksumType: upload.checksum.type }),
      Part: page.map((part) => ({
        PartNumber: part.partNumber,
        LastModified: isoDate(part.modifiedAt),
        ETag: quoted(part.etag),
        Size: part.size,
        ...(upload.checksum === undefined
          ? {}
          : { [checksumElement(upload.checksum.algorithm)]: part.checksums[upload.checksum.algorithm] }),
      })),
    },
    abortAnswer(context, upload.initiatedAt),
  );
}

export function listMultipartUploads(context: OperationContext): Answer {
  const { request, bucket, metadata } = context;
  if (request.query.has('delimiter')) {
    throw new S3Error('NotImplemented', 'ListMultipartUploads with a delimiter is not implemented');
  }
  const { type, encode } = keyEncoder(request);
  const limit = pageSize(request, 'max-uploads');
  const prefix = request.query.get('prefix') ?? '';
  const keyMarker = request.query.get('key-marker') ?? '';
  const idMarker = keyMarker === '' ? '' : (request.query.get('upload-id-marker') ?? '');

  const page: UploadRecord[] = [];
  let truncated = false;
  let [key, id]: [string, string | undefined] = [keyMarker, idMarker === '' ? undefined : idMarker];
  for (let more = limit > 0; more; ) {
    const found = metadata.uploadsAfter(bucket.name, key, id, limit + 1);
    more = found.length === limit + 1;
    for (const upload of found) {
      [key, id] = [upload.key, upload.id];
      if (!upload.key.startsWith(prefix)) continue;
      if (page.length === limit) {
        truncated = true;
        more = false;
        break;
      }
      page.push(upload);
    }
  }
  const last = page.at(-1);
  return xmlAnswer('ListMultipartUploadsResult', {
    Bucket: bucket.name,
    KeyMarker: encode(keyMarker),
    UploadIdMarker: idMarker,
    ...(truncated && last !== undefined
      ? { NextKeyMarker: encode(last.key), NextUploadIdMarker: last.id }
      : {}),
    Prefix: encode(prefix),
    MaxUploads: limit,
    ...(type === undefined ? {} : { EncodingType: type }),
    IsTruncated: truncated,
    Upload: page.map((upload) => ({
      Key: encode(upload.key),
      UploadId: upload.id,
      Initiator: owner,
      Owner: owner,
      StorageClass: upload.headers['x-amz-storage-class'] ?? 'STANDARD',
      Initiated: isoDate(upload.initiatedAt),
      ...(upload.checksum === undefined
        ? {}
        : { ChecksumAlgorithm: upload.checksum.algorithm, ChecksumType: upload.checksum.type }),
    })),
  });
}
