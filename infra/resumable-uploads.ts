import { Annotations, Duration, Names, RemovalPolicy, Stack } from 'aws-cdk-lib';
import type { HttpApi } from 'aws-cdk-lib/aws-apigatewayv2';
import type { ITable } from 'aws-cdk-lib/aws-dynamodb';
import * as events from 'aws-cdk-lib/aws-events';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as kms from 'aws-cdk-lib/aws-kms';
import type * as lambda from 'aws-cdk-lib/aws-lambda';
import * as logs from 'aws-cdk-lib/aws-logs';
import type { IBucket } from 'aws-cdk-lib/aws-s3';
import type { ITopic } from 'aws-cdk-lib/aws-sns';
import * as sqs from 'aws-cdk-lib/aws-sqs';
import type { StateMachine } from 'aws-cdk-lib/aws-stepfunctions';
import { Construct } from 'constructs';
import { acknowledgeFindings } from './acknowledgements.ts';
import { UploadAuth } from './auth.ts';
import { checkOrigins } from './cors.ts';
import { UploadEncryption } from './encryption.ts';
import { UPLOAD_FUNCTIONS, type UploadFunctionName } from './function-map.ts';
import { UploadFunctions } from './functions.ts';
import { DEFAULT_THROTTLE, UploadApi, type UploadThrottle } from './http-api.ts';
import { InvalidOption } from './invalid-option.ts';
import { consoleUrl, UploadAlarms, UploadDashboard } from './monitoring.ts';
import { LONGEST_ROLE_SESSION, settingsOf, type UploadRules } from './settings.ts';
import { stateTable } from './state-table.ts';
import { checkOwnBucket, objectTrail, UPLOADS_PREFIX, uploadBucket } from './storage.ts';
import { type UploadEvent, uploadEventPattern } from './upload-events.ts';
import { Watchdog } from './watchdog.ts';
import { UploadWorkflow, type WorkflowLogs } from './workflow.ts';

export interface ResumableUploadsProps extends UploadRules {
  /**
   * Who may upload.
   * @default UploadAuth.iam()
   */
  readonly auth?: UploadAuth;
  /**
   * A function of yours that is asked before an upload begins, with an `AuthorizeUploadRequest`; it returns an
   * `AuthorizeUploadAnswer`: yes, perhaps with a prefix for the key and other metadata, or no, with a reason. If it fails,
   * answers anything else or takes longer than 10 seconds, nothing begins (503). It is not asked again for an upload under
   * way.
   * @default none: who is authorized may upload what the other options allow
   */
  readonly authorizeUpload?: lambda.IFunction;
  /**
   * Origins of the pages that upload, such as `https://app.example.com`; `*` for all. They get CORS on the API and
   * on the bucket.
   * @default none: no page of another origin can upload
   */
  readonly allowedOrigins?: readonly string[];
  /**
   * A bucket of yours to upload to. It is not changed: it needs CORS and lifecycle rules as a warning at synthesis
   * says. Only keys under `uploads/` and `staging/` are touched.
   * @default one is made
   */
  readonly bucket?: IBucket;
  /**
   * A table of yours: keys `pk` and `sk` (strings), time to live on `ttl`, and the index `by-next-look` (`watch`,
   * a string; `nextLook`, a number; keys only).
   * @default one is made
   */
  readonly table?: ITable;
  /**
   * The bus that tells of completed, failed and expired uploads.
   * @default one is made, so that two stacks in an account never get each other's events
   */
  readonly eventBus?: events.IEventBus;
  /** @default UploadEncryption.s3Managed() */
  readonly encryption?: UploadEncryption;
  /**
   * What becomes of the bucket and the table when the stack goes. A bucket that holds anything is never deleted.
   * @default RemovalPolicy.RETAIN
   */
  readonly removalPolicy?: RemovalPolicy;
  /** Refuses deletion of the table. @default false */
  readonly deletionProtection?: boolean;
  /** Continuous backups of the table, $0.20 per GB and month. @default false */
  readonly pointInTimeRecovery?: boolean;
  /** How long logs stay. @default RetentionDays.ONE_MONTH */
  readonly logRetention?: logs.RetentionDays;
  /** What functions log. @default 'INFO' */
  readonly logLevel?: 'DEBUG' | 'INFO' | 'WARN' | 'ERROR';
  /** A line for every request to the API. @default true */
  readonly accessLogs?: boolean;
  /**
   * A bucket for S3's server access logs of the bucket that is made, which then also show every PUT of a part.
   * @default none
   */
  readonly bucketAccessLogs?: IBucket;
  /**
   * A bucket for a CloudTrail trail of every call on the objects, with who made it: $0.10 per 100,000 calls, chunks and
   * parts included. The bucket's policy must let CloudTrail write.
   * @default none
   */
  readonly dataEventsBucket?: IBucket;
  /** What the workflow logs besides its history, never with its data. @default 'none' */
  readonly workflowLogs?: WorkflowLogs;
  /** X-Ray traces of functions and workflow. @default false */
  readonly tracing?: boolean;
  /**
   * Stack traces of functions name the lines of the sources. Without effect on the bundles that come with the package.
   * @default false
   */
  readonly sourceMaps?: boolean;
  /** Requests let through; above, clients get 429 and try again. @default 5,000 a second, 5,000 at once */
  readonly throttle?: UploadThrottle;
  /**
   * Concurrency kept for single functions, which is also their limit.
   * @default none: a new account's 10 would not allow any
   */
  readonly reservedConcurrency?: Partial<Record<UploadFunctionName, number>>;
  /**
   * Alarms on failed completions, a silent watchdog and server errors, told to the topic where one is given; six
   * alarms are $0.60 a month.
   * @default none
   */
  readonly alarms?: { readonly topic?: ITopic };
  /** A CloudWatch dashboard, $3 a month. @default false */
  readonly dashboard?: boolean;
}

/**
 * Resumable uploads to S3: an HTTP API for browsers, a workflow that completes each upload exactly once, and
 * events that tell of it.
 *
 * @example
 * const uploads = new ResumableUploads(this, 'Uploads', {
 *   auth: UploadAuth.jwt({ issuer: 'https://login.example.com', audience: 'uploads' }),
 *   allowedOrigins: ['https://app.example.com'],
 *   allowedContentTypes: ['video/*'],
 * });
 * uploads.onUploadCompleted('Transcode', { target: new LambdaFunction(transcode) });
 * uploads.grantRead(transcode);
 *
 * @throws InvalidOption for an option that cannot be deployed; the message says what to write instead
 */
export class ResumableUploads extends Construct {
  readonly bucket: IBucket;
  readonly table: ITable;
  readonly eventBus: events.IEventBus;
  readonly stateMachine: StateMachine;
  readonly httpApi: HttpApi;
  /** Without a slash at the end. */
  readonly apiUrl: string;
  /** The API's host, for an origin of a CloudFront distribution with AWS WAF in front. */
  readonly apiDomainName: string;
  /** Events that could not be handled, kept for 14 days. */
  readonly undelivered: sqs.Queue;
  /** The state machine in the AWS console. */
  readonly consoleUrl: string;
  private readonly allFunctions: UploadFunctions;

  constructor(scope: Construct, id: string, props: ResumableUploadsProps = {}) {
    super(scope, id);
    const settings = settingsOf(props);
    const allowedOrigins = props.allowedOrigins ?? [];
    checkOrigins(allowedOrigins);
    checkReservedConcurrency(props.reservedConcurrency ?? {});
    this.warnOfLongUrls(settings.urlExpirySeconds);

    const removalPolicy = props.removalPolicy ?? RemovalPolicy.RETAIN;
    const logRetention = props.logRetention ?? logs.RetentionDays.ONE_MONTH;
    const logRemoval = RemovalPolicy.DESTROY;
    const tracing = props.tracing ?? false;
    const key = this.keyOf(props.encryption ?? UploadEncryption.s3Managed());
    const lifetimes = {
      maxAgeSeconds: settings.maxAgeSeconds,
      transferAcceleration: settings.accelerate,
    };

    if (props.bucket) checkOwnBucket(this, props.bucket, lifetimes);
    this.bucket =
      props.bucket ??
      uploadBucket(this, {
        ...lifetimes,
        allowedOrigins,
        key,
        serverAccessLogs: props.bucketAccessLogs,
        removalPolicy,
      });
    if (props.dataEventsBucket) objectTrail(this, this.bucket, props.dataEventsBucket);
    this.table =
      props.table ??
      stateTable(this, {
        key,
        pointInTimeRecovery: props.pointInTimeRecovery ?? false,
        deletionProtection: props.deletionProtection ?? false,
        removalPolicy,
      });
    this.eventBus =
      props.eventBus ??
      (new events.EventBus(this, 'EventBus', {
        // CDK's own name is made of construct ids alone, which the stacks of two apps or stages may have in common.
        eventBusName: Names.uniqueResourceName(this, {}),
        description: 'Tells of completed, failed and expired uploads',
      }) as events.IEventBus);
    this.undelivered = new sqs.Queue(this, 'Undelivered', {
      encryption: sqs.QueueEncryption.SQS_MANAGED,
      enforceSSL: true,
      retentionPeriod: MAX_RETENTION,
    });

    this.allFunctions = new UploadFunctions(this, 'Functions', {
      resources: {
        bucket: this.bucket,
        table: this.table,
        eventBus: this.eventBus,
        stateMachine: () => this.stateMachine,
        authorizeFunction: props.authorizeUpload,
      },
      settings,
      logRetention,
      logLevel: props.logLevel ?? 'INFO',
      logRemoval,
      tracing,
      sourceMaps: props.sourceMaps ?? false,
      reservedConcurrency: props.reservedConcurrency ?? {},
      undelivered: this.undelivered,
    });
    const workflow = new UploadWorkflow(this, 'Workflow', {
      functions: this.allFunctions,
      table: this.table,
      eventBus: this.eventBus,
      logs: props.workflowLogs ?? 'none',
      logRetention,
      logRemoval,
      tracing,
      undelivered: this.undelivered,
    });
    this.stateMachine = workflow.stateMachine;
    this.consoleUrl = consoleUrl(Stack.of(this), this.stateMachine.stateMachineArn);
    new Watchdog(this, 'Watchdog', { functions: this.allFunctions });
    const api = new UploadApi(this, 'Api', {
      functions: this.allFunctions,
      auth: props.auth ?? UploadAuth.iam(),
      allowedOrigins,
      throttle: props.throttle ?? DEFAULT_THROTTLE,
      accessLogs: (props.accessLogs ?? true) ? logRetention : undefined,
      logRemoval,
    });
    this.httpApi = api.httpApi;
    this.apiUrl = api.url;
    this.apiDomainName = api.domainName;

    const watched = { api, functions: this.allFunctions, workflow, undelivered: this.undelivered };
    if (props.alarms) new UploadAlarms(this, 'Alarms', { ...watched, topic: props.alarms.topic });
    if (props.dashboard) new UploadDashboard(this, 'Dashboard', watched);
    acknowledgeFindings(this);
  }

  /** The functions by their names, for example `functions['receive-chunk']`. */
  get functions(): Readonly<Record<UploadFunctionName, lambda.Function>> {
    const names = Object.keys(UPLOAD_FUNCTIONS) as UploadFunctionName[];
    return Object.fromEntries(names.map((name) => [name, this.allFunctions.get(name)])) as Record<
      UploadFunctionName,
      lambda.Function
    >;
  }

  /** A rule for uploads that are completed: the object is there, whole. Events come at least once; de-duplicate by their id. */
  onUploadCompleted(id: string, options: events.OnEventOptions = {}): events.Rule {
    return this.onUpload('completed', id, options);
  }

  /** A rule for uploads whose workflow failed; redriving it can still complete them. */
  onUploadFailed(id: string, options: events.OnEventOptions = {}): events.Rule {
    return this.onUpload('failed', id, options);
  }

  /** A rule for uploads that were given up: abandoned, or too old. */
  onUploadExpired(id: string, options: events.OnEventOptions = {}): events.Rule {
    return this.onUpload('expired', id, options);
  }

  /** Lets `grantee` read completed uploads. */
  grantRead(grantee: iam.IGrantable): iam.Grant {
    return this.bucket.grantRead(grantee, `${UPLOADS_PREFIX}*`);
  }

  /** Lets `grantee` delete completed uploads, for example once they are processed. */
  grantDelete(grantee: iam.IGrantable): iam.Grant {
    return this.bucket.grantDelete(grantee, `${UPLOADS_PREFIX}*`);
  }

  /** Lets `grantee` call the API, where it is authorized by IAM. */
  grantUpload(grantee: iam.IGrantable): iam.Grant {
    return iam.Grant.addToPrincipal({
      grantee,
      actions: ['execute-api:Invoke'],
      resourceArns: [this.httpApi.arnForExecuteApi('*', '/upload*')],
    });
  }

  private onUpload(event: UploadEvent, id: string, options: events.OnEventOptions): events.Rule {
    const { target, eventPattern, crossStackScope, ruleName, description } = options;
    const rule = new events.Rule(crossStackScope ?? this, id, {
      eventBus: this.eventBus,
      eventPattern: uploadEventPattern(event),
      ...(ruleName !== undefined && { ruleName }),
      ...(description !== undefined && { description }),
    });
    if (eventPattern) rule.addEventPattern(eventPattern);
    if (target) rule.addTarget(target);
    return rule;
  }

  private keyOf(encryption: UploadEncryption): kms.IKey | undefined {
    if (encryption.type === 's3-managed') return undefined;
    return (
      encryption.key ??
      new kms.Key(this, 'Key', {
        description: 'Encrypts uploaded files and their records',
        enableKeyRotation: true,
        removalPolicy: RemovalPolicy.RETAIN,
      })
    );
  }

  private warnOfLongUrls(urlExpirySeconds: number): void {
    if (urlExpirySeconds <= LONGEST_ROLE_SESSION.toSeconds()) return;
    Annotations.of(this).addWarningV2(
      'resumable-uploads:url-outlives-credentials',
      'urlExpiry is above 12 hours, but a presigned URL ends with the credentials of the function that signed it, after 12 hours at most: clients must ask for new URLs before.',
    );
  }
}

/** The longest that SQS keeps a message. */
const MAX_RETENTION = Duration.days(14);

function checkReservedConcurrency(reserved: Partial<Record<string, number>>): void {
  for (const [name, amount] of Object.entries(reserved)) {
    if (!Object.hasOwn(UPLOAD_FUNCTIONS, name)) {
      throw new InvalidOption(
        `reservedConcurrency: there is no function "${name}"; the functions are ${Object.keys(UPLOAD_FUNCTIONS).join(', ')}.`,
      );
    }
    if (amount === undefined || !Number.isInteger(amount) || amount < 1) {
      throw new InvalidOption(
        `reservedConcurrency: ${name} with ${amount} would never run; give a whole number of 1 or more, or leave it out.`,
      );
    }
  }
}
