import { describe, expect, test } from '@jest/globals';
import { matchRoute, parseRouteKey } from '../../../../local/api/routes.ts';

const routes = [
  '$default',
  'ANY /{proxy+}',
  'GET /pets/{proxy+}',
  'GET /pets/dog/{id}',
  'GET /pets/dog/1',
  'ANY /pets/dog/1',
  'POST /pets/{kind}/{id}',
  'GET /',
].map(parseRouteKey);

describe('the route of a request', () => {
  // The first five are the example of API Gateway's documentation.
  test.each([
    ['GET', '/pets/dog/1', 'GET /pets/dog/1', {}],
    ['GET', '/pets/dog/2', 'GET /pets/dog/{id}', { id: '2' }],
    ['GET', '/pets/cat/1', 'GET /pets/{proxy+}', { proxy: 'cat/1' }],
    ['POST', '/test/5', 'ANY /{proxy+}', { proxy: 'test/5' }],
    ['GET', '/', 'GET /', {}],
    ['PUT', '/', '$default', {}],
    ['DELETE', '/pets/dog/1', 'ANY /pets/dog/1', {}],
    ['POST', '/pets/a%2Fb/%C3%A9', 'POST /pets/{kind}/{id}', { kind: 'a/b', id: 'é' }],
    ['GET', '/pets/dog/%zz', 'GET /pets/dog/{id}', { id: '%zz' }],
  ])('%s %s is %s', (method, path, routeKey, pathParameters) => {
    expect(matchRoute(routes, method, path)).toMatchObject({ route: { routeKey }, pathParameters });
  });

  test.each([
    ['POST', '/uploads'],
    ['GET', '/uploads/'],
    ['GET', '/uploads/1/parts'],
    ['GET', '/Uploads/1'],
  ])('%s %s is none of them', (method, path) => {
    expect(matchRoute([parseRouteKey('GET /uploads/{id}')], method, path)).toBeUndefined();
  });

  test.each(['GET', 'uploads', 'GET uploads', 'GET /{proxy+}/more'])('"%s" is no route key', (key) => {
    expect(() => parseRouteKey(key)).toThrow();
  });
});
