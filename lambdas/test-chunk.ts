import { dynamoDbClient } from './clients/dynamodb.ts';
import { settings, variable } from './environment.ts';
import { parseChunkQuery } from './http/chunk-request.ts';
import { type ApiAnswer, type ApiRequest, apiHandler } from './http/handler.ts';
import { logger } from './http/logger.ts';
import { Problem } from './http/problems.ts';
import { readPage } from './parts/ledger.ts';
import { pageOf } from './parts/pages.ts';
import { uploadIdOf } from './upload/identity.ts';
import { understandChunk } from './upload/proxied.ts';
import { isOpen, type UploadRecord } from './upload/record.ts';
import type { UploadSettings } from './upload/settings.ts';
import { getUpload, type Table } from './upload/store.ts';

export interface Services {
  readonly table: Table;
  readonly settings: UploadSettings;
}

/**
 * `GET /upload`: Resumable.js's question whether a chunk is there. 200 when it is, 204 when it is to be sent. Other
 * methods are 405.
 */
export async function testChunk(request: ApiRequest, services: Services): Promise<ApiAnswer> {
  const { event, owner, now } = request;
  const { method } = event.requestContext.http;
  if (method !== 'GET')
    throw new Problem('method-not-allowed', `Send chunks by POST and ask for them by GET, not ${method}.`, {
      allow: 'GET, POST',
    });

  const { identity, first, last } = understandChunk(parseChunkQuery(event), owner, services.settings);
  const uploadId = uploadIdOf(identity);
  const upload = await getUpload(services.table, { owner, uploadId }, now);
  if (upload?.status === 'completing' || upload?.status === 'completed') return found(upload);
  if (!upload || !isOpen(upload, now)) return { status: 204 };

  const pages = new Map<number, ReadonlyMap<number, string>>();
  for (let number = first; number <= last; number++) {
    const index = pageOf(number);
    if (!pages.has(index)) pages.set(index, (await readPage(services.table, upload, index)).marks);
    if (!pages.get(index)?.has(number)) return { status: 204 };
  }
  return found(upload);
}

/** Resumable.js reads the status only; a client that knows more takes the id, and asks for the rest at once. */
const found = ({ uploadId, status }: UploadRecord): ApiAnswer => ({
  status: 200,
  body: { uploadId, status },
});

const services: Services = {
  table: { client: dynamoDbClient(), tableName: variable('TABLE_NAME') },
  settings: settings(),
};
export const handler = apiHandler(logger(), async (request) => await testChunk(request, services));
