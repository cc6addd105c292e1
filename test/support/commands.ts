import { bundleFunctions } from '../../infra/bundle.ts';
import { UPLOAD_FUNCTIONS, type UploadFunctionName } from '../../infra/function-map.ts';

export const FUNCTION_NAMES = Object.keys(UPLOAD_FUNCTIONS) as UploadFunctionName[];

/** In every bundle of a client, never sent here: endpoint discovery is off, and directory buckets are not used. */
const UNSENT = ['dynamodb/DescribeEndpoints', 's3/CreateSession'];

/**
 * The SDK's commands that are in a function's bundle, for example `s3/UploadPart`; esbuild leaves out those that
 * nothing can send.
 */
export const commandsOf = (name: UploadFunctionName): string[] =>
  (bundleFunctions(FUNCTION_NAMES).get(name)?.inputs ?? [])
    .map((path) => /@aws-sdk\/client-(\w+)\/dist-es\/commands\/(\w+)Command\.js$/.exec(path))
    .filter((match) => match !== null)
    .map(([, service, operation]) => `${service}/${operation}`)
    .filter((command) => !UNSENT.includes(command));
