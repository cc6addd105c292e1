/** What an app of yours imports: `import { ResumableUploads, UploadAuth } from 'resumable-uploads'`. */
export type { AuthorizeUploadAnswer, AuthorizeUploadRequest } from '../lambdas/upload/authorize.ts';
export { UploadAuth } from './auth.ts';
export { UploadEncryption } from './encryption.ts';
export { InvalidOption } from './invalid-option.ts';
export { ResumableUploads, type ResumableUploadsProps } from './resumable-uploads.ts';
