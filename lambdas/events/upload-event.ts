import { executionNameOf, objectKey, type UploadRecord } from '../upload/record.ts';

export const EVENT_SOURCE = 'resumable-uploads';

/** The events' detail-types on the bus. */
export const DETAIL_TYPES = {
  completed: 'Upload Completed',
  failed: 'Upload Failed',
  expired: 'Upload Expired',
} as const;

/** What all events tell. Published as JSON Schema in docs/schemas. */
export interface UploadEventDetail {
  readonly version: '1';
  /** The same for every delivery of the same news: de-duplicate by it. */
  readonly eventId: string;
  readonly uploadId: string;
  readonly attempt: string;
  readonly owner: string;
  readonly mode: 'proxy' | 'presigned';
  readonly bucket: string;
  /** Where the object is, or would have been. */
  readonly key: string;
  /** Bytes, as announced; an object has exactly these. */
  readonly size: number;
  readonly contentType: string;
  /** As the client gave it; the key holds a safe form of it. */
  readonly fileName: string;
  /** As the client gave it with the upload. */
  readonly metadata: Readonly<Record<string, string>>;
  /** ISO 8601. */
  readonly createdAt: string;
}

export interface UploadCompletedDetail extends UploadEventDetail {
  /** The object's, without quotes. With several parts it is no MD5. */
  readonly etag: string;
  /** S3's CRC64NVME of the whole object in base64, where S3 gave one. */
  readonly checksumCRC64NVME?: string;
  readonly completedAt: string;
  /** The execution that completed it, to be found in the console. */
  readonly executionName: string;
}

export interface UploadFailedDetail extends UploadEventDetail {
  readonly failedAt: string;
  readonly executionName: string;
  /** The error's name and cause, as the execution has them. */
  readonly error: string;
  readonly cause: string;
}

export interface UploadExpiredDetail extends UploadEventDetail {
  readonly expiredAt: string;
  /** Bytes that had been recorded. */
  readonly receivedBytes: number;
}

export const isoTime = (epochSeconds: number): string => new Date(epochSeconds * 1000).toISOString();

export const eventDetail = (
  upload: UploadRecord,
  bucketName: string,
  eventId: string,
): UploadEventDetail => ({
  version: '1',
  eventId,
  uploadId: upload.uploadId,
  attempt: upload.attempt,
  owner: upload.owner,
  mode: upload.mode,
  bucket: bucketName,
  key: objectKey(upload),
  size: upload.totalSize,
  contentType: upload.contentType,
  fileName: upload.fileName,
  metadata: upload.metadata ?? {},
  createdAt: isoTime(upload.createdAt),
});

/** The news that an upload is completed; `object` overrides what the record does not know yet. */
export function completedDetail(
  upload: UploadRecord,
  bucketName: string,
  object: { readonly etag?: string; readonly checksum?: string; readonly completedAt?: number },
): UploadCompletedDetail {
  const name = executionNameOf(upload);
  return {
    ...eventDetail(upload, bucketName, `${name}:completed`),
    etag: object.etag ?? upload.etag ?? '',
    ...(object.checksum && { checksumCRC64NVME: object.checksum }),
    completedAt: isoTime(object.completedAt ?? upload.completedAt ?? 0),
    executionName: name,
  };
}
