import type { FunctionEnvironment } from '../environment.ts';
import type { AuthorizeHook } from '../upload/authorize.ts';

/** The deployer's function, where the deployment has one. */
export function authorizeHook(): AuthorizeHook | undefined {
  const name: keyof FunctionEnvironment = 'AUTHORIZE_FUNCTION_ARN';
  const functionName = process.env[name];
  if (!functionName) return undefined;
  return async (request) => {
    // A file of its own in the bundle, read when it is first needed: most deployments have no such function.
    const { invokeFunction } = await import('./lambda.ts');
    return await invokeFunction(functionName, request);
  };
}
