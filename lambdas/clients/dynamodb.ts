import { DynamoDBClient } from '@aws-sdk/client-dynamodb';

/** Made once at a cold start. Conditional writes are safe to repeat, so the SDK may retry as it likes. */
export const dynamoDbClient = (): DynamoDBClient => new DynamoDBClient({ maxAttempts: 4 });
