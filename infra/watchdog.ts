import { Duration } from 'aws-cdk-lib';
import * as events from 'aws-cdk-lib/aws-events';
import { LambdaFunction } from 'aws-cdk-lib/aws-events-targets';
import { Construct } from 'constructs';
import { uploadFunctions } from './function-map.ts';
import type { UploadFunctions } from './functions.ts';

/**
 * Runs what looks after quiet uploads.
 *
 * Two runs at once are harmless, since each of its steps is a conditional write; so no concurrency is reserved
 * for it, which would take from the account's and fail to deploy where that is still at its first 10. A run that
 * fails is not worth a queue: the next one does its work.
 */
export class Watchdog extends Construct {
  constructor(scope: Construct, id: string, { functions }: { readonly functions: UploadFunctions }) {
    super(scope, id);
    for (const [name, { trigger, description }] of uploadFunctions()) {
      if (!('everyMinutes' in trigger)) continue;
      const every = Duration.minutes(trigger.everyMinutes);
      new events.Rule(this, 'Schedule', {
        description,
        schedule: events.Schedule.rate(every),
        targets: [new LambdaFunction(functions.get(name), { retryAttempts: 0, maxEventAge: every })],
      });
    }
  }
}
