import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createGateway } from './api/gateway.ts';
import { createIamAuthorizer } from './api/iam-authorizer.ts';
import { createPages } from './api/pages.ts';
import { listenApi } from './api/server.ts';
import { createCredentials } from './aws/credentials.ts';
import { verifyExecuteApi } from './aws/sigv4.ts';
import type { AwsEndpointOptions } from './aws-endpoint.ts';
import { createClock } from './clock.ts';
import { createIssuer, ISSUER_PATH } from './issuer.ts';
import { lockFolder } from './lock.ts';
import { loadTemplate } from './template.ts';
import type { LocalTemplate } from './types.ts';

export interface LocalStackOptions {
  /** Where all state lives. One stack at a time may use it. */
  readonly dir: string;
  /** Of the API and the pages; 0 lets the system choose. */
  readonly port: number;
  /** Of the AWS endpoint. @default that of the folder's last start, or else any */
  readonly awsPort?: number | undefined;
  /** The synthesised app, or what synthesises it once the API's URL is known. */
  readonly outDir: string | ((apiUrl: string) => Promise<string>);
  /** Another S3 to put behind the AWS endpoint. @default the stack's own, in `dir` */
  readonly s3?: AwsEndpointOptions['s3'];
  /** Another DynamoDB to put behind the AWS endpoint. @default the stack's own, in `dir` */
  readonly dynamodbEndpoint?: string | undefined;
  /** Multiplies the pauses before AWS services try again: tests are in a hurry. @default 1 */
  readonly retryTimeScale?: number | undefined;
  /** Whether schedules run by themselves when they are due. @default true */
  readonly schedules?: boolean | undefined;
  /** The folder of the pages. @default `client/` */
  readonly clientDir?: string;
  readonly log: (line: string) => void;
}

/** What `stack.json` holds: enough to point any SDK, `aws` or test at the stack. */
export interface StackDescription {
  readonly apiUrl: string;
  readonly awsEndpointUrl: string;
  readonly region: string;
  /** The developer's own keys: everything is allowed. */
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly bucketName: string;
  readonly tableName: string;
  readonly stateMachineArn: string;
  readonly eventBusName: string;
  /** Short name (`receive-chunk`) to physical name. */
  readonly functionNames: Readonly<Record<string, string>>;
  /** What the API's JWT authorizer trusts, where it has one. */
  readonly jwt?: { readonly issuer: string; readonly audience: string };
  readonly pid: number;
}

export interface LocalStack {
  readonly apiUrl: string;
  readonly awsEndpointUrl: string;
  readonly description: StackDescription;
  close(): Promise<void>;
}

/**
 * Starts everything that the template describes. When it resolves, `<dir>/stack.json` is written and the API
 * answers.
 *
 * @throws an Error with a sentence for the person at the terminal; nothing is left running then
 */
export async function startLocalStack(options: LocalStackOptions): Promise<LocalStack> {
  const { dir, log } = options;
  const closers: (() => unknown)[] = [];
  const close = async () => {
    // In reverse: first what takes requests, last the folder.
    for (const closer of closers.splice(0).reverse()) await closer();
  };
  try {
    closers.push(lockFolder(dir));
    const file = join(dir, 'stack.json');
    // One that a killed process left says what is not so.
    rmSync(file, { force: true });
    const description = await start(options, closers);
    closers.push(() => rmSync(file, { force: true }));
    writeFileSync(`${file}.new`, `${JSON.stringify(description, null, 2)}\n`, { mode: 0o600 });
    renameSync(`${file}.new`, file);
    const { apiUrl, awsEndpointUrl } = description;
    return { apiUrl, awsEndpointUrl, description, close };
  } catch (error) {
    await close().catch((closing: Error) => log(closing.stack ?? closing.message));
    throw error;
  }
}

async function start(options: LocalStackOptions, closers: (() => unknown)[]): Promise<StackDescription> {
  const { dir, log, clientDir = join(import.meta.dirname, '../client') } = options;
  // The listener comes first: the template may name its URL, and a taken port should be told at once.
  const api = await listenApi(options.port, log);
  closers.push(() => api.close());
  // The engines' modules load while another process synthesises.
  const [outDir, { openAwsEndpoint }] = await Promise.all([
    typeof options.outDir === 'string' ? options.outDir : options.outDir(api.url),
    import('./aws-endpoint.ts'),
  ]);
  const template = loadTemplate(outDir);
  const names = readOutputs(template);
  const clock = createClock();
  const credentials = createCredentials({ dir, account: template.account });

  const {
    url: awsEndpointUrl,
    pool,
    frontDoor,
  } = await openAwsEndpoint(
    {
      dir,
      port: options.awsPort ?? 0,
      template,
      credentials,
      clock,
      s3: options.s3,
      dynamodbEndpoint: options.dynamodbEndpoint,
      bucketName: names.bucketName,
      tableName: names.tableName,
      retryTimeScale: options.retryTimeScale,
      schedules: options.schedules,
      log,
    },
    closers,
  );
  const { account, region } = template;

  const gateway = createGateway({
    template,
    now: () => clock.now(),
    invoke: (functionName, event) => pool.invoke(functionName, event),
    mayInvoke: (fn, sourceArn) => {
      const caller = { kind: 'service', service: 'apigateway.amazonaws.com', sourceArn } as const;
      const need = { action: 'lambda:InvokeFunction', resource: fn.arn ?? '', owner: fn };
      return frontDoor.access.refusal(caller, [need]) === undefined;
    },
    authorizeIam: createIamAuthorizer({
      account,
      verify: ({ payloadHash, ...request }) => {
        const verified = verifyExecuteApi(request, {
          region,
          now: clock.now(),
          lookup: (accessKeyId, sessionToken) => credentials.find(accessKeyId, sessionToken),
          payloadHash,
        });
        return verified.ok
          ? { accessKeyId: verified.accessKeyId, caller: verified.credentials.caller }
          : undefined;
      },
      allows: (caller, resource) =>
        frontDoor.access.refusal(caller, [{ action: 'execute-api:Invoke', resource }]) === undefined,
    }),
    log,
  });
  api.open({
    gateway,
    issuer: await createIssuer(dir, api.url + ISSUER_PATH),
    pages: createPages(clientDir),
    awsEndpointUrl,
  });

  const [jwt] = gateway.jwtIssuers;
  return {
    apiUrl: api.url,
    awsEndpointUrl,
    region,
    ...credentials.root,
    ...names,
    functionNames: Object.fromEntries(pool.functions.map(({ shortName, name }) => [shortName, name])),
    ...(jwt ? { jwt: { issuer: jwt.issuer, audience: jwt.audience[0] ?? '' } } : {}),
    pid: process.pid,
  };
}

function readOutputs({ outputs }: LocalTemplate) {
  const output = (name: string): string => {
    const value = outputs.get(name);
    if (value === undefined) throw new Error(`the template has no output ${name}`);
    return value;
  };
  return {
    bucketName: output('BucketName'),
    tableName: output('TableName'),
    stateMachineArn: output('StateMachineArn'),
    eventBusName: output('EventBusName'),
  };
}
