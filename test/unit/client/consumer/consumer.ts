/** The examples of docs/client.md as an application has them, with the types that npm's `resumablejs` ships. */
import Resumable from 'resumablejs';
import {
  ApiError,
  presignedResumable,
  proxyResumable,
  type ResumableFile,
  waitUntilCompleted,
} from '../../../../client/resumable-uploads.ts';

declare function freshToken(): Promise<string>;
declare function show(file: ResumableFile, text: string): void;

const api = 'https://abc.execute-api.eu-west-1.amazonaws.com';
const headers = async () => ({ authorization: `Bearer ${await freshToken()}` });

const r = presignedResumable(Resumable, { api, headers });
r.assignBrowse(document.querySelector('#choose') as HTMLElement);
r.on('fileAdded', () => r.upload());
r.on('fileProgress', (file) => show(file, `${Math.floor(file.progress() * 100)} %`));
r.on('fileError', (file, message) => show(file, message));
// oxlint-disable-next-line typescript/no-misused-promises -- as pages write it
r.on('fileSuccess', async (file) => {
  const { key } = await waitUntilCompleted({ api, headers, uploadId: file.uploadId });
  show(file, `stored as ${key}`);
});

const proxy = proxyResumable(Resumable, { api, headers, resumable: { simultaneousUploads: 4 } });
proxy.assignDrop(document.body);
proxy.unAssignDrop(document.body);
proxy.on('fileAdded', (file, event) => show(file, event?.type ?? String(proxy.getSize())));
proxy.on('catchAll', (event, ...details) => console.log(event, details.length));
proxy.on('fileError', (file) => {
  const error = file.uploadError;
  if (error instanceof ApiError && error.status === 401) file.retry();
});
for (const file of proxy.files) {
  file.pause(true);
  file.abort();
  file.pause(false);
  proxy.upload();
  file.cancel();
}
