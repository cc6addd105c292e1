import type { LocalTemplate, Resource } from '../types.ts';
import type { CorsConfiguration } from './cors.ts';
import type { JwtConfiguration } from './jwt-authorizer.ts';
import { parseRouteKey, type RoutePattern } from './routes.ts';
import type { ThrottleSettings } from './throttle.ts';

export type RouteAuthorization =
  | { readonly type: 'NONE' }
  | { readonly type: 'AWS_IAM' }
  | {
      readonly type: 'JWT';
      readonly authorizerId: string;
      readonly configuration: JwtConfiguration;
      /** Where the token is, for example `$request.header.Authorization`. */
      readonly identitySource: string;
      readonly scopes: readonly string[];
    };

export interface ApiRoute extends RoutePattern {
  readonly function: Resource;
  readonly authorization: RouteAuthorization;
  readonly timeoutMs: number;
}

/** What the template says about its HTTP API. */
export interface ApiConfiguration {
  readonly apiId: string;
  readonly cors: CorsConfiguration | undefined;
  readonly routes: readonly ApiRoute[];
  readonly stage: {
    readonly name: string;
    readonly variables: Readonly<Record<string, string>>;
    readonly throttleOf: (routeKey: string) => ThrottleSettings;
  };
}

/** HTTP APIs wait 30 s at most. */
const MAX_INTEGRATION_MS = 30_000;

/**
 * Reads the template's one HTTP API.
 *
 * @throws an Error that names the resource, where the API uses what the local gateway does not provide
 */
export function readApi(template: LocalTemplate): ApiConfiguration {
  const api = only(template, 'AWS::ApiGatewayV2::Api');
  const stage = only(template, 'AWS::ApiGatewayV2::Stage');
  const integrations = new Map(
    template.byType('AWS::ApiGatewayV2::Integration').map((one) => [one.physicalId, one]),
  );
  const authorizers = new Map(
    template.byType('AWS::ApiGatewayV2::Authorizer').map((one) => [one.physicalId, one]),
  );
  const functions = new Map(template.byType('AWS::Lambda::Function').map((one) => [one.arn, one]));

  const routes = template.byType('AWS::ApiGatewayV2::Route').map((route): ApiRoute => {
    const { RouteKey, Target } = route.properties as { RouteKey: string; Target?: string };
    const integration = integrations.get(Target?.replace(/^integrations\//, '') ?? '');
    if (!integration) throw new Error(`${route.logicalId}: its integration is not in the template`);
    const { IntegrationType, PayloadFormatVersion, IntegrationUri, TimeoutInMillis } =
      integration.properties as Record<string, unknown>;
    if (IntegrationType !== 'AWS_PROXY' || PayloadFormatVersion !== '2.0') {
      throw new Error(
        `${integration.logicalId}: only AWS_PROXY with payload format 2.0 is supported locally`,
      );
    }
    const arn = /(arn:aws:lambda:[^/]+)(\/invocations)?$/.exec(String(IntegrationUri))?.[1];
    const target = functions.get(arn);
    if (!target) throw new Error(`${integration.logicalId}: its function is not in the template`);
    return {
      ...parseRouteKey(RouteKey),
      function: target,
      authorization: readAuthorization(route, authorizers),
      timeoutMs: Math.min(Number(TimeoutInMillis ?? MAX_INTEGRATION_MS), MAX_INTEGRATION_MS),
    };
  });

  const { StageName, StageVariables, DefaultRouteSettings, RouteSettings } = stage.properties as {
    StageName: string;
    StageVariables?: Record<string, string>;
    DefaultRouteSettings?: ThrottleSettings;
    RouteSettings?: Record<string, ThrottleSettings>;
  };
  return {
    apiId: api.physicalId,
    cors: api.properties.CorsConfiguration as CorsConfiguration | undefined,
    routes,
    stage: {
      name: StageName,
      variables: StageVariables ?? {},
      throttleOf: (routeKey) => ({ ...DefaultRouteSettings, ...RouteSettings?.[routeKey] }),
    },
  };
}

function readAuthorization(route: Resource, authorizers: ReadonlyMap<string, Resource>): RouteAuthorization {
  const {
    AuthorizationType = 'NONE',
    AuthorizerId,
    AuthorizationScopes = [],
  } = route.properties as {
    AuthorizationType?: string;
    AuthorizerId?: string;
    AuthorizationScopes?: string[];
  };
  if (AuthorizationType === 'NONE' || AuthorizationType === 'AWS_IAM') return { type: AuthorizationType };
  const authorizer = authorizers.get(AuthorizerId ?? '');
  const configuration = authorizer?.properties.JwtConfiguration as JwtConfiguration | undefined;
  if (AuthorizationType !== 'JWT' || !authorizer || !configuration) {
    throw new Error(`${route.logicalId}: ${AuthorizationType} authorization is not supported locally`);
  }
  const [identitySource = '$request.header.Authorization'] = (authorizer.properties.IdentitySource ??
    []) as string[];
  return {
    type: 'JWT',
    authorizerId: authorizer.physicalId,
    configuration,
    identitySource,
    scopes: AuthorizationScopes,
  };
}

function only(template: LocalTemplate, type: string): Resource {
  const [resource, ...others] = template.byType(type);
  if (!resource || others.length > 0) {
    throw new Error(
      `the local gateway needs exactly one ${type}; the template has ${template.byType(type).length}`,
    );
  }
  return resource;
}
