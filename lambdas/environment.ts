import type { UploadSettings } from './upload/settings.ts';

/** The variables that functions read, each set only where it is needed. The construct's typed map fills them. */
export interface FunctionEnvironment {
  readonly TABLE_NAME: string;
  readonly BUCKET_NAME: string;
  readonly STATE_MACHINE_ARN: string;
  readonly EVENT_BUS_NAME: string;
  /** JSON of {@link UploadSettings}. */
  readonly SETTINGS: string;
  /** The deployer's function that is asked about each new upload; set only where there is one. */
  readonly AUTHORIZE_FUNCTION_ARN: string;
}

/** @throws Error when the variable is not set: the deployment is broken, and the function must not start. */
export function variable(name: keyof FunctionEnvironment): string {
  const value = process.env[name];
  if (!value) throw new Error(`The environment variable ${name} is not set.`);
  return value;
}

export const settings = (): UploadSettings => JSON.parse(variable('SETTINGS')) as UploadSettings;
