/** Lambda's Invoke, by the function pool. Input and answer are as in the API; Payload is plain JSON. */
import { AwsError, type JsonEngine, type LocalTemplate } from '../types.ts';
import { findFunction } from './json-needs.ts';
import type { FrontDoorParts } from './parts.ts';

export const createLambdaEngine = (template: LocalTemplate, pool: FrontDoorParts['pool']): JsonEngine => {
  return async (operation, input) => {
    if (operation !== 'Invoke') throw new AwsError('UnknownOperationException', `Lambda ${operation}`, 404);
    const named = String(input['FunctionName'] ?? '');
    const found = findFunction(template, named);
    if (!found) throw new AwsError('ResourceNotFoundException', `Function not found: ${named}`, 404);
    const type = input['InvocationType'] ?? 'RequestResponse';
    const event = input['Payload'] === undefined ? {} : input['Payload'];
    if (type === 'DryRun') return { status: 204, body: {} };
    if (type === 'Event') {
      pool.invokeAsync(found.physicalId, event);
      return { status: 202, body: { StatusCode: 202 } };
    }
    if (type !== 'RequestResponse')
      throw new AwsError('InvalidParameterValueException', `InvocationType ${String(type)}`);
    const result = await pool.invoke(found.physicalId, event);
    return {
      status: 200,
      body: {
        StatusCode: 200,
        ExecutedVersion: '$LATEST',
        // Node's runtime reports thrown errors and deaths alike.
        ...(result.functionError && { FunctionError: 'Unhandled' }),
        Payload: result.payload ?? null,
      },
    };
  };
};
