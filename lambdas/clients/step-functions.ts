import { SFNClient } from '@aws-sdk/client-sfn';

export const stepFunctionsClient = (): SFNClient => new SFNClient({ maxAttempts: 4 });
