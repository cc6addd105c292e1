import type { RemovalPolicy } from 'aws-cdk-lib';
import * as dynamodb from 'aws-cdk-lib/aws-dynamodb';
import type { IKey } from 'aws-cdk-lib/aws-kms';
import type { Construct } from 'constructs';

/** Lists open uploads by when they are to be looked after next; only those carry `watch`. */
export const WATCH_INDEX = 'by-next-look';

export interface StateTableProps {
  readonly key: IKey | undefined;
  readonly pointInTimeRecovery: boolean;
  readonly deletionProtection: boolean;
  readonly removalPolicy: RemovalPolicy;
}

/** One table for uploads and their pages of parts. Its keys cannot change without replacing it. */
export function stateTable(scope: Construct, props: StateTableProps): dynamodb.ITable {
  const table = new dynamodb.Table(scope, 'Table', {
    partitionKey: { name: 'pk', type: dynamodb.AttributeType.STRING },
    sortKey: { name: 'sk', type: dynamodb.AttributeType.STRING },
    timeToLiveAttribute: 'ttl',
    billingMode: dynamodb.BillingMode.PAY_PER_REQUEST,
    ...(props.key
      ? { encryption: dynamodb.TableEncryption.CUSTOMER_MANAGED, encryptionKey: props.key }
      : { encryption: dynamodb.TableEncryption.DEFAULT }),
    pointInTimeRecoverySpecification: { pointInTimeRecoveryEnabled: props.pointInTimeRecovery },
    deletionProtection: props.deletionProtection,
    removalPolicy: props.removalPolicy,
  });
  table.addGlobalSecondaryIndex({
    indexName: WATCH_INDEX,
    partitionKey: { name: 'watch', type: dynamodb.AttributeType.STRING },
    sortKey: { name: 'nextLook', type: dynamodb.AttributeType.NUMBER },
    projectionType: dynamodb.ProjectionType.KEYS_ONLY,
  });
  return table as dynamodb.ITable;
}
