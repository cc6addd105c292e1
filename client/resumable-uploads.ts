/**
 * The browser's side of resumable uploads, for Resumable.js 1.1 (npm `resumablejs`). No dependencies; the page brings
 * Resumable.js as a global or an import and passes its constructor in.
 */
export {
  ApiError,
  type CompletedUpload,
  type HeadersOption,
  type Upload,
  type UploadOptions,
  type UploadStatus,
} from './api.ts';
export { fileIdentifier } from './identifier.ts';
export { type PresignedOptions, presignedResumable } from './presigned.ts';
export { type ProxyOptions, proxyResumable } from './proxy.ts';
export type {
  AnyResumableConstructor,
  Resumable,
  ResumableConstructor,
  ResumableFile,
  UploadedFile,
} from './resumable-types.ts';
export { UploadEndedError, UploadReopenedError, type WaitOptions, waitUntilCompleted } from './wait.ts';
