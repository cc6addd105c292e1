const project = (name, extra = {}) => ({
  displayName: name,
  testMatch: [`<rootDir>/test/${name}/**/*.test.ts`],
  extensionsToTreatAsEsm: ['.ts'],
  transform: { '\\.ts$': '<rootDir>/test/typescript-transform.cjs' },
  ...extra,
});

/**
 * Real engines start once for all suites, where they are asked for; what is about them alone runs only then. Deaths on
 * detours are about the functions, and long: our own engines are enough for them.
 */
const integration = {
  testPathIgnorePatterns: [process.env.ENGINES === 'real' ? '/deaths-on-detours' : '/on-real-engines/'],
  globalSetup: '<rootDir>/test/engines/global-setup.ts',
  globalTeardown: '<rootDir>/test/engines/global-teardown.ts',
};

export default {
  // The names of the tests are the list of what is covered.
  verbose: true,
  // Generous: a slow machine is no failure; what hangs is still found.
  testTimeout: 60_000,
  globalSetup: '<rootDir>/test/scratch-folder.ts',
  globalTeardown: '<rootDir>/test/scratch-folder-teardown.ts',
  projects: [
    project('unit'),
    project('infra'),
    project('integration', integration),
    project('model'),
    project('browser'),
    project('aws'),
  ],
};
