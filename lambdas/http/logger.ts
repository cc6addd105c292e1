import { Logger } from '@aws-lambda-powertools/logger';

/** One logger for each function; its name and level come from Powertools' own variables. */
export const logger = (): Logger => new Logger();
