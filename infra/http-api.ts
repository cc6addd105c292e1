import { type RemovalPolicy, Stack } from 'aws-cdk-lib';
import { AccessLogFormat } from 'aws-cdk-lib/aws-apigateway';
import * as apigateway from 'aws-cdk-lib/aws-apigatewayv2';
import { HttpIamAuthorizer, HttpJwtAuthorizer } from 'aws-cdk-lib/aws-apigatewayv2-authorizers';
import { HttpLambdaIntegration } from 'aws-cdk-lib/aws-apigatewayv2-integrations';
import * as logs from 'aws-cdk-lib/aws-logs';
import { Construct } from 'constructs';
import type { UploadAuth } from './auth.ts';
import { apiCors } from './cors.ts';
import { pascalCase, type Route, uploadFunctions } from './function-map.ts';
import type { UploadFunctions } from './functions.ts';
import { InvalidOption } from './invalid-option.ts';

export interface Throttle {
  /** Requests a second, over time. */
  readonly rateLimit: number;
  /** Requests at once. */
  readonly burstLimit: number;
}

export interface UploadThrottle extends Throttle {
  /** Lower limits of single routes, for example `{ 'POST /uploads': { rateLimit: 50, burstLimit: 100 } }`. */
  readonly routes?: Readonly<Record<string, Throttle>>;
}

/**
 * API Gateway gives an account and region 10,000 requests a second and bursts of 5,000. Half the rate leaves
 * something to the account's other APIs when thousands upload at once.
 * https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-throttling.html
 */
export const DEFAULT_THROTTLE: UploadThrottle = { rateLimit: 5_000, burstLimit: 5_000 };

export interface UploadApiProps {
  readonly functions: UploadFunctions;
  readonly auth: UploadAuth;
  readonly allowedOrigins: readonly string[];
  readonly throttle: UploadThrottle;
  /** Undefined: no access log. */
  readonly accessLogs: logs.RetentionDays | undefined;
  readonly logRemoval: RemovalPolicy;
}

export class UploadApi extends Construct {
  readonly httpApi: apigateway.HttpApi;
  readonly stage: apigateway.HttpStage;

  constructor(scope: Construct, id: string, props: UploadApiProps) {
    super(scope, id);
    checkThrottle(props.throttle);
    this.httpApi = new apigateway.HttpApi(this, 'HttpApi', {
      // Names need not be unique: this one is to be found again in the console.
      apiName: Stack.of(this).stackName,
      description: 'Resumable uploads',
      createDefaultStage: false,
      ...(props.allowedOrigins.length > 0 && { corsPreflight: apiCors(props.allowedOrigins) }),
    });
    const routes = this.addRoutes(props);
    const { rateLimit, burstLimit } = props.throttle;
    this.stage = new apigateway.HttpStage(this, 'Stage', {
      httpApi: this.httpApi,
      autoDeploy: true,
      throttle: { rateLimit, burstLimit },
      ...(props.accessLogs && {
        accessLogSettings: {
          destination: new apigateway.LogGroupLogDestination(
            new logs.LogGroup(this, 'AccessLogs', {
              retention: props.accessLogs,
              removalPolicy: props.logRemoval,
            }),
          ),
          format: ACCESS_LOG_FORMAT,
        },
      }),
    });
    this.throttleRoutes(props.throttle.routes ?? {}, routes);
  }

  /** `https://<id>.execute-api.<region>.amazonaws.com`, without a slash at the end. */
  get url(): string {
    return this.httpApi.apiEndpoint;
  }

  /** The URL's host. */
  get domainName(): string {
    const { region, urlSuffix } = Stack.of(this);
    return `${this.httpApi.apiId}.execute-api.${region}.${urlSuffix}`;
  }

  private addRoutes({ functions, auth }: UploadApiProps): apigateway.HttpRoute[] {
    const authorizer = authorizerOf(auth);
    return uploadFunctions().flatMap(([name, { trigger }]) => {
      if (!('http' in trigger)) return [];
      const integration = new HttpLambdaIntegration(pascalCase(name), functions.get(name));
      return trigger.http.flatMap((route) => {
        const { method, path } = splitRoute(route);
        return this.httpApi.addRoutes({
          path,
          methods: [method],
          integration,
          ...(authorizer && { authorizer }),
          ...(auth.type === 'jwt' && auth.scopes.length > 0 && { authorizationScopes: [...auth.scopes] }),
        });
      });
    });
  }

  /** The stage names the routes here, so that it can only be made after them. */
  private throttleRoutes(limits: Readonly<Record<string, Throttle>>, routes: apigateway.HttpRoute[]): void {
    if (Object.keys(limits).length === 0) return;
    const stage = this.stage.node.defaultChild as apigateway.CfnStage;
    stage.routeSettings = Object.fromEntries(
      Object.entries(limits).map(([route, { rateLimit, burstLimit }]) => [
        route,
        { ThrottlingRateLimit: rateLimit, ThrottlingBurstLimit: burstLimit },
      ]),
    );
    for (const route of routes) this.stage.node.addDependency(route);
  }
}

/** Neither headers nor the query: tokens and file names stay out of the log. */
const ACCESS_LOG_FORMAT = AccessLogFormat.custom(
  JSON.stringify({
    time: '$context.requestTime',
    requestId: '$context.requestId',
    sourceIp: '$context.identity.sourceIp',
    route: '$context.routeKey',
    path: '$context.path',
    status: '$context.status',
    responseBytes: '$context.responseLength',
    milliseconds: '$context.responseLatency',
    integrationError: '$context.integrationErrorMessage',
    authorizerError: '$context.authorizer.error',
  }),
);

function authorizerOf(auth: UploadAuth): apigateway.IHttpRouteAuthorizer | undefined {
  switch (auth.type) {
    case 'jwt':
      return new HttpJwtAuthorizer('Jwt', auth.issuer, { jwtAudience: [...auth.audience] });
    case 'iam':
      return new HttpIamAuthorizer();
    case 'none':
      return undefined;
  }
}

function splitRoute(route: Route): { method: apigateway.HttpMethod; path: string } {
  const [method = '', path = ''] = route.split(' ');
  return { method: method as apigateway.HttpMethod, path };
}

function checkThrottle(throttle: UploadThrottle): void {
  const known = uploadFunctions().flatMap(([, { trigger }]) => ('http' in trigger ? trigger.http : []));
  for (const route of Object.keys(throttle.routes ?? {})) {
    if (!known.some((one) => one === route)) {
      throw new InvalidOption(`throttle: there is no route "${route}"; the routes are ${known.join(', ')}.`);
    }
  }
  for (const { rateLimit, burstLimit } of [throttle, ...Object.values(throttle.routes ?? {})]) {
    if (!(rateLimit > 0) || !Number.isInteger(burstLimit) || burstLimit < 1) {
      throw new InvalidOption(
        `throttle: ${rateLimit} requests a second in bursts of ${burstLimit} would stop every request; give a rateLimit above 0 and a whole burstLimit of 1 or more.`,
      );
    }
  }
}
