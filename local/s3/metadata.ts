import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite';
import type { BucketOptions } from './bucket.ts';
import type { Checksum, ChecksumAlgorithm, ChecksumType, ChecksumValues } from './checksums.ts';

/** Response headers that are stored with an object: content headers, `x-amz-meta-*`, encryption, tagging. */
export type StoredHeaders = Readonly<Record<string, string>>;

export interface BucketRecord {
  readonly name: string;
  readonly createdAt: number;
  readonly options: BucketOptions;
}

export interface ObjectRecord {
  readonly id: number;
  readonly bucket: string;
  readonly key: string;
  readonly size: number;
  /** Without quotes. */
  readonly etag: string;
  readonly modifiedAt: number;
  readonly headers: StoredHeaders;
  readonly checksum: Checksum | undefined;
  /** The multipart upload that made it. */
  readonly uploadId: string | undefined;
}

/** One file of an object; an object that was put in one request has one. */
export interface ObjectPart {
  readonly partNumber: number;
  readonly blob: string;
  readonly size: number;
  readonly etag: string;
  readonly checksums: ChecksumValues;
}

export interface UploadRecord {
  readonly id: string;
  readonly bucket: string;
  readonly key: string;
  readonly initiatedAt: number;
  readonly headers: StoredHeaders;
  /** What CreateMultipartUpload declared. */
  readonly checksum: { readonly algorithm: ChecksumAlgorithm; readonly type: ChecksumType } | undefined;
}

export interface PartRecord extends ObjectPart {
  /** Hex MD5 of the bytes, whatever the ETag is. */
  readonly md5: string;
  readonly modifiedAt: number;
}

const schema = `
  CREATE TABLE IF NOT EXISTS buckets (
    name TEXT PRIMARY KEY, created_at INTEGER NOT NULL, options TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS objects (
    id INTEGER PRIMARY KEY, bucket TEXT NOT NULL, key TEXT NOT NULL, size INTEGER NOT NULL, etag TEXT NOT NULL,
    modified_at INTEGER NOT NULL, headers TEXT NOT NULL, checksum TEXT, upload_id TEXT, UNIQUE (bucket, key)
  ) STRICT;
  CREATE TABLE IF NOT EXISTS object_parts (
    object_id INTEGER NOT NULL REFERENCES objects ON DELETE CASCADE, part_number INTEGER NOT NULL,
    blob TEXT NOT NULL, size INTEGER NOT NULL, etag TEXT NOT NULL, checksums TEXT NOT NULL,
    PRIMARY KEY (object_id, part_number)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS object_parts_blob ON object_parts (blob);
  CREATE TABLE IF NOT EXISTS uploads (
    id TEXT PRIMARY KEY, bucket TEXT NOT NULL, key TEXT NOT NULL, initiated_at INTEGER NOT NULL,
    headers TEXT NOT NULL, checksum TEXT
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS uploads_key ON uploads (bucket, key, id);
  CREATE TABLE IF NOT EXISTS parts (
    upload_id TEXT NOT NULL REFERENCES uploads ON DELETE CASCADE, part_number INTEGER NOT NULL,
    blob TEXT NOT NULL, size INTEGER NOT NULL, etag TEXT NOT NULL, checksums TEXT NOT NULL, md5 TEXT NOT NULL,
    modified_at INTEGER NOT NULL, PRIMARY KEY (upload_id, part_number)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS parts_blob ON parts (blob);
`;

export type Metadata = ReturnType<typeof openMetadata>;

/**
 * What is stored, in SQLite. All calls are synchronous, so what one call, or one `transaction`, does is never
 * interleaved with another request. The write-ahead log survives the death of the process at any moment.
 */
export function openMetadata(file: string) {
  const db = new DatabaseSync(file);
  db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON;');
  db.exec(schema);

  const prepared = new Map<string, StatementSync>();
  const statement = (sql: string): StatementSync => {
    const known = prepared.get(sql) ?? db.prepare(sql);
    prepared.set(sql, known);
    return known;
  };
  const one = (sql: string, ...values: SQLInputValue[]): Row | undefined =>
    statement(sql).get(...values) as Row | undefined;
  const all = (sql: string, ...values: SQLInputValue[]): Row[] => statement(sql).all(...values) as Row[];
  const run = (sql: string, ...values: SQLInputValue[]): void => void statement(sql).run(...values);

  return {
    close: (): void => db.close(),

    transaction<T>(work: () => T): T {
      db.exec('BEGIN IMMEDIATE');
      try {
        const result = work();
        db.exec('COMMIT');
        return result;
      } catch (error) {
        db.exec('ROLLBACK');
        throw error;
      }
    },

    isReferenced: (blob: string): boolean =>
      one(
        'SELECT 1 FROM object_parts WHERE blob = ? UNION ALL SELECT 1 FROM parts WHERE blob = ?',
        blob,
        blob,
      ) !== undefined,

    putBucket: (name: string, createdAt: number, options: BucketOptions): void =>
      run(
        'INSERT INTO buckets VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET options = excluded.options',
        name,
        createdAt,
        JSON.stringify(options),
      ),
    bucket: (name: string): BucketRecord | undefined =>
      mapRow(one('SELECT * FROM buckets WHERE name = ?', name), toBucket),
    buckets: (): BucketRecord[] => all('SELECT * FROM buckets ORDER BY name').map(toBucket),

    object: (bucket: string, key: string): ObjectRecord | undefined =>
      mapRow(one('SELECT * FROM objects WHERE bucket = ? AND key = ?', bucket, key), toObject),
    objectParts: (objectId: number): ObjectPart[] =>
      all('SELECT * FROM object_parts WHERE object_id = ? ORDER BY part_number', objectId).map(toPart),
    /** Objects from a key on (inclusive or not), in the order of the keys' UTF-8 bytes. */
    objectsFrom: (bucket: string, from: string, inclusive: boolean, limit: number): ObjectRecord[] =>
      all(
        `SELECT * FROM objects WHERE bucket = ? AND key ${inclusive ? '>=' : '>'} ? ORDER BY key LIMIT ?`,
        bucket,
        from,
        limit,
      ).map(toObject),
    /** Stores or replaces an object; returns the blobs that nothing names any more. */
    putObject(object: Omit<ObjectRecord, 'id'>, parts: readonly ObjectPart[]): string[] {
      const replaced = this.deleteObject(object.bucket, object.key);
      const { lastInsertRowid } = statement(
        'INSERT INTO objects (bucket, key, size, etag, modified_at, headers, checksum, upload_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
      ).run(
        object.bucket,
        object.key,
        object.size,
        object.etag,
        object.modifiedAt,
        JSON.stringify(object.headers),
        object.checksum === undefined ? null : JSON.stringify(object.checksum),
        object.uploadId ?? null,
      );
      for (const part of parts) {
        run(
          'INSERT INTO object_parts VALUES (?, ?, ?, ?, ?, ?)',
          Number(lastInsertRowid),
          part.partNumber,
          part.blob,
          part.size,
          part.etag,
          JSON.stringify(part.checksums),
        );
      }
      return replaced;
    },
    deleteObject(bucket: string, key: string): string[] {
      const blobs = all(
        'SELECT blob FROM object_parts JOIN objects ON id = object_id WHERE bucket = ? AND key = ?',
        bucket,
        key,
      ).map((row) => String(row.blob));
      run('DELETE FROM objects WHERE bucket = ? AND key = ?', bucket, key);
      return blobs;
    },

    createUpload: (upload: UploadRecord): void =>
      run(
        'INSERT INTO uploads VALUES (?, ?, ?, ?, ?, ?)',
        upload.id,
        upload.bucket,
        upload.key,
        upload.initiatedAt,
        JSON.stringify(upload.headers),
        upload.checksum === undefined ? null : JSON.stringify(upload.checksum),
      ),
    upload: (bucket: string, key: string, id: string): UploadRecord | undefined =>
      mapRow(one('SELECT * FROM uploads WHERE id = ? AND bucket = ? AND key = ?', id, bucket, key), toUpload),
    /** Uploads after a key, or after an upload of that key, by key and start. */
    uploadsAfter: (bucket: string, key: string, id: string | undefined, limit: number): UploadRecord[] =>
      all(
        id === undefined
          ? 'SELECT * FROM uploads WHERE bucket = ? AND key > ? ORDER BY key, id LIMIT ?'
          : 'SELECT * FROM uploads WHERE bucket = ? AND (key, id) > (?, ?) ORDER BY key, id LIMIT ?',
        bucket,
        key,
        ...(id === undefined ? [] : [id]),
        limit,
      ).map(toUpload),
    uploads: (bucket: string): UploadRecord[] =>
      all('SELECT * FROM uploads WHERE bucket = ?', bucket).map(toUpload),
    /** Forgets an upload and its parts; returns the parts' blobs. */
    deleteUpload(id: string): string[] {
      const blobs = all('SELECT blob FROM parts WHERE upload_id = ?', id).map((row) => String(row.blob));
      run('DELETE FROM uploads WHERE id = ?', id);
      return blobs;
    },
    /** Stores or replaces a part; returns the blob that it replaced. */
    putPart(uploadId: string, part: PartRecord): string[] {
      const replaced = all(
        'SELECT blob FROM parts WHERE upload_id = ? AND part_number = ?',
        uploadId,
        part.partNumber,
      ).map((row) => String(row.blob));
      run(
        'INSERT OR REPLACE INTO parts VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
        uploadId,
        part.partNumber,
        part.blob,
        part.size,
        part.etag,
        JSON.stringify(part.checksums),
        part.md5,
        part.modifiedAt,
      );
      return replaced;
    },
    parts: (uploadId: string, after = 0, limit = -1): PartRecord[] =>
      all(
        'SELECT * FROM parts WHERE upload_id = ? AND part_number > ? ORDER BY part_number LIMIT ?',
        uploadId,
        after,
        limit,
      ).map((row) => ({ ...toPart(row), md5: String(row.md5), modifiedAt: Number(row.modified_at) })),
  };
}

type Row = Record<string, string | number | null>;

const mapRow = <T>(row: Row | undefined, map: (row: Row) => T): T | undefined =>
  row === undefined ? undefined : map(row);

const json = <T>(value: Row[string] | undefined): T => JSON.parse(String(value)) as T;
const optionalJson = <T>(value: Row[string] | undefined): T | undefined =>
  value === null || value === undefined ? undefined : json<T>(value);

const toBucket = (row: Row): BucketRecord => ({
  name: String(row.name),
  createdAt: Number(row.created_at),
  options: json(row.options),
});
const toObject = (row: Row): ObjectRecord => ({
  id: Number(row.id),
  bucket: String(row.bucket),
  key: String(row.key),
  size: Number(row.size),
  etag: String(row.etag),
  modifiedAt: Number(row.modified_at),
  headers: json(row.headers),
  checksum: optionalJson(row.checksum),
  uploadId: row.upload_id === null ? undefined : String(row.upload_id),
});
const toPart = (row: Row): ObjectPart => ({
  partNumber: Number(row.part_number),
  blob: String(row.blob),
  size: Number(row.size),
  etag: String(row.etag),
  checksums: json(row.checksums),
});
const toUpload = (row: Row): UploadRecord => ({
  id: String(row.id),
  bucket: String(row.bucket),
  key: String(row.key),
  initiatedAt: Number(row.initiated_at),
  headers: json(row.headers),
  checksum: optionalJson(row.checksum),
});
