import { Duration } from 'aws-cdk-lib';
import { CorsHttpMethod, type CorsPreflightOptions } from 'aws-cdk-lib/aws-apigatewayv2';
import { type CorsRule, HttpMethods } from 'aws-cdk-lib/aws-s3';
import { InvalidOption } from './invalid-option.ts';

/** @throws InvalidOption for what a browser never sends as an Origin, which would silently match nothing */
export function checkOrigins(origins: readonly string[]): void {
  for (const origin of origins) {
    if (origin === '*') continue;
    const url = URL.parse(origin);
    if (url === null || !/^https?:$/.test(url.protocol) || url.origin !== origin || origin.includes('*')) {
      throw new InvalidOption(
        `allowedOrigins: "${origin}" is not an origin: write scheme, host and port as browsers send them, without a path or a slash at the end, like "https://app.example.com"; "*" alone allows all, and API Gateway takes no other wildcard for a host.`,
      );
    }
  }
}

/** The HTTP API answers preflight requests itself, before any authorizer, and sets the headers on every answer. */
export const apiCors = (allowedOrigins: readonly string[]): CorsPreflightOptions => ({
  allowOrigins: [...allowedOrigins],
  allowMethods: [CorsHttpMethod.GET, CorsHttpMethod.POST, CorsHttpMethod.DELETE],
  // The x-amz ones are those of a request signed with AWS credentials.
  allowHeaders: [
    'authorization',
    'content-type',
    'x-amz-content-sha256',
    'x-amz-date',
    'x-amz-security-token',
  ],
  exposeHeaders: ['apigw-requestid', 'location', 'retry-after'],
  maxAge: Duration.hours(2),
});

/** For browsers that PUT parts by presigned URLs, and play what they uploaded. */
export const bucketCors = (allowedOrigins: readonly string[]): CorsRule[] =>
  allowedOrigins.length === 0
    ? []
    : [
        {
          allowedOrigins: [...allowedOrigins],
          allowedMethods: [HttpMethods.PUT, HttpMethods.GET, HttpMethods.HEAD],
          // Any: what a request may do is bound by its signature, not by its headers.
          allowedHeaders: ['*'],
          // The page reports each part's ETag, and can read it only if it is exposed.
          exposedHeaders: ['ETag'],
          maxAge: 3600,
        },
      ];
