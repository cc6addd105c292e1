const project = (name, extra = {}) => ({
  displayName: name,
  testMatch: [`<rootDir>/test/${name}/**/*.test.ts`],
  extensionsToTreatAsEsm: ['.ts'],
  transform: { '\\.ts$': '<rootDir>/test/typescript-transform.cjs' },
  ...extra,
});

export default {
  projects: [project('unit'), project('infra'), project('integration'), project('browser')],
};
